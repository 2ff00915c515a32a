"""What pages show of limits and budgets: how much is spent, when counting starts anew, and what is stopped."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from operator import attrgetter

from django.db.models import Q

from orgs.models import Organization
from usage import budgets, targets
from usage.figures import dollars, exact_dollars, whole
from usage.models import Budget, Limit, Period, Scope
from usage.periods import zone
from usage.targets import Target

PER = {Period.DAY: "today", Period.WEEK: "this week", Period.MONTH: "this month", Period.LIFETIME: "in all"}
CAP = {Period.DAY: "Daily", Period.WEEK: "Weekly", Period.MONTH: "Monthly", Period.LIFETIME: "Lifetime"}
NEARLY = 90  # percent; from here on the dearest requests may not fit any more
ORDER = list(Period)

type Key = tuple[str, str]
"""Scope and id of whom a limit is for."""


@dataclass(frozen=True, slots=True)
class Meter:
    """A budget, and what is spent of it. `resets`: the local date on which counting starts anew, `this_year` where it is now.

    `forecast`: what the whole period comes to at the rate so far; None where that cannot be told.
    """

    budget: Budget
    spent: int
    resets: date | None
    this_year: int
    forecast: int | None

    @property
    def name(self) -> str:
        """As in the facts of a key."""
        return f"{CAP[Period(self.budget.period)]} {'cap' if self.budget.hard else 'budget'}"

    @property
    def percent(self) -> float:
        return self.spent / self.budget.amount_microusd * 100 if self.budget.amount_microusd else 100

    @property
    def amount(self) -> str:
        return exact_dollars(self.budget.amount_microusd).removesuffix(".00")

    @property
    def words(self) -> str:
        return f"{dollars(self.spent)} of {self.amount}"

    @property
    def per(self) -> str:
        return PER[Period(self.budget.period)]

    @property
    def label(self) -> str:
        return f"{int(self.percent)} percent of the {self.name.lower()} used"

    @property
    def starts_anew(self) -> str:
        return f"Resets {self._on}" if self.resets else "Never resets"

    @property
    def stopped(self) -> bool:
        return self.budget.hard and self.spent >= self.budget.amount_microusd

    @property
    def state(self) -> str:
        """What it means for requests now; nothing while there is enough left."""
        if self.stopped:
            return f"Stopped at its limit until {self._on}." if self.resets else "Stopped at its limit until that is raised."
        if self.percent >= 100:
            return "Spent. Requests are served all the same."
        if self.budget.hard and self.percent >= NEARLY:
            left = dollars(self.budget.amount_microusd - self.spent)
            then = "passes it over" if self.budget.scope == Scope.PROVIDER_KEY else "is refused"
            return f"Nearly spent: a request that could cost more than the {left} left {then}."
        if self.forecast and self.forecast > self.budget.amount_microusd:
            return f"At this rate it comes to {dollars(self.forecast)}."
        return ""

    @property
    def _on(self) -> str:
        assert self.resets
        return f"{self.resets.day} {self.resets:%b}" + (f" {self.resets.year}" if self.resets.year != self.this_year else "")


@dataclass(frozen=True, slots=True)
class Ceiling:
    """All that limits one member, key or organization."""

    limit: Limit | None = None
    meters: tuple[Meter, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.limit or self.meters)

    @property
    def rates(self) -> list[str]:
        if self.limit is None:
            return []
        said = (
            (self.limit.requests_per_minute, "requests a minute"),
            (self.limit.tokens_per_minute, "tokens a minute"),
            (self.limit.concurrent, "at once"),
        )
        return [f"{whole(number)} {words}" for number, words in said if number is not None]

    @property
    def stopped(self) -> Meter | None:
        """The budget that stops it longest."""
        stopping = [meter for meter in self.meters if meter.stopped]
        return max(stopping, key=lambda meter: meter.resets or date.max, default=None)


NOTHING = Ceiling()
NEAREST = 4  # shown on the overview
FULL = attrgetter("percent")


def of(organization: Organization, now: datetime, which: Q | None = None) -> Mapping[Key, Ceiling]:
    """Of everything that has limits, or of `which`: two queries, and one more for each scope with budgets."""
    chosen = which or Q()
    limits = {(each.scope, each.target_id): each for each in Limit.objects.filter(chosen, organization=organization)}
    meters: defaultdict[Key, list[Meter]] = defaultdict(list)
    for meter in _metered(organization, list(Budget.objects.filter(chosen, organization=organization)), now):
        meters[meter.budget.scope, meter.budget.target_id].append(meter)
    return {key: Ceiling(limits.get(key), tuple(meters.get(key, ()))) for key in limits.keys() | meters.keys()}


def of_one(organization: Organization, scope: str, target_id: str, now: datetime) -> Ceiling:
    return of(organization, now, Q(scope=scope, target_id=target_id)).get((scope, target_id), NOTHING)


def of_scope(organization: Organization, scope: str, now: datetime) -> Mapping[str, Ceiling]:
    """By the id of whom they are for."""
    return {target_id: ceiling for (_, target_id), ceiling in of(organization, now, Q(scope=scope)).items()}


def nearest(organization: Organization, only: int | None, now: datetime) -> list[tuple[Target, Meter]]:
    """The client keys that have spent most of a budget, each with that one; with `only` a person, that person's."""
    found = of_scope(organization, Scope.CLIENT_KEY, now)
    if not any(ceiling.meters for ceiling in found.values()):
        return []
    clients = targets.of_scope(organization, Scope.CLIENT_KEY, only)
    fullest = [(each, max(found[each.id].meters, key=FULL, default=None)) for each in clients if each.id in found]
    return sorted(((each, meter) for each, meter in fullest if meter), key=lambda pair: -FULL(pair[1]))[:NEAREST]


def _metered(organization: Organization, rows: Iterable[Budget], now: datetime) -> Iterable[Meter]:
    local = zone(organization.timezone)
    ordered = sorted(rows, key=lambda row: ORDER.index(Period(row.period)))
    spent = budgets.spent(organization.pk, ordered, now, local)
    for row in ordered:
        within, counted = budgets.window(row.period, now, local), spent[row.pk].counted(row)
        yield Meter(row, counted, within.after, now.astimezone(local).year, budgets.forecast(counted, within, now))
