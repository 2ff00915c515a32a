"""Whether a request may go now, and what it counts: the limits and budgets of its caller and of the keys that it tries.

Each kind of bound (gateway/limits.py, gateway/budgets.py) says which Bounds a request meets. Those of the caller are taken in
one step before the walk, those of a provider key in one step before that key is tried, and all are corrected by the facts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol
from uuid import UUID

from gateway.counters import Change, Claim, Counters, Taken
from gateway.errors import Refusal
from gateway.snapshot import Caller, Tenant
from gateway.speech import Request
from gateway.wires.values import MOST, Usage
from keys.routing import Candidate

BYTES_PER_TOKEN = 4
USUAL_OUTPUT_TOKENS = 1_000  # reserved where the request sets no limit to its answer
ANSWERS_IN_TOKENS = frozenset({"chat", "messages", "responses", "images", "native"})


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that wants to be admitted. `candidates`: the keys that may be tried, in their order; may be none."""

    caller: Caller
    request: Request
    candidates: Sequence[Candidate]

    @property
    def input_tokens(self) -> int:
        """An estimate, by the size of the body."""
        return self.request.size // BYTES_PER_TOKEN

    @property
    def output_tokens(self) -> int:
        """The most that all answers may have, or what is usual where that is not said (`says_most`)."""
        usual = USUAL_OUTPUT_TOKENS if self.request.operation in ANSWERS_IN_TOKENS and self.request.size else 0
        return min((self.request.max_tokens or usual) * self.request.answers, MOST)

    @property
    def says_most(self) -> bool:
        return self.request.max_tokens > 0


class Ended(NamedTuple):
    """One attempt with what it used, by the provider's word or by estimate. Nothing was used where it failed.

    answered: whether it ended well. An answer without tokens may have cost something, a failure without tokens did not.
    """

    candidate: Candidate
    usage: Usage
    answered: bool = True


class Bound(Protocol):
    """One limit or budget as it meets one request."""

    @property
    def claim(self) -> Claim:
        """What is reserved, at worst."""
        ...

    def counts(self, ended: Sequence[Ended]) -> int:
        """What it comes to once the facts are known: of all attempts for the caller's bounds, of its own for a key's.

        The difference to the claim's amount is added to the counter. 0 for what is only held.
        """
        ...

    def refusal(self, taken: Taken) -> Refusal:
        """What the program is told where this bound refuses; `taken.wait` says for how long."""
        ...

    def reason(self, taken: Taken) -> str:
        """Why a provider key is passed over: completes a sentence that begins with the key's name."""
        ...

    def headers(self, used: int) -> tuple[str, int, int] | None:
        """(name such as "requests", the most, what is left) for x-keyhold-limit-* and x-keyhold-remaining-*."""
        ...


class Shown(NamedTuple):
    """A limit or a budget for GET /v1/key. `told`: what stands there of it; what is left of `most` is added as `remaining`."""

    told: Mapping[str, Any]
    most: int
    claim: Claim


class Bounds(Protocol):
    """A kind of bound. Nothing here may wait: what they know of an organization is in its Tenant.

    `name`: the member of GET /v1/key that lists them.
    """

    name: ClassVar[str]

    def of_caller(self, asked: Asked) -> Sequence[Bound]:
        """Of the organization, the member and the client key. Raises Refusal for what may never go."""
        ...

    def of_key(self, asked: Asked, holder: Tenant, candidate: Candidate) -> Sequence[Bound]:
        """Of a provider key; `holder` is whose it is, which may be the operator."""
        ...

    def shown(self, caller: Caller) -> Sequence[Shown]:
        """Those of the organization, the member and the client key."""
        ...


class Books(Protocol):
    """What was spent before this process counted, and by others: what SPENT claims start with."""

    async def ready(self, tenant: Tenant) -> None:
        """Until that is known of this tenant, or cannot be known. Waits for the database only the first time."""
        ...


