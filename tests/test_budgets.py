"""Periods of budgets, what was booked in them, and forecasts."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from orgs.models import Organization
from tests.attempts import NOON, attempt
from usage.budgets import Spent, forecast, spent, window
from usage.ingest import book
from usage.models import Budget, Period, Scope, Unpriced

BERLIN, CAIRO = ZoneInfo("Europe/Berlin"), ZoneInfo("Africa/Cairo")
ZONES = [BERLIN, CAIRO, ZoneInfo("America/Havana"), ZoneInfo("Pacific/Apia"), ZoneInfo("Australia/Lord_Howe"), ZoneInfo("UTC")]
MONTHLY = {"scope": Scope.ORGANIZATION, "period": Period.MONTH, "amount_microusd": 1_000_000}


def at(text: str, zone: ZoneInfo = BERLIN) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def budget(organization: Organization, **fields: Any) -> Budget:
    return Budget.objects.create(organization=organization, **{**MONTHLY, **fields})


@pytest.mark.parametrize(
    ("period", "first", "after"),
    [
        (Period.DAY, date(2026, 11, 23), date(2026, 11, 24)),
        (Period.WEEK, date(2026, 11, 23), date(2026, 11, 30)),
        (Period.MONTH, date(2026, 11, 1), date(2026, 12, 1)),
        (Period.LIFETIME, None, None),
    ],
)
def test_a_period_is_of_local_days(period: str, first: date | None, after: date | None) -> None:
    late_on_sunday_in_utc = datetime(2026, 11, 22, 23, 30, tzinfo=UTC)
    found = window(period, late_on_sunday_in_utc, BERLIN)
    assert (found.first, found.after) == (first, after)


def test_a_day_on_which_clocks_change_is_as_long_as_it_is() -> None:
    spring, autumn = (window(Period.DAY, at(day), BERLIN) for day in ("2026-03-29T12:00", "2026-10-25T12:00"))
    lengths = [each.resets_at - each.starts_at for each in (spring, autumn) if each.resets_at and each.starts_at]
    assert lengths == [timedelta(hours=23), timedelta(hours=25)]
    assert autumn.resets_at == datetime(2026, 10, 25, 23, tzinfo=UTC)


def test_a_day_whose_midnight_is_skipped_begins_when_it_is_skipped() -> None:
    found = window(Period.DAY, at("2026-04-24T12:00", CAIRO), CAIRO)
    assert found.starts_at == datetime(2026, 4, 23, 22, tzinfo=UTC)
    assert found == window(Period.DAY, datetime(2026, 4, 23, 22, tzinfo=UTC), CAIRO)
    assert found != window(Period.DAY, datetime(2026, 4, 23, 21, 59, 59, tzinfo=UTC), CAIRO)


@given(
    st.datetimes(datetime(2010, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),
    st.sampled_from(ZONES),
    st.sampled_from([Period.DAY, Period.WEEK, Period.MONTH]),
)
def test_periods_follow_each_other_without_a_gap(now: datetime, zone: ZoneInfo, period: str) -> None:
    present = window(period, now, zone)
    assert present.starts_at is not None
    assert present.resets_at is not None
    assert present.starts_at <= now < present.resets_at
    following = window(period, present.resets_at, zone)
    assert (following.starts_at, following.first) == (present.resets_at, following.resets_at and following.first)
    assert window(period, present.resets_at - timedelta(microseconds=1), zone) == present


@pytest.mark.django_db
def test_what_was_booked_is_found_for_each_scope(acme: Organization, globex: Organization) -> None:
    mine, client, key = 7, UUID(int=11), UUID(int=22)
    book([attempt(acme, member_id=mine, client=client, key=key), attempt(acme), attempt(globex, member_id=mine, client=client)])
    one = 450  # 100 tokens in and 20 out
    targets = {Scope.ORGANIZATION: "", Scope.MEMBER: str(mine), Scope.CLIENT_KEY: str(client), Scope.PROVIDER_KEY: str(key)}
    rows = {scope: budget(acme, scope=scope, target_id=target) for scope, target in targets.items()}
    unused = budget(acme, scope=Scope.MEMBER, target_id="8")
    found = spent(acme.id, [*rows.values(), unused], NOON, BERLIN)
    assert [found[row.id].cost_microusd for row in rows.values()] == [2 * one, one, one, one]
    assert found[unused.id] == Spent()


@pytest.mark.django_db
def test_only_what_falls_in_the_period_counts(acme: Organization) -> None:
    sunday, last_month, last_year = NOON - timedelta(days=1), NOON - timedelta(days=30), NOON - timedelta(days=400)
    book(attempt(acme, at=moment) for moment in (NOON, sunday, last_month, last_year))
    rows = {period: budget(acme, period=period) for period in Period}
    found = spent(acme.id, rows.values(), NOON, BERLIN)
    assert [found[rows[period].id].cost_microusd // 450 for period in Period] == [1, 1, 2, 4]


@pytest.mark.django_db
def test_a_night_on_which_clocks_go_back_belongs_to_its_own_day(acme: Organization) -> None:
    Organization.objects.filter(pk=acme.pk).update(timezone="Europe/Berlin")
    daily = budget(acme, period=Period.DAY)
    moments = ("2026-10-24T21:59", "2026-10-24T22:00", "2026-10-25T00:30", "2026-10-25T01:30", "2026-10-25T22:59")
    book(attempt(acme, at=at(moment, ZoneInfo("UTC"))) for moment in moments)
    found = [spent(acme.id, [daily], at(moment, ZoneInfo("UTC")), BERLIN)[daily.id].cost_microusd // 450 for moment in moments]
    assert found == [1, 4, 4, 4, 4]
    assert window(Period.DAY, at("2026-10-25T23:00", ZoneInfo("UTC")), BERLIN).first == date(2026, 10, 26)


@pytest.mark.django_db
@pytest.mark.parametrize("targets", [3, 30])
def test_a_scope_costs_one_query_however_many_budgets_it_has(acme: Organization, targets: int) -> None:
    rows = [
        budget(acme, scope=Scope.CLIENT_KEY, target_id=str(UUID(int=number)), period=period)
        for number in range(targets)
        for period in Period
    ]
    with CaptureQueriesContext(
        connection,
    ) as queries:
        spent(acme.id, [*rows, budget_of_organization(acme)], NOON, BERLIN)
    assert len(queries) == 2


def budget_of_organization(organization: Organization) -> Budget:
    return Budget(organization=organization, **MONTHLY)


@pytest.mark.django_db
def test_requests_without_a_price_count_as_the_owner_said(acme: Organization) -> None:
    book([attempt(acme), attempt(acme, native_model="homemade", model="acme/homemade")])
    rows = {
        choice: budget(acme, period=period, unpriced=choice, assumed_microusd=9000)
        for choice, period in zip(Unpriced, Period, strict=False)
    }
    found = spent(acme.id, rows.values(), NOON, BERLIN)
    counted = {choice: found[row.id].counted(row) for choice, row in rows.items()}
    assert counted == {Unpriced.NOTHING: 450, Unpriced.REFUSE: 450, Unpriced.ASSUME: 9450}


def test_a_forecast_goes_on_at_the_rate_so_far() -> None:
    week = window(Period.WEEK, NOON, ZoneInfo("UTC"))
    wednesday = datetime(2026, 11, 25, tzinfo=UTC)
    assert forecast(2_000_000, week, wednesday) == 7_000_000
    assert forecast(2_000_000, week, datetime(2026, 11, 23, 10, tzinfo=UTC)) is None  # too soon to tell
    assert forecast(2_000_000, window(Period.LIFETIME, NOON, BERLIN), NOON) is None


def test_a_forecast_knows_how_long_a_day_is() -> None:
    day = window(Period.DAY, at("2026-10-25T12:00"), BERLIN)
    assert forecast(1_000_000, day, datetime(2026, 10, 25, 10, 30, tzinfo=UTC)) == 2_000_000  # 12.5 of 25 hours
