"""/native/<provider>/<path>: whose key is used, what crosses the gateway, and which addresses are refused."""

import json
from collections.abc import Mapping
from http.client import HTTPConnection, IncompleteRead
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Refusal
from gateway.native import scrubbed
from gateway.operations.native import model_of, names, read_provider, read_request, read_target
from gateway.operations.native_answers import Readdressed, Watched, reader_of
from gateway.wires.values import Usage
from keys import actions
from keys.providers import PROVIDERS, Credential
from orgs.models import Organization
from tests.fake import FakeProvider
from tests.gateway_calls import Reply, call, get, line, read_until
from tests.gateway_server import BY, RunningGateway, StartGateway

pytest_plugins = ["tests.gateway_fixtures"]
pytestmark = pytest.mark.large

FLUX = "/native/fal:queue/fal-ai/flux/dev"
LAKE = {"prompt": "A lake"}
HELLO: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
REACHED = {
    "anthropic": "v1/models?limit=2",
    "bedrock:control": "foundation-models?byProvider=a%20b",
    "azure": "openai/v1/models",
    "deepinfra": "models",
    "deepinfra:account": "v1/me?checklist=true",
    "fal:api": "models/pricing?endpoint_id=fal-ai/flux/dev",
    "aistudio": "v1beta/models?pageSize=2",
    "vertex": "v1beta1/publishers/google/models?pageSize=2",
    "xai": "models",
    "groq": "models",
    "openai": "models",
    "perplexity": "v1/models",
    "pollo": "credit/balance",
    "baseten": "models",
    "baseten:management": "users/me",
}
ELSEWHERE = {"bedrock", "fal", "fal:queue"}  # they have nothing to GET; tests/test_gateway_native_clients.py calls them


def keep(gateway: RunningGateway, provider: str, behavior: str = "valid", number: int = 1) -> None:
    gateway.keep(provider, gateway.fake.credential(provider, behavior, number), f"{behavior} {number}")


def post(gateway: RunningGateway, body: Any, path: str) -> Reply:
    return call(gateway, body, path, headers={"content-type": "application/json"})


def outcomes(gateway: RunningGateway) -> list[tuple[str, str, int | None]]:
    return gateway.outcomes()


# Whose key


def test_every_provider_and_service_has_a_name() -> None:
    assert set(names()) == REACHED.keys() | ELSEWHERE
    assert {name.partition(":")[0] for name in names()} == set(PROVIDERS)


@pytest.mark.parametrize("name", REACHED)
def test_every_provider_is_reached_with_its_own_key(gateway: RunningGateway, name: str) -> None:
    keep(gateway, name.partition(":")[0])
    reply = get(gateway, f"/native/{name}/{REACHED[name]}")
    assert reply.status == 200, reply.body
    assert json.loads(reply.body)
    assert reply.headers["x-keyhold-key"] == "valid 1"
    assert outcomes(gateway) == [("ok", "", 200)]
    (ended,) = gateway.attempts()
    assert (ended.closed.input_tokens, ended.closed.output_tokens, ended.closed.estimated) == (0, 0, False)


@pytest.mark.parametrize("name", ["bedrock:sts", "vertex:token", "openai:", "openai:none", "none", "", "%2E%2E", "fal:queue:x"])
def test_what_is_not_offered_is_not_found(gateway: RunningGateway, name: str) -> None:
    assert get(gateway, f"/native/{name}/x").status == 404
    assert not gateway.fake.requests


def test_keys_are_tried_in_the_order_of_the_plan(gateway: RunningGateway) -> None:
    for number, behavior in enumerate(("refused", "limited", "valid"), 1):
        keep(gateway, "xai", behavior, number)
    reply = get(gateway, "/native/xai/models")
    assert (reply.status, reply.headers["x-keyhold-attempts"], reply.headers["x-keyhold-fallback"]) == (200, "3", "byok")
    assert outcomes(gateway) == [("absorbed", "refused", 401), ("absorbed", "limited", 429), ("ok", "", 200)]


def test_no_more_than_three_are_tried(gateway: RunningGateway) -> None:
    for number in range(1, 5):
        keep(gateway, "xai", "broken", number)
    reply = get(gateway, "/native/xai/models")
    assert (reply.status, reply.error["code"]) == (502, "provider_trouble")
    assert len(gateway.fake.requests) == 3


