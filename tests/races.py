"""Things that happen at the same moment, each in a thread with a connection of its own."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from django.db import connection

RACES = 100
PATIENCE = 20  # seconds


def at_once(calls: Sequence[Callable[[], Any]], *refusals: type[Exception]) -> list[Any]:
    """What each of them returns, or the refusal that it ends with. None begins before all are connected."""
    together = Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        connection.ensure_connection()
        together.wait(PATIENCE)
        try:
            return call()
        except refusals as refusal:
            return refusal
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))
