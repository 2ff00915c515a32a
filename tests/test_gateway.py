"""Requests through the gateway: what arrives at the provider, what comes back, and what is written down."""

import gzip
import json
from http.client import HTTPConnection
from typing import Any

import pytest

from keys import actions
from keys.models import ProviderKey
from keys.providers import Credential
from orgs.models import Organization
from tests.fake import FakeProvider
from tests.gateway_calls import CHAT, GREETING, STREAMED, call, get, line, read_until
from tests.gateway_server import BY, RunningGateway, StartGateway

pytestmark = pytest.mark.large

pytest_plugins = ["tests.gateway_fixtures"]


def last_arrival(gateway: RunningGateway) -> Any:
    return gateway.fake.requests[-1]


# What goes through


def test_an_answer_comes_back_byte_for_byte(gateway: RunningGateway) -> None:
    gateway.add("openai", name="main")
    reply = call(gateway)
    arrived = last_arrival(gateway)
    assert (reply.status, reply.body) == (200, arrived.sent)
    assert arrived.json() == {**GREETING, "model": "gpt-4o"}
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["content-length"] == str(len(reply.body))


def test_a_stream_comes_back_byte_for_byte_without_the_usage_that_we_asked_for(gateway: RunningGateway) -> None:
    gateway.add("openai")
    reply = call(gateway, STREAMED)
    arrived = last_arrival(gateway)
    assert arrived.json()["stream_options"] == {"include_usage": True}
    events = arrived.sent.split(b"\n\n")
    usage = [event for event in events if b'"choices":[]' in event]
    assert len(usage) == 1
    assert reply.body == arrived.sent.replace(usage[0] + b"\n\n", b"")
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"