def test_keys_that_are_off_or_wait_are_not_used(gateway: RunningGateway) -> None:
    key = gateway.add("groq", name="off")
    actions.disable_key(key=key, by=BY)
    gateway.add("groq", name="waits", tested=False)
    gateway.directory.refresh()
    reply = get(gateway, "/native/groq/models")
    assert reply.status == 404
    assert "Groq key “off” is off. Groq key “waits” waits for a test." in reply.error["message"]
    assert not gateway.fake.requests


def test_nobody_reaches_the_keys_of_another_organization(gateway: RunningGateway, globex: Organization) -> None:
    for name in REACHED:
        keep(gateway, name.partition(":")[0], number=len(gateway.organization.name) + list(REACHED).index(name))
    _, secret = actions.issue_client_key(organization=globex, name="Globex", by=BY)
    gateway.directory.refresh()
    for name, path in REACHED.items():
        reply = get(gateway, f"/native/{name}/{path}", headers={"authorization": f"Bearer {secret}"})
        assert reply.status == 404, name
    assert not gateway.fake.requests


@pytest.mark.parametrize(
    ("path", "header", "value", "status"),
    [
        ("fal:api/" + REACHED["fal:api"], "authorization", "Key {}", 200),
        ("fal:api/" + REACHED["fal:api"], "authorization", "key  {} ", 200),
        ("fal:api/" + REACHED["fal:api"], "x-api-key", "{}", 200),
        ("fal:api/" + REACHED["fal:api"], "authorization", "AWS4-HMAC-SHA256 Credential={}/x", 401),
        ("openai/models", "authorization", "Key {}", 401),
        ("openai/models", "authorization", "AWS4-HMAC-SHA256 Credential={}/x, Signature=0", 401),
        ("openai/models", "api-key", "{}", 200),
        ("openai/models", "x-goog-api-key", "{}", 200),
        ("baseten/models", "authorization", "Api-Key {}", 200),
        (
            "bedrock:control/foundation-models",
            "authorization",
            "AWS4-HMAC-SHA256 Credential={}/day/aws4_request, Signature=0",
            200,
        ),
        ("bedrock:control/foundation-models", "authorization", "AWS4-HMAC-SHA256 Signature=0,Credential={}/day", 200),
        ("bedrock:control/foundation-models", "authorization", "AWS4-HMAC-SHA256 Credential=AKIA0000/day, Signature=0", 401),
        ("bedrock:control/foundation-models", "authorization", "AWS4-HMAC-SHA256", 401),
        ("bedrock:control/foundation-models", "authorization", "Key {}", 401),
    ],
)
def test_clients_spell_their_key_as_their_sdk_does(
    gateway: RunningGateway, path: str, header: str, value: str, status: int
) -> None:
    keep(gateway, path.partition("/")[0].partition(":")[0])
    headers = {header: value.format(gateway.secret)}
    connection = HTTPConnection(gateway.url.removeprefix("http://"), timeout=20)
    connection.request("GET", f"/native/{path}", headers=headers)
    assert connection.getresponse().status == status
    connection.close()


# What crosses


def test_only_named_headers_cross(gateway: RunningGateway) -> None:
    keep(gateway, "fal")
    unwanted = {
        "cookie": "session=canary",
        "x-forwarded-for": "10.0.0.1",
        "x-fal-key": "another",
        "x-amz-security-token": "another",
        "x-goog-user-project": "another",
        "x-goog-fieldmask": "*",
        "anthropic-version": "2023-06-01",
        "user-agent": "program",
        "origin": "https://evil.example",
    }
    wanted = {"x-fal-queue-priority": "low", "accept": "application/json", "content-type": "application/json"}
    reply = call(gateway, LAKE, FLUX, headers={**unwanted, **wanted})
    arrived = {name.lower(): value for name, value in gateway.fake.requests[-1].headers.items()}
    ours = {"host", "authorization", "user-agent", "accept-encoding", "content-length"}
    assert arrived.keys() == ours | wanted.keys()
    assert arrived["user-agent"] == "Keyhold"
    traces = {"x-request-id", "x-provider-request-id", *(f"x-keyhold-{what}" for what in ("key", "attempts", "fallback", "walk"))}
    framing = {
        "content-type",
        "x-content-type-options",
        "cache-control",
        "x-accel-buffering",
        "date",
        "server",
        "transfer-encoding",
    }
    assert reply.headers.keys() <= traces | framing | {"x-fal-request-id"}
    assert reply.headers["x-fal-request-id"]
    assert reply.headers.get("server") != "cloudflare"


