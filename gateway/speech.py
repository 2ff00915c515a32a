"""What a request is to the walk, and how it is put to one provider: each path of the gateway brings its own Request."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gateway.errors import Refusal
from gateway.wires.values import Media, Usage
from keys.preferences import Preferences
from keys.providers import Provider, Wire

EVENT_STREAM = "text/event-stream"

type Fetch = Callable[[Mapping[str, str]], Awaitable[Mapping[str, Media]]]
"""Gets remote media through the egress: by address, each with its place in the request. Raises Refusal."""


class Reader(Protocol):
    """Reads a stream while it is relayed. `events` counts those that say something, about one a token.

    `feed` gives (bytes to relay now, bytes to relay once the attempt is written down), `rest` what is left at the end.
    `done` tells that the answer is whole, at the latest after `rest`. `error` is the data of an error event, which is
    relayed like any other; `begins_with_error` tells that nothing else came before it.
    """

    @property
    def events(self) -> int: ...
    @property
    def done(self) -> bool: ...
    @property
    def error(self) -> bytes | None: ...
    @property
    def usage(self) -> Usage | None: ...
    @property
    def begins_with_error(self) -> bool: ...

    def feed(self, chunk: bytes) -> tuple[bytes, bytes]: ...

    def rest(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Speech:
    """One request in one provider's words. `whole` reads an answer that is no stream and raises BrokenAnswer.

    headers: those of this body alone. free_form: the provider may answer in text, or at once where a stream was asked for.
    """

    body: bytes | AsyncIterator[bytes]
    whole: Callable[[bytes], tuple[bytes, Usage | None]]
    reader: Callable[[], Reader]
    stream_type: str = EVENT_STREAM
    headers: Mapping[str, str] = field(default_factory=dict)
    free_form: bool = False


class Request(Protocol):
    """What a client asks. `operation` is a name of keys/providers/paths.py.

    max_tokens: of each answer, 0 where it set no limit. answers: how many it asks for.
    """

    @property
    def operation(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def stream(self) -> bool: ...
    @property
    def size(self) -> int: ...
    @property
    def max_tokens(self) -> int: ...
    @property
    def answers(self) -> int: ...
    @property
    def wishes(self) -> Preferences:
        """What it says of routing. Raises Refusal that names the field."""
        ...

    async def speech(self, provider: Provider, wire: Wire, native_model: str, fetch: Fetch) -> Speech:
        """Raises Refusal for what the provider cannot honor."""
        ...

    def error_event(self, refusal: Refusal) -> bytes:
        """How a stream that has begun tells that it cannot go on."""
        ...
