"""Budgets as bounds: what a request may cost at worst is held while it runs, and what it did cost is spent.

Amounts are millionths of a dollar.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from gateway.admission import Asked, Bound, Ended, Shown
from gateway.books import Books, counter
from gateway.counters import Claim, Kind, Taken
from gateway.errors import Refusal, unavailable
from gateway.refusals import NO_RETRY, title
from gateway.snapshot import Caller, Tenant
from gateway.wires.values import Usage
from keys.routing import Candidate
from usage import budgets
from usage.budgets import Window
from usage.figures import day, dollars, exact_dollars, zone_name
from usage.models import Budget, Period, Scope, Unpriced
from usage.periods import zone
from usage.prices import OwnPrice
from usage.pricing import Prices

LASTS_SECONDS = 3 * 24 * 3600  # a counter that nobody touched for so long begins anew with what is booked
AT_LEAST = 1  # so that nothing fits into a budget that is spent, and that there is a counter to correct
CLOSED = Claim("keyhold:closed", Kind.HELD, 1, 0)
CALLED = {Period.DAY: "daily", Period.WEEK: "weekly", Period.MONTH: "monthly", Period.LIFETIME: "lifetime"}


@dataclass(frozen=True, slots=True)
class Pricing:
    """What attempts of one request cost, if they are made now."""

    asked: Asked
    prices: Prices
    now: datetime

    def at_worst(self) -> list[int | None]:
        """Of each key that may be tried, by the estimate of tokens; keys of one price once."""
        usage = Usage(input_tokens=self.asked.input_tokens, output_tokens=self.asked.output_tokens)
        alike = {self._price(each): each for each in self.asked.candidates}
        return [self.of(Ended(each, usage)) for each in alike.values()]

    def _price(self, candidate: Candidate) -> tuple[str, str, OwnPrice | None, int]:
        """The same for keys that cost the same."""
        key = candidate.key
        own = self.prices.own_price(key.provider, self.asked.request.model, key.id, self.now)
        return key.provider, candidate.native_model, own, self.prices.thousandths(key.id, self.now)

    def of(self, ended: Ended) -> int | None:
        candidate, usage = ended.candidate, ended.usage
        return self.prices.cost_microusd(
            provider=candidate.key.provider,
            native_model=candidate.native_model,
            model=self.asked.request.model,
            key_id=candidate.key.id,
            answered=ended.answered,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cached_input_tokens=usage.cached_input_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            reported_cost_microusd=usage.reported_cost_microusd,
            at=self.now,
        )


@dataclass(frozen=True, slots=True)
class Purse:
    """What is spent of a budget. `whose`: as in "the budget of". `at_worst`: what the request may cost.

    It refuses nothing: what stops at a budget stops at Held, which stands after it.
    """

    budget: Budget
    whose: str
    window: Window
    pricing: Pricing
    at_worst: int
    claim: Claim

    def counts(self, ended: Sequence[Ended]) -> int:
        return sum(worth(self.budget, self.pricing.of(each)) for each in ended)

    def refusal(self, taken: Taken) -> Refusal:
        raise NotImplementedError

    def reason(self, taken: Taken) -> str:
        raise NotImplementedError

    def headers(self, used: int) -> tuple[str, int, int] | None:
        amount = self.budget.amount_microusd
        return ("budget-microusd", amount, max(amount - used, 0)) if self.budget.hard else None


@dataclass(frozen=True, slots=True)
class Held:
    """What running requests may cost at worst, on top of what is spent of their budget."""

    purse: Purse
    claim: Claim

    def counts(self, ended: Sequence[Ended]) -> int:
        return 0

    def refusal(self, taken: Taken) -> Refusal:
        """402, which stays so until the budget resets or is raised; 429 where it is running requests that hold the rest."""
        budget, resets_at = self.purse.budget, self.purse.window.resets_at
        resets = {"x-keyhold-budget-resets-at": resets_at.isoformat()} if resets_at else {}
        said = (
            f"The {called(budget)} budget of {self.purse.whose}, {exact_dollars(budget.amount_microusd)}, {self._state(taken)}."
        )
        if self._fits(taken):
            return Refusal(429, "budget_reserved", f"{said} Try again in a second.", headers={"retry-after": "1"} | resets)
        return Refusal(402, "budget_exhausted", f"{said} {self._resets}", headers=NO_RETRY | resets)

    def reason(self, taken: Taken) -> str:
        return f"has a {called(self.purse.budget)} budget that {self._state(taken)}"

    def headers(self, used: int) -> None:
        return None

    def _left(self, taken: Taken) -> int:
        assert taken.refused is not None
        return self.purse.budget.amount_microusd - taken.used[taken.refused - 1]

    def _fits(self, taken: Taken) -> bool:
        """Once others have ended, or once Valkey is back: without it no process has more than its share of what is left."""
        return self._left(taken) >= self.purse.at_worst

    def _state(self, taken: Taken) -> str:
        left = self._left(taken)
        if self._fits(taken):
            return "has enough left for this request, but other requests hold it at the moment"
        if left <= 0:
            return "is used up"
        return f"has {dollars(left)} left, and this request may cost up to {dollars(self.purse.at_worst)}"

    @property
    def _resets(self) -> str:
        window = self.purse.window
        if window.after is None or window.first is None:
            return "It does not reset; an owner of the organization can raise it."
        return f"It resets on {day(window.after, window.first.year)} at midnight, {zone_name(window.zone)}."


@dataclass(frozen=True, slots=True)
class Shut:
    """In place of a bound that lets nothing through, whatever was counted. `why` completes a sentence after the key's name."""

    why: str
    told: Refusal

    claim = CLOSED

    def counts(self, ended: Sequence[Ended]) -> int:
        return 0

    def refusal(self, taken: Taken) -> Refusal:
        return self.told

    def reason(self, taken: Taken) -> str:
        return self.why

    def headers(self, used: int) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Budgets:
    """`books` are those of the Admission, which has them ready."""

    books: Books
    name: ClassVar[str] = "budgets"

    def shown(self, caller: Caller) -> list[Shown]:
        """Amounts in millionths of a dollar. One of which nothing is known at the moment is left out."""
        return [shown for budget, _ in owned(caller) if (shown := self._shown(budget, caller.tenant))]

    def _shown(self, budget: Budget, tenant: Tenant) -> Shown | None:
        window, key, start = self._now(budget, tenant)
        if start is None:
            return None
        most = budget.amount_microusd
        told = {
            "of": budget.scope,
            "unit": "microusd",
            "period": budget.period,
            "limit": most,
            "hard": budget.hard,
            "resets_at": window.resets_at,
        }
        return Shown(told, most, Claim(key, Kind.SPENT, 0, most, start, LASTS_SECONDS))

    def of_caller(self, asked: Asked) -> list[Bound]:
        """Raises Refusal where no price is known and a budget wants one, and where what is spent cannot be read."""
        tenant, met = asked.caller.tenant, list(owned(asked.caller))
        if not met:
            return []
        pricing = self._pricing(asked)
        worst = pricing.at_worst()
        if told := unpriced(asked, met, worst):
            raise told
        return [bound for each in met for bound in self._purse(*each, tenant, pricing, worst)]

    def of_key(self, asked: Asked, holder: Tenant, candidate: Candidate) -> list[Bound]:
        """Of a key that was lent only the operator's budget for it counts."""
        found = holder.budgets.get((Scope.PROVIDER_KEY, str(candidate.key.id)), ())
        wanting = [each for each in owned(asked.caller) if wants_price(each[0])]
        if not found and not wanting:
            return []
        met = [(budget, f"the {title(candidate.key)}") for budget in found]
        pricing = self._pricing(Asked(asked.caller, asked.request, [candidate]))
        worst = pricing.at_worst()
        if told := unpriced(asked, [*met, *wanting], worst):
            return [Shut("has no known price for this, and a budget wants one", told)]
        try:
            return [bound for each in met for bound in self._purse(*each, holder, pricing, worst)]
        except Refusal as refusal:
            return [Shut("has a budget of which it cannot be read what is spent", refusal)]

    def _pricing(self, asked: Asked) -> Pricing:
        return Pricing(asked, self.books.prices(asked.caller.tenant), self.books.now())

    def _now(self, budget: Budget, tenant: Tenant) -> tuple[Window, str, int | None]:
        """The budget's present period, its counter there, and what is booked if that is known."""
        window = budgets.window(budget.period, self.books.now(), zone(tenant.zone))
        key = counter(budget, window)
        return window, key, self.books.start(tenant, key)

    def _purse(self, budget: Budget, whose: str, tenant: Tenant, pricing: Pricing, worst: Iterable[int | None]) -> list[Bound]:
        """Nothing for a soft budget of which nothing is known: nothing stops at it. Raises Refusal for a hard one."""
        window, key, start = self._now(budget, tenant)
        stops = budget.hard and makes(pricing.asked)
        if start is None and stops:
            raise unavailable(
                "budget_unknown", f"What {whose} has spent cannot be read at the moment. Try again in a few seconds."
            )
        if start is None:
            return []
        at_worst = max([AT_LEAST, *(worth(budget, cost) for cost in worst)])
        spent = Claim(key, Kind.SPENT, AT_LEAST, None, start, LASTS_SECONDS)
        purse = Purse(budget, whose, window, pricing, at_worst, spent)
        held = Claim(f"{key}:held", Kind.HELD, at_worst, budget.amount_microusd, on_top=True)
        return [purse, Held(purse, held)] if stops else [purse]