@pytest.mark.parametrize(
    ("name", "header", "passes"),
    [
        ("aistudio", "x-goog-api-client", True),
        ("aistudio", "x-goog-user-project", False),
        ("aistudio", "x-goog-iam-authorization-token", False),
        ("openai", "openai-beta", True),
        ("openai", "openai-organization", False),
        ("openai", "openai-project", False),
        ("openai", "x-goog-fieldmask", False),
        ("anthropic", "anthropic-beta", True),
        ("anthropic", "anthropic-workspace-id", False),
        ("bedrock:control", "x-amzn-bedrock-trace", True),
        ("bedrock:control", "x-amz-date", False),
    ],
)
def test_each_provider_has_headers_of_its_own(gateway: RunningGateway, name: str, header: str, passes: bool) -> None:
    keep(gateway, name.partition(":")[0])
    assert get(gateway, f"/native/{name}/{REACHED[name]}", headers={header: "from-the-client"}).status == 200
    assert (gateway.fake.requests[-1].headers.get(header) == "from-the-client") == passes


def test_pollo_generates_and_tells_how_far_it_is(gateway: RunningGateway) -> None:
    keep(gateway, "pollo", "limited")
    keep(gateway, "pollo", number=2)
    made = post(
        gateway,
        {"input": {"prompt": "A lake"}, "webhookUrl": "https://acme.example/hook"},
        "/native/pollo/generation/google/veo3",
    )
    task = json.loads(made.body)["taskId"]
    states = [json.loads(get(gateway, f"/native/pollo/generation/{task}/status").body)["generations"][0]["status"] for _ in "123"]
    assert states == ["waiting", "processing", "succeed"]
    costs = [
        (ended.opened.model, ended.closed.reported_cost_microusd) for ended in gateway.attempts() if ended.closed.status == 200
    ]
    assert costs == [("google/veo3", None), *[("generation", 0)] * 3]
    assert get(gateway, "/native/pollo/generation/none/status").status == 429  # the first key may have it, and cannot say


def test_what_is_not_found_by_one_key_is_asked_of_the_next(gateway: RunningGateway) -> None:
    for number in (1, 2):
        keep(gateway, "pollo", number=number)
    reply = get(gateway, "/native/pollo/generation/none/status")
    assert (reply.status, json.loads(reply.body)) == (404, {"code": "NOT_FOUND", "message": "Task not found"})
    assert outcomes(gateway) == [("error", "client", 404)] * 2
    assert post(gateway, {"input": {"prompt": "x"}}, "/native/pollo/generation/google/none").status == 404
    assert len(gateway.fake.requests) == 3


def test_a_provider_that_is_late_is_not_replaced_where_it_may_have_begun_to_work(start_gateway: StartGateway) -> None:
    gateway = start_gateway(first_byte_seconds=0.5)
    keep(gateway, "fal", "stalls")
    keep(gateway, "fal")
    reply = post(gateway, LAKE, FLUX)
    assert (reply.status, json.loads(reply.body)["error_type"]) == (504, "provider_timeout")
    assert len(gateway.fake.requests) == 1
    assert get(gateway, f"/native/fal:api/{REACHED['fal:api']}").status == 200
    keep(gateway, "openai", "stalls")
    keep(gateway, "openai")
    assert post(gateway, HELLO, "/native/openai/chat/completions").status == 200


def test_sound_comes_back_as_it_is(gateway: RunningGateway) -> None:
    keep(gateway, "openai")
    reply = post(gateway, {"model": "tts-1", "input": "Hello", "voice": "alloy"}, "/native/openai/audio/speech")
    assert (reply.body, reply.headers["content-type"]) == (gateway.fake.requests[-1].sent, "audio/mpeg")
    (ended,) = gateway.attempts()
    assert (ended.opened.model, ended.closed.output_tokens, ended.closed.estimated) == ("tts-1", 0, False)


