"""Nothing that a provider or a client says makes a wire fail in a way that nobody expects."""

import asyncio
import base64
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Refusal
from gateway.operations import chat, messages, plain, responses
from gateway.operations.translation import WIRES, Answering, TranslatedStream, translated
from gateway.speech import Reader
from gateway.wires import openai
from gateway.wires.values import BrokenAnswer, Chat, Media, Turn
from keys.providers import PROVIDERS, Wire
from tests.fake.eventstream import frame
from tests.mutations import mutated
from tests.native_words import events_of
from tests.recorded import recordings

ANSWERING = Answering("c", "m", 1, stream=False, include_usage=True)
CHAT = Chat((), (Turn("user", ()),))
ONCE = {
    Wire.ANTHROPIC: [("anthropic", "messages-once-200")],
    Wire.GOOGLE: [("aistudio", "generateContent-once"), ("vertex", "generateContent-once")],
    Wire.CONVERSE: [("bedrock", "converse-once-200"), ("bedrock", "fixture-once")],
    Wire.RESPONSES: [("openai", "responses-once-200"), ("xai", "fixture-once")],
}
STREAMS = {
    Wire.ANTHROPIC: [("anthropic", "messages-stream")],
    Wire.GOOGLE: [("aistudio", "streamGenerate")],
    Wire.CONVERSE: [("bedrock", "converse-stream"), ("bedrock", "fixture-chunks")],
    Wire.RESPONSES: [("openai", "responses-stream"), ("azure", "fixture-chunks")],
}
FRAMED = {Wire.CONVERSE}


def exchanges(folders: list[tuple[str, str]]) -> list[Any]:
    return [param.values[0] for folder, start in folders for param in recordings(folder, start)]


def answers(wire: Wire) -> list[Any]:
    return [recording["response"]["json"] for recording in exchanges(ONCE[wire])]


def streamed(wire: Wire) -> list[Any]:
    """Short ones, so that a mutation hits something that counts."""
    return [events for recording in exchanges(STREAMS[wire]) if len(events := events_of(recording)) < 60]


def written(wire: Wire, events: Any) -> bytes:
    if not isinstance(events, list):
        return json.dumps(events).encode()
    if wire not in FRAMED:
        return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    named = [next(iter(event.items())) if isinstance(event, dict) and event else ("odd", event) for event in events]
    return b"".join(frame(name[:200] if name.isascii() else "odd", payload) for name, payload in named)


def read_stream(reader: Reader, sent: bytes) -> None:
    """As the gateway reads it: whatever comes, the reader goes on and tells what it knows."""
    for start in range(0, len(sent), 1000):
        now, last = reader.feed(sent[start : start + 1000])
        assert isinstance(now + last, bytes)
    assert isinstance(reader.rest(), bytes)
    assert reader.usage is None or reader.usage.plausible in (True, False)


@pytest.mark.parametrize("wire", list(WIRES))
@settings(max_examples=150)
@given(data=st.data())
def test_an_answer_is_read_or_is_broken(wire: Wire, data: st.DataObject) -> None:
    native = data.draw(mutated(answers(wire)))
    speech = translated(CHAT, PROVIDERS["anthropic"], wire, "claude-sonnet-4-5", ANSWERING)
    try:
        body, _ = speech.whole(json.dumps(native).encode())
    except BrokenAnswer:
        return
    assert json.loads(body)["object"] == "chat.completion"


@pytest.mark.parametrize("wire", list(WIRES))
@settings(max_examples=100)
@given(data=st.data())
def test_a_stream_is_read_or_has_failed(wire: Wire, data: st.DataObject) -> None:
    reader = TranslatedStream(WIRES[wire].stream(ANSWERING.writer()))
    read_stream(reader, written(wire, data.draw(mutated(streamed(wire)))))


@settings(max_examples=150)
@given(native=mutated(answers(Wire.ANTHROPIC) + answers(Wire.RESPONSES)))
def test_an_answer_that_is_passed_through_is_read_or_is_broken(native: Any) -> None:
    body = json.dumps(native).encode()
    for answered in (messages.answered, responses.answered, plain.answered, openai.completed):
        try:
            relayed, usage = answered(body)
        except BrokenAnswer:
            continue
        assert relayed == body
        assert usage is None or usage.plausible in (True, False)


@settings(max_examples=100)
@given(events=mutated(streamed(Wire.ANTHROPIC) + streamed(Wire.RESPONSES)))
def test_a_stream_that_is_passed_through_is_read(events: Any) -> None:
    sent = written(Wire.ANTHROPIC, events)
    for reader in (messages.MessagesStream(), responses.ResponsesStream(), openai.ChatStream(takes_usage_out=True)):
        read_stream(reader, sent)


