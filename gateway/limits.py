"""Requests and tokens a minute, and requests at a time: what an owner allows the organization, members and keys."""

from collections.abc import Iterator, Sequence
from math import ceil
from typing import ClassVar, NamedTuple

from gateway.admission import Asked, Bound, Ended, Shown
from gateway.counters import NEVER, Claim, Kind, Taken
from gateway.errors import Refusal
from gateway.refusals import title
from gateway.snapshot import Caller, Tenant
from keys.routing import Candidate
from usage.models import Limit, Scope

NO_RETRY = {"x-should-retry": "false"}


class What(NamedTuple):
    """Something that is limited. `plural` completes "a limit of 60 …"."""

    name: str
    code: str
    plural: str
    kind: Kind

    def claim(self, at: str, amount: int, most: int) -> Claim:
        return Claim(f"{at}:{self.name}", self.kind, amount, most)


REQUESTS = What("requests", "limit_requests", "requests a minute", Kind.RATE)
TOKENS = What("tokens", "limit_tokens", "tokens a minute", Kind.RATE)
CONCURRENT = What("concurrent", "limit_concurrent", "requests at a time", Kind.HELD)


class Limited(NamedTuple):
    """One number of a Limit as it meets one request. `whose` begins a sentence, such as "This organization's"."""

    whose: str
    what: What
    most: int
    claim: Claim

    def counts(self, ended: Sequence[Ended]) -> int:
        if self.what is TOKENS:
            return sum(each.usage.input_tokens + each.usage.output_tokens for each in ended)
        return self.claim.amount if self.what is REQUESTS else 0

    def refusal(self, taken: Taken) -> Refusal:
        return Refusal(429, self.what.code, self._message(taken), headers=after(taken.wait))

    def reason(self, taken: Taken) -> str:
        return f"is at its limit of {self._limit}"

    def headers(self, used: int) -> tuple[str, int, int]:
        return self.what.name, self.most, max(0, self.most - used)

    @property
    def _limit(self) -> str:
        return f"{self.most:,} {self.what.plural}"

    def _message(self, taken: Taken) -> str:
        if taken.wait < NEVER:
            return f"{self.whose} limit of {self._limit} is reached. Try again in {seconds(taken.wait)}."
        if self.what is TOKENS:
            asked = f"This request may need {self.claim.amount:,} tokens"
            return f"{asked}, and {self.whose[0].lower()}{self.whose[1:]} limit is {self._limit}. Ask for a shorter answer."
        return f"{self.whose} limit is {self._limit}, so nothing passes. An owner can raise it."


class Limits:
    """The Bounds of gateway/admission.py that come from Limit rows."""

    name: ClassVar[str] = "limits"

    def of_caller(self, asked: Asked) -> Sequence[Bound]:
        tenant = asked.caller.tenant
        if not tenant.limits:
            return ()
        return [
            bound
            for whose, scope, target in holders(asked.caller)
            if (limit := tenant.limits.get((scope, target)))
            for bound in bounds(whose, place(tenant.id, scope, target), limit, asked)
        ]

    def shown(self, caller: Caller) -> list[Shown]:
        tenant = caller.tenant
        return [
            Shown({"of": str(scope), "unit": unit, "limit": most}, most, claim)
            for _, scope, target in holders(caller)
            if (limit := tenant.limits.get((scope, target)))
            for unit, most, claim in numbers(place(tenant.id, scope, target), limit)
        ]

    def of_key(self, asked: Asked, holder: Tenant, candidate: Candidate) -> Sequence[Bound]:
        target = str(candidate.key.id) if holder.limits else ""
        limit = holder.limits.get((Scope.PROVIDER_KEY, target))
        if limit is None:
            return ()
        return list(bounds(f"{title(candidate.key)}'s", place(holder.id, Scope.PROVIDER_KEY, target), limit, asked))


def holders(caller: Caller) -> tuple[tuple[str, Scope, str], ...]:
    """Who is limited when this caller asks: how a message begins, and where the limit is found."""
    return (
        ("This organization's", Scope.ORGANIZATION, ""),
        (f"The member {caller.owner}'s" if caller.owner else "The member's", Scope.MEMBER, str(caller.member_id or "-")),
        (f"The client key “{caller.name}”'s", Scope.CLIENT_KEY, caller.id),
    )


def place(organization: str, scope: str, target: str) -> str:
    """What a limit's counters are called by. It names nothing that an owner edits, so an edit resets nothing."""
    return f"keyhold:{organization}:{scope}:{target}"


def bounds(whose: str, at: str, limit: Limit, asked: Asked) -> Iterator[Limited]:
    """A number that is not set limits nothing."""
    if (most := limit.requests_per_minute) is not None:
        yield Limited(whose, REQUESTS, most, REQUESTS.claim(at, 1, most))
    if (most := limit.tokens_per_minute) is not None:
        yield Limited(whose, TOKENS, most, TOKENS.claim(at, reserved(asked, most), most))
    if (most := limit.concurrent) is not None:
        yield Limited(whose, CONCURRENT, most, CONCURRENT.claim(at, 1, most))


def numbers(at: str, limit: Limit) -> Iterator[tuple[str, int, Claim]]:
    """(the column, the most, what counts it)"""
    for what, column in ((REQUESTS, "requests_per_minute"), (TOKENS, "tokens_per_minute"), (CONCURRENT, "concurrent")):
        if (most := getattr(limit, column)) is not None:
            yield column, most, what.claim(at, 0, most)


def reserved(asked: Asked, most: int) -> int:
    """Tokens, at worst. What is only usual is no reason to refuse a request for ever, so then all of the limit is enough."""
    worst = asked.input_tokens + asked.output_tokens
    return worst if asked.says_most else min(worst, max(asked.input_tokens, most))


def after(wait: float) -> dict[str, str]:
    """When to come back; without an end, trying again is of no use."""
    return {"retry-after": str(ceil(wait))} if wait < NEVER else NO_RETRY


def seconds(wait: float) -> str:
    whole = ceil(wait)
    return "1 second" if whole == 1 else f"{whole} seconds"
