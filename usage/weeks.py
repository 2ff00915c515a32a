"""How many requests there were in the last seven days. As on the usage page, a failure that was rescued is none."""

from collections import defaultdict
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet, Sum

from orgs.models import Organization
from usage import latency, periods
from usage.models import DailyRollup, Outcome
from usage.periods import Period


def requests(organization: Organization, now: datetime, **which: str | int | UUID) -> int:
    """which: columns of DailyRollup."""
    found = _rows(organization, _week(organization, now)).filter(**which)
    return int(found.aggregate(sum=Sum("requests", default=0))["sum"])


def of_keys(organization: Organization, now: datetime) -> dict[UUID, list[int]]:
    """Requests of each day, the oldest first, by provider key. One query for all; keys without requests are missing."""
    week = _week(organization, now)
    days = {day: number for number, day in enumerate(week.buckets())}
    found: defaultdict[UUID, list[int]] = defaultdict(lambda: [0] * len(days))
    rows = _rows(organization, week).values_list("provider_key_id", "day").annotate(sum=Sum("requests"))
    for key, day, count in rows:
        found[key][days[day]] = count
    return dict(found)


def medians(organization: Organization, now: datetime) -> dict[UUID, int]:
    """Median latency in milliseconds by provider key. One query for all; keys without answers are missing."""
    answers = DailyRollup.objects.filter(organization=organization, outcome=Outcome.OK)
    in_week = answers.filter(day__gte=_week(organization, now).first)
    sums = {f"sum_of_{name}": Sum(name) for name in latency.COLUMNS}
    rows = in_week.values("provider_key_id").annotate(**sums).values_list("provider_key_id", *sums)
    found = {key: latency.percentile(counts, 0.5) for key, *counts in rows}
    return {key: median for key, median in found.items() if median is not None}


def _week(organization: Organization, now: datetime) -> Period:
    return periods.of_range("7d", periods.zone(organization.timezone), now, hourly=False)


def _rows(organization: Organization, week: Period) -> QuerySet[DailyRollup]:
    in_week = DailyRollup.objects.filter(organization=organization, day__range=(week.first, week.last))
    return in_week.exclude(outcome=Outcome.ABSORBED)
