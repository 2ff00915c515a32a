"""Sums of usage over a period. The database adds up rollups, in the same number of queries however many there are."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.db import models
from django.db.models import Case, Expression, F, Max, Q, Sum, Value, When

from keys.models import ClientKey, ProviderKey
from keys.providers import PROVIDERS
from orgs.models import Organization, User
from usage import journal, latency
from usage.ingest import MEASURES
from usage.models import DailyRollup, HourlyRollup, Outcome, UsageEvent, UsageRollup
from usage.periods import Period
from usage.queries import COLUMNS, NO_ID, NO_PERSON, PERSONAL, Query

type Item = str | int | UUID

SERIES = 7  # in a chart; where there are more, the last stands for the rest
OTHER = "\0"  # no item can be called so
NO_KEY = UUID(journal.NO_KEY)
MODELS_OFFERED = 50
NOBODY = 0  # the person of client keys that belong to none
OTHERS: dict[str, Item] = {"client": NO_ID, "member": NO_PERSON}  # all that the viewer may not tell apart, as one item
RESULTS: dict[str, tuple[Outcome, ...]] = {
    "ok": (Outcome.OK,),
    "failed": (Outcome.ERROR, Outcome.REFUSED),
    "cancelled": (Outcome.CANCELLED,),
    "rescued": (Outcome.ABSORBED,),
}
RESULT_WORDS = {"ok": "Answered", "failed": "Failed", "cancelled": "Program left", "rescued": "Rescued failures"}


@dataclass(slots=True)
class Totals:
    """Sums over some rollups. An attempt that a later one rescued is `absorbed` and no request; it may have cost something.

    A request that was refused before any provider was asked is an error.
    """

    requests: int = 0
    errors: int = 0
    cancelled: int = 0
    absorbed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    reasoning_tokens: int = 0
    unpriced: int = 0
    estimated: int = 0
    cost_microusd: int = 0
    latencies: list[int] = field(default_factory=lambda: [0] * len(latency.COLUMNS))

    def count(self, outcome: str, sums: Iterable[int]) -> "Totals":
        """Add one rollup, given as its outcome and the sums of MEASURES. Latency counts for answers only."""
        attempts, tokens_in, tokens_out, cached, reasoning, unpriced, estimated, cost, *latencies = map(int, sums)
        self.input_tokens += tokens_in
        self.output_tokens += tokens_out
        self.cached_input_tokens += cached
        self.reasoning_tokens += reasoning
        self.unpriced += unpriced
        self.estimated += estimated
        self.cost_microusd += cost
        if outcome == Outcome.ABSORBED:
            self.absorbed += attempts
            return self
        self.requests += attempts
        self.errors += attempts if outcome in (Outcome.ERROR, Outcome.REFUSED) else 0
        self.cancelled += attempts if outcome == Outcome.CANCELLED else 0
        if outcome == Outcome.OK:
            self.latencies = [one + more for one, more in zip(self.latencies, latencies, strict=True)]
        return self

    def add(self, other: "Totals") -> None:
        for measure in fields(self):
            mine, more = getattr(self, measure.name), getattr(other, measure.name)
            both = [one + two for one, two in zip(mine, more, strict=True)] if isinstance(mine, list) else mine + more
            setattr(self, measure.name, both)

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def error_share(self) -> float:
        return self.errors / self.requests if self.requests else 0.0

    @property
    def median(self) -> int | None:
        return latency.percentile(self.latencies, 0.5)

    @property
    def p95(self) -> int | None:
        return latency.percentile(self.latencies, 0.95)


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of Totals, and how the database adds it up: these columns, over attempts with these outcomes."""

    of: Callable[[Totals], int]
    columns: tuple[str, ...]
    outcomes: frozenset[Outcome] = frozenset(Outcome)


MEASURE = {
    "requests": Measure(lambda totals: totals.requests, ("requests",), frozenset(Outcome) - {Outcome.ABSORBED}),
    "tokens": Measure(lambda totals: totals.tokens, ("input_tokens", "output_tokens")),
    "cost": Measure(lambda totals: totals.cost_microusd, ("estimated_cost_microusd",)),
    "errors": Measure(lambda totals: totals.errors, ("requests",), frozenset({Outcome.ERROR, Outcome.REFUSED})),
}
SORT: dict[str, Callable[[Totals], int]] = {
    "requests": lambda totals: -totals.requests,
    "in": lambda totals: -totals.input_tokens,
    "out": lambda totals: -totals.output_tokens,
    "errors": lambda totals: -totals.errors,
    "latency": lambda totals: -(totals.median or 0),
    "cost": lambda totals: -totals.cost_microusd,
}


