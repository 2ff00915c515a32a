"""What all providers on stage share: what arrived, what leaked, and how an answer is sent as its key asks."""

import asyncio
import gzip
import json
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from aiohttp import web
from multidict import CIMultiDictProxy

from tests.fake import replay
from tests.fake.behaviors import ALIASES, REFUSING, behavior_of, key

CREDENTIAL_HEADERS = {"authorization", "x-api-key", "api-key", "x-goog-api-key"}
UNWANTED_HEADERS = {"cookie", "forwarded", "via", "x-real-ip", "origin", "referer", "proxy-authorization"}
UNWANTED_PREFIXES = ("x-forwarded-", "x-keyhold-", "sec-", "cf-")
HEADERS = {"server": "cloudflare", "set-cookie": "__cf_bm=tracking; path=/; HttpOnly", "x-request-id": "req_fake"}
HTML = "<html><title>Sign in to the network</title></html>"


@dataclass
class Received:
    """One request. `peer` tells connections apart; `ending` is open, answered, left (by the client) or cut (by us)."""

    method: str
    path: str
    query: dict[str, str]
    headers: CIMultiDictProxy[str]
    peer: Any
    body: bytes = b""
    provider: str = ""
    behavior: str = ""
    sent: bytes = b""
    ending: str = "open"

    def json(self) -> Any:
        return json.loads(self.body)


RECEIVED = web.RequestKey("received", Received)

Act = Callable[[web.Request, Received], Awaitable[web.StreamResponse]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Route = tuple[str, str, Act]


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})