def test_usage_that_the_client_asked_for_stays(gateway: RunningGateway) -> None:
    gateway.add("openai")
    reply = call(gateway, {**STREAMED, "stream_options": {"include_usage": True}})
    assert reply.body == last_arrival(gateway).sent
    assert b'"choices":[]' in reply.body


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "openai/gpt-4o"),
        ("groq", "openai/gpt-oss-120b"),
        ("xai", "x-ai/grok-3-mini"),
        ("deepinfra", "meta-llama/llama-3.3-70b-instruct"),
        ("baseten", "moonshotai/kimi-k3"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_every_provider_of_the_wire_is_reached(gateway: RunningGateway, provider: str, model: str, stream: bool) -> None:
    gateway.add(provider, models=tuple(gateway_models(provider)))
    reply = call(gateway, {**GREETING, "model": model, "stream": stream})
    assert reply.status == 200, reply.body
    assert last_arrival(gateway).provider == provider
    (ended,) = gateway.attempts()
    assert (ended.closed.outcome, ended.closed.estimated, ended.opened.model) == ("ok", False, model)
    assert ended.closed.input_tokens > 0


def gateway_models(provider: str) -> list[str]:
    """The ids that the fake provider lists."""
    from_fake = {
        "openai": ["gpt-4o"],
        "groq": ["openai/gpt-oss-120b"],
        "xai": ["grok-3-mini"],
        "deepinfra": ["meta-llama/Llama-3.3-70B-Instruct"],
        "baseten": ["moonshotai/Kimi-K3"],
    }
    return from_fake[provider]


def test_an_azure_deployment_is_called_by_its_own_name(gateway: RunningGateway) -> None:
    deployment = {"model_slug": "openai/gpt-4o", "endpoint_url": gateway.fake.azure_url, "model_id": "gpt-4o-mini"}
    credential = Credential({"api_keys": [gateway.fake.key("azure")]}, {"deployments": [deployment]}, "…0001")
    gateway.keep("azure", credential, "eu")
    reply = call(gateway, STREAMED)
    assert reply.status == 200, reply.body
    assert b"prompt_filter_results" in reply.body
    assert last_arrival(gateway).json()["model"] == "gpt-4o-mini"


def test_grok_is_booked_with_its_reasoning_and_its_own_cost(gateway: RunningGateway) -> None:
    gateway.add("xai", models=("grok-3-mini",))
    call(gateway, {**STREAMED, "model": "x-ai/grok-3-mini"})
    (ended,) = gateway.attempts()
    assert (ended.closed.input_tokens, ended.closed.output_tokens, ended.closed.reasoning_tokens) == (12, 291, 290)
    assert (ended.closed.cached_input_tokens, ended.closed.reported_cost_microusd) == (11, 147)


def test_the_attempt_is_written_down_in_full(gateway: RunningGateway) -> None:
    key = gateway.add("openai", name="main")
    reply = call(gateway, {**GREETING, "max_tokens": 77})
    (ended,) = gateway.attempts()
    opened, closed = ended.opened, ended.closed
    assert (opened.request_id, opened.number, opened.stream) == (reply.headers["x-request-id"], 1, False)
    assert (opened.organization_id, opened.client_key_id) == (str(gateway.organization.pk), str(gateway.client_key.pk))
    assert (opened.provider_key_id, opened.provider, opened.tier) == (str(key.pk), "openai", "prioritized")
    assert (opened.model, opened.native_model, opened.output_estimate) == ("openai/gpt-4o", "gpt-4o", 77)
    assert opened.input_estimate > 10
    usage = json.loads(reply.body)["usage"]
    assert (closed.outcome, closed.status, closed.error_class, closed.estimated) == ("ok", 200, "", False)
    assert (closed.input_tokens, closed.output_tokens) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert closed.first_byte_ms is not None
    assert closed.latency_ms is not None
    assert closed.latency_ms >= closed.first_byte_ms


# Headers


def test_the_answer_says_which_key_served(gateway: RunningGateway) -> None:
    gateway.add("openai", "refused", name="Produktion €")
    gateway.add("openai", name="Ersatz ü")
    reply = call(gateway)
    assert reply.headers["x-keyhold-key"] == "Ersatz %C3%BC"
    assert reply.headers["x-keyhold-attempts"] == "2"
    assert reply.headers["x-keyhold-fallback"] == "byok"
    assert len(reply.headers["x-request-id"]) == 36


def test_only_named_headers_cross_the_gateway(gateway: RunningGateway) -> None:
    gateway.add("openai")
    client = {
        "cookie": "session=canary",
        "x-forwarded-for": "10.0.0.1",
        "openai-organization": "org-x",
        "x-stainless-os": "Linux",
    }
    reply = call(gateway, headers={**client, "idempotency-key": "once", "user-agent": "program"})
    arrived = {name.lower() for name in last_arrival(gateway).headers}
    assert arrived == {
        "host", "authorization", "content-type", "content-length", "accept", "accept-encoding", "user-agent", "idempotency-key",
    }  # fmt: skip
    assert last_arrival(gateway).headers["user-agent"] == "Keyhold"
    assert set(reply.headers) == {
        "date", "server", "content-type", "content-length", "x-content-type-options", "x-request-id", "x-provider-request-id",
        "x-keyhold-key", "x-keyhold-attempts", "x-keyhold-fallback", "x-keyhold-walk", "x-ratelimit-remaining-requests",
    }  # fmt: skip
    assert reply.headers["server"] == "uvicorn"
    assert reply.headers["x-provider-request-id"] == "req_fake"


# Falling through


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("behavior", "error_class", "status"),
    [
        ("refused", "refused", 401),
        ("payment", "out_of_money", 402),
        ("forbidden", "no_permission", 403),
        ("limited", "limited", 429),
        ("exhausted", "out_of_money", 429),
        ("broken", "trouble", 500),
        ("redirects", "trouble", 302),
        ("html", "trouble", 200),
    ],
)
def test_a_failing_key_is_passed_over(
    gateway: RunningGateway, behavior: str, error_class: str, status: int, stream: bool
) -> None:
    gateway.add("openai", behavior)
    gateway.add("openai", "valid")
    reply = call(gateway, {**GREETING, "stream": stream})
    assert reply.status == 200
    assert reply.headers["x-keyhold-fallback"] == "byok"
    assert gateway.outcomes() == [("absorbed", error_class, status), ("ok", "", 200)]


