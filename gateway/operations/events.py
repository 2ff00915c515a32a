"""Server-sent events that are relayed as they are, and read on the way for what they say about the whole."""

from contextlib import suppress

from gateway.operations.translation import reading
from gateway.sse import Splitter, data_of
from gateway.wires.values import BrokenAnswer, Json, Usage, json_object


class EventReader:
    """A Reader. Each dialect says in `look` what an event tells, and in `skips` which ones tell nothing.

    From the event on that ends the answer or makes it fail, bytes wait until the attempt is written down.
    """

    def __init__(self) -> None:
        self._splitter = Splitter()
        self._first = b""
        self.events = 0
        self.done = False
        self.error: bytes | None = None
        self.usage: Usage | None = None

    @property
    def begins_with_error(self) -> bool:
        return self.error is not None and self.error is self._first

    def feed(self, chunk: bytes) -> tuple[bytes, bytes]:
        now: list[bytes] = []
        last: list[bytes] = []
        for event in self._splitter.feed(chunk):
            self.read(data_of(event))
            (last if self.done or self.error else now).append(event)
        return b"".join(now), b"".join(last)

    def rest(self) -> bytes:
        return self._splitter.rest()

    def read(self, data: bytes | None) -> None:
        """What cannot be read is the client's to judge."""
        if not data:
            return
        self.events += 1
        self._first = self._first or data
        if not self.skips(data):
            with suppress(BrokenAnswer), reading():
                self.look(json_object(data), data)

    def skips(self, data: bytes) -> bool:
        """Whether a look at the bytes is enough to know that the event is a piece of the answer and no more."""
        return False

    def look(self, event: Json, data: bytes) -> None:
        """Note usage, the end, or an error."""
        raise NotImplementedError
