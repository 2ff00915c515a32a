"""The process as ASGI servers see it: gateway paths and the lifespan to the gateway, everything else to Django."""

import asyncio
import os
from contextlib import AsyncExitStack

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "byok_site.settings")
dashboard = get_asgi_application()  # sets Django up, so it comes before everything that imports models

from django.conf import settings  # noqa: E402
from django.db import connection  # noqa: E402

from gateway.app import Gateway, is_ours  # noqa: E402
from gateway.counters import Counters, Memory  # noqa: E402
from gateway.directory import Directory  # noqa: E402
from gateway.exchange import Receive, Scope, Send  # noqa: E402
from gateway.recent import recall  # noqa: E402
from gateway.shared_counters import Shared  # noqa: E402
from keys.addresses import AllowList  # noqa: E402
from keys.egress import Egress  # noqa: E402
from usage.ingest import Ingester  # noqa: E402
from usage.journal import Journal  # noqa: E402

JOURNAL_FOLDER = settings.DATA_DIR / "journal"
STARTING = b'{"error":{"message":"The gateway is starting.","type":"server_error","param":null,"code":"not_ready"}}'


class Application:
    """One process. The gateway's parts live from the lifespan's start to its end."""

    def __init__(self) -> None:
        self._gateway: Gateway | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        elif is_ours(scope["path"]):
            await (self._gateway or starting)(scope, receive, send)
        else:
            await dashboard(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with AsyncExitStack() as running:
            try:
                self._gateway = await start(running)
            except Exception as error:
                await send({"type": "lifespan.startup.failed", "message": f"The gateway cannot start: {error}"})
                return
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self._gateway = None
        await send({"type": "lifespan.shutdown.complete"})


async def start(running: AsyncExitStack) -> Gateway:
    """Starts every part, and leaves with `running` how it is stopped: in the opposite order."""
    directory = Directory()
    await asyncio.to_thread(directory.start)
    running.push_async_callback(asyncio.to_thread, directory.stop)
    ingester = Ingester(JOURNAL_FOLDER)
    ingester.start()
    running.push_async_callback(asyncio.to_thread, ingester.stop)
    journal = Journal(JOURNAL_FOLDER)
    running.push_async_callback(asyncio.to_thread, journal.stop)
    counters = await counters_of(running)
    egress = await running.enter_async_context(Egress(AllowList.parse(settings.EGRESS_ALLOW)))
    return Gateway.of(
        directory=directory,
        egress=egress,
        journal=journal,
        journal_folder=JOURNAL_FOLDER,
        overrides=settings.UPSTREAM_OVERRIDES,
        first_byte_seconds=settings.FIRST_BYTE_SECONDS,
        most_body_bytes=settings.MAX_BODY_MB * 1_000_000,
        public_url=settings.PUBLIC_URL,
        counters=counters,
    )


async def counters_of(running: AsyncExitStack) -> Counters:
    """Kept in Valkey where there is one, else in memory, which begins with what was asked in the last minute."""
    if settings.REDIS_URL:
        return await running.enter_async_context(Shared(settings.REDIS_URL, settings.GATEWAY_WORKERS))
    memory = Memory()
    await asyncio.to_thread(recall_last_minute, memory)
    return memory


def recall_last_minute(memory: Memory) -> None:
    """In a thread, whose connection nobody else uses."""
    try:
        recall(memory, JOURNAL_FOLDER)
    finally:
        connection.close()


async def starting(scope: Scope, receive: Receive, send: Send) -> None:
    """What gateway paths answer before the start and after the stop."""
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(STARTING)).encode()), (b"retry-after", b"2")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": STARTING})


application = Application()
