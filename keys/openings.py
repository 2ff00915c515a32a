"""Counts how often secrets are opened, and what for, in the memory of this process.

Counting is all that happens where a secret is opened, so that nothing there waits for the database.
keys/actions/openings.py writes the counts down. A process that is killed loses those of its last minute.
"""

import threading
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from uuid import UUID

type Counts = Counter[tuple[UUID, str]]
"""By organization and purpose."""


class Purpose(StrEnum):
    SERVE = "requests"
    TEST = "tests"
    COMPARE = "comparison"  # whether a new credential is the one that the key holds
    RESTORE = "restoring"
    WEBHOOK = "webhooks"
    SIGN_IN = "single sign-on"
    UPKEEP = "manage.py vault"


class Openings:
    def __init__(self) -> None:
        self._counts: Counts = Counter()
        self._lock = threading.Lock()

    def note(self, organization_id: UUID, purpose: Purpose) -> None:
        with self._lock:
            self._counts[organization_id, purpose.value] += 1

    def take(self) -> Counts:
        """What was counted since the last time."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        return counts

    def give_back(self, counts: Mapping[tuple[UUID, str], int]) -> None:
        with self._lock:
            self._counts.update(counts)


openings = Openings()
