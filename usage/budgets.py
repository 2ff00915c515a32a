"""What a budget's period is at a moment, what was spent in it, and what it comes to if that goes on.

Days are the organization's local dates, as in DailyRollup: what was booked keeps its date when the time zone changes.
Amounts are millionths of a dollar.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple, Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Q, Sum

from keys.routing import PLATFORM
from usage.models import DailyRollup, Period, Scope, Unpriced
from usage.periods import DAY

COLUMNS = {Scope.MEMBER: "member_id", Scope.CLIENT_KEY: "client_key_id", Scope.PROVIDER_KEY: "provider_key_id"}
SOONEST_FORECAST = 10  # a forecast needs this part of the period, one in so many


class Counted(Protocol):
    """A budget, as far as counting goes: the model's row, or what a gateway keeps of it."""

    @property
    def id(self) -> UUID: ...
    @property
    def scope(self) -> str: ...
    @property
    def target_id(self) -> str: ...
    @property
    def period(self) -> str: ...
    @property
    def unpriced(self) -> str: ...
    @property
    def assumed_microusd(self) -> int: ...


class Spent(NamedTuple):
    """`unpriced`: how many requests had no known price."""

    cost_microusd: int = 0
    unpriced: int = 0

    def counted(self, budget: Counted) -> int:
        """What this comes to for a budget: its owner said what counts where no price is known."""
        assumed = budget.assumed_microusd if budget.unpriced == Unpriced.ASSUME else 0
        return self.cost_microusd + self.unpriced * assumed


@dataclass(frozen=True, slots=True)
class Window:
    """The days from `first` up to, and without, `after`; None where a lifetime has no end."""

    zone: ZoneInfo
    first: date | None = None
    after: date | None = None

    @property
    def starts_at(self) -> datetime | None:
        return self._midnight(self.first)

    @property
    def resets_at(self) -> datetime | None:
        return self._midnight(self.after)

    def _midnight(self, day: date | None) -> datetime | None:
        """When the day begins, in UTC; where clocks skip midnight, when they skip it."""
        return None if day is None else datetime.combine(day, time.min, self.zone).astimezone(UTC)

    def __str__(self) -> str:
        """The same for one period as long as it lasts."""
        return f"{self.first or ''}/{self.after or ''}"


def window(period: str, now: datetime, zone: ZoneInfo) -> Window:
    """The period that `now` is in. Weeks begin on Monday."""
    today = now.astimezone(zone).date()
    match period:
        case Period.DAY:
            return Window(zone, today, today + DAY)
        case Period.WEEK:
            monday = today - today.weekday() * DAY
            return Window(zone, monday, monday + 7 * DAY)
        case Period.MONTH:
            first = today.replace(day=1)
            return Window(zone, first, (first + 31 * DAY).replace(day=1))
    return Window(zone)


def spent(organization: UUID, budgets: Iterable[Counted], now: datetime, zone: ZoneInfo) -> dict[UUID, Spent]:
    """What was booked for each budget in its present period, by the budget's id. One query for each scope among them.

    Of a key that the operator lends, what others used counts too.
    """
    by_scope: defaultdict[str, list[Counted]] = defaultdict(list)
    for budget in budgets:
        by_scope[budget.scope].append(budget)
    found: dict[UUID, Spent] = {}
    for scope, some in by_scope.items():
        windows = {budget.period: window(budget.period, now, zone) for budget in some}
        sums = _sums(organization, scope, {budget.target_id for budget in some}, windows)
        found |= {budget.id: sums.get((budget.target_id, budget.period), Spent()) for budget in some}
    return found


def _sums(organization: UUID, scope: str, targets: Iterable[str], windows: Mapping[str, Window]) -> dict[tuple[str, str], Spent]:
    """By target and period."""
    lent = Q(tier=PLATFORM) if scope == Scope.PROVIDER_KEY else Q()
    rows = DailyRollup.objects.filter(Q(organization=organization) | lent)
    firsts = [each.first for each in windows.values()]
    if None not in firsts:
        rows = rows.filter(day__gte=min(first for first in firsts if first))
    asked = [
        Sum(measure, filter=_within(each), default=0)
        for each in windows.values()
        for measure in ("estimated_cost_microusd", "unpriced")
    ]
    named = {f"sum_{number}": each for number, each in enumerate(asked)}
    if scope == Scope.ORGANIZATION:
        found = {"": tuple(rows.aggregate(**named).values())}
    else:
        column = COLUMNS[Scope(scope)]
        chosen = rows.filter(**{f"{column}__in": list(targets)}).values_list(column)
        found = {str(target): tuple(sums) for target, *sums in chosen.annotate(**named)}
    return {
        (target, period): Spent(*sums[2 * place : 2 * place + 2])
        for target, sums in found.items()
        for place, period in enumerate(windows)
    }


def _within(each: Window) -> Q:
    return Q(day__gte=each.first, day__lt=each.after) if each.first else Q()


def forecast(spent_microusd: int, each: Window, now: datetime) -> int | None:
    """What the whole period comes to at the rate so far; None for a lifetime, and while it is too soon to tell."""
    if each.starts_at is None or each.resets_at is None:
        return None
    length, gone = each.resets_at - each.starts_at, now - each.starts_at
    if gone < length / SOONEST_FORECAST or gone <= timedelta():
        return None
    return max(spent_microusd, round(spent_microusd * (length / gone)))
