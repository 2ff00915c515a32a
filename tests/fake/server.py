"""One strict server on loopback that plays the thirteen providers. Each key says what it wants done to it.

It refuses what the real ones refuse, and writes down as a violation what must never reach a provider: cookies, headers
that tell of the client, a second credential, a client key, or a key in the address.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable

from aiohttp import web

from keys.providers.base import Credential
from tests.fake import aistudio, anthropic, bedrock, credentials, fal, openai_wire, perplexity, pollo, replay, vertex
from tests.fake.behaviors import BEHAVIORS
from tests.fake.floor import Floor, Play, Received

__all__ = ["FakeProvider", "Received"]


class FakeProvider:
    """Runs in a thread and a loop of its own. `requests` are the last thousand that arrived."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.floor = Floor()
        self._plays: dict[str, Play] = {play.slug: play for play in everyone(self.floor)}
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

    @property
    def requests(self) -> deque[Received]:
        return self.floor.requests

    @property
    def violations(self) -> list[str]:
        return self.floor.violations

    def overrides(self) -> dict[str, str]:
        """For UPSTREAM_OVERRIDES. With it every Azure credential ends here too, whatever resource it names."""
        return {service: f"{self.url}{base}" for service, base in BASES.items()} | {"azure": self.azure_url}

    def models(self, provider: str) -> tuple[str, ...]:
        return self._plays[provider].models

    def key(self, provider: str, behavior: str = "valid", number: int = 1) -> str:
        """What an owner would paste, to which `behavior` happens: an API key, or the JSON of a service account.

        Different numbers make different keys. For Bedrock this is an API key; `credential` gives access keys.
        """
        if behavior not in BEHAVIORS:
            raise ValueError(f"No such behavior: {behavior}")
        return self._plays[provider].key(behavior, number)

    def credential(self, provider: str, behavior: str = "valid", number: int = 1, *, kind: str = "") -> Credential:
        """As `key`, parsed. kind, for Bedrock: "" for access keys, "session" for temporary ones, "api_key"."""
        return credentials.credential(provider, self.key(provider, behavior, number), behavior, number, kind)

    def replay(self, provider: str, name: str, folder: str = "") -> None:
        """From now on the provider's chat answers with this recording: its file name without .json, in its own folder."""
        self.floor.chosen[provider] = replay.load(folder or self._plays[provider].folder or provider, name)

    def set_clock(self, clock: Callable[[], float]) -> None:
        """The time by which Google's grants and tokens live and die, and AWS's signatures."""
        self.floor.clock = clock

    @property
    def disconnects(self) -> int:
        """How many clients left before their answer was whole."""
        return sum(request.ending == "left" for request in self.requests)

    def wait_for(self, condition: Callable[[], bool], seconds: float = 5) -> bool:
        """Blocks until the condition holds; asked again whenever a request comes or ends. False when time is up."""
        with self.floor.changed:
            return self.floor.changed.wait_for(condition, seconds)

    def go(self) -> None:
        """Let the slow ones go on."""
        self._loop.call_soon_threadsafe(self.floor.gate.set)

    def reset(self) -> None:
        self._loop.call_soon_threadsafe(self.floor.gate.clear)
        self.floor.clear()

    def start(self) -> "FakeProvider":
        self._thread.start()
        self._ready.wait()
        return self

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self.floor.stopping.set)
        self._thread.join()

    # The server

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self.floor.open()
        azure, others = self._plays["azure"], [play for play in self._plays.values() if play.slug != "azure"]
        runners = [runner(self._app(*others)), runner(self._app(azure))]
        self.port, self._azure_port = await start(runners[0], self.port), await start(runners[1], 0)
        self._ready.set()
        await self.floor.stopping.wait()
        for running in runners:
            await running.cleanup()

    def _app(self, *plays: Play) -> web.Application:
        """Azure gets a host of its own, as each Azure resource is."""
        app = web.Application(middlewares=[self.floor.record], client_max_size=64 * 1024 * 1024)
        for play in plays:
            play.mount(app)
        return app


def everyone(floor: Floor) -> list[Play]:
    others = (
        anthropic.Anthropic,
        bedrock.Bedrock,
        aistudio.AIStudio,
        vertex.Vertex,
        perplexity.Perplexity,
        fal.Fal,
        pollo.Pollo,
    )
    return [*openai_wire.plays(floor), *(play(floor) for play in others)]


BASES = {
    "openai": "/openai/v1",
    "groq": "/groq/openai/v1",
    "xai": "/xai/v1",
    "deepinfra": "/deepinfra/v1/openai",
    "deepinfra:account": "/deepinfra",
    "baseten": "/baseten/v1",
    "baseten:management": "/baseten-management/v1",
    "anthropic": "/anthropic",
    "bedrock": "/bedrock",
    "bedrock:control": "/bedrock-control",
    "bedrock:sts": "/bedrock-sts",
    "aistudio": "/aistudio",
    "vertex": "/vertex",
    "vertex:token": "/vertex-token",
    "perplexity": "/perplexity",
    "fal": "/fal",
    "fal:queue": "/fal-queue",
    "fal:api": "/fal-api/v1",
    "pollo": "/pollo/api/platform",
}


def runner(app: web.Application) -> web.AppRunner:
    return web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)


async def start(runner: web.AppRunner, port: int) -> int:
    """Serve on loopback; the port that was taken."""
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return int(runner.addresses[0][1])