def owned(caller: Caller) -> Iterator[tuple[Budget, str]]:
    """The budgets that a caller's requests meet, and whose each is."""
    for target, whose in (
        ((Scope.ORGANIZATION, ""), "this organization"),
        ((Scope.MEMBER, str(caller.member_id or "-")), f"the member {caller.owner}" if caller.owner else "the member"),
        ((Scope.CLIENT_KEY, caller.id), f"the client key “{caller.name}”"),
    ):
        for budget in caller.tenant.budgets.get(target, ()):
            yield budget, whose


def called(budget: Budget) -> str:
    return CALLED[Period(budget.period)]


def makes(asked: Asked) -> bool:
    """Whether it may make what costs. On a provider's own API there are requests that only look."""
    return bool(getattr(asked.request, "makes", True))


def worth(budget: Budget, cost: int | None) -> int:
    """What an attempt counts for a budget."""
    if cost is not None:
        return cost
    return budget.assumed_microusd if budget.unpriced == Unpriced.ASSUME else 0


def wants_price(budget: Budget) -> bool:
    return budget.hard and budget.unpriced == Unpriced.REFUSE


def unpriced(asked: Asked, met: Iterable[tuple[Budget, str]], worst: Sequence[int | None]) -> Refusal | None:
    """What is told where no price is known of any key that may be tried, and a hard budget wants one."""
    if not worst or any(cost is not None for cost in worst) or not makes(asked):
        return None
    for budget, whose in met:
        if wants_price(budget):
            message = (
                f"No price is known for {asked.request.model or 'this request'}, and the {called(budget)} budget of {whose} "
                "refuses what has none. An owner of the organization can set a price, or what such a request counts."
            )
            return Refusal(402, "price_unknown", message, headers=NO_RETRY)
    return None