class Refusal(Exception):
    """Ends a request with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Floor:
    """`clock` may be moved. `chosen` are the recordings that tests asked for, by provider."""

    def __init__(self) -> None:
        self.requests: deque[Received] = deque(maxlen=1000)
        self.violations: list[str] = []
        self.clock: Callable[[], float] = time.time
        self.chosen: dict[str, replay.Recording] = {}
        self.changed = threading.Condition()

    def open(self) -> None:
        """In the loop that serves."""
        self.gate, self.stopping = asyncio.Event(), asyncio.Event()

    def clear(self) -> None:
        self.requests.clear()
        self.violations.clear()
        self.chosen.clear()
        self.clock = time.time

    def notify(self) -> None:
        with self.changed:
            self.changed.notify_all()

    @web.middleware
    async def record(self, request: web.Request, handler: Any) -> web.StreamResponse:
        peer = request.transport and request.transport.get_extra_info("peername")
        received = Received(request.method, request.path, dict(request.query), request.headers, peer)
        request[RECEIVED] = received
        self.requests.append(received)
        try:
            received.body = await request.read()
            response = await handler(request)
            received.ending = "answered"
            return response
        except (asyncio.CancelledError, ConnectionResetError):
            received.ending = "cut" if received.behavior == "cuts" else "left"
            raise
        finally:
            self.notify()

    async def behave(self, behavior: str) -> None:
        """What has nothing to do with what was asked."""
        self.notify()
        if behavior == "stalls":
            await self.stopping.wait()
        if behavior == "redirects":
            raise Refusal(Answer(302, b"", {"location": "/elsewhere"}))
        if behavior == "html":
            raise Refusal(Answer(200, HTML.encode(), {"content-type": "text/html"}))

    async def whole(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        received, body = request[RECEIVED], answer.body
        headers = {"content-type": "application/json", **answer.headers}
        if received.behavior == "slow":
            await self.gate.wait()
        if received.behavior == "compressed":
            body, headers["content-encoding"] = gzip.compress(body), "gzip"
        if received.behavior == "cuts":
            response = web.StreamResponse(headers={**headers, "content-length": str(len(body))})
            await response.prepare(request)
            await response.write(body[: len(body) // 2])
            cut(request)
        received.sent = body
        return web.Response(status=answer.status, body=body, headers=headers)

    async def stream(self, request: web.Request, events: list[bytes], headers: Mapping[str, str]) -> web.StreamResponse:
        received = request[RECEIVED]
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        for number, event in enumerate(events):
            if number == 1 and received.behavior == "slow":
                await self.gate.wait()
            if number == len(events) // 2 and received.behavior == "cuts":
                cut(request)
            received.sent += event
            await response.write(event)
        await response.write_eof()
        return response


class Play:
    """One provider, as it looks from outside. A family of them overrides what differs.

    credentials: the headers in which a key may come, one of them at a time. query: the names that may be in an address.
    refusals: behavior → status, kind of error, message. headers: what every answer carries.
    """

    slug = ""
    prefix = ""
    models: tuple[str, ...] = ()
    folder = ""
    credentials = frozenset({"authorization"})
    query: frozenset[str] = frozenset()
    refusals: Mapping[str, tuple[int, str, str]] = MappingProxyType({})
    headers: Mapping[str, str] = HEADERS
    stream_type = "text/event-stream; charset=utf-8"

    def __init__(self, floor: Floor) -> None:
        self.floor = floor

    def routes(self) -> Iterable[Route]:
        raise NotImplementedError

    def error(self, status: int, kind: str, message: Any) -> Any:
        """The body of an error. `message` is a text but where a provider sends a list."""
        raise NotImplementedError

    def mount(self, app: web.Application) -> None:
        for method, path, act in self.routes():
            app.router.add_route(method, path, self.door(act))

    def door(self, act: Act) -> Handler:
        """What every request passes: nothing leaks, the key is known, and what the key asks for happens."""

        async def enter(request: web.Request) -> web.StreamResponse:
            received = request[RECEIVED]
            received.provider = self.slug
            try:
                self.refuse_leaks(received)
                key = self.admit(request, received, act)
                await self.floor.behave(received.behavior)
                if refused := self.refused(received, key, act):
                    raise Refusal(refused)
                return await act(request, received)
            except Refusal as refusal:
                answer = refusal.answer
                headers = {**self.headers, "content-type": "application/json", **answer.headers}
                return web.Response(status=answer.status, body=answer.body, headers=headers)

        return enter

    # Who knocks

    def key(self, behavior: str, number: int) -> str:
        return key(self.prefix, self.slug, behavior, number)

    def behavior(self, key: str) -> str | None:
        """What a key is made to do; None for a key that this provider never gave out."""
        return behavior_of(key, self.prefix, self.slug)

    def refuse_leaks(self, received: Received) -> None:
        if leaks := list(find_leaks(self, received)):
            self.floor.violations += leaks
            raise self.fails(400, "invalid_request_error", f"Must not arrive: {', '.join(leaks)}")

    def admit(self, request: web.Request, received: Received, act: Act) -> str:
        """The key that came. Says in `received` what it is made to do. Raises Refusal for a stranger's."""
        key = self.shown_key(request)
        behavior = self.behavior(key)
        if behavior is None:
            raise Refusal(self.refusal("refused", key))
        received.behavior = behavior
        return key

    def shown_key(self, request: web.Request) -> str:
        shown = next((value for name in self.credentials if (value := request.headers.get(name))), "")
        return shown.removeprefix("Bearer ")

    def refused(self, received: Received, key: str, act: Act) -> Answer | None:
        return self.refusal(received.behavior, key) if received.behavior in REFUSING else None

    def refusal(self, behavior: str, key: str) -> Answer:
        shown = f" Your key was {key}." if behavior == "echoes" else ""
        while behavior not in self.refusals:
            behavior = ALIASES[behavior]
        status, kind, message = self.refusals[behavior]
        return self.says(status, kind, message + shown)

    # What is answered

    def says(self, status: int, kind: str, message: Any) -> Answer:
        headers = {"retry-after": "7"} if status == 429 else {}
        return Answer(status, replay.dump(self.error(status, kind, message)), headers)

    def fails(self, status: int, kind: str, message: Any) -> Refusal:
        return Refusal(self.says(status, kind, message))

    def read_json(self, request: web.Request, received: Received) -> dict[str, Any]:
        """The body as an object. Raises Refusal."""
        if request.content_type != "application/json":
            raise self.fails(400, "invalid_request_error", "Send application/json.")
        try:
            body = received.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise self.fails(400, "invalid_request_error", "We could not parse the JSON body of your request.")
        return body

    async def tell(self, request: web.Request, value: Any, status: int = 200, **headers: str) -> web.StreamResponse:
        """An answer in JSON."""
        more = {name.replace("_", "-"): text for name, text in headers.items()}
        return await self.floor.whole(request, Answer(status, replay.dump(value), {**self.headers, **more}))

    async def perform(self, request: web.Request, name: str, folder: str = "") -> web.StreamResponse:
        """Replay this recording, or the one that the test asked for."""
        recording = self.floor.chosen.get(self.slug) or replay.load(folder or self.folder or self.slug, name)
        if "json" in recording:
            return await self.tell(request, recording["json"], recording["status"])
        return await self.pour(request, self.events(recording))

    async def pour(self, request: web.Request, events: list[bytes]) -> web.StreamResponse:
        return await self.floor.stream(request, events, {**self.headers, "content-type": self.stream_type})

    def events(self, recording: replay.Recording) -> list[bytes]:
        """A recorded stream, one bytes object an event."""
        return replay.events(recording)


def find_leaks(play: Play, received: Received) -> Iterable[str]:
    """What must never reach a provider, in words."""
    for name in received.headers:
        lower = name.lower()
        unknown = lower in CREDENTIAL_HEADERS - play.credentials
        if lower in UNWANTED_HEADERS or lower.startswith(UNWANTED_PREFIXES) or unknown:
            yield f"header {lower}"
    shown = [name for name in sorted(play.credentials) for _ in received.headers.getall(name, [])]
    if len(shown) > 1:
        yield f"two headers {' and '.join(dict.fromkeys(shown))}"
    if any("byok_" in value for value in received.headers.values()):
        yield "a client key"
    yield from (f"query {name}" for name in received.query if name not in play.query)


def cut(request: web.Request) -> None:
    if request.transport:
        request.transport.abort()
    raise ConnectionResetError("The fake cut the connection")
