"""Every recorded exchange through the running gateway: asked with a vendor's own SDK, answered by the recording."""

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import openai
import pytest
from anthropic import Anthropic
from openai import OpenAI

from tests import native_words
from tests.fake import FakeProvider
from tests.gateway_server import RunningGateway, StartGateway
from tests.native_words import Said, Tokens, events_of
from tests.odd_provider import Odd
from tests.recorded import FOLDER

pytest_plugins = ["tests.gateway_fixtures"]
pytestmark = pytest.mark.large

TOOLS: Any = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
OLD = {"temperature": 0.5}  # what the SDK's own version of the API takes no more
HELLO: Any = [{"role": "user", "content": "Hello"}]


class Wire(NamedTuple):
    """A provider with its recordings: their folder, how their names begin, and who reads them."""

    provider: str
    model: str
    folder: str
    starts: tuple[str, ...]
    read: Callable[[Any], Said]


CHAT = [
    Wire("anthropic", "anthropic/claude-sonnet-4.5", "anthropic", ("messages-once-200",), native_words.messages),
    Wire("bedrock", "amazon/nova-pro", "bedrock", ("converse-once-200", "fixture-once"), native_words.converse),
    Wire("aistudio", "google/gemini-2.5-pro", "aistudio", ("generateContent-once",), native_words.google),
    Wire("vertex", "google/gemini-2.5-pro", "vertex", ("generateContent-once",), native_words.google),
    Wire("vertex", "anthropic/claude-sonnet-4.5", "anthropic", ("messages-once-200",), native_words.messages),
    Wire("openai", "openai/gpt-4o", "openai", ("chat-completions-once-200", "chat.json"), native_words.chat),
    Wire("groq", "openai/gpt-oss-120b", "groq", ("chat-completions-once-200", "chat.json", "fixture-once"), native_words.chat),
    Wire("xai", "x-ai/grok-4.3", "xai", ("chat.json",), native_words.chat),
    Wire("perplexity", "perplexity/sonar", "openai", ("responses-once-200",), native_words.responses),
]
CHAT_STREAMS = [
    Wire("anthropic", "anthropic/claude-sonnet-4.5", "anthropic", ("messages-stream",), native_words.messages_stream),
    Wire("bedrock", "amazon/nova-pro", "bedrock", ("converse-stream", "fixture-chunks"), native_words.converse_stream),
    Wire("aistudio", "google/gemini-2.5-pro", "aistudio", ("streamGenerate",), native_words.google_stream),
    Wire("vertex", "google/gemini-2.5-pro", "aistudio", ("streamGenerate",), native_words.google_stream),
    Wire("vertex", "anthropic/claude-sonnet-4.5", "anthropic", ("messages-stream",), native_words.messages_stream),
    Wire("openai", "openai/gpt-4o", "openai", ("chat-completions-stream", "chat-stream"), native_words.chat_stream),
    Wire(
        "groq",
        "openai/gpt-oss-120b",
        "groq",
        ("chat-completions-stream", "chat-stream", "fixture-chunks"),
        native_words.chat_stream,
    ),
    Wire("xai", "x-ai/grok-4.3", "xai", ("chat-stream", "fixture-chunks"), native_words.chat_stream),
    Wire("perplexity", "perplexity/sonar", "openai", ("responses-stream",), native_words.responses_stream),
]
MESSAGES = [
    Wire("anthropic", "anthropic/claude-sonnet-4.5", "anthropic", ("messages-once-200",), native_words.messages),
    Wire("bedrock", "anthropic/claude-sonnet-4.5", "anthropic", ("messages-once-200",), native_words.messages),
    Wire("vertex", "anthropic/claude-sonnet-4.5", "anthropic", ("messages-once-200",), native_words.messages),
]
MESSAGES_STREAMS = [wire._replace(starts=("messages-stream",), read=native_words.messages_stream) for wire in MESSAGES]
RESPONSES = [
    Wire("openai", "openai/gpt-4o", "openai", ("responses-once-200",), native_words.responses),
    Wire("azure", "openai/gpt-4o", "azure", ("responses-once", "fixture-once"), native_words.responses),
    Wire("xai", "x-ai/grok-4.3", "xai", ("fixture-once",), native_words.responses),
    Wire("groq", "openai/gpt-oss-120b", "openai", ("responses-once-200",), native_words.responses),
    Wire("perplexity", "perplexity/sonar", "openai", ("responses-once-200",), native_words.responses),
    Wire("bedrock", "openai/gpt-oss-120b", "bedrock-mantle", ("responses-once",), native_words.responses),
]
RESPONSES_STREAMS = [
    Wire("openai", "openai/gpt-4o", "openai", ("responses-stream",), native_words.responses_stream),
    Wire("azure", "openai/gpt-4o", "azure", ("fixture-chunks",), native_words.responses_stream),
    Wire("groq", "openai/gpt-oss-120b", "openai", ("responses-stream",), native_words.responses_stream),
    Wire("perplexity", "perplexity/sonar", "openai", ("responses-stream",), native_words.responses_stream),
    Wire("bedrock", "openai/gpt-oss-120b", "bedrock-mantle", ("responses-stream",), native_words.responses_stream),
]


