"""A chat put to a provider that speaks another dialect than OpenAI's, and its answer put back."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

import msgspec

from gateway.errors import Refusal, scrub
from gateway.speech import EVENT_STREAM, Speech
from gateway.wires import (
    anthropic,
    anthropic_stream,
    converse,
    converse_stream,
    google,
    google_stream,
    responses,
    responses_stream,
)
from gateway.wires.chat_answer import ChunkWriter, completion, encoded
from gateway.wires.values import BrokenAnswer, Chat, Json, Usage, json_object
from keys.providers import Provider, Wire

FRAMES = "application/vnd.amazon.eventstream"


class WireStream(Protocol):
    """What each gateway/wires/*_stream.py has."""

    failure: str | None
    finished: bool

    @property
    def usage(self) -> Usage | None: ...

    def feed(self, data: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class ForeignWire:
    dialect: ModuleType
    stream: Callable[[ChunkWriter], WireStream]
    stream_type: str = EVENT_STREAM


WIRES = {
    Wire.ANTHROPIC: ForeignWire(anthropic, anthropic_stream.Stream),
    Wire.GOOGLE: ForeignWire(google, google_stream.Stream),
    Wire.CONVERSE: ForeignWire(converse, converse_stream.Stream, FRAMES),
    Wire.RESPONSES: ForeignWire(responses, responses_stream.Stream),
}
STREAM_FIELD = {Wire.ANTHROPIC, Wire.RESPONSES}
"""Dialects that ask for a stream in the body; the others have an address for it."""


@dataclass(frozen=True, slots=True)
class Answering:
    """What the client's answer says of itself, whoever serves it."""

    id: str
    model: str
    created: int
    stream: bool
    include_usage: bool

    def writer(self) -> ChunkWriter:
        return ChunkWriter(id=self.id, model=self.model, created=self.created, include_usage=self.include_usage)


def translated(chat: Chat, provider: Provider, wire: Wire, native_model: str, answering: Answering) -> Speech:
    """Raises Unsupported."""
    foreign = WIRES[wire]
    body: Json = foreign.dialect.body(chat, native_model=native_model)
    if answering.stream and wire in STREAM_FIELD:
        body["stream"] = True
    if wire is Wire.ANTHROPIC:
        body = anthropic.hosted(body, provider.slug)

    @reading()
    def whole(answer: bytes) -> tuple[bytes, Usage | None]:
        reply = foreign.dialect.reply(json_object(answer))
        return encoded(completion(reply, id=answering.id, model=answering.model, created=answering.created)), reply.usage

    return Speech(
        body=msgspec.json.encode(body),
        whole=whole,
        reader=lambda: TranslatedStream(foreign.stream(answering.writer())),
        stream_type=foreign.stream_type,
        headers={"accept": foreign.stream_type if answering.stream else "application/json"},
    )


@contextmanager
def reading() -> Iterator[None]:
    """While a provider's words are read, whatever goes wrong is their fault: raises BrokenAnswer and nothing else."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError):
        raise BrokenAnswer("the answer makes no sense") from None


class TranslatedStream:
    """Gives the walk what it asks of a stream; what the provider says goes through the wire's own reader."""

    def __init__(self, stream: WireStream) -> None:
        self._stream = stream
        self.events = 0
        self.error: bytes | None = None

    @property
    def done(self) -> bool:
        return self._stream.finished

    @property
    def usage(self) -> Usage | None:
        try:
            with reading():
                return self._stream.usage
        except BrokenAnswer:
            return None

    @property
    def begins_with_error(self) -> bool:
        return self.error is not None and self.events == 0

    def feed(self, chunk: bytes) -> tuple[bytes, bytes]:
        """A provider that speaks no sense has failed. What failed is told in OpenAI's words, and nothing after it."""
        if self.error is not None:
            return b"", b""
        try:
            with reading():
                written, failure = self._stream.feed(chunk), self._stream.failure
        except BrokenAnswer:
            written, failure = b"", "The provider's stream is damaged."
        self.events += written.count(b"\n\n")
        if failure is not None:
            self.error = Refusal(502, "provider_trouble", scrub(failure), kind="provider_error").body()
            written += b"data: " + self.error + b"\n\n"
        return (b"", written) if self.done or self.error else (written, b"")

    def rest(self) -> bytes:
        return b"" if self.error is not None else self._stream.finish()
