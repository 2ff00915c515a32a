"""One request and its answer over ASGI: the body with its limits, the client's leaving, the headers of every answer."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from types import TracebackType
from typing import Any, Self

import uuid_utils

from gateway.errors import Refusal, dialect_of
from gateway.headers import printable

type Scope = dict[str, Any]
type Message = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Mapping[str, Any]], Awaitable[None]]
type Headers = Iterable[tuple[str, str]]

BODY_SECONDS = 60.0
WRITE_SECONDS = 30.0
JSON = "application/json"
EVENTS = "text/event-stream; charset=utf-8"


class ClientGone(Exception):
    """The client closed its connection, or reads so slowly that we close it."""


class Exchange:
    """`trace` holds the headers that tell the program what happened; they go out with every answer."""

    __slots__ = ("_receive", "_send", "begun", "request_id", "scope", "trace")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self.begun = False
        self.request_id = str(uuid_utils.uuid7())
        self.trace: dict[str, str] = {}

    @property
    def method(self) -> str:
        return str(self.scope["method"])

    @property
    def path(self) -> str:
        return str(self.scope["path"])

    @property
    def address(self) -> str:
        """The client's, as far as the proxies of TRUSTED_PROXIES say. Headers of others are not read."""
        client = self.scope.get("client")
        return str(client[0]) if client else ""

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """As they came: names in lower case, duplicates kept."""
        headers: list[tuple[bytes, bytes]] = self.scope["headers"]
        return headers

    @property
    def dialect(self) -> str:
        """Whose words for errors the client understands."""
        return dialect_of(self.path)

    def header(self, name: bytes) -> str:
        """The first header of that name, or nothing."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), "")

    async def body(self, limit: int) -> bytes:
        """The whole body."""
        parts: list[bytes] = []
        await self.take_body(limit, parts.append)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def take_body(self, limit: int, take: Callable[[bytes], object]) -> None:
        """Hands each piece of the body to `take` as it arrives, and counts, whatever Content-Length says."""
        if self.header(b"content-encoding").lower() not in ("", "identity"):
            raise Refusal(415, "unsupported_encoding", "Send the body uncompressed, without Content-Encoding.")
        try:
            async with asyncio.timeout(BODY_SECONDS):
                await self._read(limit, take)
        except TimeoutError:
            raise Refusal(408, "body_timeout", f"The request's body did not arrive within {BODY_SECONDS:.0f} seconds.") from None

    async def _read(self, limit: int, take: Callable[[bytes], object]) -> None:
        announced = self.header(b"content-length")
        size = int(announced) if announced.isdecimal() and len(announced) < 16 else 0
        if size <= limit:
            size, more = 0, True
            while more and size <= limit:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                piece = message.get("body", b"")
                size += len(piece)
                more = message.get("more_body", False)
                if size <= limit:
                    take(piece)
        if size > limit:
            raise Refusal(413, "request_too_large", f"The body is larger than {limit // 1_000_000} MB, the limit here.")

    async def answer(self, status: int, body: bytes, headers: Headers = (), content_type: str = JSON) -> None:
        """A whole answer at once."""
        head = self._head(status, content_type, [*headers, ("content-length", str(len(body)))])
        await self._deliver(head, {"type": "http.response.body", "body": body})

    async def refuse(self, refusal: Refusal) -> None:
        await self.answer(refusal.status, refusal.body(self.dialect), refusal.headers.items())

    async def begin(self, content_type: str, headers: Headers = (), *, status: int = 200) -> None:
        """The head of an answer in pieces; `write` sends the rest."""
        unbuffered = (("cache-control", "no-cache"), ("x-accel-buffering", "no"))
        await self._deliver(self._head(status, content_type, [*headers, *unbuffered]))

    async def write(self, chunk: bytes, *, more: bool = True) -> None:
        await self._deliver({"type": "http.response.body", "body": chunk, "more_body": more})

    def _head(self, status: int, content_type: str, headers: Headers) -> Message:
        ours = (
            ("content-type", content_type),
            ("x-content-type-options", "nosniff"),
            ("x-request-id", self.request_id),
            *([("request-id", self.request_id)] if self.dialect == "anthropic" else []),
            *self.trace.items(),
        )
        self.begun = True
        encoded = [(name.encode(), printable(value).encode()) for name, value in (*ours, *headers)]
        return {"type": "http.response.start", "status": status, "headers": encoded}

    async def _deliver(self, *messages: Message) -> None:
        """A client that takes longer than WRITE_SECONDS to read is let go."""
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                for message in messages:
                    await self._send(message)
        except (TimeoutError, OSError):
            raise ClientGone from None

    def until_client_leaves(self) -> "UntilClientLeaves":
        """Inside this block, once the body is read, the client's leaving cancels what is awaited and raises ClientGone."""
        return UntilClientLeaves(self._receive)


class UntilClientLeaves:
    """Works like asyncio.timeout, with a disconnect for a clock."""

    __slots__ = ("_cancelling", "_left", "_receive", "_task", "_watcher")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._left = False

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._watcher = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._watcher.cancel()
        if self._left and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise ClientGone from None

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left = True
        self._task.cancel()


def milliseconds_since(start: float) -> int:
    """From a reading of time.perf_counter()."""
    return round((time.perf_counter() - start) * 1000)
