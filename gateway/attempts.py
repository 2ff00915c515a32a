"""The attempts of one request, written to the journal before and after each."""

import time
from dataclasses import replace

import uuid_utils

from gateway.directory import Caller
from gateway.exchange import milliseconds_since
from gateway.speech import Request
from gateway.upstream import Failure
from gateway.wires.values import Usage
from keys.routing import Candidate
from usage.journal import Closed, Journal, Opened

MOST_ATTEMPTS = 3
BYTES_PER_TOKEN = 4


class Attempt:
    """One candidate that is tried. `outcome` stays open until the walk's end is known."""

    __slots__ = ("_began", "candidate", "failure", "first_byte_ms", "id", "latency_ms", "status")

    def __init__(self, candidate: Candidate) -> None:
        self.id = str(uuid_utils.uuid7())
        self.candidate = candidate
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


class Walk:
    """From candidate to candidate until one answers. Whoever walks calls `finish` or `give_up`; `abandon` is for all else."""

    __slots__ = ("_caller", "_journal", "_request", "_request_id", "_unsettled", "attempts", "current", "failed")

    def __init__(self, journal: Journal, caller: Caller, request: Request, request_id: str) -> None:
        self._journal = journal
        self._caller = caller
        self._request = request
        self._request_id = request_id
        self._unsettled: list[Attempt] = []
        self.failed: list[Attempt] = []
        self.current: Attempt | None = None
        self.attempts = 0

    def begin(self, candidate: Candidate) -> Attempt:
        """Raises JournalError: then the attempt must not be sent."""
        attempt = Attempt(candidate)
        self._journal.open(self._opened(attempt))
        self.attempts += 1
        self.current = attempt
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
            input_estimate=self.input_estimate,
            output_estimate=request.max_tokens,
        )

    @property
    def input_estimate(self) -> int:
        return self._request.size // BYTES_PER_TOKEN

    def fail(self, failure: Failure) -> None:
        """The current attempt failed; whether that was rescued shows later."""
        assert self.current is not None
        self.current.fails(failure)
        self.failed.append(self.current)
        self._unsettled.append(self.current)
        self.current = None

    def rescue(self) -> None:
        """A later attempt answers, so what failed before was absorbed."""
        if self._unsettled:
            self._journal.close(*self._close_failed("absorbed"))

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
        rescued = "absorbed" if outcome == "ok" else "error"
        told = usage if usage and usage.plausible else None
        counted = told or Usage(input_tokens=self.input_estimate, output_tokens=events)
        if cut:
            counted = replace(counted, output_tokens=max(counted.output_tokens, events))
        last = attempt.closed(outcome, error_class, counted, estimated=cut or told is None)
        self._journal.close(*self._close_failed(rescued), last)

    def give_up(self) -> None:
        """No candidate answered."""
        if self._unsettled:
            self._journal.close(*self._close_failed("error"))

    def abandon(self, outcome: str) -> None:
        """What is still open ends here, as when the client left."""
        self.finish(None, outcome=outcome)
        self.give_up()

    def _close_failed(self, outcome: str) -> list[Closed]:
        failed, self._unsettled = self._unsettled, []
        return [attempt.closed(outcome, error_class(attempt), Usage(), estimated=False) for attempt in failed]


def error_class(attempt: Attempt) -> str:
    return "" if attempt.failure is None else str(attempt.failure.error_class)
