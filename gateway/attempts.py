"""The attempts of one request: which key is tried next, what came of each, and what the journal and the others are told."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import uuid_utils

from gateway.admission import Grant
from gateway.errors import Refusal
from gateway.exchange import milliseconds_since
from gateway.health import HealthBoard
from gateway.snapshot import Caller, Tenant
from gateway.speech import Request
from gateway.upstream import Failure
from gateway.wires.values import Usage
from keys.health import Health
from keys.preferences import moves_on
from keys.providers.errors import ErrorClass
from keys.routing import MOST_ATTEMPTS, PLATFORM, Candidate, LeftOut, Mark, Patience, Plan, RouteKey, Why, last_resort, unwell
from usage.journal import Closed, Journal, Opened, Skipped

MOST_SKIPPED = 20  # that are written down of one request
MOST_IN_HEADER = 5
FEWEST_RETRIES = 3
RETRIED_SHARE = 5  # of what runs, one in so many may be a retry
TROUBLED = "is with a provider in trouble, and enough requests are being sent there again"


@dataclass(slots=True)
class RetryBudget:
    """Of this process: how many requests run, and how many of them ask a provider again that was in trouble."""

    running: int = 0
    retrying: int = 0

    @property
    def is_spent(self) -> bool:
        return self.retrying >= max(FEWEST_RETRIES, self.running // RETRIED_SHARE)


class Attempt:
    """One candidate that is tried. `outcome` stays open until the walk's end is known."""

    __slots__ = ("_began", "candidate", "failure", "first_byte_ms", "id", "latency_ms", "secret_version", "status")

    def __init__(self, candidate: Candidate, secret_version: int) -> None:
        self.id = str(uuid_utils.uuid7())
        self.candidate = candidate
        self.secret_version = secret_version
        self._began = time.perf_counter()
        self.failure: Failure | None = None
        self.first_byte_ms: int | None = None
        self.latency_ms = 0
        self.status: int | None = None

    def answers(self, status: int) -> None:
        """The provider's answer has begun."""
        self.status = status
        self.first_byte_ms = milliseconds_since(self._began)

    def fails(self, failure: Failure) -> None:
        self.failure = failure
        self.status = failure.status
        self.latency_ms = milliseconds_since(self._began)

    def ends(self) -> None:
        self.latency_ms = milliseconds_since(self._began)

    def closed(self, outcome: str, error_class: str, usage: Usage, *, estimated: bool) -> Closed:
        return Closed(
            id=self.id,
            outcome=outcome,
            status=self.status,
            error_class=error_class,
            first_byte_ms=self.first_byte_ms,
            latency_ms=self.latency_ms,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cached_input_tokens=usage.cached_input_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            reported_cost_microusd=usage.reported_cost_microusd,
            estimated=estimated,
        )


@dataclass(frozen=True, slots=True)
class Ledger:
    """What all walks of a process write to."""

    journal: Journal
    board: HealthBoard
    budget: RetryBudget = field(default_factory=RetryBudget)


