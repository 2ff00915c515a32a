"""Bedrock's Converse dialect: what a chat becomes there, and what its recorded answers say to an OpenAI client."""

import json
from binascii import crc32
from itertools import pairwise
from struct import pack

import pytest
from hypothesis import given
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway.sse import Splitter, data_of
from gateway.wires import converse
from gateway.wires.chat_answer import ChunkWriter, completion
from gateway.wires.chat_request import read
from gateway.wires.converse_stream import Stream
from gateway.wires.eventstream import Frames
from gateway.wires.values import BrokenAnswer, Media, Unsupported
from tests.chats import conversations, flat
from tests.recorded import body_of, recordings

NOVA = "amazon.nova-pro-v1:0"
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
TIFF = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/tiff;base64,aGk="}}]}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def body(model=NOVA, **fields):
    return converse.body(read({"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}), native_model=model)


def frame(name, payload, kind="event"):
    """One frame, built by hand from the format's description."""
    headers = b""
    for key, value in ((":message-type", kind), (f":{kind}-type", name), (":content-type", "application/json")):
        headers += pack("!B", len(key)) + key.encode() + pack("!BH", 7, len(value)) + value.encode()
    data = json.dumps(payload).encode()
    prelude = pack("!II", 16 + len(headers) + len(data), len(headers))
    message = prelude + pack("!I", crc32(prelude)) + headers + data
    return message + pack("!I", crc32(message))


def sent_by(recording):
    """The frames of a recorded stream, as they came or framed anew from the recorder's decoded events."""
    chunks = recording["response"].get("chunks")
    if chunks is None:
        return body_of(recording)
    return b"".join(frame(name, payload) for chunk in chunks for name, payload in chunk.items())


def relayed(stream, sent):
    return stream.feed(sent) + stream.finish()


def stream_of():
    return Stream(ChunkWriter(id="c", model="amazon/nova", created=1, include_usage=True))


def chunks_of(stream: bytes) -> list[ChatCompletionChunk]:
    texts = [data_of(event) for event in Splitter().feed(stream)]
    return [ChatCompletionChunk.model_validate_json(text) for text in texts if text != b"[DONE]"]


# What the recordings say


@pytest.mark.parametrize("recording", recordings("bedrock", "converse-once-200", "fixture-once"))
def test_a_recorded_answer_says_the_same_in_openais_words(recording):
    native = recording["response"]["json"]
    answer = ChatCompletion.model_validate(completion(converse.reply(native), id="c", model="m", created=1))
    blocks = native["output"]["message"]["content"]
    message = answer.choices[0].message
    assert (message.content or "") == "".join(block.get("text", "") for block in blocks)
    assert [(call.id, call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or []] == [
        (block["toolUse"]["toolUseId"], block["toolUse"]["name"], block["toolUse"]["input"])
        for block in blocks
        if "toolUse" in block
    ]
    assert answer.choices[0].finish_reason == converse.FINISH[native["stopReason"]]
    assert answer.usage.total_tokens == native["usage"]["totalTokens"]
    assert answer.usage.prompt_tokens_details.cached_tokens == native["usage"].get("cacheReadInputTokens", 0)


@pytest.mark.parametrize("recording", recordings("bedrock", "converse-stream", "fixture-chunks"))
def test_a_recorded_stream_says_the_same_however_it_is_split(recording):
    sent = sent_by(recording)
    whole, bytewise = stream_of(), stream_of()
    chunks = relayed(whole, sent)
    assert chunks == b"".join(bytewise.feed(sent[n : n + 1]) for n in range(len(sent))) + bytewise.finish()
    events = [(name, payload) for name, payload, _ in Frames().feed(sent)]
    deltas = [payload["delta"] for name, payload in events if name == "contentBlockDelta"]
    said = [chunk.choices[0].delta for chunk in chunks_of(chunks) if chunk.choices]
    assert "".join(delta.content or "" for delta in said) == "".join(delta.get("text", "") for delta in deltas)
    calls = [call for delta in said for call in delta.tool_calls or []]
    starts = [payload["start"].get("toolUse") for name, payload in events if name == "contentBlockStart"]
    called = [(start["toolUseId"], start["name"]) for start in starts if start]
    assert [(call.id, call.function.name) for call in calls if call.id] == called
    native = "".join(delta["toolUse"]["input"] for delta in deltas if "toolUse" in delta)
    assert "".join(call.function.arguments for call in calls) == (native or "{}" * len(called))
    counted = dict(events).get("metadata")
    assert (whole.usage and whole.usage.output_tokens) == (counted and counted["usage"]["outputTokens"])


def test_an_exception_inside_the_stream_is_a_failure():
    stream = stream_of()
    assert relayed(stream, frame("throttlingException", {"message": "Too many requests"}, "exception")) == b""
    assert (stream.failure, stream.finished) == ("Too many requests", False)


def test_a_damaged_frame_is_no_answer():
    sent = bytearray(frame("messageStop", {"stopReason": "end_turn"}))
    sent[-6] ^= 1
    with pytest.raises(BrokenAnswer):
        stream_of().feed(bytes(sent))


def test_an_answer_without_its_last_frame_still_ends():
    stream = stream_of()
    ended = relayed(stream, frame("messageStop", {"stopReason": "max_tokens"}))
    assert stream.finished
    assert chunks_of(ended)[-1].choices[0].finish_reason == "length"
    assert stream.usage is None


@pytest.mark.parametrize("native", [{}, {"output": None}, {"message": "no"}])
def test_something_else_is_no_answer(native):
    with pytest.raises(BrokenAnswer):
        converse.reply(native)


# What a request becomes


def test_limits_and_sampling_stand_in_the_inference_configuration():
    written = body(max_tokens=50, temperature=0.5, top_p=0.9, stop=["END"])
    assert written["inferenceConfig"] == {"maxTokens": 50, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END"]}
    assert body(CLAUDE.replace("4-5", "5-5"), temperature=1).keys() == {"messages"}


def test_tools_keep_their_meaning():
    assert body(tools=[TOOL], tool_choice="required")["toolConfig"] == {
        "tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}],
        "toolChoice": {"any": {}},
    }
    assert "toolConfig" not in body(tools=[TOOL], tool_choice="none")


def test_a_schema_and_effort_become_the_output_configuration():
    schema = {"type": "object"}
    written = body(
        reasoning_effort="low", response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    )
    assert written["outputConfig"] == {
        "textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"name": "x", "schema": '{"type": "object"}'}}},
        "effort": "low",
    }


@pytest.mark.parametrize(
    ("model", "fields", "named"),
    [
        (NOVA, {"temperature": 1.2}, "temperature"),
        (CLAUDE, {"temperature": 0.2, "top_p": 0.2}, "top_p"),
        (NOVA, {"seed": 1}, "seed"),
        (NOVA, {"tools": [TOOL], "parallel_tool_calls": False}, "parallel_tool_calls"),
        (NOVA, {"response_format": {"type": "json_object"}}, "response_format"),
        (CLAUDE, {"reasoning_effort": "low"}, "reasoning_effort"),
        (
            NOVA,
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/tiff;base64,aGk="}}]}
                ]
            },
            "messages",
        ),
    ],
)
def test_what_cannot_be_honored_is_refused_by_name(model, fields, named):
    with pytest.raises(Unsupported) as refused:
        body(model, **fields)
    assert refused.value.param == named


# Nothing is lost on the way there


def flat_native(messages, fetched):
    addresses = {media.data: url for url, media in fetched.items()}
    for message in messages:
        for block in message["content"]:
            match block:
                case {"text": text}:
                    yield (message["role"], text)
                case {"image": {"format": kind, "source": {"bytes": data}}}:
                    yield ("image", addresses.get(data) or f"data:image/{kind};base64,{data}")
                case {"toolUse": call}:
                    yield ("call", call["toolUseId"], call["name"], call["input"])
                case {"toolResult": result}:
                    yield ("result", result["toolUseId"], result["content"][0]["text"])


@given(conversations)
def test_no_turn_call_or_image_is_lost(messages):
    chat = read({"model": "m", "messages": messages})
    fetched = {url: Media("image", "image/webp", "ZmV0Y2hlZA==") for url in chat.remote_media()}
    written = converse.body(chat.with_media(fetched), native_model=NOVA)
    assert list(flat_native(written["messages"], fetched)) == list(flat(messages))
    assert all(one["role"] != other["role"] for one, other in pairwise(written["messages"]))