@dataclass(frozen=True, slots=True)
class Names:
    """What items are called, as far as the viewer may know. Keys keep their name after they are removed or revoked."""

    keys: dict[UUID, tuple[str, str]]  # provider slug and name
    clients: dict[UUID, str]
    people: dict[int, str]

    def of(self, by: str, item: Item) -> str:
        if by == "provider":
            return PROVIDERS[item].label if item in PROVIDERS else str(item) or "No provider"
        if by == "key" and item in self.keys:
            slug, name = self.keys[item]
            return f"{self.of('provider', slug)} {name}"
        if by == "key":
            return "No key" if item == NO_KEY else "Shared key"
        if by == "client":
            return "Other people’s keys" if item == OTHERS["client"] else self.clients.get(item, "Former key")
        if by == "member":
            return self._person(item)
        return RESULT_WORDS.get(item, "Unknown") if by == "result" else str(item)

    def _person(self, item: Item) -> str:
        if item == NOBODY:
            return "Nobody’s"
        return "Other people" if item == OTHERS["member"] else self.people.get(item, "Former member")

    def provider_of(self, by: str, item: Item) -> str:
        """The slug of the provider that an item belongs to, if it belongs to one."""
        return str(item) if by == "provider" else self.keys.get(item, ("", ""))[0] if by == "key" else ""


@dataclass(frozen=True, slots=True)
class Report:
    """`before` knows only of requests. `items` is sorted as asked.

    `series` names the columns of `buckets`; OTHER stands for all that have none.
    """

    query: Query
    total: Totals
    before: Totals
    items: list[tuple[Item, Totals]]
    series: list[Item]
    buckets: list[tuple[date, list[int]]]
    names: Names
    models: list[str]
    last_request: datetime | None


def report(organization: Organization, query: Query) -> Report:
    """All that the usage page shows in sums, in eight queries."""
    names = names_of(organization, query.only)
    asked = _rows(organization, query, query.period)
    items, total = _by_item(asked)
    series = _series(items, MEASURE[query.measure].of)
    return Report(
        query=query,
        total=total,
        before=_requests(_rows(organization, query, query.period.before())),
        items=sorted(items.items(), key=lambda each: (SORT[query.sort](each[1]), names.of(query.by, each[0]).casefold())),
        series=series,
        buckets=_buckets(asked, query, series),
        names=names,
        models=_models(organization, query.period),
        last_request=UsageEvent.objects.filter(organization=organization).aggregate(last=Max("started_at"))["last"],
    )


def lines(organization: Organization, query: Query) -> Iterator[tuple[date, Item, Totals]]:
    """Totals of each bucket and item, read from the database as they are asked for."""
    for (bucket, item), totals in totaled(_rows(organization, query, query.period), _bucket(query.period), "item"):
        yield bucket, item, totals


def full_lines(organization: Organization, query: Query) -> Iterator[tuple[tuple[Any, ...], Totals]]:
    """Totals of each day in full: day, provider, model, provider key, tier, client key and person. Read as they are asked for."""
    personal = {f"shown_{by}": shown(query, by) for by in sorted(PERSONAL)}
    rows = _rows(organization, query, query.period).annotate(**personal)
    return totaled(rows, "day", "provider", "model", "provider_key_id", "tier", *personal)


def totaled(rows: models.QuerySet[UsageRollup], *by: str) -> Iterator[tuple[tuple[Any, ...], Totals]]:
    """Totals of each combination of `by`, in their order."""
    width = len(by)
    summed = _summed(rows, *by, "outcome").order_by(*by)
    for key, group in groupby(summed.iterator(chunk_size=2000), key=itemgetter(slice(width))):
        totals = Totals()
        for row in group:
            totals.count(row[width], row[width + 1 :])
        yield key, totals


