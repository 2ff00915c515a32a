"""The fake as AWS and Google Cloud: it recomputes signatures, reads grants, and speaks the dialects that live there."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import httpx2
import jwt
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.eventstream import EventStreamBuffer

from keys.providers import Credential
from tests.fake import FakeProvider, replay
from tests.fake.service_accounts import AUDIENCE, SCOPE
from tests.fake.vertex import GRANT

NOVA, CLAUDE = "us.amazon.nova-pro-v1%3A0", "us.anthropic.claude-sonnet-4-5-20250929-v1%3A0"
SAID = {"role": "user", "content": [{"text": "Hello"}]}
HELLO = {"messages": [SAID]}
CALLED = {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t1", "name": "f", "input": {}}}]}
TOOLS = {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}]}
MESSAGE = {"max_tokens": 99, "messages": [{"role": "user", "content": "Hello"}]}
ON_BEDROCK = {"anthropic_version": "bedrock-2023-05-31", **MESSAGE}
ON_VERTEX = {"anthropic_version": "vertex-2023-10-16", **MESSAGE}
GEMINI = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
WHERE = "/v1/projects/acme-project/locations/global/publishers"
IDENTITY = b"Action=GetCallerIdentity&Version=2011-06-15"
FORM = {"content-type": "application/x-www-form-urlencoded"}


def aws(
    fake: FakeProvider,
    path: str,
    body: Any = None,
    *,
    given: Credential | None = None,
    service: str = "",
    name: str = "bedrock",
    late: bool = False,
    **more: str,
) -> httpx2.Response:
    """A request as botocore signs it. late: what is sent is not what was signed."""
    given = given or fake.credential("bedrock")
    data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
    headers = {"content-type": "application/json", **more}
    url = fake.overrides()[f"bedrock:{service}" if service else "bedrock"] + path
    if "api_key" in given.secret:
        headers["authorization"] = f"Bearer {given.secret['api_key']}"
    else:
        request = AWSRequest("POST" if data else "GET", url, headers, data)
        secret = given.secret["secret_access_key"], given.secret.get("session_token")
        SigV4Auth(Credentials(given.public["access_key_id"], *secret), name, "us-east-1").add_auth(request)
        headers = dict(request.headers.items())
    return httpx2.request("POST" if data else "GET", url, content=data + b" " * late, headers=headers, trust_env=False)


def kind_of(answer: httpx2.Response) -> str:
    return answer.headers["x-amzn-errortype"].partition(":")[0]


def frames(answer: httpx2.Response) -> list[tuple[dict[str, str], Any]]:
    buffer = EventStreamBuffer()
    buffer.add_data(answer.content)
    return [(frame.headers, json.loads(frame.payload)) for frame in buffer]


# AWS


@pytest.mark.parametrize("kind", ["", "session", "api_key"])
def test_converse_answers_every_kind_of_key(fake_provider: FakeProvider, kind: str) -> None:
    answer = aws(fake_provider, f"/model/{NOVA}/converse", HELLO, given=fake_provider.credential("bedrock", kind=kind))
    assert answer.json()["output"]["message"]["content"][0]["text"]
    assert answer.json()["usage"]["outputTokens"] > 0


def test_converse_calls_a_tool_until_it_has_the_result(fake_provider: FakeProvider) -> None:
    path, tools = f"/model/{CLAUDE}/converse", {"toolConfig": TOOLS}
    result = {"role": "user", "content": [{"toolResult": {"toolUseId": "t1", "content": [{"text": "ok"}]}}]}
    assert aws(fake_provider, path, HELLO | tools).json()["stopReason"] == "tool_use"
    assert aws(fake_provider, path, {"messages": [SAID, CALLED, result], **tools}).json()["stopReason"] == "end_turn"


@pytest.mark.parametrize("tools", [{}, {"toolConfig": TOOLS}])
def test_a_stream_of_converse_comes_in_frames(fake_provider: FakeProvider, tools: dict[str, Any]) -> None:
    answer = aws(fake_provider, f"/model/{NOVA}/converse-stream", HELLO | tools)
    assert answer.headers["content-type"] == "application/vnd.amazon.eventstream"
    names = [headers[":event-type"] for headers, _ in frames(answer)]
    assert "messageStop" in names
    assert "contentBlockDelta" in names


def test_a_stream_of_converse_may_end_in_an_exception(fake_provider: FakeProvider) -> None:
    answer = aws(fake_provider, f"/model/{NOVA}/converse-stream", HELLO, given=fake_provider.credential("bedrock", "errs"))
    headers, payload = frames(answer)[-1]
    assert (headers[":message-type"], headers[":exception-type"]) == ("exception", "modelStreamErrorException")
    assert payload["message"]


@pytest.mark.parametrize("name", replay.names("bedrock", ""))
def test_a_test_may_choose_the_recording(fake_provider: FakeProvider, name: str) -> None:
    fake_provider.replay("bedrock", name)
    recorded = replay.load("bedrock", name)
    answer = aws(fake_provider, f"/model/{NOVA}/converse{'' if 'json' in recorded else '-stream'}", HELLO)
    assert answer.status_code == recorded["status"]
    if "json" in recorded:
        assert answer.json() == recorded["json"]
    elif "base64" in recorded:
        assert base64.b64decode(recorded["base64"]).startswith(answer.content)
    else:
        assert [{headers[":event-type"]: payload} for headers, payload in frames(answer)] == recorded["chunks"]


def test_claude_on_bedrock_speaks_its_own_words(fake_provider: FakeProvider) -> None:
    assert aws(fake_provider, f"/model/{CLAUDE}/invoke", ON_BEDROCK).json()["content"][0]["type"] == "text"
    events = frames(aws(fake_provider, f"/model/{CLAUDE}/invoke-with-response-stream", ON_BEDROCK))
    chunks = [json.loads(base64.b64decode(payload["bytes"])) for _, payload in events]
    assert [chunks[0]["type"], chunks[-1]["type"]] == ["message_start", "message_stop"]
    assert chunks[-1]["amazon-bedrock-invocationMetrics"]["inputTokenCount"] > 0


@pytest.mark.parametrize(
    "body", [MESSAGE, {**ON_BEDROCK, "model": "m"}, {**ON_BEDROCK, "stream": True}, {**ON_BEDROCK, "max_tokens": 0}]
)
def test_claude_on_bedrock_refuses_what_belongs_elsewhere(fake_provider: FakeProvider, body: dict[str, Any]) -> None:
    assert kind_of(aws(fake_provider, f"/model/{CLAUDE}/invoke", body)) == "ValidationException"


@pytest.mark.parametrize("operation", ["responses", "chat/completions"])
@pytest.mark.parametrize("stream", [True, False])
def test_openais_models_on_bedrock_speak_openais_dialect(fake_provider: FakeProvider, operation: str, stream: bool) -> None:
    body = {"model": "openai.gpt-oss-120b-1:0", "input": "Hello", "messages": [{"role": "user", "content": "Hello"}]}
    answer = aws(fake_provider, f"/openai/v1/{operation}", {**body, "stream": stream})
    assert (answer.status_code, "text/event-stream" in answer.headers["content-type"]) == (200, stream)
    other = aws(fake_provider, f"/openai/v1/{operation}", {**body, "model": "amazon.nova-pro-v1:0"})
    assert "isn't supported on this route" in other.json()["message"]


def test_bedrock_lists_models_and_profiles(fake_provider: FakeProvider) -> None:
    models = aws(fake_provider, "/foundation-models", service="control").json()["modelSummaries"]
    profiles = aws(fake_provider, "/inference-profiles", service="control").json()["inferenceProfileSummaries"]
    assert {model["modelId"] for model in models} >= {"amazon.nova-pro-v1:0", "anthropic.claude-sonnet-4-6"}
    assert "us.anthropic.claude-sonnet-4-6" in {profile["inferenceProfileId"] for profile in profiles}


@pytest.mark.parametrize(
    ("model", "status", "kind"),
    [
        ("anthropic.claude-sonnet-4-6", 400, "ValidationException"),
        ("gpt-4o", 400, "ValidationException"),
        ("anthropic.claude-v2%3A1", 404, "ResourceNotFoundException"),
    ],
)
def test_a_model_may_be_wrong_in_three_ways(fake_provider: FakeProvider, model: str, status: int, kind: str) -> None:
    answer = aws(fake_provider, f"/model/{model}/converse", HELLO)
    assert (answer.status_code, kind_of(answer)) == (status, kind)


@pytest.mark.parametrize(
    "body",
    [
        {"messages": []},
        {"messages": [CALLED]},
        {"messages": [SAID, SAID]},
        {"messages": [{"role": "user", "content": [{"text": " "}]}]},
        {"messages": [{"role": "user", "content": [{"text": "a", "image": {}}]}]},
        {"messages": [SAID, CALLED, SAID], "toolConfig": TOOLS},
        {"messages": [SAID, CALLED]},
        {**HELLO, "max_tokens": 3},
        {**HELLO, "inferenceConfig": {"maxTokens": "3"}},
    ],
)
def test_converse_refuses_what_the_real_one_refuses(fake_provider: FakeProvider, body: dict[str, Any]) -> None:
    assert kind_of(aws(fake_provider, f"/model/{NOVA}/converse", body)) == "ValidationException"


@pytest.mark.parametrize(
    ("behavior", "status", "kind"),
    [
        ("refused", 403, "UnrecognizedClientException"),
        ("incorrect", 403, "InvalidSignatureException"),
        ("expired", 403, "ExpiredTokenException"),
        ("forbidden", 403, "AccessDeniedException"),
        ("payment", 403, "AccessDeniedException"),
        ("limited", 429, "ThrottlingException"),
        ("broken", 500, "InternalServerException"),
        ("overloaded", 503, "ServiceUnavailableException"),
        ("fails", 424, "ModelErrorException"),
    ],
)
def test_an_access_key_says_what_is_done_to_it(fake_provider: FakeProvider, behavior: str, status: int, kind: str) -> None:
    answer = aws(fake_provider, f"/model/{NOVA}/converse", HELLO, given=fake_provider.credential("bedrock", behavior))
    assert (answer.status_code, kind_of(answer)) == (status, kind)


def test_a_key_for_inference_only_may_not_list(fake_provider: FakeProvider) -> None:
    given = fake_provider.credential("bedrock", "unlisted")
    assert aws(fake_provider, "/foundation-models", service="control", given=given).status_code == 403
    assert aws(fake_provider, f"/model/{NOVA}/converse", HELLO, given=given).status_code == 200


@pytest.mark.parametrize(
    ("key", "words"), [("sk-other", "Must start with pre-defined prefix"), ("ABSKunknown", "make sure your API Key is valid")]
)
def test_a_wrong_bedrock_api_key_is_refused_in_bedrocks_words(fake_provider: FakeProvider, key: str, words: str) -> None:
    answer = aws(fake_provider, f"/model/{NOVA}/converse", HELLO, given=Credential({"api_key": key}, {}, ""))
    assert (answer.status_code, words in answer.json()["message"]) == (403, True)


def test_a_signature_of_something_else_is_refused(fake_provider: FakeProvider) -> None:
    path = f"/model/{NOVA}/converse"
    assert kind_of(aws(fake_provider, path, HELLO, late=True)) == "InvalidSignatureException"
    assert kind_of(aws(fake_provider, path, HELLO, name="sts")) == "InvalidSignatureException"
    assert (
        kind_of(httpx2.post(fake_provider.overrides()["bedrock"] + path, json=HELLO, trust_env=False))
        == "IncompleteSignatureException"
    )


def test_an_old_signature_is_refused(fake_provider: FakeProvider) -> None:
    fake_provider.set_clock(lambda: time.time() + 3600)
    answer = aws(fake_provider, f"/model/{NOVA}/converse", HELLO)
    assert (kind_of(answer), "Signature expired" in answer.json()["message"]) == ("InvalidSignatureException", True)


def test_sts_says_who_one_is(fake_provider: FakeProvider) -> None:
    def ask(behavior: str = "valid", **more: str) -> httpx2.Response:
        given = fake_provider.credential("bedrock", behavior)
        return aws(fake_provider, "/", IDENTITY, given=given, service="sts", name="sts", **FORM, **more)

    assert "<Account>123456789012</Account>" in ask().text
    assert ask(accept="application/json").json()["GetCallerIdentityResponse"]["GetCallerIdentityResult"]["UserId"]
    assert ask("forbidden").status_code == 200
    for behavior, code in (
        ("refused", "InvalidClientTokenId"),
        ("incorrect", "SignatureDoesNotMatch"),
        ("expired", "ExpiredToken"),
    ):
        assert (ask(behavior).status_code, f"<Code>{code}</Code>" in ask(behavior).text) == (403, True)


# Google Cloud


def grant(fake: FakeProvider, behavior: str = "valid", **claims: Any) -> httpx2.Response:
    """What Google answers to a service account's grant, in which `claims` are different."""
    account = json.loads(fake.key("vertex", behavior))
    now = int(time.time())
    said = {"iss": account["client_email"], "scope": SCOPE, "aud": AUDIENCE, "iat": now, "exp": now + 3600, **claims}
    key_id = said.pop("kid", account["private_key_id"])
    form = {"grant_type": said.pop("grant_type", GRANT)}
    form["assertion"] = jwt.encode(said, account["private_key"], "RS256", {"kid": key_id})
    return httpx2.post(fake.overrides()["vertex:token"] + "/token", data=form, trust_env=False)