@pytest.mark.parametrize("stream", [False, True])
def test_a_stalling_key_is_passed_over(start_gateway: StartGateway, stream: bool) -> None:
    gateway = start_gateway(first_byte_seconds=0.5)
    gateway.add("openai", "stalls")
    gateway.add("openai", "valid")
    reply = call(gateway, {**GREETING, "stream": stream})
    assert reply.status == 200
    assert gateway.outcomes() == [("absorbed", "trouble", None), ("ok", "", 200)]


def test_an_answer_that_breaks_off_is_passed_over_while_nothing_was_sent(gateway: RunningGateway) -> None:
    gateway.add("openai", "cuts")
    gateway.add("openai", "valid")
    assert call(gateway).status == 200
    assert gateway.outcomes() == [("absorbed", "trouble", 200), ("ok", "", 200)]


def test_at_most_three_keys_are_tried(gateway: RunningGateway) -> None:
    for number in range(4):
        gateway.add("openai", "broken", name=f"key {number}")
    reply = call(gateway)
    assert (reply.status, reply.headers["x-keyhold-attempts"], reply.headers["x-keyhold-key"]) == (502, "3", "key 2")
    assert gateway.outcomes() == [("error", "trouble", 500)] * 3
    assert [ended.opened.number for ended in gateway.attempts()] == [1, 2, 3]


def test_a_fault_of_the_request_burns_no_other_key(gateway: RunningGateway) -> None:
    gateway.add("openai", "valid", name="one")
    gateway.add("openai", "valid", name="two")
    reply = call(gateway, {**GREETING, "messages": []})
    assert reply.status == 400
    assert reply.error == {
        "message": "Missing required parameter: 'messages'.",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_request_error",
    }
    assert gateway.outcomes() == [("error", "client", 400)]
    assert reply.headers["x-keyhold-key"] == "one"


# What programs are told


@pytest.mark.parametrize(
    ("behavior", "status", "code", "words"),
    [
        ("refused", 502, "provider_key_refused", "OpenAI key “main” was refused by the provider (status 401)."),
        ("exhausted", 402, "provider_key_out_of_money", "has no credit left with the provider (status 429)."),
        ("forbidden", 502, "provider_key_no_permission", "has no permission for this (status 403)."),
        ("limited", 429, "provider_key_limited", "is at its rate limit (status 429)."),
        ("broken", 502, "provider_trouble", "met trouble at the provider (status 500)."),
        ("cuts", 502, "provider_trouble", "broke off in the middle of its answer."),
    ],
)
def test_a_failure_is_told_in_our_words(gateway: RunningGateway, behavior: str, status: int, code: str, words: str) -> None:
    gateway.add("openai", behavior, name="main")
    reply = call(gateway)
    assert (reply.status, reply.error["code"], reply.error["type"]) == (status, code, "provider_error")
    assert words in reply.error["message"]
    assert reply.headers["x-keyhold-attempts"] == "1"
    assert len(reply.headers["x-request-id"]) == 36


def test_a_limit_says_when_to_come_back_and_a_refusal_that_it_is_no_use(gateway: RunningGateway) -> None:
    limited = gateway.add("openai", "limited")
    assert call(gateway).headers["retry-after"] == "7"
    actions.remove_key(key=limited, by=BY)
    gateway.add("openai", "refused")
    refused = call(gateway).headers
    assert refused["x-should-retry"] == "false"
    assert "retry-after" not in refused


