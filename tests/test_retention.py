"""How long single requests are kept. Their sums stay."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import Sum

from byok_site import environment
from keys import tasks
from orgs.models import Organization, User
from tests.attempts import attempt
from usage import partitions, retention
from usage.ingest import book
from usage.models import DailyRollup, HourlyRollup, UsageEvent

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LIMIT = NOW - timedelta(days=90)
DAY = timedelta(days=1)
ON_ONE_TABLE = connection.vendor != "postgresql"
TABLE = UsageEvent._meta.db_table if ON_ONE_TABLE else partitions.REST


@pytest.fixture(autouse=True)
def at_noon(time_machine: Any) -> None:
    time_machine.move_to(NOW, tick=False)


def kept() -> list[datetime]:
    return list(UsageEvent.objects.order_by("started_at").values_list("started_at", flat=True))


def sums() -> tuple[int, int]:
    return tuple(int(rollup.objects.aggregate(all=Sum("requests"))["all"] or 0) for rollup in (DailyRollup, HourlyRollup))


def in_one_table(organization: Organization, *times: datetime) -> None:
    """Events of these times where nothing drops them as a whole: on PostgreSQL, where their month is not there."""
    for month in [] if ON_ONE_TABLE else {at.date().replace(day=1) for at in times} & partitions.present():
        partitions.drop(month)
    book([attempt(organization, at=at) for at in times])


def test_a_tick_forgets_what_is_too_old_and_nothing_of_the_sums(acme: Organization) -> None:
    old, recent = [LIMIT - 60 * DAY, LIMIT - 40 * DAY], [LIMIT + DAY, NOW]
    book([attempt(acme, at=at) for at in [*old, *recent]])
    tasks.tick.call()
    assert kept() == recent
    assert sums() == (4, 4)


def test_events_go_at_the_hour_at_which_they_are_too_old(acme: Organization) -> None:
    second = timedelta(seconds=1)
    in_one_table(acme, LIMIT - second, LIMIT, LIMIT + second)
    assert [retention.delete_before(LIMIT, TABLE) for _ in range(2)] == [1, 0]
    assert kept() == [LIMIT, LIMIT + second]


def test_the_operator_says_how_long(acme: Organization, settings: Any) -> None:
    book([attempt(acme, at=NOW - 200 * DAY), attempt(acme, at=NOW)])
    settings.USAGE_EVENT_DAYS = 300
    retention.keep_house(NOW)
    assert len(kept()) == 2
    settings.USAGE_EVENT_DAYS = 30
    retention.keep_house(NOW)
    assert kept() == [NOW]


@pytest.mark.parametrize("days", ["6", "0", "-90", "3651", "ninety"])
def test_a_number_of_days_that_cannot_be_meant_stops_the_start(days: str) -> None:
    with pytest.raises(ValueError, match="whole number from 7 to 3650"):
        environment.whole_number(7, 3650)(days)


def test_many_are_deleted_some_at_a_time(acme: Organization, globex: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "MOST_DELETED", 4)
    in_one_table(acme, *[LIMIT - DAY] * 5, NOW)
    in_one_table(globex, *[LIMIT - DAY] * 5)
    assert [retention.delete_before(LIMIT, TABLE) for _ in range(4)] == [4, 4, 2, 0]
    assert kept() == [NOW]


def test_old_events_are_found_by_an_index(acme: Organization) -> None:
    """With few rows PostgreSQL takes another way unless it is told to."""
    sql = retention.DELETE.format(events=TABLE, organizations="orgs_organization")
    with connection.cursor() as cursor:
        if not ON_ONE_TABLE:
            cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off")
        cursor.execute(f"EXPLAIN {'QUERY PLAN ' if ON_ONE_TABLE else ''}{sql}", [LIMIT.isoformat(" "), 5000])
        plan = " ".join(str(row[-1]) for row in cursor.fetchall())
    index = "USING INDEX event_by_org (organization_id=? AND started_at<?)"
    assert (index if ON_ONE_TABLE else f"{TABLE}_organization_id_started_at_idx") in plan


def test_the_page_of_a_request_that_is_forgotten_is_not_found_and_its_sums_are_shown(
    acme: Organization, alice: User, client_of: Callable[[User], Any]
) -> None:
    done = attempt(acme, at=LIMIT - 40 * DAY)
    book([done])
    client, day = client_of(alice), (LIMIT - 40 * DAY).date()
    page, sums = f"/o/acme/requests/{done.opened.request_id}/", f"/o/acme/usage/?from={day}"
    assert client.get(page).status_code == 200
    retention.keep_house(NOW)
    assert client.get(page).status_code == 404
    assert "are not kept any more, only their sums" in client.get(sums).content.decode()
