"""Anthropic's dialect: what a chat becomes there, and what its recorded answers say to an OpenAI client."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway.sse import Splitter, data_of
from gateway.wires import anthropic
from gateway.wires.anthropic_stream import Stream
from gateway.wires.chat_answer import ChunkWriter, completion
from gateway.wires.chat_request import read
from gateway.wires.values import BrokenAnswer, Unsupported
from tests.chats import conversations, flat
from tests.recorded import body_of, recordings

MODEL = "claude-sonnet-4-5"


def asked(**fields):
    return read({"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields})


def body(model=MODEL, **fields):
    return anthropic.body(asked(**fields), native_model=model)


def chunks_of(stream: bytes) -> list[ChatCompletionChunk]:
    texts = [data_of(event) for event in Splitter().feed(stream)]
    return [ChatCompletionChunk.model_validate_json(text) for text in texts if text != b"[DONE]"]


def writer():
    return ChunkWriter(id="c", model="anthropic/claude", created=1, include_usage=True)


# What the recordings say


@pytest.mark.parametrize("recording", recordings("anthropic", "messages-once-200"))
def test_a_recorded_answer_says_the_same_in_openais_words(recording):
    native = recording["response"]["json"]
    answer = ChatCompletion.model_validate(completion(anthropic.reply(native), id="c", model="m", created=1))
    message = answer.choices[0].message
    assert (message.content or "") == "".join(block["text"] for block in native["content"] if block["type"] == "text")
    assert [(call.id, call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or []] == [
        (block["id"], block["name"], block["input"]) for block in native["content"] if block["type"] == "tool_use"
    ]
    assert answer.choices[0].finish_reason == anthropic.FINISH[native["stop_reason"]]
    counted = native["usage"]
    cached = counted.get("cache_read_input_tokens") or 0
    assert answer.usage.prompt_tokens == counted["input_tokens"] + cached + (counted.get("cache_creation_input_tokens") or 0)
    assert answer.usage.prompt_tokens_details.cached_tokens == cached
    assert answer.usage.completion_tokens == counted["output_tokens"]


@pytest.mark.parametrize("recording", recordings("anthropic", "messages-stream-200"))
def test_a_recorded_stream_says_the_same_however_it_is_split(recording):
    sent = body_of(recording)
    whole, bytewise = Stream(writer()), Stream(writer())
    relayed = whole.feed(sent)
    assert relayed == b"".join(bytewise.feed(sent[n : n + 1]) for n in range(len(sent)))
    assert whole.finished
    assert whole.failure is None

    events = [json.loads(data_of(event)) for event in Splitter().feed(sent)]
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    started = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    chunks = chunks_of(relayed)
    said = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    texts = [delta["text"] for delta in deltas if delta["type"] == "text_delta"]
    assert "".join(delta.content or "" for delta in said) == "".join(texts)
    calls = [call for delta in said for call in delta.tool_calls or [] if call.id]
    assert [(call.id, call.function.name) for call in calls] == [
        (block["id"], block["name"]) for block in started if block["type"] == "tool_use"
    ]
    last = [event for event in events if event["type"] == "message_delta"][-1]
    assert chunks[-2].choices[0].finish_reason == anthropic.FINISH[last["delta"]["stop_reason"]]
    assert chunks[-1].usage.completion_tokens == last["usage"]["output_tokens"]
    assert whole.usage.input_tokens == chunks[-1].usage.prompt_tokens > 0


def test_tool_arguments_arrive_in_pieces_and_thoughts_ride_on_the_first_call():
    events = [
        {"type": "message_start", "message": {"usage": {"input_tokens": 5, "cache_read_input_tokens": 3}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Look it up."}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2ln"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "t1", "name": "f", "input": {}}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"city": '}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '"Oslo"}'}},
        {"type": "content_block_stop", "index": 1},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    ]
    stream = Stream(writer())
    sent = b"".join(b"event: x\ndata: " + json.dumps(event).encode() + b"\n\n" for event in events)
    calls = [call for chunk in chunks_of(stream.feed(sent)) if chunk.choices for call in chunk.choices[0].delta.tool_calls or []]
    assert json.loads("".join(call.function.arguments for call in calls)) == {"city": "Oslo"}
    kept = calls[0].extra_content["anthropic"]["thinking"]
    assert kept == [{"type": "thinking", "thinking": "Look it up.", "signature": "c2ln"}]
    assert (stream.usage.input_tokens, stream.usage.cached_input_tokens, stream.usage.output_tokens) == (8, 3, 9)


def test_an_error_inside_the_stream_is_a_failure():
    stream = Stream(writer())
    assert (
        stream.feed(b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n') == b""
    )
    assert stream.failure == "Overloaded"
    assert not stream.finished


@pytest.mark.parametrize("native", [{}, {"type": "error"}, {"type": "message", "content": "text"}])
def test_something_else_is_no_answer(native):
    with pytest.raises(BrokenAnswer):
        anthropic.reply(native)


# What a request becomes


def test_system_and_developer_turns_stand_in_front():
    chat = read(
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hi"},
                {"role": "developer", "content": "Speak French."},
            ],
        }
    )
    written = anthropic.body(chat, native_model=MODEL)
    assert [block["text"] for block in written["system"]] == ["Be brief.", "Speak French."]
    assert written["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    assert written["max_tokens"] == anthropic.DEFAULT_MAX_TOKENS


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        ("auto", True, {"type": "auto"}),
        ("none", False, {"type": "none"}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        ({"type": "function", "function": {"name": "f"}}, True, {"type": "tool", "name": "f"}),
    ],
)
def test_a_tool_choice_keeps_its_meaning(choice, parallel, expected):
    tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}}
    written = body(tools=[tool], tool_choice=choice, parallel_tool_calls=parallel)
    assert written["tool_choice"] == expected
    assert written["tools"] == [{"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": True}]


@pytest.mark.parametrize(
    ("model", "fields", "expected"),
    [
        (MODEL, {"temperature": 0.5}, {"temperature": 0.5}),
        (MODEL, {"temperature": 0.5, "top_p": 1}, {"temperature": 0.5}),
        ("claude-opus-4-7", {"temperature": 1, "top_p": 1}, {}),
        ("us.anthropic.claude-sonnet-5-5-v1:0", {"temperature": 1}, {}),
        ("claude-haiku-4-5-20251001", {"top_p": 0.3}, {"top_p": 0.3}),
    ],
)
def test_sampling_is_kept_or_dropped_where_it_asks_for_nothing(model, fields, expected):
    written = body(model, **fields)
    assert {name: written[name] for name in ("temperature", "top_p") if name in written} == expected


@pytest.mark.parametrize(
    ("model", "fields", "named"),
    [
        ("claude-opus-5-5", {"temperature": 0.2}, "temperature"),
        ("claude-sonnet-5", {"top_p": 0.2}, "top_p"),
        (MODEL, {"temperature": 1.5}, "temperature"),
        (MODEL, {"temperature": 0.5, "top_p": 0.5}, "top_p"),
        (MODEL, {"stop": [" "]}, "stop"),
        (MODEL, {"seed": 7}, "seed"),
        (MODEL, {"logprobs": True}, "logprobs"),
        (MODEL, {"n": 2}, "n"),
        (MODEL, {"response_format": {"type": "json_object"}}, "response_format"),
        (MODEL, {"reasoning_effort": "huge"}, "reasoning_effort"),
        (MODEL, {"unheard_of": 1}, "unheard_of"),
        (MODEL, {"functions": [{}]}, "functions"),
    ],
)
def test_what_cannot_be_honored_is_refused_by_name(model, fields, named):
    with pytest.raises(Unsupported) as refused:
        body(model, **fields)
    assert refused.value.param == named


def test_effort_becomes_thinking_as_the_model_knows_it():
    assert body("claude-opus-5-5", reasoning_effort="high") | {"messages": []} == {
        "model": "claude-opus-5-5",
        "max_tokens": anthropic.DEFAULT_MAX_TOKENS,
        "messages": [],
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high"},
    }
    assert body(reasoning_effort="low")["thinking"] == {"type": "enabled", "budget_tokens": 2048}
    assert "thinking" not in body(reasoning_effort="low", max_tokens=100)
    assert "thinking" not in body(reasoning_effort="none")


def test_a_schema_becomes_the_format_of_the_answer():
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    written = body(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
    assert written["output_config"] == {"format": {"type": "json_schema", "schema": schema}}


# Nothing is lost on the way there


def flat_native(messages):
    for message in messages:
        for block in message["content"]:
            match block["type"]:
                case "text":
                    yield (message["role"], block["text"])
                case "image":
                    source = block["source"]
                    yield ("image", source.get("url") or f"data:{source['media_type']};base64,{source['data']}")
                case "tool_use":
                    yield ("call", block["id"], block["name"], block["input"])
                case "tool_result":
                    yield ("result", block["tool_use_id"], block["content"][0]["text"])


@given(conversations)
def test_no_turn_call_or_image_is_lost(messages):
    written = anthropic.body(read({"model": "m", "messages": messages}), native_model=MODEL)
    assert list(flat_native(written["messages"])) == list(flat(messages))
    roles = [message["role"] for message in written["messages"]]
    assert all(one != other for one, other in pairwise(roles))