def test_a_page_is_not_served_as_a_page(gateway: RunningGateway) -> None:
    keep(gateway, "openai", "html")
    reply = get(gateway, "/native/openai/models")
    assert (reply.headers["content-type"], reply.headers["x-content-type-options"]) == ("application/octet-stream", "nosniff")


def test_redirects_are_not_followed_nor_passed_on(gateway: RunningGateway) -> None:
    keep(gateway, "openai", "redirects")
    reply = get(gateway, "/native/openai/models")
    assert reply.status == 502
    assert "location" not in reply.headers


def test_a_stream_of_an_unknown_kind_is_cut_where_the_provider_cuts_it(gateway: RunningGateway) -> None:
    keep(gateway, "openai", "cuts")
    with pytest.raises(IncompleteRead):
        post(gateway, {**HELLO, "stream": True}, "/native/openai/chat/completions")
    (ended,) = gateway.attempts()
    assert (ended.closed.outcome, ended.closed.error_class, ended.closed.estimated) == ("error", "trouble", True)


def test_leaving_ends_the_providers_work(gateway: RunningGateway) -> None:
    keep(gateway, "openai", "slow")
    with line(gateway, {**HELLO, "stream": True}, path="/native/openai/chat/completions") as client:
        read_until(client, b"data:")
    assert gateway.fake.wait_for(lambda: gateway.fake.disconnects == 1)
    assert [ended.closed.outcome for ended in gateway.attempts()] == ["cancelled"]


def test_the_models_list_is_no_chat_and_costs_nothing(gateway: RunningGateway) -> None:
    keep(gateway, "perplexity")
    post(gateway, {"model": "perplexity/sonar", "input": "Hello"}, "/native/perplexity/v1/responses")
    get(gateway, "/native/perplexity/v1/models")
    first, second = gateway.attempts()
    assert (first.opened.model, first.closed.reported_cost_microusd) == ("perplexity/sonar", 6260)
    assert (second.opened.model, second.closed.input_tokens, second.closed.reported_cost_microusd) == ("v1/models", 0, 0)


@pytest.mark.parametrize("content_type", ["application/json", "application/octet-stream", "", "multipart/form-data; boundary=x"])
def test_bodies_are_counted(start_gateway: StartGateway, content_type: str) -> None:
    gateway = start_gateway(most_body_bytes=1000)
    keep(gateway, "openai")
    body = b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + b"x" * 1000
    headers = {"content-type": content_type} if content_type else {}
    assert call(gateway, body, "/native/openai/files", headers=headers).status == 413
    assert not gateway.fake.requests


def test_bytes_that_are_no_json_arrive_as_they_are(gateway: RunningGateway) -> None:
    keep(gateway, "openai")
    body = bytes(range(256)) * 3000
    assert call(gateway, body, "/native/openai/files", headers={"content-type": "application/octet-stream"}).status == 404
    arrived = gateway.fake.requests[-1]
    assert (arrived.body, arrived.headers["content-length"]) == (body, str(len(body)))


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "CONNECT", "PROPFIND"])
def test_other_methods_are_refused(gateway: RunningGateway, method: str) -> None:
    connection = HTTPConnection(gateway.url.removeprefix("http://"), timeout=20)
    connection.putrequest(method, "/native/openai/models")
    connection.endheaders()
    assert connection.getresponse().status in (400, 405)
    connection.close()


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE"])
def test_methods_are_kept(gateway: RunningGateway, method: str) -> None:
    keep(gateway, "openai")
    body = None if method in ("GET", "HEAD") else {}
    assert call(gateway, body, "/native/openai/none", method).status in (404, 405)
    assert gateway.fake.requests[-1].method == method


# Addresses that are refused

