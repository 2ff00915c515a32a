"""How each provider key is, as this process knows it: from its own attempts, and from what others told the database."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from uuid import UUID

from keys.actions.reporting import Report
from keys.health import WELL, Health, Standing, State, after, probed
from keys.providers.errors import ErrorClass


class HealthBoard:
    """Attempts note here what came of them; the directory's thread exchanges it with the database. `clock`: epoch seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._health: dict[UUID, Health] = {}
        self._versions: dict[UUID, int] = {}
        self._last_said: dict[UUID, object] = {}
        self._owed: dict[UUID, Report] = {}

    @property
    def health(self) -> Mapping[UUID, Health]:
        """Keys of which nothing is known are well, and missing here."""
        return self._health

    def claim(self, key: UUID) -> Health | None:
        """How the key is if it may not be tried now. None: it may, and others wait until it is known what came of a probe."""
        with self._lock:
            health, now = self._health.get(key, WELL), self.clock()
            standing = health.standing(now)
            if standing is Standing.PROBE:
                self._put(key, self._versions.get(key, 0), health, probed(health, now), {})
            return None if standing in (Standing.PROBE, Standing.READY) else health

    def note(
        self,
        key: UUID,
        version: int,
        outcome: ErrorClass | None,
        *,
        retry_after: float | None = None,
        definite: bool = False,
        probe: bool = False,
        error: Mapping[str, object] | None = None,
    ) -> None:
        """What came of an attempt, as in keys.health.after. version: of the secret that was sent; an old one counts no more."""
        with self._lock:
            if version < self._versions.get(key, 0):
                return
            before = self._health.get(key, WELL)
            now = self.clock()
            found = after(before, outcome, now, retry_after=retry_after, definite=definite, probe=probe)
            self._put(key, version, before, found, error or {})

    def _put(self, key: UUID, version: int, before: Health, found: Health, error: Mapping[str, object]) -> None:
        self._health[key] = found
        said = (error.get("status"), error.get("code")) if error else None
        if found.lasting == before.lasting and (said is None or said == self._last_said.get(key)):
            return
        self._last_said[key] = said or self._last_said.get(key)
        owed = self._owed.get(key)
        error = error or (owed.error if owed else {})
        self._owed[key] = Report(key, version, found, before.until, self.clock(), error)

    def take(self) -> list[Report]:
        """What the database must be told. Whoever takes it gives back what could not be written."""
        with self._lock:
            owed, self._owed = self._owed, {}
        return list(owed.values())

    def give_back(self, reports: Iterable[Report]) -> None:
        with self._lock:
            self._owed = {report.key: report for report in reports} | self._owed

    def adopt(self, key: UUID, version: int, told: Health) -> None:
        """What the database says, unless this process knows something newer. version: of the key's secret."""
        with self._lock:
            if self._versions.get(key, 0) < version:
                self._health.pop(key, None)
                self._owed.pop(key, None)
            self._versions[key] = version
            known = self._health.get(key, WELL)
            if key not in self._owed and not (told.state is known.state is State.HEALTHY):
                self._health[key] = told

    def forget_all_but(self, keys: Iterable[UUID]) -> None:
        """Keys that are gone need no memory."""
        present = set(keys)
        with self._lock:
            for known in (self._health, self._versions, self._last_said, self._owed):
                for key in known.keys() - present:
                    del known[key]
