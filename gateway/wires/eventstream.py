"""The frames of an AWS event stream (application/vnd.amazon.eventstream), decoded as they arrive."""

import json
from collections.abc import Iterator

from botocore.eventstream import EventStreamBuffer, ParserError

from gateway.wires.values import BrokenAnswer, Json


class Frames:
    """`feed` gives (name, payload) of each frame that is complete; `exception` is True for those that tell of a failure."""

    def __init__(self) -> None:
        self._buffer = EventStreamBuffer()

    def feed(self, data: bytes) -> Iterator[tuple[str, Json, bool]]:
        """Raises BrokenAnswer for a frame whose checksum or payload is wrong."""
        self._buffer.add_data(data)
        try:
            for frame in self._buffer:
                headers = frame.headers
                failed = headers.get(":message-type") != "event"
                name = headers.get(":event-type") or headers.get(":exception-type") or headers.get(":error-code") or "error"
                yield str(name), json.loads(frame.payload or b"{}"), failed
        except (ParserError, ValueError):
            raise BrokenAnswer("a frame of the event stream is damaged") from None