def test_every_key_that_was_tried_is_named(gateway: RunningGateway) -> None:
    gateway.add("openai", "refused", name="first")
    gateway.add("openai", "broken", name="second")
    message = call(gateway).error["message"]
    assert message.startswith("OpenAI key “first” was refused by the provider (status 401). OpenAI key “second” met trouble")


@pytest.mark.parametrize("stream", [False, True])
def test_an_error_that_repeats_the_key_shows_it_to_nobody(gateway: RunningGateway, stream: bool) -> None:
    gateway.add("openai", "echoes")
    reply = call(gateway, {**GREETING, "stream": stream})
    key = gateway.fake.key("openai", "echoes").encode()
    assert key not in reply.body + repr(reply.headers).encode()
    assert key[:12] not in reply.body


def test_a_stalling_provider_is_a_timeout(start_gateway: StartGateway) -> None:
    gateway = start_gateway(first_byte_seconds=0.5)
    gateway.add("openai", "stalls", name="main")
    reply = call(gateway)
    assert (reply.status, reply.error["code"]) == (504, "provider_timeout")
    assert "OpenAI key “main” did not answer within 0.5 seconds." in reply.error["message"]


# Streams that end badly


def test_after_the_first_byte_there_is_no_other_key(gateway: RunningGateway) -> None:
    gateway.add("openai", "cuts")
    gateway.add("openai", "valid")
    reply = call(gateway, STREAMED)
    assert reply.status == 200
    events = reply.body.rstrip().split(b"\n\n")
    assert json.loads(events[-1].removeprefix(b"data: "))["error"]["code"] == "stream_broken"
    assert reply.body.startswith(last_arrival(gateway).sent.rstrip())
    assert len(gateway.fake.requests) == 1
    (ended,) = gateway.attempts()
    assert (ended.closed.outcome, ended.closed.error_class, ended.closed.estimated) == ("error", "trouble", True)
    assert ended.closed.output_tokens > 0


def test_an_error_in_the_middle_of_a_stream_reaches_the_client(gateway: RunningGateway) -> None:
    gateway.add("openai", "errs")
    gateway.add("openai", "valid")
    reply = call(gateway, STREAMED)
    assert reply.body == last_arrival(gateway).sent
    assert gateway.outcomes() == [("error", "trouble", 200)]


def test_a_client_that_leaves_ends_the_providers_work(gateway: RunningGateway) -> None:
    gateway.add("openai", "slow")
    with line(gateway, STREAMED) as client:
        assert b"data: " in read_until(client, b"data: ")
    assert gateway.fake.wait_for(lambda: gateway.fake.disconnects == 1)
    (ended,) = gateway.attempts()
    assert (ended.closed.outcome, ended.closed.estimated, ended.closed.output_tokens) == ("cancelled", True, 1)


def test_a_client_that_leaves_before_the_answer_is_noticed_too(gateway: RunningGateway) -> None:
    gateway.add("openai", "stalls")
    with line(gateway, GREETING):
        assert gateway.fake.wait_for(lambda: len(gateway.fake.requests) == 1 and gateway.fake.requests[0].behavior == "stalls")
    assert gateway.fake.wait_for(lambda: gateway.fake.disconnects == 1)
    assert gateway.outcomes() == [("cancelled", "", None)]
    assert gateway.attempts()[0].closed.input_tokens > 0


# What is refused


def test_authentication_comes_before_the_body(gateway: RunningGateway) -> None:
    reply = call(gateway, b"x" * 3_000_000, headers={"authorization": "Bearer nonsense"})
    assert (reply.status, reply.error["code"]) == (401, "invalid_api_key")
    assert reply.headers["www-authenticate"] == "Bearer"


def test_a_body_beyond_the_cap_is_refused(gateway: RunningGateway) -> None:
    reply = call(gateway, b"x" * 1_000_001)
    assert (reply.status, reply.error["code"]) == (413, "request_too_large")
    assert "1 MB" in reply.error["message"]