@pytest.fixture
def sdk(gateway: RunningGateway) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.secret, max_retries=0) as client:
        yield client


@pytest.fixture
def claude(gateway: RunningGateway) -> Iterator[Anthropic]:
    with Anthropic(base_url=gateway.url, api_key=gateway.secret, max_retries=0) as client:
        yield client


def each(gateway: RunningGateway, wire: Wire) -> Iterator[tuple[str, Any]]:
    """Adds a key, and plays one recording of the wire after the other."""
    credential = gateway.fake.credential(wire.provider)
    models = () if wire.provider == "azure" else gateway.fake.models(wire.provider)
    gateway.keep(wire.provider, credential, "main", models)
    paths = [path for path in sorted((FOLDER / wire.folder).glob("*.json")) if path.name.startswith(wire.starts)]
    assert paths
    for path in paths:
        gateway.fake.replay(wire.provider, path.stem, wire.folder)
        yield path.stem, json.loads(path.read_text())


def booked(gateway: RunningGateway) -> Tokens | None:
    """The tokens of the last attempt; None where they are an estimate."""
    closed = gateway.attempts()[-1].closed
    counted = Tokens(closed.input_tokens, closed.output_tokens, closed.cached_input_tokens, closed.reasoning_tokens)
    return None if closed.estimated else counted


