"""Events in months, on PostgreSQL: nothing is lost or counted twice, and pages read the months that they show."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from orgs.models import Organization
from tests.attempts import attempt
from tests.test_ingest import at_once, sums
from usage import partitions, requests, retention
from usage.ingest import book
from usage.models import UsageEvent

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("postgres_only")]

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LIMIT = NOW - timedelta(days=90)
DAY = timedelta(days=1)
MONTHS = [date(2026, month, 1) for month in (8, 9, 10, 11, 12)] + [date(2027, 1, 1), date(2027, 2, 1)]


@pytest.fixture
def lone(transactional_db: None) -> Organization:
    """An organization without people, for tests that commit: the roles do not outlive the first of them."""
    return Organization.objects.create(name="Lone", slug="lone")


@pytest.fixture
def months(acme: Organization) -> None:
    """Those of NOW, whatever the migration made at the time of the test."""
    keep(LIMIT, NOW)
    assert sorted(partitions.present()) == MONTHS


def keep(limit: datetime, now: datetime) -> None:
    for month in partitions.present() - set(partitions.wanted(limit, now)):
        partitions.drop(month)
    retention.keep_months(limit, now)


def where() -> Counter[str]:
    """How many events lie in which partition, by the end of its name."""
    return Counter(
        name.removeprefix("usage_usageevent_") for name in column("SELECT tableoid::regclass::text FROM usage_usageevent")
    )


def column(sql: str, *params: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return [row[0] for row in cursor.fetchall()]


def read(plan: str) -> set[str]:
    """The partitions that a plan reads."""
    return {name for name in (*map(partitions.name_of, partitions.present()), partitions.REST) if f" on {name}" in plan}


# Months


def test_the_months_are_those_that_events_are_kept_for_and_three_to_come() -> None:
    assert list(partitions.wanted(LIMIT, NOW)) == MONTHS
    new_year = datetime(2027, 1, 1, tzinfo=UTC)
    assert list(partitions.wanted(new_year, new_year)) == [date(2027, month, 1) for month in (1, 2, 3, 4)]
    last_moment = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert next(partitions.wanted(last_moment, last_moment)) == date(2026, 12, 1)


def test_an_event_lies_in_its_month_of_utc(acme: Organization, months: None) -> None:
    new_month, moment = datetime(2026, 11, 1, tzinfo=UTC), timedelta(microseconds=1)
    book([attempt(acme, at=at) for at in (new_month - moment, new_month, NOW)])
    assert where() == {"2026_10": 1, "2026_11": 2}


def test_what_belongs_to_no_month_is_booked_all_the_same(acme: Organization, months: None) -> None:
    book([attempt(acme, at=at) for at in (NOW - 4000 * DAY, NOW, NOW + 4000 * DAY)])
    assert where() == {"rest": 2, "2026_11": 1}
    assert sums() == (3, 3, 3)


def test_a_month_that_is_made_late_takes_its_events_from_the_rest(acme: Organization, months: None) -> None:
    march = datetime(2027, 3, 10, tzinfo=UTC)
    done = [attempt(acme, at=at) for at in (march, march + DAY, march + 40 * DAY)]
    book(done)
    assert where() == {"rest": 3}
    retention.keep_months(LIMIT, NOW + 20 * DAY)
    assert where() == {"rest": 1, "2027_03": 2}
    assert book(done) == 0
    assert [partitions.make(date(2027, 3, 1)), partitions.make(date(2027, 4, 1))] == [False, True]
    assert where() == {"2027_03": 2, "2027_04": 1}


def test_time_that_passes_makes_one_month_and_drops_one(acme: Organization, months: None) -> None:
    book([attempt(acme, at=at) for at in (datetime(2026, 8, 31, 23, tzinfo=UTC), datetime(2026, 9, 1, tzinfo=UTC), NOW)])
    connection.check_constraints()  # what is pending would keep the month from being dropped
    retention.keep_house(datetime(2026, 11, 29, 22, tzinfo=UTC))  # 90 days before, it was still August
    assert where()["2026_08"] == 1
    retention.keep_house(datetime(2026, 12, 1, tzinfo=UTC))
    assert where() == {"2026_09": 1, "2026_11": 1}
    assert sorted(partitions.present()) == [*MONTHS[1:], date(2027, 3, 1)]


def test_a_quiet_tick_writes_nothing(acme: Organization, months: None, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(2):
        retention.keep_house(NOW)


# Exactly once


def test_an_attempt_counts_once_whatever_its_month(acme: Organization, months: None) -> None:
    done = [attempt(acme, at=NOW - number * DAY) for number in range(0, 100, 7)]
    assert [book(done), book(done), book([*done, attempt(acme)])] == [15, 0, 1]
    assert sums() == (16, 16, 16)


def test_the_table_itself_refuses_an_attempt_that_is_booked_twice(acme: Organization, months: None) -> None:
    """Two ingesters that do not see each other's events yet."""
    book([attempt(acme)])
    again = "INSERT INTO usage_usageevent SELECT * FROM usage_usageevent"
    with pytest.raises(IntegrityError, match="2026_11_pkey"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(again)


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_the_same_attempts_of_many_months_booked_at_once_count_once(lone: Organization) -> None:
    same = [attempt(lone, at=NOW - number * DAY) for number in range(300)]
    outcomes = at_once(*[lambda: book(same)] * 4)
    assert sum(outcome for outcome in outcomes if isinstance(outcome, int)) == 300
    assert sums() == (300, 300, 300)


def test_events_of_an_organization_that_is_removed_go_with_it(acme: Organization, globex: Organization, months: None) -> None:
    book([attempt(acme), attempt(globex), attempt(acme, at=NOW - 30 * DAY)])
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM usage_usageevent WHERE organization_id = %s", [acme.pk])
    assert UsageEvent.objects.get().organization == globex
    UsageEvent.objects.update(organization_id=attempt(acme).opened.id)
    with pytest.raises(IntegrityError, match="organization"), transaction.atomic():
        connection.check_constraints()
    UsageEvent.objects.all().delete()


# What pages read


def test_a_request_is_looked_for_in_its_month_only(acme: Organization, months: None) -> None:
    done = [attempt(acme, at=NOW - number * DAY) for number in range(80)]
    book(done)
    asked = done[50].opened
    with CaptureQueriesContext(connection) as asking:
        found = requests.find(acme, UUID(asked.request_id))
    assert [str(event.id) for event in found] == [asked.id]
    assert read("\n".join(column(f"EXPLAIN {asking[0]['sql']}"))) == {"usage_usageevent_2026_10"}


# Work beside others


@pytest.fixture
def reader(lone: Organization) -> Iterator[Any]:
    """Another connection that has read events and does not end its transaction."""
    keep(LIMIT, NOW)
    other = connection.copy()
    other.set_autocommit(False)
    with other.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM usage_usageevent")
    yield other
    other.rollback()
    other.close()


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_month_that_is_in_use_is_dropped_later_and_nobody_waits_long(reader: Any, lone: Organization) -> None:
    book([attempt(lone)])
    with pytest.raises(OperationalError, match="lock timeout"):
        partitions.drop(date(2026, 8, 1))
    assert book([attempt(lone)]) == 1
    reader.rollback()
    assert partitions.drop(date(2026, 8, 1))


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_ticks_that_overlap_make_and_drop_each_month_once(lone: Organization) -> None:
    keep(LIMIT, NOW)
    next_year = NOW + 365 * DAY
    at_once(*[lambda: retention.keep_house(next_year)] * 4)
    assert sorted(partitions.present()) == list(partitions.wanted(next_year - 90 * DAY, next_year))
    keep(LIMIT, NOW)


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_booking_goes_on_while_months_are_made(lone: Organization) -> None:
    keep(LIMIT, NOW)
    done = [attempt(lone, at=NOW + number * timedelta(hours=9)) for number in range(1200)]
    batches = [done[start : start + 50] for start in range(0, len(done), 50)]
    at_once(
        lambda: [book(batch) for batch in batches],
        lambda: [retention.keep_house(NOW + number * 30 * DAY) for number in range(12)],
    )
    kept = set(UsageEvent.objects.values_list("started_at", flat=True))
    assert all(event.opened.started_at in {at.timestamp() for at in kept} for event in done[600:])
    assert sums()[1:] == (1200, 1200)
    keep(LIMIT, NOW)


# The migration


def test_a_table_with_events_is_spread_over_months_and_gathered_again(acme: Organization) -> None:
    migration = import_module("usage.migrations.0009_partitions")
    ancient = datetime(1970, 1, 2, tzinfo=UTC)
    now = datetime.now(UTC)
    times = [ancient, *(now - number * 20 * DAY for number in range(10)), now + 30 * DAY]
    done = [attempt(acme, at=at) for at in times]
    book(done)
    connection.check_constraints()  # what is pending would keep the table from being altered
    before = events()

    def run(step: Any) -> None:
        with connection.schema_editor() as editor:
            step(None, editor)
        connection.check_constraints()

    run(migration.gather)
    assert column("SELECT relkind::text FROM pg_class WHERE relname = 'usage_usageevent'") == ["r"]
    assert keys() == {"PRIMARY KEY (id)", FOREIGN_KEY}
    assert events() == before
    run(migration.spread)
    assert column("SELECT relkind::text FROM pg_class WHERE relname = 'usage_usageevent'") == ["p"]
    assert keys() == {"PRIMARY KEY (id, started_at)", FOREIGN_KEY}
    assert column("SELECT indexname FROM pg_indexes WHERE tablename = 'usage_usageevent' ORDER BY 1") == [
        "event_by_org",
        "usage_usageevent_pkey",
    ]
    assert events() == before
    assert where()["rest"] == 1
    assert book(done) == 0


FOREIGN_KEY = "FOREIGN KEY (organization_id) REFERENCES orgs_organization(id) DEFERRABLE INITIALLY DEFERRED"


def keys() -> set[str]:
    """The table's own rules, but for those of single columns."""
    sql = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'usage_usageevent'::regclass"
    return set(column(f"{sql} AND contype IN ('p', 'f')"))


def events() -> list[dict[str, Any]]:
    return list(UsageEvent.objects.order_by("id").values())
