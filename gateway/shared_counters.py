"""Counters that several processes keep together in Valkey, with what each of them does while Valkey is away."""

import asyncio
import contextlib
import hashlib
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError
from redis.exceptions import TimeoutError as NoAnswer

from gateway.counters import NEVER, SLOT, SLOTS, Change, Claim, Kind, Memory, Taken

PATIENCE_SECONDS = 0.5
MOST_AT_ONCE = 500  # requests that are counted in one go
BEAT_SECONDS = 2.0
RETRY_SECONDS = 0.5
SETTLES_SECONDS = BEAT_SECONDS + PATIENCE_SECONDS  # until every process has told Valkey what it forgot
LIVES_SECONDS = 15  # a process that was silent for longer holds nothing
ALIVE = "keyhold:alive"
LOST = "Valkey is lost: each process applies its share of every limit until it is back."
STEP = Path(__file__).with_name("count.lua").read_text()

STEP_SHA = hashlib.sha1(STEP.encode(), usedforsecurity=False).hexdigest()

type Answer = asyncio.Future[Taken]

log = logging.getLogger(__name__)


class ForgottenError(Exception):
    """Valkey answers, and knows nothing of what was counted: it was restarted, or flushed."""


class Shared:
    """Counts in Valkey, by its clock. What this process takes it also counts for itself, for when Valkey is lost.

    While it is lost, each process applies its share of every limit, and of what was left of a budget: there are `processes`,
    or as many as Valkey last knew of if those are more. One request always fits its share of a limit.
    Once Valkey is back it is told what was taken meanwhile. One that forgot is one that was lost. Changes wait in `_owed`
    and go out with the next request or by themselves, whichever is first.
    """

    def __init__(self, url: str, processes: int = 1) -> None:
        no_retry = Retry(NoBackoff(), 0)
        self._valkey: Redis = Redis.from_url(
            url, socket_timeout=PATIENCE_SECONDS, socket_connect_timeout=PATIENCE_SECONDS, retry=no_retry
        )
        self._processes = processes
        self._alive = 1
        self._known = False  # whether Valkey knew us when we last asked
        self._forgotten = False  # whether it had not heard of us before that
        self._name = uuid4().hex
        self._ahead: float | None = None  # of our clock, Valkey's is, in seconds
        self._own = Memory(self._now)
        self._owed: list[Change] = []
        self._due = asyncio.Event()
        self._lost_since: int | None = None  # the slot from which on Valkey has to be told what was taken
        self._alone_until = 0.0  # while others have not told it yet
        self._spent_then: dict[str, int] = {}
        self._spent_since: Counter[tuple[str, int]] = Counter()
        self._waiting: list[tuple[Sequence[Claim], Answer]] = []

    async def __aenter__(self) -> Self:
        await self._beat()
        self._beating = asyncio.create_task(self._keep_in_touch())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._beating.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._beating
        await self._beat()
        await self._valkey.aclose()

    @property
    def told(self) -> str:
        return "" if self._lost_since is None else LOST

    def _now(self) -> float:
        """Valkey's time as it was when we first met, carried on by a clock that never steps."""
        return time.monotonic() + (self._ahead or 0.0)

    # What requests ask

    async def take(self, claims: Sequence[Claim]) -> Taken:
        """A request that is cancelled meanwhile gives back what it got."""
        claims = self._own.raised(claims)
        if self._lost_since is not None:
            return self._take_alone(claims)
        answer: Answer = asyncio.get_running_loop().create_future()
        self._waiting.append((claims, answer))
        self._due.set()
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            answer.add_done_callback(partial(self._give_back, claims))
            raise

    async def look(self, claims: Sequence[Claim]) -> tuple[int, ...]:
        return (await self.take([claim._replace(amount=0, most=None) for claim in claims])).used

    def add(self, changes: Sequence[Change]) -> None:
        self._own.add(changes)
        if self._lost_since is None:
            self._owed.extend(changes)
            self._due.set()
        else:
            self._note_spent(changes)

    def _give_back(self, claims: Sequence[Claim], answer: Answer) -> None:
        if (taken := answer.result()).refused is None:
            self.add([Change(claim.key, claim.kind, -claim.amount, taken.at, claim.lasts) for claim in claims])

    def _take_alone(self, claims: Sequence[Claim], *, arrived: bool = False) -> Taken:
        """arrived: Valkey was sent these claims and may have counted them, so what they spend is not owed to it again."""
        pairs = zip(claims, (None, *claims), strict=False)
        taken = self._own.take_now([claim._replace(most=self._share(claim, before)) for claim, before in pairs])
        if taken.refused is None and not arrived:
            self._note_spent([Change(claim.key, claim.kind, claim.amount, lasts=claim.lasts) for claim in claims])
        return taken

    def _share(self, claim: Claim, before: Claim | None) -> int | None:
        """Of a budget, of what was left of it when Valkey was lost."""
        if claim.most is None:
            return None
        processes = max(self._processes, self._alive)
        spent = before if claim.on_top else claim
        if spent and spent.kind is Kind.SPENT:
            known = self._spent_then.setdefault(spent.key, spent.start)
            return known + max(claim.most - known, 0) // processes
        return max(claim.most // processes, min(claim.amount, claim.most))

    def _note_spent(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.kind is Kind.SPENT:
                self._spent_since[change.key, change.lasts] += change.amount

    # Losing Valkey, and finding it again

    def _lose(self, error: Exception) -> None:
        """What was under way may have arrived or not. It is not told again: who holds what is, once Valkey is back."""
        if self._lost_since is None:
            log.error("Valkey is lost (%s). Each gateway process applies its share of every limit.", type(error).__name__)
            self._lost_since = int(self._now() / SLOT)
            self._known = False
            self._note_spent(self._owed)
            owed, self._owed = sums_of(self._owed), []
            self._spent_then = {key: spent - owed[key] for key, spent in self._own.spent().items()}

    async def _keep_in_touch(self) -> None:
        """All that waits goes out together, and what comes meanwhile waits: the more there is to do, the less each costs."""
        while True:
            if not self._waiting:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RETRY_SECONDS if self.told else BEAT_SECONDS):
                        await self._due.wait()
            self._due.clear()
            await self._beat()

    async def _beat(self) -> None:
        """Tells Valkey that we live and what we owe it, and takes what requests wait for."""
        if self._lost_since is not None:
            await self._return(self._lost_since)
            return
        owed, self._owed = self._owed, []
        asked, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
        try:
            told = await self._ask(owed, [claims for claims, _ in asked])
        except Exception as error:  # of whatever kind: requests wait for an answer
            arrived = isinstance(error, NoAnswer)
            self._owed = self._owed if arrived else [*owed, *self._owed]
            self._lose(error)
            self._answer_alone(asked, arrived=arrived)
            rest, self._waiting = self._waiting, []
            self._answer_alone(rest)
            return
        spent_since = sums_of(self._owed)
        for (claims, answer), taken in zip(asked, told, strict=False):
            if taken.refused is None:
                self._own.copy(claims, taken, spent_since)
            answer.set_result(taken)

    def _answer_alone(self, asked: Sequence[tuple[Sequence[Claim], Answer]], *, arrived: bool = False) -> None:
        for claims, answer in asked:
            answer.set_result(self._take_alone(claims, arrived=arrived))

    async def _return(self, lost_since: int) -> None:
        """Tells Valkey all that it missed, or all of the last minute if it forgot, and then what happened meanwhile."""
        spent: Counter[tuple[str, int]] = Counter()
        try:
            await self._ask([], [])
            if self._forgotten:
                lost_since = self._lost_since = 0
                self._alone_until = time.monotonic() + SETTLES_SECONDS
            spent, self._spent_since = self._spent_since, Counter()
            told_until = int(self._now() / SLOT)
            await self._ask(self._missed(lost_since), [self._missed_spending(spent)])
        except Exception:
            self._spent_since.update(spent)
            return
        self._lost_since = told_until + 1
        if time.monotonic() >= self._alone_until:
            self._rejoin(self._lost_since)

    def _rejoin(self, told_until: int) -> None:
        changes = [Change(key, Kind.SPENT, amount, 0, lasts) for (key, lasts), amount in self._spent_since.items()]
        self._owed, self._spent_since = [*self._missed(told_until), *changes], Counter()
        self._lost_since = None
        self._due.set()
        log.warning("Valkey is back. Limits are counted together again.")

    def _missed(self, since: int) -> list[Change]:
        return [*self._own.taken_since(since), *self._own.holding()]

    def _missed_spending(self, spent: Mapping[tuple[str, int], int]) -> list[Claim]:
        """On top of what was known when Valkey was lost, as far as it knows no better."""
        return [
            Claim(key, Kind.SPENT, amount, None, max(0, self._spent_then.get(key, 0)), lasts)
            for (key, lasts), amount in spent.items()
        ]

    async def _ask(self, changes: Sequence[Change], claims: Sequence[Sequence[Claim]]) -> list[Taken]:
        """One Taken for each of `claims`, or one of nothing. Raises what redis raises, and ForgottenError."""
        process = (self._name, int(self._known))
        steps = [
            arguments(process, changes, next(iter(claims), ())),
            *(arguments(process, (), some) for some in claims[1:]),
        ]
        try:
            answers = await self._run(steps)
        except NoScriptError:
            await self._valkey.script_load(STEP)
            answers = await self._run(steps)
        _, _, slot, forgotten, self._alive, *_ = answers[0]
        if forgotten and self._known:
            raise ForgottenError
        self._known, self._forgotten = True, bool(forgotten)
        if self._ahead is None:
            self._ahead = slot * SLOT - time.monotonic()
        return [taken(*answer) for answer in answers]

    async def _run(self, steps: Sequence[tuple[int, list[Any]]]) -> list[list[int]]:
        async with self._valkey.pipeline(transaction=False) as pipeline:
            for keys, told in steps:
                pipeline.evalsha(STEP_SHA, keys, *told)
            return await pipeline.execute()


def sums_of(changes: Sequence[Change]) -> Counter[str]:
    """What they spend, by the counter's key."""
    spent: Counter[str] = Counter()
    for change in changes:
        if change.kind is Kind.SPENT:
            spent[change.key] += change.amount
    return spent


def arguments(process: tuple[str, int], changes: Sequence[Change], claims: Sequence[Claim]) -> tuple[int, list[Any]]:
    """(number of keys, keys and arguments) as count.lua wants them. process: its name, and 1 if Valkey knew it."""
    told: list[Any] = [ALIVE, *(change.key for change in changes), *(claim.key for claim in claims)]
    keys = len(told)
    told += (*process, SLOTS, round(1 / SLOT), LIVES_SECONDS, len(changes))
    for change in changes:
        told += (change.kind, change.amount, change.at, max(change.lasts, 1))
    for claim in claims:
        most = -1 if claim.most is None else claim.most
        told += (claim.kind, claim.amount, most, claim.start, max(claim.lasts, 1), int(claim.on_top))
    return keys, told


def taken(refused: int, wait: int, slot: int, forgotten: int, alive: int, *used: int) -> Taken:
    """As count.lua answers."""
    if not refused:
        return Taken(used, at=slot)
    return Taken(used, refused - 1, wait / 1000 if wait >= 0 else NEVER, slot)