HOSTILE = [
    "openai/../x",
    "openai/..",
    "openai/.",
    "openai/./models",
    "openai//models",
    "openai/models//x",
    "openai///etc",
    "openai/%2e%2e/x",
    "openai/%2E%2E%2Fx",
    "openai/a/%2e%2e%2f%2e%2e/x",
    "openai/..%2fx",
    "openai/..%5cx",
    "openai/%5c%5cevil.example",
    "openai/%2Fevil.example/x",
    "openai/%252e%252e/x",
    "openai/%252e%252e%252fx",
    "openai/%25252e%25252e/x",
    "openai/%2525252e/x",
    "openai/..;/x",
    "openai/..;a=b/x",
    "openai/%c0%ae%c0%ae/x",
    "openai/%ff",
    "openai/a%00b",
    "openai/a%0d%0aHost:%20evil",
    "openai/a%20b/%zz",
    "openai/%",
    "openai/a%",
    'openai/a"b',
    "openai/a<b>",
    "openai/a\\..\\b",
    "openai/a|b",
    "openai/models?a=%",
    "openai/models?a=<b>",
]


@pytest.mark.parametrize("path", HOSTILE)
def test_paths_that_lead_elsewhere_are_refused(gateway: RunningGateway, path: str) -> None:
    keep(gateway, "openai")
    reply = raw(gateway, f"/native/{path}")
    assert reply == 400
    assert not gateway.fake.requests


def raw(gateway: RunningGateway, target: str) -> int:
    """The status for a request line that no library has touched."""
    head = f"GET {target} HTTP/1.1\r\nhost: x\r\nx-api-key: {gateway.secret}\r\nconnection: close\r\n\r\n"
    with line(gateway, None, head=head) as client:
        return int(read_until(client, b"\r\n").split()[1])


@pytest.mark.parametrize(
    "name",
    "key api_key API-Key apikey access_token token fal_jwt_token authorization X-Amz-Security-Token X-Amz-Signature k%65y +key "
    "a=1&key a=1;key subscription-key %24httpHeaders".split(),
)
def test_keys_in_the_address_are_refused(gateway: RunningGateway, name: str) -> None:
    keep(gateway, "aistudio")
    reply = get(gateway, f"/native/aistudio/v1beta/models?{name}=secret")
    assert reply.status == 400
    assert "Send it in a header" in reply.error["message"]
    assert not gateway.fake.requests


@pytest.mark.parametrize("place", ["{}/x", "models?pageToken={}", "models/{}"])
def test_client_keys_in_the_address_are_refused(gateway: RunningGateway, place: str) -> None:
    keep(gateway, "openai")
    assert get(gateway, "/native/openai/" + place.format(gateway.secret)).status == 400
    assert get(gateway, "/native/openai/" + place.format(gateway.secret.replace("_", "%5F"))).status == 400
    assert not gateway.fake.requests


@pytest.mark.parametrize(
    "path",
    [
        "deepinfra:account/v1/api-tokens",
        "deepinfra:account/v1/api%2Dtokens/x",
        "deepinfra:account/V1/API-Tokens",
        "deepinfra:account/v1/scoped-jwt",
        "baseten:management/api_keys",
        "baseten:management/teams/x/api_keys",
        "baseten:management/secrets",
        "perplexity/generate_auth_token",
        "openai/organization/admin_api_keys",
        "openai/organization/projects/p/service_accounts",
        "openai/realtime/client_secrets",
        "openai/realtime/sessions",
        "openai/chatkit/sessions",
        "aistudio/v1alpha/auth_tokens",
        "aistudio/v1alpha/auth_tokens:create",
        "fal:api/keys",
    ],
)
def test_programs_do_not_manage_keys(gateway: RunningGateway, path: str) -> None:
    keep(gateway, path.partition("/")[0].partition(":")[0])
    for method in ("GET", "POST", "DELETE"):
        assert call(gateway, {}, f"/native/{path}", method).status == 403
    assert not gateway.fake.requests


# Pure


def target(path: str, query: str = "") -> Any:
    return read_target(read_provider(path), path.encode(), query.encode())


SEGMENT = st.text("abcXYZ019-_.~!$&'()*+,=:@", min_size=1).filter(
    lambda text: text.strip(".") and text.lower() not in ("key", "keys")
)


