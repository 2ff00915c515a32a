"""Over random usage around a change of the clocks: every breakdown, whoever looks, adds up to the total and to both exports."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as some

from orgs.models import Organization
from tests.attempts import attempt
from usage import periods, queries
from usage.exports import csv_lines
from usage.focus import focus_lines
from usage.ingest import book
from usage.models import DailyRollup, HourlyRollup, UsageEvent
from usage.queries import Query
from usage.recent import PAGE, recent
from usage.reports import MEASURE, RESULTS, Totals, names_of, report

pytestmark = pytest.mark.django_db

BERLIN = ZoneInfo("Europe/Berlin")
CHANGE = datetime(2026, 10, 25, 1, tzinfo=UTC)  # when 03:00 there became 02:00
NOW = CHANGE + timedelta(days=3)
PEOPLE = (None, 11, 12)

attempts = some.fixed_dictionaries(
    {
        "at": some.integers(-60 * 60, 60 * 60).map(lambda minutes: CHANGE + timedelta(minutes=minutes)),
        "key": some.sampled_from([UUID(int=number) for number in range(1, 9)]),
        "client": some.sampled_from([UUID(int=number) for number in range(20, 24)]),
        "member_id": some.sampled_from(PEOPLE),
        "provider": some.sampled_from(["openai", "groq", "fal", "gone", ""]),
        "model": some.sampled_from([f"openai/model-{number}" for number in range(9)]),
        "outcome": some.sampled_from(["ok", "error", "absorbed", "cancelled", "refused"]),
        "input_tokens": some.integers(0, 10**6),
        "output_tokens": some.integers(0, 10**6),
        "reported_cost_microusd": some.none() | some.integers(0, 10**7),
        "estimated": some.booleans(),
        "latency_ms": some.none() | some.integers(0, 10**5),
    }
)
asked = some.fixed_dictionaries(
    {"range": some.sampled_from(["24h", "7d", "30d"]), "m": some.sampled_from(queries.MEASURES)},
    optional={
        "provider": some.sampled_from(["openai", "nobody"]),
        "client": some.sampled_from([str(UUID(int=20)), str(UUID(int=99))]),
        "member": some.sampled_from(["0", "11", "12"]),
        "result": some.sampled_from([*RESULTS, "nonsense"]),
    },
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=some.lists(attempts, max_size=40), params=asked, only=some.sampled_from(PEOPLE))
@example(rows=[], params={"range": "24h", "m": "cost"}, only=11)
def test_every_breakdown_is_the_total_and_the_exports(
    acme: Organization, rows: list[dict[str, Any]], params: dict[str, str], only: int | None
) -> None:
    begin_anew(acme)
    book([attempt(acme, **row) for row in rows])
    book([attempt(acme, id=str(event.pk), at=event.started_at) for event in UsageEvent.objects.all()])  # told twice, counted once
    sums = []
    for by in queries.COLUMNS:
        query = queries.read({**params, "by": by}, BERLIN, NOW, only=only)
        shown = report(acme, query)
        assert added(totals for _, totals in shown.items) == shown.total
        assert sum(sum(values) for _, values in shown.buckets) == MEASURE[query.measure].of(shown.total)
        assert exported(csv_lines(acme, query), "requests", "estimated_cost_usd") == figures(shown.total)
        if not query.period.hourly:
            assert exported(focus_lines(acme, query), "x_Requests", "BilledCost") == figures(shown.total)
            sums.append(shown.total)
    assert all(total == sums[0] for total in sums)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=some.lists(attempts, max_size=60), params=asked, only=some.sampled_from(PEOPLE))
def test_page_by_page_the_list_holds_every_request_of_the_report(
    acme: Organization, rows: list[dict[str, Any]], params: dict[str, str], only: int | None
) -> None:
    begin_anew(acme)
    book([attempt(acme, **row) for row in rows])
    query = queries.read({**params, "range": "7d", "by": "client"}, BERLIN, NOW, only=only)
    total = report(acme, own(query)).total
    wanted = total.absorbed if params.get("result") == "rescued" else total.requests
    assert sum(len(page) for page in pages(acme, query)) == wanted


def own(query: Query) -> Query:
    """What a person is shown single requests of: only their own."""
    asked = queries.read({"member": str(query.only)} | dict(query.params), BERLIN, NOW, only=query.only)
    return asked if query.only is not None else query


def pages(organization: Organization, query: Query) -> Iterator[list[UUID]]:
    names, before = names_of(organization, query.only), None
    while before != "":
        shown = recent(organization, query, names)
        yield [line.id for line in shown.lines]
        assert len(shown.lines) == PAGE or not shown.older
        before = shown.older and dict(parameters(shown.older))["before"]
        query = queries.read({**query.params, "before": before}, BERLIN, NOW, only=query.only)


def parameters(link: str) -> list[tuple[str, str]]:
    return parse_qsl(link.removeprefix("?"))


def begin_anew(organization: Organization) -> None:
    Organization.objects.filter(pk=organization.pk).update(timezone="Europe/Berlin")
    for model in (UsageEvent, DailyRollup, HourlyRollup):
        model.objects.all().delete()


def added(many: Iterator[Totals]) -> Totals:
    whole = Totals()
    for totals in many:
        whole.add(totals)
    return whole


def exported(lines: Iterator[str], requests: str, cost: str) -> tuple[int, Decimal]:
    rows = list(csv.DictReader(io.StringIO("".join(lines), newline="")))
    return sum(int(row[requests]) for row in rows), sum((Decimal(row[cost] or 0) for row in rows), Decimal(0))


def figures(total: Totals) -> tuple[int, Decimal]:
    return total.requests, Decimal(total.cost_microusd) / 10**6


def test_the_day_of_the_change_has_25_hours_in_the_cost_export(acme: Organization) -> None:
    begin_anew(acme)
    book([attempt(acme, at=CHANGE - timedelta(hours=3, minutes=-1)), attempt(acme, at=CHANGE + timedelta(hours=21, minutes=59))])
    query = queries.read({"by": "client"}, BERLIN, NOW)
    (line,) = csv.DictReader(io.StringIO("".join(focus_lines(acme, query)), newline=""))
    assert (line["ChargePeriodStart"], line["ChargePeriodEnd"]) == ("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z")
    assert (line["BillingPeriodStart"], line["BillingPeriodEnd"]) == ("2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z")
    assert line["x_Requests"] == "2"


def test_the_hour_that_does_not_exist_is_no_gap() -> None:
    begin, end = periods.day_span(date(2026, 3, 29), BERLIN)
    assert end - begin == timedelta(hours=23)
    assert periods.day_span(date(2026, 3, 30), BERLIN)[0] == end
