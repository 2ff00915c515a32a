"""How long single requests are kept: USAGE_EVENT_DAYS. Sums of them stay.

PostgreSQL drops a month once all of it is older, see usage/partitions.py. Where events lie in one table, they are deleted
some at a time, so that booking never waits long.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection

from orgs.models import Organization
from usage import partitions
from usage.models import UsageEvent

MOST_DELETED = 5000  # at a tick

# The index is by organization and time. SQLite takes the tables of a CROSS JOIN in this order, and so does without a scan.
DELETE = """
    DELETE FROM {events} WHERE id IN (
        SELECT {events}.id FROM {organizations} CROSS JOIN {events}
        WHERE {events}.organization_id = {organizations}.id AND {events}.started_at < %s LIMIT %s
    )
"""


def keep_house(now: datetime) -> None:
    """Make the months to come, and forget events that are too old."""
    limit = now - timedelta(days=settings.USAGE_EVENT_DAYS)
    if connection.vendor == "postgresql":
        keep_months(limit, now)
        delete_before(limit, partitions.REST)
    else:
        delete_before(limit, UsageEvent._meta.db_table)


def keep_months(limit: datetime, now: datetime) -> None:
    """All months that hold an event from `limit` on, and some that are to come; no others."""
    present, wanted = partitions.present(), set(partitions.wanted(limit, now))
    for month in sorted(wanted - present):
        partitions.make(month)
    for month in sorted(month for month in present if month < min(wanted)):
        partitions.drop(month)


def delete_before(limit: datetime, table: str) -> int:
    """Returns how many events were deleted."""
    sql = DELETE.format(events=table, organizations=Organization._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(sql, [connection.ops.adapt_datetimefield_value(limit), MOST_DELETED])
        return cursor.rowcount