@given(st.lists(SEGMENT, max_size=4), st.text("abc=&%20[],-").filter(lambda text: "%" not in text.replace("%20", "")))
def test_an_address_arrives_exactly_as_it_was_spelled(segments: list[str], query: str) -> None:
    path = "/".join([*segments, "arn%3Aaws%2Fx%C3%A9", "end"])
    request = read_request("GET", target(f"/native/groq/{path}", query), b"")
    sent = request.outbound(Credential({"api_key": "k"}, {}, ""), {}, None)
    assert sent.url == f"https://api.groq.com/openai/v1/{path}" + (f"?{query}" if query else "")


@given(st.text("./\\%25eE2fFcC;ab", max_size=12))
def test_no_spelling_leaves_the_base(path: str) -> None:
    try:
        found = target(f"/native/groq/{path}")
    except Refusal:
        return
    assert found.plain.strip("/").split("/") == [
        part for part in found.plain.strip("/").split("/") if part.strip(".") or part == ""
    ]
    assert not found.plain.startswith("/")
    assert "\\" not in found.plain


def test_azures_paths_lie_below_the_resource(fake_provider: FakeProvider) -> None:
    request = read_request("POST", target("/native/azure/openai/deployments/gpt-4o/x", "api-version=1"), b"{}")
    credential = fake_provider.credential("azure")
    assert request.outbound(credential, {}, 1).url == "https://acme.openai.azure.com/openai/deployments/gpt-4o/x?api-version=1"
    sent = request.outbound(credential, {"azure": "http://127.0.0.1:9/"}, None)
    assert (sent.url, sent.operator) == ("http://127.0.0.1:9/openai/deployments/gpt-4o/x?api-version=1", True)


@pytest.mark.parametrize(
    ("path", "body", "model"),
    [
        ("bedrock/model/arn%3Aaws%3Abedrock%3A%3A%2Fx/converse", {"model": "other"}, "arn:aws:bedrock::/x"),
        ("aistudio/v1beta/models/gemini-2.5-pro:streamGenerateContent", {}, "gemini-2.5-pro"),
        ("vertex/v1/projects/p/locations/l/publishers/anthropic/models/claude:rawPredict", {}, "claude"),
        ("azure/openai/deployments/main/chat/completions", {"model": "other"}, "main"),
        ("azure/openai/v1/chat/completions", {"model": "main"}, "main"),
        ("fal/fal-ai/flux/dev", {}, "fal-ai/flux/dev"),
        ("fal:queue/fal-ai/flux/requests/0-1/status", {}, "fal-ai/flux"),
        ("fal:api/models/pricing", {}, "models/pricing"),
        ("deepinfra:account/v1/inference/owner/name", {}, "owner/name"),
        ("openai/chat/completions", {"model": "gpt-4o"}, "gpt-4o"),
        ("openai/files/file-abc123/content", {}, "files"),
        ("openai/chat/completions", {"model": "a\nb"}, "chat/completions"),
        ("openai/chat/completions", {"model": 7}, "chat/completions"),
        ("openai/chat/completions", [], "chat/completions"),
        ("openai/", {}, "openai"),
    ],
)
def test_the_journal_names_a_model_or_a_place(path: str, body: Any, model: str) -> None:
    found = target(f"/native/{path}")
    said = body.get("model") if isinstance(body, dict) else None
    assert model_of(found, said) == model
    assert read_request("POST", found, json.dumps(body).encode()).model == model


@pytest.mark.parametrize(
    ("dialect", "headers", "body", "usage"),
    [
        ("", {}, b'{"usage":{"prompt_tokens":3}}', Usage()),
        ("chat", {}, b'{"usage":{"prompt_tokens":3,"completion_tokens":2}}', Usage(3, 2)),
        ("plain", {}, b'{"usage":{"prompt_tokens":3}}', Usage(3)),
        ("plain", {}, b'{"data":[]}', Usage()),
        ("messages", {}, b'{"type":"message","usage":{"input_tokens":3,"cache_read_input_tokens":1}}', Usage(4, 0, 1)),
        ("responses", {}, b'{"object":"response","usage":{"input_tokens":3,"output_tokens":2}}', Usage(3, 2)),
        ("google", {}, b'[{"usageMetadata":{"promptTokenCount":1}},{"usageMetadata":{"promptTokenCount":3}},{}]', Usage(3)),
        ("frames", {"x-amzn-bedrock-input-token-count": "3", "x-amzn-bedrock-output-token-count": "2"}, b'{"a":1}', Usage(3, 2)),
        ("chat", {}, b"{", None),
        ("chat", {}, b'{"usage":{"prompt_tokens":[]}}', Usage()),
        ("messages", {}, b'{"type":"message","usage":{"input_tokens":"x"}}', None),
        ("google", {}, b"[1,2]", None),
        ("chat", {}, b" " * 2_000_000, None),
    ],
)
def test_usage_is_read_on_the_side(dialect: str, headers: Mapping[str, str], body: bytes, usage: Usage | None) -> None:
    reader = reader_of(dialect, {"content-type": "application/json", **headers})
    relayed = [reader.feed(body[start : start + 100_000]) for start in range(0, len(body), 100_000)]
    assert b"".join(now + last for now, last in relayed) + reader.rest() == body
    assert (reader.usage, reader.done) == (usage, True)


