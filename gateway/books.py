"""What was booked for each budget, and the prices that an organization set: read from the database beside the requests."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID

from django.db import connection

from gateway.snapshot import Tenant
from usage import budgets, unbooked
from usage.budgets import Counted, Window
from usage.models import Scope
from usage.periods import zone
from usage.pricing import Prices

FRESH_SECONDS = 5.0
RETRY_SECONDS = 1.0
PATIENCE_SECONDS = 3.0
NO_PRICES = Prices()

type Page = Mapping[str, int]
"""What was counted, by the key of its counter."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """Of one organization, as it was read for its budgets of this `version` on this local `day`."""

    version: int
    day: date
    read_at: float
    prices: Prices
    booked: Page


def utc_now() -> datetime:
    return datetime.now(UTC)


def counter(budget: Counted, window: Window) -> str:
    """The key of a budget's counter. It does not name the amount, so an edit of that keeps what was counted.

    What counts for a request without a price is a part of it: when the owner changes that, all is counted anew.
    """
    return f"keyhold:spent:{budget.id}:{window}:{budget.unpriced}:{budget.assumed_microusd}"


class Books:
    """Read for each organization with budgets when its first request comes, and again every few seconds while more come.

    The first time, attempts that lie in this host's journal count too: a restart forgets nothing that was not booked yet.
    `clock` measures how old something is, `now` says which day it is.
    """

    def __init__(
        self,
        journal_folder: Path,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._folder = journal_folder
        self._clock = clock
        self.now = now
        self._known: dict[str, Known] = {}
        self.reading: dict[str, asyncio.Task[None]] = {}
        self._failed_at: dict[str, float] = {}

    async def ready(self, tenant: Tenant) -> None:
        """Until what is spent is known, or cannot be known. Never raises."""
        if not tenant.budgets:
            return
        known, moment = self._known.get(tenant.id), self._clock()
        today = self.now().astimezone(zone(tenant.zone)).date()
        fits = known is not None and (known.version, known.day) == (tenant.version, today)
        if known and fits and moment - known.read_at < FRESH_SECONDS:
            return
        if moment - self._failed_at.get(tenant.id, -RETRY_SECONDS) < RETRY_SECONDS:
            return
        reading = self.reading.get(tenant.id) or self._begin(tenant)
        if not fits:
            await asyncio.wait([reading], timeout=PATIENCE_SECONDS)

    def start(self, tenant: Tenant, key: str) -> int | None:
        """What a counter begins with; None while nobody knows."""
        known = self._known.get(tenant.id)
        return known.booked.get(key) if known else None

    def prices(self, tenant: Tenant) -> Prices:
        known = self._known.get(tenant.id)
        return known.prices if known else NO_PRICES

    def _begin(self, tenant: Tenant) -> asyncio.Task[None]:
        task = self.reading[tenant.id] = asyncio.create_task(self._read(tenant))
        task.add_done_callback(lambda _: self.reading.pop(tenant.id, None))
        return task

    async def _read(self, tenant: Tenant) -> None:
        known = self._known.get(tenant.id)
        try:
            self._known[tenant.id] = await asyncio.to_thread(self._look_up, tenant, first=known is None)
        except Exception as error:
            self._failed_at[tenant.id] = self._clock()
            log.error("What organization %s has spent cannot be read (%s).", tenant.id, type(error).__name__)

    def _look_up(self, tenant: Tenant, *, first: bool) -> Known:
        read_at, now = self._clock(), self.now()
        organization, local = UUID(tenant.id), zone(tenant.zone)
        rows = [budget for some in tenant.budgets.values() for budget in some]
        try:
            prices = Prices.of(organization)
            spent = budgets.spent(organization, rows, now, local)
            keys = {budget.target_id for budget in rows if budget.scope == Scope.PROVIDER_KEY}
            left = unbooked.attempts(self._folder, {tenant.id}, keys) if first else []
        finally:
            connection.close()
        booked: dict[str, int] = {}
        for budget in rows:
            window = budgets.window(budget.period, now, local)
            more = unbooked.counted(left, organization, budget, window, prices)
            booked[counter(budget, window)] = spent[budget.id].counted(budget) + more
        return Known(tenant.version, now.astimezone(local).date(), read_at, prices, booked)
