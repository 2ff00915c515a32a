"""Anthropic's own SDK against /v1/messages: to Anthropic, and to Claude on Bedrock and on Vertex."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic

from tests.fake import FakeProvider, Received
from tests.gateway_calls import call
from tests.gateway_server import RunningGateway, StartGateway
from tests.odd_provider import Odd

pytest_plugins = ["tests.gateway_fixtures"]
pytestmark = pytest.mark.large

MODEL = "anthropic/claude-sonnet-4.5"
HELLO: Any = [{"role": "user", "content": "Hello"}]
ASKED: dict[str, Any] = {"model": MODEL, "max_tokens": 100, "messages": HELLO}
WEATHER: Any = {
    "tools": [{"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}],
    "tool_choice": {"type": "tool", "name": "weather"},
}
HOSTS = ["anthropic", "bedrock", "vertex"]
PATHS = {
    ("anthropic", False): "/anthropic/v1/messages",
    ("anthropic", True): "/anthropic/v1/messages",
    ("bedrock", False): "/bedrock/model/us.anthropic.claude-sonnet-4-5-20250929-v1:0/invoke",
    ("bedrock", True): "/bedrock/model/us.anthropic.claude-sonnet-4-5-20250929-v1:0/invoke-with-response-stream",
    ("vertex", False): ":rawPredict",
    ("vertex", True): ":streamRawPredict",
}


@pytest.fixture
def claude(gateway: RunningGateway) -> Iterator[Anthropic]:
    with Anthropic(base_url=gateway.url, api_key=gateway.secret, max_retries=0) as client:
        yield client


def add(gateway: RunningGateway, provider: str, behavior: str = "valid") -> None:
    models = gateway.fake.models(provider) if provider != "vertex" else ()
    gateway.keep(provider, gateway.fake.credential(provider, behavior), f"{provider} {behavior}", models)


def told(message: Any) -> str:
    """The text of a message, whose content the SDK types as any of a dozen blocks."""
    return str(message.content[0].text)


def arrived(gateway: RunningGateway) -> Received:
    return gateway.fake.requests[-1]


# What goes through


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("provider", HOSTS)
def test_a_request_reaches_claude_wherever_it_is_hosted(
    gateway: RunningGateway, claude: Anthropic, provider: str, stream: bool
) -> None:
    add(gateway, provider)
    answer: Any = claude.messages.create(**ASKED, stream=stream, extra_headers={"anthropic-beta": "files-api-2025-04-14"})
    assert len(list(answer)) > 3 if stream else told(answer)
    received = arrived(gateway)
    assert received.path.endswith(PATHS[provider, stream])
    assert received.headers["accept"] == "application/json" if not stream else "event" in received.headers["accept"]
    body = received.json()
    assert (body["messages"], body["max_tokens"]) == (HELLO, 100)
    assert body.get("model") == ("claude-sonnet-4-5" if provider == "anthropic" else None)
    if provider == "anthropic":
        assert received.headers["anthropic-version"] == "2023-06-01"
        assert received.headers["anthropic-beta"] == "files-api-2025-04-14"
    (ended,) = gateway.attempts()
    assert (ended.closed.outcome, ended.opened.stream, ended.opened.output_estimate) == ("ok", stream, 100)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_of_anthropic_comes_back_byte_for_byte(gateway: RunningGateway, stream: bool) -> None:
    add(gateway, "anthropic")
    reply = call(gateway, {**ASKED, "stream": stream}, "/v1/messages")
    assert (reply.status, reply.body) == (200, arrived(gateway).sent)


def test_frames_of_bedrock_come_back_as_events(gateway: RunningGateway) -> None:
    add(gateway, "bedrock")
    reply = call(gateway, {**ASKED, "stream": True}, "/v1/messages")
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    names = [line.removeprefix(b"event: ") for line in reply.body.split(b"\n") if line.startswith(b"event: ")]
    kinds = [json.loads(line[6:])["type"].encode() for line in reply.body.split(b"\n") if line.startswith(b"data: ")]
    assert names == kinds
    assert (kinds[0], kinds[-1]) == (b"message_start", b"message_stop")


def test_a_tool_is_called_and_its_result_goes_back(gateway: RunningGateway, claude: Anthropic) -> None:
    add(gateway, "anthropic")
    message = claude.messages.create(**ASKED, **WEATHER)
    (used,) = message.content
    assert (message.stop_reason, used.type, used.input) == ("tool_use", "tool_use", {"city": "Paris"})
    with claude.messages.stream(**ASKED, **WEATHER) as stream:
        streamed = stream.get_final_message().to_dict()
    assert streamed["content"] == [used.to_dict()]
    answered: Any = [
        *HELLO,
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": used.id, "content": "Sunny"}]},
    ]
    assert claude.messages.create(**{**ASKED, "messages": answered}, tools=WEATHER["tools"]).content[0].type == "text"


@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
def test_headers_cross_in_both_directions(gateway: RunningGateway, header: str) -> None:
    """The SDK sends the key as a bearer, older ones as x-api-key. Their version of the API is not passed on."""
    add(gateway, "anthropic")
    with Anthropic(base_url=gateway.url, api_key=None, auth_token=None, max_retries=0, default_headers={
        header: gateway.secret if header == "x-api-key" else f"Bearer {gateway.secret}"
    }) as claude:  # fmt: skip
        raw = claude.messages.with_raw_response.create(**ASKED)
    assert arrived(gateway).headers["anthropic-version"] == "2023-06-01"
    assert raw.headers["anthropic-ratelimit-requests-remaining"] == "99"
    assert raw.headers["request-id"] == raw.headers["x-request-id"] == gateway.attempts()[0].opened.request_id
    assert raw.headers["x-provider-request-id"] == "req_fake"
    assert "anthropic-organization-id" not in raw.headers


# What goes wrong


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("behavior", ["refused", "limited", "overloaded", "exhausted", "payment", "broken", "html"])
def test_bedrock_rescues_what_anthropic_does_not_serve(
    gateway: RunningGateway, claude: Anthropic, behavior: str, stream: bool
) -> None:
    add(gateway, "anthropic", behavior)
    add(gateway, "bedrock")
    raw = claude.messages.with_raw_response.create(**ASKED, stream=stream)
    assert (raw.headers["x-keyhold-attempts"], raw.headers["x-keyhold-fallback"]) == ("2", "byok")
    answer: Any = raw.parse()
    assert list(answer) if stream else told(answer)
    assert [ended.closed.outcome for ended in gateway.attempts()] == ["absorbed", "ok"]


@pytest.mark.parametrize(
    ("provider", "behavior", "error", "kind"),
    [
        ("anthropic", "overloaded", anthropic.RateLimitError, "rate_limit_error"),
        ("anthropic", "exhausted", anthropic.PaymentRequiredError, "billing_error"),
        *(
            (provider, *failure)
            for provider in HOSTS
            for failure in (
                ("limited", anthropic.RateLimitError, "rate_limit_error"),
                ("refused", anthropic.InternalServerError, "api_error"),
                ("payment", anthropic.PaymentRequiredError, "billing_error"),
                ("broken", anthropic.InternalServerError, "api_error"),
            )
        ),
    ],
)
def test_errors_have_anthropics_shape(
    gateway: RunningGateway, claude: Anthropic, provider: str, behavior: str, error: type[anthropic.APIStatusError], kind: str
) -> None:
    add(gateway, provider, behavior)
    with pytest.raises(error) as caught:
        claude.messages.create(**ASKED)
    body: Any = caught.value.body
    assert (body["type"], body["error"]["type"]) == ("error", kind), body
    assert f"key “{provider} {behavior}”" in body["error"]["message"]
    assert caught.value.request_id == gateway.attempts()[0].opened.request_id


def test_a_wrong_key_an_unknown_model_and_a_bad_request_are_told_in_anthropics_words(
    gateway: RunningGateway, claude: Anthropic
) -> None:
    add(gateway, "anthropic")
    with pytest.raises(anthropic.NotFoundError, match=r"Did you mean .*claude-sonnet-4.5") as missing:
        claude.messages.create(**{**ASKED, "model": "anthropic/claude-sonet-4.5"})
    assert missing.value.type == "not_found_error"
    with pytest.raises(anthropic.BadRequestError, match="max_tokens: Field required"):
        claude.messages.create(**{**ASKED, "max_tokens": 0})
    with pytest.raises(anthropic.BadRequestError, match="`model` must be a name"):
        claude.messages.create(**{**ASKED, "model": ""})
    claude.api_key = "byok_live_wrong"
    with pytest.raises(anthropic.AuthenticationError, match="no client key of ours"):
        claude.messages.create(**ASKED)


def test_a_key_without_messages_is_named(gateway: RunningGateway, claude: Anthropic) -> None:
    gateway.add("openai", name="main", models=("gpt-4o",))
    with pytest.raises(anthropic.NotFoundError, match="OpenAI key “main” does not offer Anthropic's Messages"):
        claude.messages.create(**{**ASKED, "model": "openai/gpt-4o"})


@pytest.mark.parametrize("provider", HOSTS)
def test_an_error_in_the_stream_is_raised(gateway: RunningGateway, claude: Anthropic, provider: str) -> None:
    add(gateway, provider, "errs")
    with pytest.raises(anthropic.APIStatusError) as caught:
        list(claude.messages.create(**ASKED, stream=True))
    body: Any = caught.value.body
    assert body["error"]["message"] in ("Overloaded", "The model had trouble while it streamed.")
    assert gateway.outcomes() == [("error", "trouble", 200)]


@pytest.mark.parametrize("provider", ["anthropic", "bedrock"])
def test_a_stream_that_breaks_off_is_told_to_have(gateway: RunningGateway, claude: Anthropic, provider: str) -> None:
    add(gateway, provider, "cuts")
    with pytest.raises(anthropic.APIStatusError, match="broke off in the middle"):
        list(claude.messages.create(**ASKED, stream=True))
    (ended,) = gateway.attempts()
    assert (ended.closed.outcome, ended.closed.error_class, ended.closed.estimated) == ("error", "trouble", True)


START = b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":7,"output_tokens":1}}}\n\n'
DELTA = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}\n\n'
)


@pytest.fixture
def odd_claude(start_gateway: StartGateway, odd: Odd, fake_provider: FakeProvider) -> RunningGateway:
    gateway = start_gateway(overrides={**fake_provider.overrides(), "anthropic": odd.url})
    add(gateway, "anthropic")
    return gateway


def test_a_stream_that_just_stops_is_told_to_have_broken_off(odd_claude: RunningGateway, odd: Odd) -> None:
    """Usage has come, but not its end: what was written is counted, as an estimate."""
    odd.says("200 OK\r\ncontent-type: text/event-stream", START + DELTA * 20)
    reply = call(odd_claude, {**ASKED, "stream": True}, "/v1/messages")
    assert b"event: error\ndata: " in reply.body
    assert b"broke off in the middle" in reply.body
    (ended,) = odd_claude.attempts()
    assert (ended.closed.input_tokens, ended.closed.output_tokens, ended.closed.estimated) == (7, 21, True)


@pytest.mark.parametrize(
    "said",
    [
        b'{"type":"message_start"}',
        b'{"type":"message_start","message":7}',
        b'{"type":"message_delta","usage":{"input_tokens":"x"}}',
    ],
)
def test_events_that_make_no_sense_are_passed_on_and_not_counted(odd_claude: RunningGateway, odd: Odd, said: bytes) -> None:
    sent = b"data: " + said + b"\n\n" + DELTA + b'data: {"type":"message_stop"}\n\n'
    odd.says("200 OK\r\ncontent-type: text/event-stream", sent)
    assert call(odd_claude, {**ASKED, "stream": True}, "/v1/messages").body == sent
    (ended,) = odd_claude.attempts()
    assert (ended.closed.outcome, ended.closed.estimated) == ("ok", True)


@pytest.mark.parametrize("usage", ['{"output_tokens":-5}', '{"output_tokens":1e400}', '"none"', '{"input_tokens":[1]}'])
def test_usage_that_makes_no_sense_is_never_booked(odd_claude: RunningGateway, odd: Odd, usage: str) -> None:
    odd.says("200 OK", b'{"type":"message","content":[],"usage":' + usage.encode() + b"}")
    call(odd_claude, ASKED, "/v1/messages")
    (ended,) = odd_claude.attempts()
    assert ended.closed.output_tokens >= 0
    assert ended.closed.estimated or ended.closed.outcome == "error"
