"""The Responses dialect: what a chat becomes there, and what its recorded answers say to an OpenAI chat client."""

import json

import pytest
from hypothesis import given
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway.sse import Splitter, data_of
from gateway.wires import responses
from gateway.wires.chat_answer import ChunkWriter, completion
from gateway.wires.chat_request import read
from gateway.wires.responses_stream import Stream
from gateway.wires.values import BrokenAnswer, Unsupported
from tests.chats import conversations, flat
from tests.recorded import body_of, recordings

TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
ONCE = [
    *recordings("openai", "responses-once-200"),
    *recordings("azure", "responses-once", "fixture-once"),
    *recordings("bedrock-mantle", "responses-once"),
    *recordings("xai", "fixture-once"),
]
STREAMS = [
    *recordings("openai", "responses-stream"),
    *recordings("bedrock-mantle", "responses-stream"),
    *recordings("azure", "fixture-chunks"),
]


def body(**fields):
    chat = read({"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields})
    return responses.body(chat, native_model="perplexity/sonar")


def stream_of():
    return Stream(ChunkWriter(id="c", model="perplexity/sonar", created=1, include_usage=True))


def sent_by(recording):
    chunks = recording["response"].get("chunks")
    if chunks is None:
        return body_of(recording)
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)


def chunks_of(stream: bytes) -> list[ChatCompletionChunk]:
    texts = [data_of(event) for event in Splitter().feed(stream)]
    return [ChatCompletionChunk.model_validate_json(text) for text in texts if text != b"[DONE]"]


# What the recordings say


@pytest.mark.parametrize("recording", ONCE)
def test_a_recorded_answer_says_the_same_in_the_chats_words(recording):
    native = recording["response"]["json"]
    answer = ChatCompletion.model_validate(completion(responses.reply(native), id="c", model="m", created=1))
    message, output = answer.choices[0].message, native["output"]
    texts = [content.get("text", "") for item in output if item["type"] == "message" for content in item["content"]]
    assert (message.content or "") == "".join(texts)
    assert [(call.id, call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or []] == [
        (item["call_id"], item["name"], json.loads(item["arguments"])) for item in output if item["type"] == "function_call"
    ]
    assert answer.choices[0].finish_reason == ("tool_calls" if message.tool_calls else "stop")
    assert answer.usage.total_tokens == native["usage"]["total_tokens"]
    reasoning = native["usage"]["output_tokens_details"]["reasoning_tokens"]
    assert answer.usage.completion_tokens_details.reasoning_tokens == reasoning


@pytest.mark.parametrize("recording", STREAMS)
def test_a_recorded_stream_says_the_same_however_it_is_split(recording):
    sent = sent_by(recording)
    whole, bytewise = stream_of(), stream_of()
    relayed = whole.feed(sent)
    assert relayed == b"".join(bytewise.feed(sent[n : n + 1]) for n in range(len(sent)))
    events = [json.loads(data_of(event)) for event in Splitter().feed(sent)]
    chunks = chunks_of(relayed)
    said = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    texts = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert "".join(delta.content or "" for delta in said) == "".join(texts)
    items = [event["item"] for event in events if event["type"] == "response.output_item.added"]
    called = [(item["call_id"], item["name"]) for item in items if item["type"] == "function_call"]
    assert [(call.id, call.function.name) for delta in said for call in delta.tool_calls or [] if call.id] == called
    assert whole.finished
    assert chunks[-1].usage.total_tokens == events[-1]["response"]["usage"]["total_tokens"]


def test_a_cost_that_the_provider_tells_is_kept():
    assert responses.usage({"input_tokens": 1, "cost": {"total_cost": 0.0051}}).reported_cost_microusd == 5100
    assert responses.usage({"input_tokens": 1, "cost_in_usd_ticks": 25_000_000}).reported_cost_microusd == 2500
    assert responses.usage({"input_tokens": 1}).reported_cost_microusd is None


@pytest.mark.parametrize(
    ("native", "reason"),
    [
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": []}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}, "output": []}, "content_filter"),
        ({"status": "completed", "output": []}, "stop"),
    ],
)
def test_an_answer_tells_why_it_ended(native, reason):
    assert responses.reply(native).finish_reason == reason


@pytest.mark.parametrize("native", [{}, {"status": "failed", "output": [], "error": {"message": "Search is down."}}])
def test_a_success_that_failed_is_no_answer(native):
    with pytest.raises(BrokenAnswer):
        responses.reply(native)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.failed", "response": {"error": {"message": "Search is down."}}},
        {"type": "error", "message": "Search is down."},
    ],
)
def test_an_error_inside_the_stream_is_a_failure(event):
    stream = stream_of()
    assert stream.feed(b"data: " + json.dumps(event).encode() + b"\n\n") == b""
    assert (stream.failure, stream.finished) == ("Search is down.", False)


# What a request becomes


def test_what_a_chat_asks_for_is_asked_for_here():
    schema = {"type": "object"}
    asked = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    written = body(
        messages=messages, tools=[TOOL], tool_choice="required", max_tokens=9, response_format=asked, reasoning_effort="low"
    )
    assert written == {
        "model": "perplexity/sonar",
        "instructions": "Be brief.",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
        "tools": [{"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": False}],
        "tool_choice": "required",
        "parallel_tool_calls": True,
        "max_output_tokens": 9,
        "reasoning": {"effort": "low"},
        "text": {"format": {"type": "json_schema", "name": "x", "schema": schema, "strict": True}},
    }


@pytest.mark.parametrize(("fields", "named"), [({"stop": "END"}, "stop"), ({"seed": 1}, "seed"), ({"n": 3}, "n")])
def test_what_cannot_be_honored_is_refused_by_name(fields, named):
    with pytest.raises(Unsupported) as refused:
        body(**fields)
    assert refused.value.param == named


# Nothing is lost on the way there


def flat_native(items):
    for item in items:
        match item:
            case {"type": "message", "role": role, "content": contents}:
                for content in contents:
                    yield ("image", content["image_url"]) if content["type"] == "input_image" else (role, content["text"])
            case {"type": "function_call"}:
                yield ("call", item["call_id"], item["name"], json.loads(item["arguments"]))
            case {"type": "function_call_output"}:
                yield ("result", item["call_id"], item["output"])


@given(conversations)
def test_no_turn_call_or_image_is_lost(messages):
    assert list(flat_native(body(messages=messages)["input"])) == list(flat(messages))
