"""The process that tests/test_gateway_kill.py kills. Imported once by a fork server, so that each start is quick."""

from pathlib import Path
from typing import Any

import uvicorn
from django.conf import settings
from django.db import connections

from byok_site import asgi
from gateway import directory
from usage import ingest


def serve(
    port: int,
    database: dict[str, Any],
    overrides: dict[str, str],
    folder: Path,
    redis_url: str = settings.REDIS_URL,
    workers: int = 1,
    stop_seconds: float = 10.0,
) -> None:
    settings.UPSTREAM_OVERRIDES = overrides
    settings.REDIS_URL, settings.GATEWAY_WORKERS = redis_url, workers
    connections["default"].settings_dict.update(database)
    asgi.JOURNAL_FOLDER = folder
    directory.STOP_SECONDS = ingest.STOP_SECONDS = stop_seconds
    uvicorn.run(asgi.Application(), port=port, loop="uvloop", log_level="critical", lifespan="on")