@pytest.mark.parametrize("dialect", ["chat", "messages", "responses", "google", "frames", "plain", ""])
@pytest.mark.parametrize("content_type", ["text/event-stream", "application/vnd.amazon.eventstream", "application/json"])
@given(chunks=st.lists(st.binary(max_size=40) | st.sampled_from([b"data: {\n\n", b'data: {"error":1}\n\n', b"data: [1]\n\n"])))
def test_nothing_that_a_provider_sends_disturbs_the_relay(dialect: str, content_type: str, chunks: list[bytes]) -> None:
    reader = reader_of(dialect, {"content-type": content_type})
    assert isinstance(reader, Watched)
    relayed = [now + last for now, last in map(reader.feed, chunks)]
    assert b"".join(relayed) + reader.rest() == b"".join(chunks)
    assert (reader.done, reader.usage is None or isinstance(reader.usage, Usage)) == (True, True)


def readdressed(answer: bytes) -> bytes:
    reader = Readdressed(PROVIDERS["fal"], "https://keys.acme.example")
    return b"".join(now + last for now, last in (reader.feed(answer[:7]), reader.feed(answer[7:]))) + reader.rest()


def test_only_the_providers_own_addresses_lead_back_here() -> None:
    queue, elsewhere = "https://queue.fal.run/a/b/requests/1", "https://queue.fal.run.evil.example/x"
    answer = {"status_url": f"{queue}/status", "response_url": elsewhere, "cancel_url": None, "logs": [queue], "n": 1.50}
    found = json.loads(readdressed(json.dumps(answer).encode()))
    assert found == {**answer, "status_url": "https://keys.acme.example/native/fal:queue/a/b/requests/1/status"}


@pytest.mark.parametrize("answer", [b"[1,2]", b"{", b"", b'{"seed": 42}', b'{"x":"' + b"y" * 2_000_000 + b'"}'])
def test_other_answers_stay_as_they_are(answer: bytes) -> None:
    assert readdressed(answer) == answer


def test_a_providers_words_are_scrubbed_everywhere() -> None:
    told = {"error": {"message": "Your key was very-secret", "sk-proj-abcdefgh": ["Bearer x", 7, None]}}
    assert scrubbed(told, ["very-secret"]) == {
        "error": {"message": "Your key was [removed]", "[removed]": ["[removed]", 7, None]}
    }


def test_errors_are_told_in_the_shape_that_the_client_knows(gateway: RunningGateway) -> None:
    shapes: dict[str, Any] = {name: told(get(gateway, f"/native/{name}/x")) for name in ("anthropic", "bedrock", "fal", "pollo")}
    assert shapes["anthropic"]["error"]["type"] == "not_found_error"
    assert (shapes["bedrock"]["code"], shapes["fal"]["error_type"]) == ("no_provider_key", "no_provider_key")
    assert shapes["pollo"]["code"] == "NO_PROVIDER_KEY"
    assert told(get(gateway, "/native/vertex/x"))["error"]["status"] == "NOT_FOUND"
    assert told(get(gateway, "/native/groq/x"))["error"]["code"] == "no_provider_key"


def told(reply: Reply) -> Any:
    assert (reply.status, reply.headers["x-keyhold-attempts"]) == (404, "0")
    return json.loads(reply.body)
