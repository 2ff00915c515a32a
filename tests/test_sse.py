"""The stream's reader: no chunk boundary changes what it finds or relays."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import sse
from gateway.sse import EventTooLong, Splitter, data_of
from gateway.wires.openai import ChatStream
from gateway.wires.values import Usage

USAGE = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}
TOLD = Usage(input_tokens=12, output_tokens=5)


def chunk(**members: object) -> bytes:
    return b"data: " + msgspec.json.encode({"id": "c", "choices": [{"delta": {"content": "hi"}}], **members}) + b"\n\n"


WORDS = [chunk(), chunk(usage=None), b": a comment\n\n", b"event: ping\ndata: {}\n\n", chunk(note='"usage" and "error"')]
ASKED_FOR = chunk(choices=[], usage=USAGE)
DONE = b"data: [DONE]\n\n"
LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@st.composite
def chunks_of(draw: st.DrawFn, stream: bytes) -> list[bytes]:
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    return [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


def relayed(chunks: list[bytes], *, takes_usage_out: bool) -> tuple[bytes, bytes, ChatStream]:
    stream = ChatStream(takes_usage_out=takes_usage_out)
    pieces = [stream.feed(piece) for piece in chunks]
    return b"".join(now for now, _ in pieces), b"".join(last for _, last in pieces) + stream.rest(), stream


@given(st.data(), st.lists(st.sampled_from(WORDS)), st.booleans())
def test_only_the_usage_that_we_asked_for_is_taken_out(data: st.DataObject, words: list[bytes], ours: bool) -> None:
    now, last, stream = relayed(data.draw(chunks_of(b"".join([*words, ASKED_FOR, DONE]))), takes_usage_out=ours)
    assert now == b"".join(words if ours else [*words, ASKED_FOR])
    assert last == DONE
    assert stream.usage == TOLD


@given(st.data(), st.lists(st.tuples(st.sampled_from(WORDS), LINE_ENDS), max_size=6))
def test_lines_may_end_in_any_way(data: st.DataObject, words: list[tuple[bytes, bytes]]) -> None:
    events = [event.replace(b"\n", end) for event, end in words]
    closing = [ASKED_FOR.replace(b"\n", b"\r\n"), DONE.replace(b"\n", b"\r\n")]
    now, last, stream = relayed(data.draw(chunks_of(b"".join(events + closing))), takes_usage_out=True)
    assert now + last == b"".join(events) + closing[1]
    assert stream.usage == TOLD


@given(st.data(), st.binary(max_size=200) | st.text("dat: {}\r\n", max_size=200).map(str.encode))
def test_whatever_comes_is_relayed_whole(data: st.DataObject, stream: bytes) -> None:
    splitter = Splitter()
    events = [event for piece in data.draw(chunks_of(stream)) for event in splitter.feed(piece)]
    assert b"".join(events) + splitter.rest() == stream


@given(st.data())
def test_usage_in_the_last_chunk_of_an_answer_stays_there(data: st.DataObject) -> None:
    groq = chunk(usage=USAGE)
    now, last, stream = relayed(data.draw(chunks_of(chunk() + groq + DONE)), takes_usage_out=True)
    assert (now, last, stream.usage) == (chunk() + groq, DONE, TOLD)


def test_done_and_what_follows_wait_for_the_books() -> None:
    stream = ChatStream(takes_usage_out=True)
    assert stream.feed(chunk() + DONE + b": bye\n\n") == (chunk(), DONE + b": bye\n\n")
    assert stream.feed(b": again\n\n") == (b"", b": again\n\n")
    assert stream.done


def test_an_event_that_was_never_ended_is_kept_for_the_end() -> None:
    stream = ChatStream(takes_usage_out=True)
    assert stream.feed(chunk() + b"data: {") == (chunk(), b"")
    assert stream.rest() == b"data: {"
    assert stream.events == 1


@pytest.mark.parametrize(("before", "begins"), [(b"", True), (b": wait\n\n", True), (chunk(), False)])
def test_an_error_event_waits_for_the_books(before: bytes, begins: bool) -> None:
    error = b'event: error\ndata: {"error":{"message":"no","code":"tool_use_failed"}}\n\n'
    stream = ChatStream(takes_usage_out=True)
    assert stream.feed(before + error) == (before, error)
    assert stream.begins_with_error is begins
    assert stream.error == b'{"error":{"message":"no","code":"tool_use_failed"}}'


def test_words_about_errors_are_no_error() -> None:
    stream = ChatStream(takes_usage_out=True)
    stream.feed(chunk(choices=[{"delta": {"content": 'say "error" and "usage" and [DONE]'}}]) + chunk(error=None))
    assert (stream.error, stream.usage, stream.done) == (None, None, False)


def test_an_event_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "EVENT_BYTES", 100)
    splitter = Splitter()
    splitter.feed(b"data: " + b"x" * 90)
    with pytest.raises(EventTooLong):
        splitter.feed(b"x" * 90)


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: one\n\n", b"one"),
        (b"data:one\n\n", b"one"),
        (b"data:  one\n\n", b" one"),
        (b"event: x\r\ndata: one\r\ndata: two\r\n\r\n", b"one\ntwo"),
        (b": comment\n\n", None),
        (b"database: none\n\n", None),
    ],
)
def test_data_is_read_as_the_standard_says(event: bytes, data: bytes | None) -> None:
    assert data_of(event) == data