class Grant:
    """A request that was admitted. `settle` for each attempt that ended, then `release` once, whatever happened.

    Neither waits, so both may be called while the request is being cancelled.
    """

    __slots__ = ("_admission", "_by_key", "_ended", "_headers", "_of_caller", "asked", "limited")

    def __init__(self, admission: "Admission", asked: Asked, bounds: Sequence[Bound], taken: Taken) -> None:
        self._admission = admission
        self.asked = asked
        self._of_caller = (bounds, taken)
        self._by_key: dict[UUID, tuple[Sequence[Bound], Taken]] = {}
        self._ended: list[Ended] = []
        self._headers = headers_of(bounds, taken.used)
        self.limited: Refusal | None = None

    async def try_key(self, holder: Tenant, candidate: Candidate) -> str:
        """Why this key may not be used now, or "" and then it counts. `limited` keeps the first refusal."""
        bounds = await self._admission.of_key(self.asked, holder, candidate)
        if not bounds:
            return ""
        taken = await self._admission.counters.take([bound.claim for bound in bounds])
        if taken.refused is None:
            self._by_key[candidate.key.id] = bounds, taken
            return ""
        refused = bounds[taken.refused]
        self.limited = self.limited or refused.refusal(taken)
        return refused.reason(taken)

    def settle(self, candidate: Candidate, usage: Usage | None, *, answered: bool = True) -> None:
        """An attempt ended, or this key was not tried after all (None): then it is as if it had not been asked for."""
        if usage is not None:
            self._ended.append(Ended(candidate, usage, answered))
        bounds, taken = self._by_key.pop(candidate.key.id, ((), None))
        if taken:
            self._admission.counters.add(
                [Change(b.claim.key, b.claim.kind, -b.claim.amount, taken.at, b.claim.lasts) for b in bounds]
                if usage is None
                else corrections(bounds, taken, [Ended(candidate, usage, answered)])
            )

    def release(self) -> None:
        """The request is over. What was never settled counts as nothing used."""
        for candidate_bounds, taken in self._by_key.values():
            self._admission.counters.add(corrections(candidate_bounds, taken, []))
        self._by_key.clear()
        bounds, taken = self._of_caller
        self._of_caller = ((), taken)
        if bounds:
            self._admission.counters.add(corrections(bounds, taken, self._ended))

    def headers(self) -> dict[str, str]:
        """For the answer: of each name the tightest bound of the caller, as it was when the request was admitted."""
        return self._headers


@dataclass(frozen=True, slots=True)
class Admission:
    """`kinds` in the order in which they are told where several refuse."""

    counters: Counters
    kinds: Sequence[Bounds] = ()
    books: Books | None = None

    async def admit(self, asked: Asked) -> Grant:
        """Raises Refusal: then nothing was counted."""
        await self._ready(asked.caller.tenant)
        bounds = [bound for kind in self.kinds for bound in kind.of_caller(asked)]
        if not bounds:
            return Grant(self, asked, bounds, Taken(()))
        taken = await self.counters.take([bound.claim for bound in bounds])
        if taken.refused is not None:
            refusal = bounds[taken.refused].refusal(taken)
            refusal.headers |= headers_of(bounds, taken.used)
            raise refusal
        return Grant(self, asked, bounds, taken)

    async def left(self, caller: Caller) -> dict[str, list[dict[str, Any]]]:
        """What is left to this caller of each bound, by the kind's name."""
        await self._ready(caller.tenant)
        return {kind.name: await self._left(kind.shown(caller)) for kind in self.kinds}

    async def _left(self, shown: Sequence[Shown]) -> list[dict[str, Any]]:
        used = await self.counters.look([each.claim for each in shown]) if shown else ()
        return [{**each.told, "remaining": max(0, each.most - so_far)} for each, so_far in zip(shown, used, strict=True)]

    async def _ready(self, tenant: Tenant) -> None:
        if self.books:
            await self.books.ready(tenant)

    async def of_key(self, asked: Asked, holder: Tenant, candidate: Candidate) -> list[Bound]:
        if holder is not asked.caller.tenant:
            await self._ready(holder)
        return [bound for kind in self.kinds for bound in kind.of_key(asked, holder, candidate)]


def corrections(bounds: Sequence[Bound], taken: Taken, ended: Sequence[Ended]) -> list[Change]:
    return [
        Change(bound.claim.key, bound.claim.kind, difference, taken.at, bound.claim.lasts)
        for bound in bounds
        if (difference := bound.counts(ended) - bound.claim.amount)
    ]


def headers_of(bounds: Sequence[Bound], used: Sequence[int]) -> dict[str, str]:
    """Of each name the bound with the least left."""
    tightest: dict[str, tuple[int, int]] = {}
    for bound, so_far in zip(bounds, used, strict=True):
        if told := bound.headers(so_far):
            name, most, left = told
            if name not in tightest or left < tightest[name][0]:
                tightest[name] = left, most
    return {
        header: str(value)
        for name, (left, most) in tightest.items()
        for header, value in ((f"x-keyhold-limit-{name}", most), (f"x-keyhold-remaining-{name}", left))
    }