@settings(max_examples=100)
@given(events=mutated(streamed(Wire.ANTHROPIC)), extra=st.sampled_from([{}, {"bytes": None}, {"bytes": "no base64"}]))
def test_a_framed_stream_is_read_or_has_failed(events: Any, extra: Any) -> None:
    texts = [json.dumps(event).encode() for event in (events if isinstance(events, list) else [events])]
    payloads = [{"bytes": base64.b64encode(text).decode()} for text in texts]
    read_stream(messages.FramedMessages(), b"".join(frame("chunk", payload) for payload in (*payloads, extra)))


@pytest.mark.parametrize(
    "body",
    [b"[" * 200_000, b'{"a":' * 100_000, b"\xff", b"", b"null", b"1", b'{"usage":NaN}', b'{"type":"message","usage":[1]}'],
)
def test_bodies_that_are_hardly_json_are_broken(body: bytes) -> None:
    for wire in WIRES:
        with pytest.raises(BrokenAnswer):
            translated(CHAT, PROVIDERS["anthropic"], wire, "claude-sonnet-4-5", ANSWERING).whole(body)
    for answered in (messages.answered, responses.answered):
        with pytest.raises(BrokenAnswer):
            answered(body)


def test_half_a_character_goes_on_as_it_came() -> None:
    """Streams may cut one in two; a client that joins the pieces has it whole again."""
    reader = TranslatedStream(WIRES[Wire.ANTHROPIC].stream(ANSWERING.writer()))
    halves = [
        rb'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":"\ud83d"}}',
        rb'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\ude00"}}',
    ]
    relayed = b"".join(reader.feed(half + b"\n\n")[0] for half in halves)
    pieces = [json.loads(line[6:])["choices"][0]["delta"]["content"] for line in relayed.split(b"\n\n") if line]
    assert "".join(pieces).encode("utf-16", "surrogatepass").decode("utf-16") == "😀"


# What clients send

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
FILE = {"type": "file", "file": {"file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ASKED: Any = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, IMAGE]},
        {"role": "assistant", "content": "Hm", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c", "content": "done"},
        {"role": "user", "content": [FILE]},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": True}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
    "reasoning_effort": "low",
    "max_tokens": 9,
    "temperature": 0.5,
    "top_p": 1,
    "stop": ["END"],
}


HOSTS = [("anthropic", Wire.ANTHROPIC), ("aistudio", Wire.GOOGLE), ("bedrock", Wire.CONVERSE), ("perplexity", Wire.RESPONSES)]


async def fetched(addresses: Mapping[str, str]) -> Mapping[str, Media]:
    return {address: Media("image", "image/png", "aGk=") for address in addresses}


def put(body: bytes, provider: str, wire: Wire) -> bytes:
    """Raises Refusal."""
    request = chat.read_request(body)
    speech = asyncio.run(request.speech(PROVIDERS[provider], wire, "claude-sonnet-4-5", fetched))
    assert isinstance(speech.body, bytes)
    return speech.body


@pytest.mark.parametrize(("provider", "wire"), HOSTS)
@settings(max_examples=200)
@given(asked=mutated([ASKED]))
def test_a_request_is_translated_or_refused(provider: str, wire: Wire, asked: Any) -> None:
    with suppress(Refusal):
        json.loads(put(json.dumps(asked).encode(), provider, wire))


ODD = [
    (b'"max_tokens":1e400', "max_tokens"),
    (b'"messages":"Hello"', "messages"),
    (b'"messages":[]', "messages"),
    (b'"messages":[{"role":"nobody"}]', "messages[0].role"),
    (b'"messages":[{"role":"tool","tool_call_id":"c","content":"x"}]', "messages[0].tool_call_id"),
    (
        b'"messages":[{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{\\"a\\":NaN}"}}]}]',
        "messages[0].tool_calls[0].function.arguments",
    ),
    (b'"temperature":"hot"', "temperature"),
    (b'"tools":[{"type":"web_search"}]', "tools[0]"),
]


@pytest.mark.parametrize(("member", "param"), ODD)
@pytest.mark.parametrize(("provider", "wire"), HOSTS)
def test_an_odd_request_is_refused_by_the_name_of_its_field(provider: str, wire: Wire, member: bytes, param: str) -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"Hi"}],' + member + b"}"
    with pytest.raises(Refusal) as refused:
        put(body, provider, wire)
    assert (refused.value.status, refused.value.param) == (400, param)
