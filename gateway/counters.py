"""What is counted while requests run: in this process's memory, or together with other processes in Valkey.

Limits and budgets are claims on counters. All claims of a request are taken in one step, all of them or none.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

MINUTE = 60.0
SLOT = 0.5  # seconds. What was taken stops counting a minute later, to the end of its slot: never early
SLOTS = round(MINUTE / SLOT)
SOON = 1.0  # seconds after which something that is held may be free
NEVER = float("inf")
MOST_IDLE = 10_000  # counters, before those that are over are looked for


class Kind(StrEnum):
    """How a counter forgets: what was taken in the last minute; what is held until it is given back; what was spent.

    HOLDS is no kind of counter but of Change, to HELD: what this process holds of it all in all.
    """

    RATE = "rate"
    HELD = "held"
    SPENT = "spent"
    HOLDS = "holds"


class Claim(NamedTuple):
    """`amount` of the counter `key`, of which at most `most` may be taken; None: it is counted and never refused.

    Only of SPENT: `start` is what the books say, which the counter is never below: it begins with that after a restart, and
    catches up with it where something was counted elsewhere. `lasts`: for how many seconds it is kept after it was last touched.
    What a key stands for must stay the same for as long as its counter may live: a budget's key names its period's beginning,
    and does not name its amount, so that an edit of the amount resets nothing.

    on_top: of `most`, what the claim before this one has used is taken already. So a budget is what was spent, and on top of
    it what running requests hold: that of a process which died is free again, and nothing is spent that was only held.
    """

    key: str
    kind: Kind
    amount: int
    most: int | None
    start: int = 0
    lasts: int = 0
    on_top: bool = False


class Taken(NamedTuple):
    """`used` of each claim's counter, in their order, now, with this request's part if it was taken.

    `refused`: the place of the claim that has to wait longest, or None if all were taken. `wait`: for how many seconds at
    least, NEVER if its amount is more than what can ever be free, or SPENT. `at`: when, for `Counters.add`.
    """

    used: tuple[int, ...]
    refused: int | None = None
    wait: float = 0.0
    at: int = 0


class Change(NamedTuple):
    """To a counter that was claimed: `amount` more, or less where it is negative. `at`: of the Taken, or 0 for now.

    Of RATE, what was too much is given back to the moment at which it was taken, and what came on top counts from now.
    Of SPENT, nothing is done where the counter is gone: whoever claims it next begins with what the books say.
    """

    key: str
    kind: Kind
    amount: int
    at: int = 0
    lasts: int = 0


class Counters(Protocol):
    """`told`: "" or what is wrong with the place where counters are kept, in words for `/readyz`."""

    @property
    def told(self) -> str: ...

    async def take(self, claims: Sequence[Claim]) -> Taken:
        """All or none, in one step. Never raises, and never waits for long: see Shared for what happens without Valkey."""
        ...

    async def look(self, claims: Sequence[Claim]) -> tuple[int, ...]:
        """What is used of each, without taking anything; amounts do not matter."""
        ...

    def add(self, changes: Sequence[Change]) -> None:
        """At once in memory, and very soon in Valkey. Never waits, so that it can be called while a task is cancelled."""
        ...


@dataclass(slots=True)
class Window:
    """What was taken in each slot of the last minute, the oldest first, and the sum."""

    slots: dict[int, int] = field(default_factory=dict)
    total: int = 0

    def forget(self, now: int) -> None:
        """What was taken more than a minute ago."""
        while self.slots and (oldest := next(iter(self.slots))) < now - SLOTS:
            self.total -= self.slots.pop(oldest)

    def put(self, amount: int, now: int, at: int) -> None:
        if amount >= 0:
            self.slots[now] = self.slots.get(now, 0) + amount
        elif at in self.slots:
            amount = max(amount, -self.slots[at])
            self.slots[at] += amount
        else:
            return
        self.total += amount

    def since(self, first: int) -> int:
        return sum(taken for slot, taken in self.slots.items() if slot >= first)

    def free_in(self, amount: int, most: int, now: float) -> float:
        """Seconds until so much fits, if nobody else takes anything."""
        rest = self.total
        for slot, taken in self.slots.items():
            rest -= taken
            if rest + amount <= most:
                return (slot + SLOTS + 1) * SLOT - now
        return NEVER


@dataclass(slots=True)
class Spent:
    total: int
    until: float


class Memory:
    """Counters of one process. `clock`: seconds that never step back and know nothing of the time of day."""

    told = ""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._windows: dict[str, Window] = {}
        self._held: dict[str, int] = {}
        self._spent: dict[str, Spent] = {}

    async def take(self, claims: Sequence[Claim]) -> Taken:
        return self.take_now(claims)

    async def look(self, claims: Sequence[Claim]) -> tuple[int, ...]:
        now = self._clock()
        with self._lock:
            return tuple(self._used(claim, now) for claim in claims)

    def take_now(self, claims: Sequence[Claim]) -> Taken:
        now = self._clock()
        with self._lock:
            used = [self._used(claim, now) for claim in claims]
            below = [used[place - 1] if claim.on_top else 0 for place, claim in enumerate(claims)]
            waits = [self._wait(*each, now) for each in zip(claims, used, below, strict=True)]
            longest = max(waits, default=0.0)
            if longest > 0:
                return Taken(tuple(used), waits.index(longest), longest)
            for claim in claims:
                if claim.amount:
                    self._put(claim, now)
            return Taken(tuple(before + claim.amount for before, claim in zip(used, claims, strict=True)), at=int(now / SLOT))

    def add(self, changes: Sequence[Change]) -> None:
        now = self._clock()
        with self._lock:
            for change in changes:
                self._change(change, now)

    def _used(self, claim: Claim, now: float) -> int:
        match claim.kind:
            case Kind.RATE:
                window = self._windows.get(claim.key)
                if window is None:
                    return 0
                window.forget(int(now / SLOT))
                return window.total
            case Kind.HELD:
                return self._held.get(claim.key, 0)
        spent = self._spent.get(claim.key)
        return max(spent.total, claim.start) if spent and spent.until > now else claim.start

    def _wait(self, claim: Claim, used: int, below: int, now: float) -> float:
        if claim.most is None or below + used + claim.amount <= claim.most:
            return 0.0
        if claim.kind is Kind.RATE and claim.key in self._windows:
            return self._windows[claim.key].free_in(claim.amount, claim.most, now)
        return SOON if claim.kind is Kind.HELD and below + claim.amount <= claim.most else NEVER

    def _put(self, claim: Claim, now: float) -> None:
        match claim.kind:
            case Kind.RATE:
                slot = int(now / SLOT)
                self._window(claim.key).put(claim.amount, slot, slot)
            case Kind.HELD:
                self._held[claim.key] = self._held.get(claim.key, 0) + claim.amount
            case Kind.SPENT:
                self._spend(claim, now)

    def _window(self, key: str) -> Window:
        return self._windows.get(key) or self._windows.setdefault(key, Window())

    def _spend(self, claim: Claim, now: float) -> None:
        total = self._used(claim, now) + claim.amount
        if len(self._spent) >= MOST_IDLE:
            self._spent = {key: spent for key, spent in self._spent.items() if spent.until > now}
        self._spent[claim.key] = Spent(total, now + claim.lasts)

    def _change(self, change: Change, now: float) -> None:
        match change.kind:
            case Kind.RATE:
                if window := self._windows.get(change.key):
                    slot = int(now / SLOT)
                    window.forget(slot)
                    window.put(change.amount, slot, change.at or slot)
            case Kind.HELD:
                self._held[change.key] = max(0, self._held.get(change.key, 0) + change.amount)
            case Kind.SPENT:
                if (spent := self._spent.get(change.key)) and spent.until > now:
                    spent.total += change.amount
                    spent.until = now + change.lasts

    def remember(self, claim: Claim, age: float) -> None:
        """What was taken of a rate so many seconds ago. The oldest must be remembered first, and before anything is taken."""
        if claim.amount:
            slot = int((self._clock() - age) / SLOT)
            with self._lock:
                self._window(claim.key).put(claim.amount, slot, slot)

    # For who counts elsewhere, and here only to be ready for the worst

    def copy(self, claims: Sequence[Claim], taken: Taken, owed: Mapping[str, int]) -> None:
        """What was taken elsewhere. Of what is spent, all that is known there is known here, besides what it is owed."""
        now = self._clock()
        with self._lock:
            for claim, used in zip(claims, taken.used, strict=True):
                if claim.kind is Kind.SPENT:
                    self._spent[claim.key] = Spent(used + owed.get(claim.key, 0), now + claim.lasts)
                elif claim.kind is Kind.RATE:
                    self._window(claim.key).put(claim.amount, taken.at, taken.at)
                else:
                    self._put(claim, now)

    def raised(self, claims: Sequence[Claim]) -> list[Claim]:
        """Claims of what is spent begin with what is known of it here, where that is more than what the books say."""
        now = self._clock()
        with self._lock:
            return [each._replace(start=self._used(each, now)) if each.kind is Kind.SPENT else each for each in claims]

    def spent(self) -> dict[str, int]:
        with self._lock:
            return {key: spent.total for key, spent in self._spent.items()}

    def holding(self) -> list[Change]:
        """Everything that was ever held, as it is now."""
        with self._lock:
            return [Change(key, Kind.HOLDS, held) for key, held in self._held.items()]

    def taken_since(self, first: int) -> list[Change]:
        """Of each rate, what was taken from this slot on."""
        now = int(self._clock() / SLOT)
        with self._lock:
            for window in self._windows.values():
                window.forget(now)
            sums = {key: window.since(first) for key, window in self._windows.items()}
        return [Change(key, Kind.RATE, amount) for key, amount in sums.items() if amount]