def test_bytes_are_counted_and_not_announcements(gateway: RunningGateway) -> None:
    connection = HTTPConnection(gateway.url.removeprefix("http://"), timeout=20)
    parts = (b"x" * 100_000 for _ in range(11))
    headers = {"authorization": f"Bearer {gateway.secret}"}
    connection.request("POST", CHAT, parts, headers, encode_chunked=True)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.status == 413


def test_a_compressed_body_is_refused(gateway: RunningGateway) -> None:
    reply = call(gateway, gzip.compress(b"{}"), headers={"content-encoding": "gzip"})
    assert (reply.status, reply.error["code"]) == (415, "unsupported_encoding")


def test_a_field_of_the_wrong_kind_is_named(gateway: RunningGateway) -> None:
    reply = call(gateway, {**GREETING, "stream": "yes"})
    assert (reply.status, reply.error["param"]) == (400, "stream")
    assert gateway.attempts() == []


def test_a_model_that_nobody_serves_is_answered_with_near_names(gateway: RunningGateway) -> None:
    gateway.add("openai", name="main", models=("gpt-4o", "gpt-5.5"))
    gateway.add("groq", name="new", tested=False)
    reply = call(gateway, {**GREETING, "model": "openai/gpt-4oo"})
    assert (reply.status, reply.error["code"], reply.error["param"]) == (404, "model_not_found", "model")
    message = reply.error["message"]
    assert "Did you mean openai/gpt-4o" in message
    assert "OpenAI key “main” does not serve this model." in message
    assert "Groq key “new” waits for a test." in message
    assert reply.headers["x-keyhold-attempts"] == "0"


def test_a_model_that_only_the_provider_does_not_know_is_not_found_either(gateway: RunningGateway) -> None:
    gateway.add("openai", name="main")
    reply = call(gateway, {**GREETING, "model": "openai/gpt-9"})
    assert (reply.status, reply.error["code"]) == (404, "model_not_found")
    assert "OpenAI key “main” does not know this model (status 404)." in reply.error["message"]
    assert gateway.outcomes() == [("error", "misconfigured", 404)]


def test_an_organization_without_provider_keys_is_told_what_to_do(gateway: RunningGateway) -> None:
    reply = call(gateway)
    assert (reply.status, reply.error["code"]) == (404, "no_provider_key")
    assert "An owner adds one" in reply.error["message"]


def test_a_credential_that_does_not_open_is_passed_over(gateway: RunningGateway, acme: Organization) -> None:
    damaged = gateway.add("openai", name="damaged")
    gateway.add("openai", name="good")
    ProviderKey.objects.filter(pk=damaged.pk).update(sealed=b"damaged")
    Organization.objects.filter(pk=acme.pk).bump_routing()
    gateway.directory.refresh()
    assert call(gateway).headers["x-keyhold-key"] == "good"
    assert gateway.outcomes() == [("absorbed", "misconfigured", None), ("ok", "", 200)]


def test_a_revoked_client_key_and_a_removed_provider_key_stop(gateway: RunningGateway) -> None:
    key = gateway.add("openai")
    assert call(gateway).status == 200
    actions.remove_key(key=key, by=BY)
    gateway.directory.refresh()
    assert call(gateway).status == 404
    actions.revoke_client_key(key=gateway.client_key, by=BY)
    gateway.directory.refresh()
    assert call(gateway).status == 401


def test_another_organizations_keys_are_never_used(
    gateway: RunningGateway, globex: Organization, fake_provider: FakeProvider
) -> None:
    credential = Credential({"api_key": fake_provider.key("openai")}, {}, "sk-…0001")
    actions.add_key(
        organization=globex, provider="openai", name="theirs", credential=credential, test=None, needs_test=False, by=BY
    )
    gateway.directory.refresh()
    assert call(gateway).error["code"] == "no_provider_key"
    assert not fake_provider.requests


# The other paths