def each_wire(wires: list[Wire]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("wire", wires, ids=[f"{wire.provider}-{wire.folder}" for wire in wires])


@each_wire(CHAT)
def test_a_chat_says_what_the_provider_said(gateway: RunningGateway, sdk: OpenAI, wire: Wire) -> None:
    for name, recording in each(gateway, wire):
        native = wire.read(recording["response"]["json"])
        completion = sdk.chat.completions.create(model=wire.model, messages=HELLO, tools=TOOLS, max_tokens=500)
        heard = native_words.chat(completion.model_dump())
        assert heard == as_chat(native), name
        assert booked(gateway) == native.tokens, name


@each_wire(CHAT_STREAMS)
def test_a_streamed_chat_says_what_the_provider_said(gateway: RunningGateway, sdk: OpenAI, wire: Wire) -> None:
    for name, recording in each(gateway, wire):
        events = events_of(recording)
        if "error" in events[-1] or (native := wire.read(events)).reason is None:
            continue  # two of its own tests are below
        chunks = sdk.chat.completions.create(
            model=wire.model, messages=HELLO, tools=TOOLS, stream=True, stream_options={"include_usage": True}
        )
        heard = native_words.chat_stream(chunk.model_dump(warnings=False) for chunk in chunks)
        assert heard == as_chat(native), name
        assert booked(gateway) == native.tokens, name


def as_chat(said: Said) -> Said:
    """A response's status as a chat's reason to end."""
    return said._replace(reason="tool_calls" if said.calls else "stop") if said.reason == "completed" else said


@each_wire(MESSAGES)
def test_a_message_says_what_the_provider_said(gateway: RunningGateway, claude: Anthropic, wire: Wire) -> None:
    for name, recording in each(gateway, wire):
        native = recording["response"]["json"]
        message = claude.messages.create(model=wire.model, messages=HELLO, max_tokens=500, extra_body=OLD)
        assert wire.read(message.model_dump(warnings=False)) == wire.read(native), name
        assert booked(gateway) == wire.read(native).tokens, name


@each_wire(MESSAGES_STREAMS)
def test_a_streamed_message_says_what_the_provider_said(gateway: RunningGateway, claude: Anthropic, wire: Wire) -> None:
    for name, recording in each(gateway, wire):
        native = wire.read(events_of(recording))
        with claude.messages.stream(model=wire.model, messages=HELLO, max_tokens=500, extra_body=OLD) as stream:
            message = stream.get_final_message()
        assert native_words.messages(message.model_dump(warnings=False)) == native, name
        assert booked(gateway) == native.tokens, name


@each_wire(RESPONSES)
def test_a_response_says_what_the_provider_said(gateway: RunningGateway, sdk: OpenAI, wire: Wire) -> None:
    for name, recording in each(gateway, wire):
        native = wire.read(recording["response"]["json"])
        response = sdk.responses.create(model=wire.model, input="Hello", max_output_tokens=500)
        assert wire.read(response.model_dump(warnings=False)) == native, name
        assert booked(gateway) == native.tokens, name


@each_wire(RESPONSES_STREAMS)
def test_a_streamed_response_says_what_the_provider_said(gateway: RunningGateway, sdk: OpenAI, wire: Wire) -> None:
    for name, recording in each(gateway, wire):
        native = wire.read(events_of(recording))
        events = sdk.responses.create(model=wire.model, input="Hello", stream=True)
        assert wire.read(event.model_dump(warnings=False) for event in events) == native, name
        assert booked(gateway) == native.tokens, name


# Streams that do not end well


def test_a_recorded_error_in_a_stream_is_raised(gateway: RunningGateway, sdk: OpenAI) -> None:
    failed = 0
    for name, recording in each(gateway, Wire("groq", "openai/gpt-oss-120b", "groq", ("chat-completions-stream",), CHAT[0].read)):
        error = events_of(recording)[-1].get("error")
        if not error:
            continue
        failed += 1
        with pytest.raises(openai.APIError) as caught:
            list(sdk.chat.completions.create(model="openai/gpt-oss-120b", messages=HELLO, stream=True))
        assert caught.value.code == error["code"], name
        assert gateway.outcomes()[-1][:2] == ("error", "trouble")
    assert failed == 2


CUT = [
    ("anthropic", "anthropic/claude-sonnet-4.5", "anthropic", "messages-stream"),
    ("aistudio", "google/gemini-2.5-pro", "aistudio", "streamGenerate"),
    ("perplexity", "perplexity/sonar", "openai", "responses-stream"),
]


@pytest.mark.parametrize(("provider", "model", "folder", "start"), CUT)
def test_a_stream_that_just_stops_is_told_to_have_broken_off(
    start_gateway: StartGateway, odd: Odd, fake_provider: FakeProvider, provider: str, model: str, folder: str, start: str
) -> None:
    """Without its last event, and with nothing wrong on the line. Usage may have come before."""
    gateway = start_gateway(overrides={**fake_provider.overrides(), provider: odd.url})
    gateway.keep(provider, fake_provider.credential(provider), "main", fake_provider.models(provider))
    recordings = [json.loads(path.read_text()) for path in (FOLDER / folder).glob(f"{start}*.json")]
    *begun, _ = max((events_of(recording) for recording in recordings), key=len)
    odd.says(
        "200 OK\r\ncontent-type: text/event-stream", b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in begun)
    )
    with (
        OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.secret, max_retries=0) as sdk,
        pytest.raises(openai.APIError, match="broke off in the middle"),
    ):
        list(sdk.chat.completions.create(model=model, messages=HELLO, stream=True))
    (ended,) = gateway.attempts()
    assert (ended.closed.outcome, ended.closed.error_class, ended.closed.estimated) == ("error", "trouble", True)
    assert ended.closed.output_tokens > 0


@pytest.mark.parametrize(
    ("provider", "folder", "start"), [("groq", "groq", "chat-completions-once-400"), ("bedrock", "bedrock", "converse-once-400")]
)
def test_a_recorded_refusal_of_a_request_is_the_programs(
    gateway: RunningGateway, sdk: OpenAI, provider: str, folder: str, start: str
) -> None:
    wire = Wire(provider, "openai/gpt-oss-120b", folder, (start,), native_words.chat)
    for name, recording in each(gateway, wire):
        native = recording["response"]["json"]
        with pytest.raises(openai.BadRequestError) as caught:
            sdk.chat.completions.create(model=wire.model, messages=HELLO)
        told: Any = caught.value.body
        assert told["message"][:40] == (native.get("error") or native)["message"][:40], name
