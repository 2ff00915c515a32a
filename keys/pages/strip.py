"""What a key did in the last 24 hours, half hour by half hour. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

SLOT = timedelta(minutes=30)
SLOTS = 48
NOTED = 0.05  # share of answers that were limited or failed from which a half hour is no longer drawn as a good one
WORDS = {"o": "good", "w": "with limits or failures", "x": "failing", ".": "without requests"}


class Counts(NamedTuple):
    """Of one half hour: requests and tests that the key answered, that were limited, that failed on it."""

    passed: int
    limited: int
    failed: int

    @property
    def state(self) -> str:
        """As the `strip` tag draws it: x where half of them failed."""
        answers = sum(self)
        if not answers:
            return "."
        if self.failed * 2 >= answers:
            return "x"
        return "w" if self.limited + self.failed >= answers * NOTED else "o"


@dataclass(frozen=True, slots=True)
class Strip:
    """`states`: one letter for each half hour, the oldest first. `begins` is when the oldest began."""

    states: str
    begins: datetime
    label: str

    @property
    def start(self) -> str:
        """Yesterday 10:00 UTC. It is never longer ago than a day, and today only in the last half hour of a day."""
        return f"{'Today' if self.begins.hour == self.begins.minute == 0 else 'Yesterday'} {self.begins:%H:%M} UTC"


def of(marks: Mapping[datetime, Counts], now: datetime) -> Strip:
    """marks: by the begin of their half hour, in UTC. Half hours without one had no requests."""
    begins = first_slot(now)
    states = "".join(marks[slot].state if slot in marks else "." for slot in (begins + SLOT * step for step in range(SLOTS)))
    return Strip(states, begins, label(states))


def first_slot(now: datetime) -> datetime:
    whole = now.astimezone(UTC).replace(minute=now.minute // 30 * 30, second=0, microsecond=0)
    return whole - SLOT * (SLOTS - 1)


def label(states: str) -> str:
    if not states.strip("."):
        return "No requests and no tests in the last 24 hours."
    counts = (f"{states.count(state)} {words}" for state, words in WORDS.items() if state in states)
    return f"Of the last {SLOTS} half hours: {', '.join(counts)}."