def test_models_are_listed_as_this_key_reaches_them(gateway: RunningGateway) -> None:
    gateway.add("openai", models=("gpt-4o", "gpt-5.5"))
    gateway.add("groq", models=("openai/gpt-oss-120b",))
    gateway.add("deepinfra", models=("openai/gpt-oss-120b",))
    gateway.add("baseten", models=("moonshotai/Kimi-K3",), tested=False)
    listed = json.loads(get(gateway, "/v1/models").body)
    assert listed == {
        "object": "list",
        "data": [
            {"id": "openai/gpt-4o", "object": "model", "created": 0, "owned_by": "openai"},
            {"id": "openai/gpt-5.5", "object": "model", "created": 0, "owned_by": "openai"},
            {"id": "openai/gpt-oss-120b", "object": "model", "created": 0, "owned_by": "deepinfra, groq"},
        ],
    }
    assert json.loads(get(gateway, "/v1/models/openai/gpt-4o").body) == listed["data"][0]
    assert json.loads(get(gateway, "/v1/models/openai%2Fgpt-4o").body) == listed["data"][0]


def test_a_model_that_is_not_listed_is_not_found(gateway: RunningGateway) -> None:
    gateway.add("openai", models=("gpt-4o",))
    reply = get(gateway, "/v1/models/openai/gpt-4oo")
    assert (reply.status, reply.error["code"]) == (404, "model_not_found")
    assert "Did you mean openai/gpt-4o?" in reply.error["message"]


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/openai/gpt-4o"])
def test_models_are_for_those_who_may_call(gateway: RunningGateway, path: str) -> None:
    assert get(gateway, path, headers={"authorization": "Bearer nonsense"}).status == 401


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", CHAT, 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
        ("POST", "/v1/unknown", 404, "unknown_path"),
        ("POST", "/v1/chat/completions/", 404, "unknown_path"),
        ("GET", "/v1", 404, "unknown_path"),
    ],
)
def test_paths_and_methods_that_are_not_served_say_so(
    gateway: RunningGateway, method: str, path: str, status: int, code: str
) -> None:
    reply = call(gateway, None, path, method)
    assert (reply.status, reply.error["code"]) == (status, code)


def test_a_host_header_decides_nothing(gateway: RunningGateway) -> None:
    gateway.add("openai")
    for host in ("evil.example", "localhost/healthz?", "127.0.0.1:1"):
        assert call(gateway, headers={"host": host}).status == 200
        assert get(gateway, "/v1/models", headers={"host": host, "authorization": "Bearer no"}).status == 401


def test_health_needs_nothing_and_readiness_needs_keys_and_disk(gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    assert get(gateway, "/healthz").status == 200
    ready = get(gateway, "/readyz")
    assert (ready.status, json.loads(ready.body)["checks"]) == (200, {"keys": True, "journal": True})
    monkeypatch.setattr(gateway.directory, "_confirmed_at", -1e9)
    assert get(gateway, "/healthz").status == 200
    assert get(gateway, "/readyz").status == 503
    reply = call(gateway)
    assert (reply.status, reply.error["code"], reply.headers["retry-after"]) == (503, "not_ready", "5")


def test_without_a_journal_nothing_is_sent(gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway.add("openai")
    with open("/dev/full", "wb") as full:
        monkeypatch.setattr(gateway.journal, "_descriptor", full.fileno())
        reply = call(gateway)
        monkeypatch.undo()
    assert (reply.status, reply.error["code"]) == (503, "journal_unavailable")
    assert not gateway.fake.requests


def test_a_fault_of_ours_is_told_by_its_request_id_alone(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.add("openai")
    monkeypatch.setattr(gateway.journal, "open", lambda opened: {}["canary"])
    reply = call(gateway)
    assert (reply.status, reply.error["code"]) == (500, "internal_error")
    assert reply.headers["x-request-id"] in reply.error["message"]
    assert reply.headers["x-request-id"] in caplog.text
    assert "canary" not in caplog.text