def names_of(organization: Organization, only: int | None) -> Names:
    """Three queries. With `only`, client keys and people are that person's and that person."""
    keys = ProviderKey.objects.filter(organization=organization).values_list("id", "provider", "name")
    clients = ClientKey.objects.filter(organization=organization)
    people = User.objects.filter(memberships__organization=organization)
    if only is not None:
        clients, people = clients.filter(Q(owner=only) | Q(owner=None, created_by=only)), people.filter(pk=only)
    return Names(
        {key: (provider, name) for key, provider, name in keys},
        dict(clients.values_list("id", "name")),
        {person.pk: str(person) for person in people},
    )


def chosen(query: Query) -> Q:
    """What the filters ask of rollups and of events. Filters that say whose usage it is never reach beyond the viewer's own."""
    condition = Q(**{COLUMNS[name]: value for name, value in query.filters.items() if name in COLUMNS})
    if "result" in query.filters:
        condition &= Q(outcome__in=RESULTS.get(str(query.filters["result"]), ()))
    if query.only is not None and PERSONAL & query.filters.keys():
        condition &= Q(member_id=query.only)
    return condition


def shown(query: Query, by: str) -> Expression | F:
    """The column as the viewer may see it: what others used is one item, told by nothing."""
    if query.only is None or by not in PERSONAL:
        return F(COLUMNS[by])
    others = Value(OTHERS[by], output_field=DailyRollup._meta.get_field(COLUMNS[by]))
    return Case(When(member_id=query.only, then=F(COLUMNS[by])), default=others)


def _rows(organization: Organization, query: Query, period: Period) -> models.QuerySet[UsageRollup]:
    """Rollups that match, each with its `item` of the breakdown."""
    return _of_period(organization, period).filter(chosen(query)).annotate(item=shown(query, query.by))


def _of_period(organization: Organization, period: Period) -> models.QuerySet[UsageRollup]:
    rollup = HourlyRollup if period.hourly else DailyRollup
    return rollup.objects.filter(organization=organization, **{f"{_bucket(period)}__range": (period.first, period.last)})


def _bucket(period: Period) -> str:
    return "hour" if period.hourly else "day"


def _summed(rows: models.QuerySet[UsageRollup], *by: str) -> models.QuerySet[UsageRollup, tuple[Any, ...]]:
    """One row for each combination of `by`: these, then the sums of MEASURES."""
    sums = {f"sum_of_{name}": Sum(name) for name in MEASURES}
    return rows.values(*by).annotate(**sums).values_list(*by, *sums)


def _by_item(rows: models.QuerySet[UsageRollup]) -> tuple[dict[Item, Totals], Totals]:
    items: defaultdict[Item, Totals] = defaultdict(Totals)
    total = Totals()
    for item, outcome, *sums in _summed(rows, "item", "outcome"):
        items[item].count(outcome, sums)
        total.count(outcome, sums)
    return items, total


def _requests(rows: models.QuerySet[UsageRollup]) -> Totals:
    """Only how many there were, and what came of them."""
    total = Totals()
    for outcome, attempts in rows.values("outcome").annotate(attempts=Sum("requests")).values_list("outcome", "attempts"):
        total.count(outcome, [attempts, *[0] * (len(MEASURES) - 1)])
    return total


def _series(items: dict[Item, Totals], measure: Callable[[Totals], int]) -> list[Item]:
    """The largest items, then OTHER if there are more."""
    largest = sorted(items, key=lambda item: (-measure(items[item]), str(item)))
    return [*largest[: SERIES - 1], OTHER] if len(largest) > SERIES else largest


def _buckets(rows: models.QuerySet[UsageRollup], query: Query, series: list[Item]) -> list[tuple[date, list[int]]]:
    """The measure of each series in each bucket, empty ones too. The database adds up what is not named."""
    when, measure = _bucket(query.period), MEASURE[query.measure]
    named = Case(When(item__in=[each for each in series if each != OTHER], then=F("item")), default=Value(None))
    summed = sum((F(column) for column in measure.columns[1:]), F(measure.columns[0]))
    counted = rows.filter(outcome__in=measure.outcomes).annotate(named=named).values(when, "named").annotate(sum=Sum(summed))
    cells = {
        (bucket, OTHER if name is None else name): int(total) for bucket, name, total in counted.values_list(when, "named", "sum")
    }
    return [(bucket, [cells.get((bucket, name), 0) for name in series]) for bucket in query.period.buckets()]


def _models(organization: Organization, period: Period) -> list[str]:
    return list(_of_period(organization, period).order_by("model").values_list("model", flat=True).distinct()[:MODELS_OFFERED])
