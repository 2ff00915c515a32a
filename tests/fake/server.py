"""One strict server on loopback that plays the providers of the OpenAI wire. Each key says what it wants done to it.

It refuses what the real ones refuse, and writes down as a violation what must never reach a provider: cookies, headers
that tell of the client, a second credential, a client key, or a key in the address.
"""

import asyncio
import gzip
import json
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from multidict import CIMultiDictProxy

from tests.fake import answers
from tests.fake.stages import BEHAVIORS, STAGES, Stage

CREDENTIAL_HEADERS = {"authorization", "x-api-key", "api-key", "x-goog-api-key"}
UNWANTED_HEADERS = {"cookie", "forwarded", "via", "x-real-ip", "origin", "referer", "proxy-authorization"}
UNWANTED_PREFIXES = ("x-forwarded-", "x-keyhold-", "sec-", "cf-")
QUERY = {"api-version", "checklist"}

Act = Callable[[web.Request, "Received"], Awaitable[web.StreamResponse]]


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


class FakeProvider:
    """Runs in a thread and a loop of its own. `requests` are the last thousand that arrived."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.requests: deque[Received] = deque(maxlen=1000)
        self.violations: list[str] = []
        self._changed = threading.Condition()
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="fake-provider", daemon=True)

    # What tests use

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def azure_url(self) -> str:
        """An Azure resource, on a port of its own. Credentials that name it need EGRESS_ALLOW=127.0.0.1."""
        return f"http://127.0.0.1:{self._azure_port}"

    def overrides(self) -> dict[str, str]:
        """For UPSTREAM_OVERRIDES. With it every Azure credential ends here too, whatever resource it names."""
        bases = {slug: f"{self.url}{stage.base}" for slug, stage in STAGES.items()}
        return bases | {
            "azure": self.azure_url,
            "deepinfra:account": f"{self.url}/deepinfra",
            "baseten:management": f"{self.url}/baseten-management/v1",
        }

    def key(self, provider: str, behavior: str = "valid", number: int = 1) -> str:
        """A key to which `behavior` happens. Different numbers make different keys."""
        if behavior not in BEHAVIORS:
            raise ValueError(f"No such behavior: {behavior}")
        return STAGES[provider].key(behavior, number)

    @property
    def disconnects(self) -> int:
        """How many clients left before their answer was whole."""
        return sum(request.ending == "left" for request in self.requests)

    def wait_for(self, condition: Callable[[], bool], seconds: float = 5) -> bool:
        """Blocks until the condition holds; asked again whenever a request comes or ends. False when time is up."""
        with self._changed:
            return self._changed.wait_for(condition, seconds)

    def go(self) -> None:
        """Let the slow ones go on."""
        self._loop.call_soon_threadsafe(self._gate.set)

    def reset(self) -> None:
        self._loop.call_soon_threadsafe(self._gate.clear)
        self.requests.clear()
        self.violations.clear()

    def start(self) -> "FakeProvider":
        self._thread.start()
        self._ready.wait()
        return self

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    # The server

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._gate, self._stopping = asyncio.Event(), asyncio.Event()
        azure, others = STAGES["azure"], [stage for stage in STAGES.values() if stage.slug != "azure"]
        runners = [runner(self._app(*others)), runner(self._azure_app(azure))]
        self.port, self._azure_port = await start(runners[0], self.port), await start(runners[1], 0)
        self._ready.set()
        await self._stopping.wait()
        for running in runners:
            await running.cleanup()

    def _app(self, *stages: Stage) -> web.Application:
        app = web.Application(middlewares=[self._record], client_max_size=64 * 1024 * 1024)
        for stage in stages:
            app.router.add_post(f"{stage.base}/chat/completions", self._door(stage, self._chat))
            app.router.add_get(f"{stage.base}/models", self._door(stage, self._models))
            if stage.account:
                app.router.add_get(stage.account, self._door(stage, self._profile))
        return app

    def _azure_app(self, azure: Stage) -> web.Application:
        """A host of its own, as each Azure resource is; the classic addresses beside the v1 ones."""
        app = self._app(azure)
        app.router.add_get("/openai/models", self._door(azure, self._models))
        app.router.add_post("/openai/deployments/{deployment}/chat/completions", self._door(azure, self._chat))
        app.router.add_post("/models/chat/completions", self._door(azure, self._chat))
        return app

    @web.middleware
    async def _record(self, request: web.Request, handler: Any) -> web.StreamResponse:
        received = Received(
            request.method,
            request.path,
            dict(request.query),
            request.headers,
            request.transport and request.transport.get_extra_info("peername"),
        )
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
            with self._changed:
                self._changed.notify_all()

    def _door(self, stage: Stage, act: Act) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """What every request passes: nothing leaks, the key is known, and what the key asks for happens."""

        async def enter(request: web.Request) -> web.StreamResponse:
            received = request[RECEIVED]
            received.provider = stage.slug
            if leaks := list(find_leaks(stage, received)):
                self.violations += leaks
                return reply(stage, 400, f"Must not arrive: {', '.join(leaks)}")
            key = request.headers.get(stage.auth, "")
            key = key.removeprefix("Bearer ") if stage.auth == "authorization" else key
            behavior = stage.behavior(key)
            if stage.open_models and act == self._models:
                return await act(request, received)
            if behavior is None:
                return send(answers.refusal(stage, "refused", key))
            received.behavior = behavior
            return await self._behave(stage, behavior, key, act, request)

        return enter

    async def _behave(self, stage: Stage, behavior: str, key: str, act: Act, request: web.Request) -> web.StreamResponse:
        with self._changed:
            self._changed.notify_all()
        if behavior == "stalls":
            await self._stopping.wait()
        if behavior == "redirects":
            raise web.HTTPFound(f"{self.url}/elsewhere")
        if behavior == "html":
            return web.Response(text="<html><title>Sign in to the network</title></html>", content_type="text/html")
        if act == self._profile and behavior == "suspended":
            return send((200, answers.dump(profile(stage, request[RECEIVED])), {}))
        if refused := answers.refusal(stage, behavior, key):
            return send(refused)
        return await act(request, request[RECEIVED])

    async def _models(self, request: web.Request, received: Received) -> web.StreamResponse:
        return await self._whole(request, received, answers.models(STAGES[received.provider]))

    async def _profile(self, request: web.Request, received: Received) -> web.StreamResponse:
        return await self._whole(request, received, answers.dump(profile(STAGES[received.provider], received)))

    async def _chat(self, request: web.Request, received: Received) -> web.StreamResponse:
        stage = STAGES[received.provider]
        try:
            body = received.json()
        except ValueError:
            body = None
        if request.content_type != "application/json":
            return reply(stage, 400, "Send application/json.")
        if wrong := answers.complaint(stage, body, request.match_info.get("deployment", "")):
            return reply(stage, *wrong)
        if not body.get("stream"):
            return await self._whole(request, received, answers.chat(stage))
        if received.behavior == "errs":
            return await self._stream(request, received, answers.failing_events(stage))
        asked = (body.get("stream_options") or {}).get("include_usage")
        return await self._stream(request, received, answers.chat_events(stage, asked))

    async def _whole(self, request: web.Request, received: Received, body: bytes) -> web.StreamResponse:
        headers = {**answers.HEADERS, "content-type": "application/json"}
        if received.behavior == "slow":
            await self._gate.wait()
        if received.behavior == "compressed":
            body, headers["content-encoding"] = gzip.compress(body), "gzip"
        if received.behavior == "cuts":
            response = web.StreamResponse(headers={**headers, "content-length": str(len(body))})
            await response.prepare(request)
            await response.write(body[: len(body) // 2])
            cut(request)
        received.sent = body
        return web.Response(body=body, headers=headers)

    async def _stream(self, request: web.Request, received: Received, events: list[bytes]) -> web.StreamResponse:
        response = web.StreamResponse(headers={**answers.HEADERS, "content-type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        for number, event in enumerate(events):
            if number == 1 and received.behavior == "slow":
                await self._gate.wait()
            if number == len(events) // 2 and received.behavior == "cuts":
                cut(request)
            await response.write(event)
            received.sent += event
        await response.write_eof()
        return response


def runner(app: web.Application) -> web.AppRunner:
    return web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)


async def start(runner: web.AppRunner, port: int) -> int:
    """Serve on loopback; the port that was taken."""
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return int(runner.addresses[0][1])


def find_leaks(stage: Stage, received: Received) -> Any:
    """What must never reach a provider, in words."""
    for name in received.headers:
        lower = name.lower()
        if lower in UNWANTED_HEADERS or lower.startswith(UNWANTED_PREFIXES) or lower in CREDENTIAL_HEADERS - {stage.auth}:
            yield f"header {lower}"
    if len(received.headers.getall(stage.auth, [])) > 1:
        yield f"two headers {stage.auth}"
    if any("byok_" in value for value in received.headers.values()):
        yield "a client key"
    yield from (f"query {name}" for name in received.query if name not in QUERY)


def profile(stage: Stage, received: Received) -> dict[str, Any]:
    """The account page. DeepInfra shows its checklist only to those who ask."""
    shown = stage.suspension if received.behavior == "suspended" else stage.profile
    return {name: value for name, value in shown.items() if name != "checklist" or "checklist" in received.query}


def reply(stage: Stage, status: int, message: str) -> web.Response:
    return send((status, answers.dump(stage.error(status, answers.CODES[status], message)), {}))


def send(answer: tuple[int, bytes, Any] | None) -> web.Response:
    status, body, headers = answer or (500, b"", {})
    return web.Response(status=status, body=body, headers={**answers.HEADERS, **headers}, content_type="application/json")


def cut(request: web.Request) -> None:
    if request.transport:
        request.transport.abort()
    raise ConnectionResetError("The fake cut the connection")
