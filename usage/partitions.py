"""Months of UTC that PostgreSQL keeps events in, so that old ones go at once and leave no gaps behind.

An event that belongs to no month that there is lies in one more partition, REST: booking never waits for a month to be made.
All of this touches a few catalog rows, but needs the table for itself while it does: it gives up after LOCK_TIMEOUT.
"""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

from django.db import connection, transaction

from usage.models import UsageEvent

TABLE = UsageEvent._meta.db_table
REST = f"{TABLE}_rest"
MONTH = re.compile(rf"{TABLE}_(\d{{4}})_(\d\d)")
AHEAD = 3  # months that are made before they begin
LOCK_TIMEOUT = "1s"
MOVE_TIMEOUT = "60s"  # events that came before their month was made; there are none or few


def wanted(first: datetime, now: datetime) -> Iterator[date]:
    """The first day of each month from `first` until some months from now."""
    month, last = first.astimezone(UTC).date().replace(day=1), now.astimezone(UTC).date()
    for _ in range(AHEAD):
        last = after(last)
    while month <= last:
        yield month
        month = after(month)


def after(day: date) -> date:
    """The first day of the next month."""
    return (day.replace(day=1) + timedelta(days=31)).replace(day=1)


def present() -> set[date]:
    """Months that are there."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = %s::regclass", [TABLE])
        names = [MONTH.fullmatch(name) for (name,) in cursor.fetchall()]
    return {date(int(name[1]), int(name[2]), 1) for name in names if name}


@transaction.atomic
def make(month: date) -> bool:
    """Whether it was missing. Its events move there from REST."""
    _alone()
    if month in present():
        return False
    name, bounds = name_of(month), [_midnight(month), _midnight(after(month))]
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = '{MOVE_TIMEOUT}'")
        cursor.execute(f"CREATE TABLE {name} (LIKE {TABLE} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
        cursor.execute(
            f"WITH moved AS (DELETE FROM {REST} WHERE started_at >= %s AND started_at < %s RETURNING *) "  # noqa: S608
            f"INSERT INTO {name} SELECT * FROM moved",
            bounds,
        )
        cursor.execute(f"ALTER TABLE {TABLE} ATTACH PARTITION {name} FOR VALUES FROM (%s) TO (%s)", bounds)
    return True


@transaction.atomic
def drop(month: date) -> bool:
    """Whether it was there; its events are gone now."""
    _alone()
    if month not in present():
        return False
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {name_of(month)}")
    return True


def name_of(month: date) -> str:
    return f"{TABLE}_{month:%Y_%m}"


def _alone() -> None:
    """Until the end of the transaction no other process makes or drops a month."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [TABLE])


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