def vertex(fake: FakeProvider, path: str, body: Any = None, *, token: str = "", behavior: str = "valid") -> httpx2.Response:
    headers = {"authorization": f"Bearer {token or grant(fake, behavior).json()['access_token']}"}
    return httpx2.request(
        "POST" if body else "GET", fake.overrides()["vertex"] + path, json=body, headers=headers, trust_env=False
    )


def in_seconds(seconds: int) -> Callable[[], int]:
    """Counted from when the test runs, not from when it was collected."""
    return lambda: int(time.time()) + seconds


def test_a_grant_gives_a_token_for_an_hour(fake_provider: FakeProvider) -> None:
    answer = grant(fake_provider).json()
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 3599)


@pytest.mark.parametrize(
    ("claims", "error"),
    [
        ({"aud": "https://example.com/token"}, "invalid_grant"),
        ({"scope": "email"}, "invalid_scope"),
        ({"exp": in_seconds(7200)}, "invalid_grant"),
        ({"exp": in_seconds(-1)}, "invalid_grant"),
        ({"iat": in_seconds(600)}, "invalid_grant"),
        ({"iss": "nobody@acme-project.iam.gserviceaccount.com"}, "invalid_grant"),
        ({"kid": "0" * 40}, "invalid_grant"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
def test_a_grant_must_be_right_in_everything(fake_provider: FakeProvider, claims: dict[str, Any], error: str) -> None:
    answer = grant(fake_provider, **{name: said() if callable(said) else said for name, said in claims.items()})
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_a_deleted_account_gets_no_token(fake_provider: FakeProvider) -> None:
    assert grant(fake_provider, "refused").json()["error"] == "invalid_grant"


def test_a_token_ends(fake_provider: FakeProvider) -> None:
    token = grant(fake_provider).json()["access_token"]
    path = f"{WHERE}/google/models/gemini-2.5-pro:generateContent"
    assert vertex(fake_provider, path, GEMINI, token=token).json()["candidates"]
    fake_provider.set_clock(lambda: time.time() + 3600)
    ended = vertex(fake_provider, path, GEMINI, token=token)
    assert (ended.status_code, ended.json()["error"]["details"][0]["reason"]) == (401, "ACCESS_TOKEN_EXPIRED")
    assert vertex(fake_provider, path, GEMINI, token="ya29.unknown").status_code == 401


def test_gemini_on_vertex_counts_and_streams(fake_provider: FakeProvider) -> None:
    model = f"{WHERE}/google/models/gemini-2.5-pro"
    assert vertex(fake_provider, f"{model}:countTokens", GEMINI).json()["totalTokens"] > 0
    assert "usageMetadata" in vertex(fake_provider, f"{model}:streamGenerateContent?alt=sse", GEMINI).text


def test_claude_on_vertex_speaks_its_own_words(fake_provider: FakeProvider) -> None:
    model = f"{WHERE}/anthropic/models/claude-opus-5-5"
    assert vertex(fake_provider, f"{model}:rawPredict", ON_VERTEX).json()["type"] == "message"
    assert "message_stop" in vertex(fake_provider, f"{model}:streamRawPredict", {**ON_VERTEX, "stream": True}).text


@pytest.mark.parametrize("body", [MESSAGE, ON_BEDROCK, {**ON_VERTEX, "model": "m"}, {**ON_VERTEX, "stream": True}])
def test_claude_on_vertex_refuses_what_belongs_elsewhere(fake_provider: FakeProvider, body: dict[str, Any]) -> None:
    assert vertex(fake_provider, f"{WHERE}/anthropic/models/claude-opus-5-5:rawPredict", body).status_code == 400


@pytest.mark.parametrize(
    ("behavior", "status", "reason"),
    [
        ("forbidden", 403, "IAM_PERMISSION_DENIED"),
        ("payment", 403, "BILLING_DISABLED"),
        ("broken", 500, None),
        ("limited", 429, None),
    ],
)
def test_an_account_says_what_is_done_to_it(fake_provider: FakeProvider, behavior: str, status: int, reason: str | None) -> None:
    answer = vertex(fake_provider, "/v1beta1/publishers/google/models", behavior=behavior)
    assert answer.status_code == status
    assert answer.json()["error"].get("details", [{}])[0].get("reason") == reason


def test_vertex_lists_models_and_guards_its_projects(fake_provider: FakeProvider) -> None:
    listed = vertex(fake_provider, "/v1beta1/publishers/google/models").json()["publisherModels"]
    assert "publishers/google/models/gemini-2.5-pro" in [row["name"] for row in listed]
    foreign = f"{WHERE.replace('acme', 'globex')}/google/models/gemini-2.5-pro:generateContent"
    assert vertex(fake_provider, foreign, GEMINI).status_code == 403
