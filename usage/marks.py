"""What provider keys did in each half hour, as attempts tell it: the strip on a key's page."""

from collections import defaultdict
from collections.abc import Container, Iterable
from datetime import datetime
from typing import Protocol
from uuid import UUID

from keys.providers.errors import ErrorClass
from usage.models import Outcome

KEY = ("key", "slot")
KINDS = ("passed", "limited", "failed")
KIND: dict[str, str] = {
    ErrorClass.CLIENT: "passed",  # the provider took the key and read the request
    ErrorClass.LIMITED: "limited",
    ErrorClass.REFUSED: "failed",
    ErrorClass.OUT_OF_MONEY: "failed",
    ErrorClass.NO_PERMISSION: "failed",
    ErrorClass.MISCONFIGURED: "failed",
    ErrorClass.TROUBLE: "failed",
}

type Row = tuple[UUID, datetime, int, int, int]


class Ended(Protocol):
    """What counts of an attempt."""

    @property
    def provider_key_id(self) -> UUID: ...
    @property
    def started_at(self) -> datetime: ...
    @property
    def outcome(self) -> str: ...
    @property
    def error_class(self) -> str: ...


def rows(attempts: Iterable[Ended], present: Container[UUID]) -> list[Row]:
    """One row for each of the keys that are `present` and half hour, sorted: KEY, then how many attempts of each of KINDS."""
    counts: defaultdict[tuple[UUID, datetime], list[int]] = defaultdict(lambda: [0] * len(KINDS))
    for attempt in attempts:
        kind = kind_of(attempt.outcome, attempt.error_class)
        if kind and attempt.provider_key_id in present:
            counts[attempt.provider_key_id, half_hour(attempt.started_at)][KINDS.index(kind)] += 1
    return [(key, slot, passed, limited, failed) for (key, slot), (passed, limited, failed) in sorted(counts.items())]


def kind_of(outcome: str, error_class: str) -> str | None:
    """None where it says nothing about the key: the client left, or the gateway did not see the end."""
    if outcome == Outcome.OK:
        return "passed"
    return KIND.get(error_class) if outcome in (Outcome.ERROR, Outcome.ABSORBED) else None


def half_hour(moment: datetime) -> datetime:
    return moment.replace(minute=moment.minute // 30 * 30, second=0, microsecond=0)
