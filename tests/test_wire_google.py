"""Google's dialect: what a chat becomes there, and what its recorded answers say to an OpenAI client."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway.sse import Splitter, data_of
from gateway.wires import google
from gateway.wires.chat_answer import ChunkWriter, completion
from gateway.wires.chat_request import read
from gateway.wires.google_stream import Stream
from gateway.wires.values import BrokenAnswer, Media, Unsupported
from tests.chats import conversations, flat
from tests.recorded import body_of, recordings

OLD, NEW = "gemini-2.5-pro", "gemini-3.8-flash"
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
ONCE = [*recordings("aistudio", "generateContent-once"), *recordings("vertex", "generateContent-once")]


def body(model=NEW, **fields):
    return google.body(read({"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}), native_model=model)


def stream_of():
    return Stream(ChunkWriter(id="c", model="google/gemini", created=1, include_usage=True))


def chunks_of(stream: bytes) -> list[ChatCompletionChunk]:
    texts = [data_of(event) for event in Splitter().feed(stream)]
    return [ChatCompletionChunk.model_validate_json(text) for text in texts if text != b"[DONE]"]


# What the recordings say


@pytest.mark.parametrize("recording", ONCE)
def test_a_recorded_answer_says_the_same_in_openais_words(recording):
    native = recording["response"]["json"]
    answer = ChatCompletion.model_validate(completion(google.reply(native), id="c", model="m", created=1))
    parts = [part for candidate in native.get("candidates", []) for part in google.parts_of(candidate)]
    message, counted = answer.choices[0].message, native["usageMetadata"]
    assert (message.content or "") == "".join(part["text"] for part in parts if "text" in part and not part.get("thought"))
    assert [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or []] == [
        (part["functionCall"]["name"], part["functionCall"].get("args", {})) for part in parts if "functionCall" in part
    ]
    assert answer.usage.total_tokens == counted.get("totalTokenCount", 0)
    assert answer.usage.completion_tokens_details.reasoning_tokens == counted.get("thoughtsTokenCount", 0)
    if message.tool_calls:
        assert answer.choices[0].finish_reason == "tool_calls"


def test_a_blocked_prompt_is_a_filtered_answer():
    blocked = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 4}}
    answer = google.reply(blocked)
    assert (answer.text, answer.finish_reason, answer.usage.input_tokens) == ("", "content_filter", 4)


@pytest.mark.parametrize("recording", recordings("aistudio", "streamGenerateContent"))
def test_a_recorded_stream_says_the_same_however_it_is_split(recording):
    sent = body_of(recording)
    whole, bytewise = stream_of(), stream_of()
    relayed = whole.feed(sent) + whole.finish()
    assert relayed == b"".join(bytewise.feed(sent[n : n + 1]) for n in range(len(sent))) + bytewise.finish()
    pieces = [json.loads(data_of(event)) for event in Splitter().feed(sent)]
    parts = [part for piece in pieces for part in piece["candidates"][0].get("content", {}).get("parts", [])]
    chunks = chunks_of(relayed)
    said = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in said) == "".join(
        part.get("text", "") for part in parts if not part.get("thought")
    )
    calls = [call.function for delta in said for call in delta.tool_calls or []]
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [
        (part["functionCall"]["name"], part["functionCall"]["args"]) for part in parts if "functionCall" in part
    ]
    if whole.finished:
        assert chunks[-1].usage.total_tokens == pieces[-1]["usageMetadata"]["totalTokenCount"]
    else:
        assert not any(piece["candidates"][0].get("finishReason") for piece in pieces)


def test_an_error_inside_the_stream_is_a_failure():
    stream = stream_of()
    assert stream.feed(b'data: {"error": {"code": 503, "message": "The model is overloaded."}}\r\n\r\n') + stream.finish() == b""
    assert (stream.failure, stream.finished) == ("The model is overloaded.", False)


@pytest.mark.parametrize("native", [{}, {"candidates": []}])
def test_something_else_is_no_answer(native):
    with pytest.raises(BrokenAnswer):
        google.reply(native)


# What a request becomes


def test_limits_and_sampling_stand_in_the_generation_configuration():
    written = body(max_completion_tokens=50, temperature=1.5, top_p=0.9, stop="END", seed=7, presence_penalty=0.1)
    assert written["generationConfig"] == {
        "maxOutputTokens": 50,
        "temperature": 1.5,
        "topP": 0.9,
        "stopSequences": ["END"],
        "seed": 7,
        "presencePenalty": 0.1,
    }


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ({"type": "function", "function": {"name": "f"}}, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
    ],
)
def test_a_tool_choice_keeps_its_meaning(choice, expected):
    written = body(tools=[TOOL], tool_choice=choice)
    assert written["toolConfig"] == {"functionCallingConfig": expected}
    assert written["tools"] == [
        {"functionDeclarations": [{"name": "f", "description": "d", "parametersJsonSchema": {"type": "object"}}]}
    ]


def test_effort_becomes_thinking_as_the_model_knows_it():
    assert body(NEW, reasoning_effort="low")["generationConfig"]["thinkingConfig"] == {
        "thinkingLevel": "low",
        "includeThoughts": True,
    }
    assert body(OLD, reasoning_effort="none")["generationConfig"]["thinkingConfig"] == {
        "thinkingBudget": 0,
        "includeThoughts": False,
    }


def test_a_schema_or_plain_json_becomes_the_kind_of_answer():
    schema = {"type": "object"}
    asked = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert body(response_format=asked)["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": schema,
    }
    assert body(response_format={"type": "json_object"})["generationConfig"] == {"responseMimeType": "application/json"}


def test_a_thought_signature_comes_back_with_its_call_and_a_lost_one_is_said_to_be():
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    kept = call | {"extra_content": {"google": {"thought_signature": "c2ln"}}}
    for sent, expected in ((kept, "c2ln"), (call, google._UNSIGNED)):
        written = body(messages=[{"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": [sent]}])
        assert written["contents"][1]["parts"][0]["thoughtSignature"] == expected


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"logprobs": True}, "logprobs"),
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"tools": [TOOL], "parallel_tool_calls": False}, "parallel_tool_calls"),
        ({"reasoning_effort": "xhigh"}, "reasoning_effort"),
    ],
)
def test_what_cannot_be_honored_is_refused_by_name(fields, named):
    with pytest.raises(Unsupported) as refused:
        body(**fields)
    assert refused.value.param == named


# Nothing is lost on the way there


def flat_native(contents, fetched):
    addresses = {media.data: url for url, media in fetched.items()}
    for content in contents:
        role = "assistant" if content["role"] == "model" else "user"
        for part in content["parts"]:
            match part:
                case {"text": text}:
                    yield (role, text)
                case {"inlineData": {"mimeType": kind, "data": data}}:
                    yield ("image", addresses.get(data) or f"data:{kind};base64,{data}")
                case {"functionCall": call}:
                    yield ("call", call["name"], call["args"])
                case {"functionResponse": result}:
                    yield ("result", result["response"]["result"])


@given(conversations)
def test_no_turn_call_or_image_is_lost(messages):
    chat = read({"model": "m", "messages": messages})
    fetched = {url: Media("image", "image/webp", "ZmV0Y2hlZA==") for url in chat.remote_media()}
    written = google.body(chat.with_media(fetched), native_model=NEW)
    expected = [(said[0], *said[2:]) if said[0] in ("call", "result") else said for said in flat(messages)]
    assert list(flat_native(written["contents"], fetched)) == expected
    assert all(one["role"] != other["role"] for one, other in pairwise(written["contents"]))