class Walk:
    """From candidate to candidate until one answers. Whoever walks calls `finish` or `give_up`; `abandon` is for all else."""

    __slots__ = (
        "_caller",
        "_grant",
        "_ledger",
        "_out",
        "_plan",
        "_request",
        "_request_id",
        "_retrying",
        "_unsettled",
        "attempts",
        "current",
        "failed",
        "skipped",
    )

    def __init__(self, ledger: Ledger, caller: Caller, request: Request, request_id: str, plan: Plan, grant: Grant) -> None:
        self._ledger = ledger
        self._grant = grant
        self._caller = caller
        self._request = request
        self._request_id = request_id
        self._plan = plan
        self._out: list[tuple[Candidate, Health]] = []
        self._unsettled: list[Attempt] = []
        self._retrying = False
        self.failed: list[Attempt] = []
        self.skipped = [left for left in plan.left_out if left.why is not Why.MODEL]
        self.current: Attempt | None = None
        self.attempts = 0
        ledger.budget.running += 1

    def patience(self, candidate: Candidate) -> Patience:
        return self._plan.patience.get(candidate.key.provider, Patience())

    def candidates(self) -> Iterator[Candidate]:
        """One after the other, for as long as what failed lets another one be tried. Each is asked about by `may_try` first.

        Keys may have gone out since the plan was made. If that befell all, the one that is back first is tried, as in a plan.
        """
        for candidate in self._plan.candidates:
            if self.attempts >= MOST_ATTEMPTS or not self._goes_on:
                return
            yield candidate
        if not self.attempts and (best := last_resort(self._out)):
            self.skipped = [left for left in self.skipped if left.key.id != best.key.id]
            yield best._replace(mark=Mark.LAST_RESORT)

    def as_walked(self) -> Plan:
        """The plan, with the keys that were passed over on the way."""
        without = (left for left in self._plan.left_out if left.why is Why.MODEL)
        return replace(self._plan, left_out=(*self.skipped, *without))

    @property
    def _goes_on(self) -> bool:
        if not self.failed:
            return True
        last = self.failed[-1]
        assert last.failure is not None
        return last.failure.moves_on and moves_on(last.failure.error_class, self.patience(last.candidate).move_on)

    async def may_try(self, candidate: Candidate, holder: Tenant) -> bool:
        """Whether to try this one, as things have become since the plan was made. Its limits then count it."""
        if candidate.key.provider in self._in_trouble and self._ledger.budget.is_spent:
            return self._pass_over(candidate, Why.HEALTH, TROUBLED)
        if reason := await self._grant.try_key(holder, candidate):
            return self._pass_over(candidate, Why.LIMIT, reason)
        if health := self._stands_in_the_way(candidate):
            self.leave(candidate)
            self._out.append((candidate, health))
            return self._pass_over(candidate, Why.HEALTH, unwell(health))
        return True

    def _stands_in_the_way(self, candidate: Candidate) -> Health | None:
        return None if candidate.mark is Mark.LAST_RESORT else self._ledger.board.claim(candidate.key.id)

    def _pass_over(self, candidate: Candidate, why: Why, reason: str) -> bool:
        self.skipped.append(LeftOut(candidate.key, why, reason))
        return False

    def leave(self, candidate: Candidate) -> None:
        """It is not tried after all."""
        self._grant.settle(candidate, None)

    @property
    def _in_trouble(self) -> set[str]:
        """Providers that this request has met in trouble."""
        return {
            attempt.candidate.key.provider
            for attempt in self.failed
            if attempt.failure and attempt.failure.error_class is ErrorClass.TROUBLE
        }

    def begin(self, candidate: Candidate, secret_version: int) -> Attempt:
        """Raises JournalError: then the attempt must not be sent."""
        attempt = Attempt(candidate, secret_version)
        self._ledger.journal.open(self._opened(attempt))
        self.attempts += 1
        self.current = attempt
        if candidate.key.provider in self._in_trouble:
            self._retrying = True
            self._ledger.budget.retrying += 1
        return attempt

    def _opened(self, attempt: Attempt) -> Opened:
        key, request = attempt.candidate.key, self._request
        return Opened(
            id=attempt.id,
            request_id=self._request_id,
            organization_id=self._caller.tenant.id,
            client_key_id=self._caller.id,
            member_id=self._caller.member_id,
            provider_key_id=str(key.id),
            provider=key.provider,
            model=request.model,
            native_model=attempt.candidate.native_model,
            tier=key.tier,
            number=self.attempts + 1,
            stream=request.stream,
            started_at=time.time(),
            input_estimate=self._grant.asked.input_tokens,
            output_estimate=self._grant.asked.output_tokens,
            mark=str(attempt.candidate.mark),
            skipped=told(self.skipped),
        )

    def fail(self, failure: Failure) -> None:
        """The current attempt failed; whether that was rescued shows later."""
        attempt = self.current
        assert attempt is not None
        attempt.fails(failure)
        self._grant.settle(attempt.candidate, Usage(), answered=False)
        self._note(attempt, failure)
        self._end_retry()
        self.failed.append(attempt)
        self._unsettled.append(attempt)
        self.current = None

    def answer(self, status: int) -> None:
        """The provider answers, so the key works."""
        assert self.current is not None
        self.current.answers(status)
        self._note(self.current, None)

    def _note(self, attempt: Attempt, failure: Failure | None) -> None:
        board, key, probe = self._ledger.board, attempt.candidate.key.id, attempt.candidate.mark is not Mark.NONE
        if failure is None:
            board.note(key, attempt.secret_version, None, probe=probe)
            return
        board.note(
            key,
            attempt.secret_version,
            failure.error_class,
            retry_after=failure.retry_after,
            definite=failure.definite,
            probe=probe,
            error=failure.for_owners(),
        )

    def _end_retry(self) -> None:
        if self._retrying:
            self._retrying = False
            self._ledger.budget.retrying -= 1

    def rescue(self) -> None:
        """A later attempt answers, so what failed before was absorbed."""
        if self._unsettled:
            self._ledger.journal.close(*self._close_failed("absorbed"))

    def finish(
        self, usage: Usage | None, *, outcome: str = "ok", error_class: str = "", events: int = 0, cut: bool = False
    ) -> None:
        """The current attempt ended. Without usage from the provider, tokens are estimated from what passed through.

        cut: the answer is not whole, so what usage says of the output is only how it began.
        """
        if self.current is None:
            return
        attempt, self.current = self.current, None
        attempt.ends()
        self._end_retry()
        if error_class == ErrorClass.TROUBLE:
            self._ledger.board.note(attempt.candidate.key.id, attempt.secret_version, ErrorClass.TROUBLE)
        rescued = "absorbed" if outcome == "ok" else "error"
        told = usage if usage and usage.plausible else None
        counted = told or Usage(input_tokens=self._grant.asked.input_tokens, output_tokens=events)
        if cut:
            counted = replace(counted, output_tokens=max(counted.output_tokens, events))
        last = attempt.closed(outcome, error_class, counted, estimated=cut or told is None)
        self._ledger.journal.close(*self._close_failed(rescued), last)
        self._grant.settle(attempt.candidate, counted, answered=outcome == "ok")
        self._grant.release()

    def give_up(self) -> None:
        """No candidate answered."""
        if self._unsettled:
            self._ledger.journal.close(*self._close_failed("error"))

    def abandon(self, outcome: str) -> None:
        """What is still open ends here, as when the client left. Called once for each walk.

        A provider makes an answer that is no stream to its end, and bills it, although nobody waits for it.
        """
        self.finish(None, outcome=outcome, events=0 if self._request.stream else self._grant.asked.output_tokens)
        self.give_up()
        self._grant.release()
        self._ledger.budget.running -= 1

    def refuse(self, code: str) -> None:
        """No key could be tried. That is written down too, with the reasons."""
        write_refused(self._ledger.journal, self._caller, self._request, self._request_id, code, told(self.skipped))

    @property
    def limited(self) -> Refusal | None:
        """What the first key that was at its limit would tell the program."""
        return self._grant.limited

    def trace(self) -> dict[str, str]:
        """The headers that tell the program what happened so far."""
        key = self.current.candidate.key if self.current else None
        passed = [f"{named(left.key)} skipped ({left.reason})" for left in self.skipped[:MOST_IN_HEADER]]
        failed = [f"{named(each.candidate.key)} {error_class(each)} {each.status or ''}".strip() for each in self.failed]
        return {
            **self._grant.headers(),
            **({"x-keyhold-key": key.name} if key else {}),
            "x-keyhold-attempts": str(self.attempts),
            "x-keyhold-fallback": self._fallback(key) if key else "none",
            "x-keyhold-walk": "; ".join([*passed, *failed, *([f"{named(key)} tried"] if key else [])]),
        }

    def _fallback(self, key: RouteKey) -> str:
        if key.tier == PLATFORM:
            return PLATFORM
        return "none" if key is self._plan.first else "byok"

    def _close_failed(self, outcome: str) -> list[Closed]:
        failed, self._unsettled = self._unsettled, []
        return [attempt.closed(outcome, error_class(attempt), Usage(), estimated=False) for attempt in failed]


def write_refused(
    journal: Journal, caller: Caller, request: Request, request_id: str, code: str, skipped: tuple[Skipped, ...] = ()
) -> None:
    """A request that went to no key."""
    journal.refuse(
        request_id=request_id,
        organization_id=caller.tenant.id,
        client_key_id=caller.id,
        member_id=caller.member_id,
        model=request.model,
        stream=request.stream,
        error_class=code,
        started_at=time.time(),
        skipped=skipped,
    )


def error_class(attempt: Attempt) -> str:
    return "" if attempt.failure is None else str(attempt.failure.error_class)


def named(key: RouteKey) -> str:
    """For a header: names alone may be the same with two providers."""
    return f"{key.provider}:{key.name}"


def told(skipped: list[LeftOut]) -> tuple[Skipped, ...]:
    return tuple(
        Skipped(key_id=str(left.key.id), name=left.key.name, provider=left.key.provider, why=str(left.why), reason=left.reason)
        for left in skipped[:MOST_SKIPPED]
    )
