"""What a key did in the last 24 hours, half hour by half hour. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

SLOT = timedelta(minutes=30)
SLOTS = 48
NOTED = 0.05  # share of answers that were limited or failed from which a half hour is no longer drawn as a good one
SEVERAL = 3  # failures; fewer are no outage in a quiet half hour
WORDS = {"o": "good", "w": "with limits or failures", "x": "failing", ".": "without requests"}
FAILING = f"Failing: it was out as the half hour ended, or half of the answers failed, at least {SEVERAL}."

type Spell = tuple[datetime, datetime]


class Counts(NamedTuple):
    """Of one half hour: requests and tests that the key answered, that were limited, that failed on it."""

    passed: int
    limited: int
    failed: int

    @property
    def state(self) -> str:
        """As the `strip` tag draws it."""
        answers = sum(self)
        if not answers:
            return "."
        if self.failed >= SEVERAL and self.failed * 2 >= answers:
            return "x"
        return "w" if self.limited + self.failed >= answers * NOTED else "o"


NOTHING = Counts(0, 0, 0)


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


def of(marks: Mapping[datetime, Counts], now: datetime, failing: Collection[Spell] = ()) -> Strip:
    """marks: by the begin of their half hour, in UTC. Half hours without one had no requests. failing: when the key was."""
    begins = first_slot(now)
    slots = [begins + SLOT * step for step in range(SLOTS)]
    states = "".join("x" if is_out(min(slot + SLOT, now), failing) else marks.get(slot, NOTHING).state for slot in slots)
    return Strip(states, begins, label(states))


def is_out(at: datetime, failing: Collection[Spell]) -> bool:
    return any(begin < at <= end for begin, end in failing)


def first_slot(now: datetime) -> datetime:
    whole = now.astimezone(UTC).replace(minute=now.minute // 30 * 30, second=0, microsecond=0)
    return whole - SLOT * (SLOTS - 1)


def label(states: str) -> str:
    if not states.strip("."):
        return "No requests and no tests in the last 24 hours."
    counts = (f"{states.count(state)} {words}" for state, words in WORDS.items() if state in states)
    told = f"Of the last {SLOTS} half hours: {', '.join(counts)}."
    return f"{told} {FAILING}" if "x" in states else told
