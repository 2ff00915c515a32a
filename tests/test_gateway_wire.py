"""What is read of a request and an answer in OpenAI's words, and what leaves for the provider."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import MESSAGE_LENGTH, Refusal, scrub, word
from gateway.operations import chat
from gateway.wires import openai
from gateway.wires.values import BrokenAnswer, Usage

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def request(**members: Any) -> chat.ChatRequest:
    return chat.read_request(json.dumps({"model": "openai/gpt-4o", **members}).encode())


def test_every_byte_of_a_value_reaches_the_provider() -> None:
    body = (
        '{ "temperature":1.0 , "seed":1e0,"big":1234567890123456781,"t":"\\u00e9é","model":"openai/gpt-4o","x":[1 , {"a":  2}]}'
    )
    assert chat.read_request(body.encode()).body_for("gpt-4o").decode() == (
        '{"temperature":1.0,"seed":1e0,"big":1234567890123456781,"t":"\\u00e9é","model":"gpt-4o","x":[1 , {"a":  2}]}'
    )


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_nothing_but_the_model_changes(members: dict[str, Any]) -> None:
    reserved = ("model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n")
    kept = {name: value for name, value in members.items() if name not in reserved}
    sent = json.loads(request(**kept).body_for("native"))
    assert sent == {**kept, "model": "native"}


@pytest.mark.parametrize(
    ("options", "sent", "adds"),
    [
        (None, {"include_usage": True}, True),
        ({"include_usage": False}, {"include_usage": True}, True),
        ({"include_obfuscation": False}, {"include_obfuscation": False, "include_usage": True}, True),
        ({"include_usage": True}, {"include_usage": True}, False),
    ],
)
def test_a_stream_always_asks_for_usage(options: Any, sent: Any, adds: bool) -> None:
    read = request(stream=True, stream_options=options)
    assert read.adds_usage is adds
    assert json.loads(read.body_for("gpt-4o"))["stream_options"] == sent


def test_a_name_that_stands_twice_is_sent_once() -> None:
    read = chat.read_request(b'{"model":"openai/o1","mod\\u0065l":"openai/gpt-4o"}')
    assert (read.model, read.body_for("gpt-4o")) == ("openai/gpt-4o", b'{"model":"gpt-4o"}')


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        (b"", None, "not JSON"),
        (b"{", None, "not JSON"),
        (b"[1]", None, "JSON object"),
        (b'{"a":' + b"[" * 100_000, None, "not JSON"),
        (b"{}", "model", "`model` must be a name"),
        (b'{"model":""}', "model", "`model` must be a name"),
        (b'{"model":null}', "model", "`model` must be a name"),
        (b'{"model":"openai/gpt\\u0000"}', "model", "`model` must be a name"),
        (b'{"model":7}', "model", "`model` must be a string"),
        (b'{"model":"' + b"x" * 300 + b'"}', "model", "at most 200"),
        (b'{"model":"m","stream":"yes"}', "stream", "`stream` must be true or false"),
        (b'{"model":"m","stream_options":[]}', "stream_options", "`stream_options` must be an object"),
        (b'{"model":"m","stream_options":{"include_usage":1}}', "stream_options", "`stream_options` must be"),
        (b'{"model":"m","max_tokens":"9"}', "max_tokens", "`max_tokens` must be a whole number"),
        (b'{"model":"m","max_completion_tokens":1.5}', "max_completion_tokens", "`max_completion_tokens` must be"),
    ],
)
def test_a_request_that_cannot_be_read_is_refused_by_name(body: bytes, param: str | None, words: str) -> None:
    with pytest.raises(Refusal) as caught:
        chat.read_request(body)
    assert (caught.value.status, caught.value.param) == (400, param)
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("members", "most"),
    [({}, 0), ({"max_tokens": 9}, 9), ({"max_tokens": 9, "max_completion_tokens": 12}, 12), ({"max_tokens": -5}, 0)],
)
def test_the_estimate_of_output_is_what_the_client_allows(members: Any, most: int) -> None:
    assert request(**members).max_tokens == most


OPENAI_USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "total_tokens": 150,
    "prompt_tokens_details": {"cached_tokens": 40},
    "completion_tokens_details": {"reasoning_tokens": 30},
}
GROK_USAGE = {
    "prompt_tokens": 12,
    "completion_tokens": 1,
    "total_tokens": 303,
    "prompt_tokens_details": {"cached_tokens": 11},
    "completion_tokens_details": {"reasoning_tokens": 290},
    "cost_in_usd_ticks": 1466250,
}


@pytest.mark.parametrize(
    ("wire", "usage"),
    [
        (OPENAI_USAGE, Usage(100, 50, 40, 30)),
        (GROK_USAGE, Usage(12, 291, 11, 290, reported_cost_microusd=147)),
        ({"prompt_tokens": 3, "completion_tokens": 4, "estimated_cost": 0.0000255}, Usage(3, 4, reported_cost_microusd=26)),
        ({"prompt_tokens": 3, "prompt_tokens_details": None}, Usage(3)),
        ({"prompt_tokens": 3, "estimated_cost": 1e308}, Usage(3)),
        ({"prompt_tokens": "three"}, None),
        ([], None),
    ],
)
def test_usage_means_the_same_for_every_provider(wire: Any, usage: Usage | None) -> None:
    assert openai.read_usage(json.dumps(wire).encode()) == usage


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"choices":[', b"[]", b'"text"', b'{"error":{"message":"no"}}'])
def test_what_is_no_completion_is_not_taken_for_one(body: bytes) -> None:
    with pytest.raises(BrokenAnswer):
        openai.read_completion(body)


@pytest.mark.parametrize("body", [b'{"choices":[]}', b'{"choices":null,"error":null,"usage":null}'])
def test_a_completion_without_usage_is_one(body: bytes) -> None:
    assert openai.read_completion(body).tokens is None


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (b'{"error":{"message":"no","code":"bad","type":"t","param":"p"}}', "no", "bad"),
        (b'{"error":"no"}', "no", None),
        (b'{"code":"Some sentence","error":"no"}', "no", None),
        (b'{"detail":"no"}', "no", None),
        (b'{"detail":{"error":"no"}}', None, None),
        (b'{"message":"no"}', "no", None),
        (b"<html>", None, None),
    ],
)
def test_errors_of_every_shape_are_understood(body: bytes, message: str | None, code: str | None) -> None:
    told = openai.read_error(body)
    assert (told.message, told.code) == (message, code)


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-abcDEF0123456789",
        "sk-ab****wxyz",
        "xa***Q9",
        "gsk_0123456789abcdef",
        "byok_live_0123456789ab_canary",
        "AKIAIOSFODNN7EXAMPLE",
        "AIzaSyA-0123456789",
        "0123456789abcdef0123456789abcdef",
    ],
)
def test_nothing_like_a_key_is_repeated(key: str) -> None:
    assert key not in scrub(f"Incorrect API key provided: {key}. Authorization: Bearer {key}")


def test_the_credential_itself_is_removed_whatever_it_looks_like() -> None:
    assert scrub("You sent plainword, twice: plainword", ["plainword"]) == "You sent [removed], twice: [removed]"


def test_words_of_use_are_kept() -> None:
    text = "This model's maximum context length is 128000 tokens: claude-sonnet-4-5-20250929, max_completion_tokens."
    assert scrub(text) == text
    assert len(scrub("many words " * 1000)) == MESSAGE_LENGTH + 1


@pytest.mark.parametrize(
    ("value", "kept"),
    [("context_length_exceeded", "context_length_exceeded"), ("messages.[0].content", "messages.[0].content")]
    + [(value, None) for value in (7, None, "two words", "sk-proj-abcdefgh", "x" * 100)],
)
def test_codes_are_passed_on_only_as_plain_words(value: Any, kept: str | None) -> None:
    assert word(value) == kept
