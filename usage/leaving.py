"""Tells owners that requests begin to use the operator's shared keys: once for each run of days on which they do."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Max, Sum
from django.urls import reverse

from keys.actions.writing import lock
from keys.models import RoutingPreference
from keys.routing import PLATFORM
from orgs.models import Notice, Organization
from usage.figures import counted
from usage.models import DailyRollup
from usage.periods import DAY, zone

TAG = "routing:shared"
EVERY = timedelta(minutes=5)
DAYS = 7  # that are looked at; a run that fills them is an old one

type Days = Mapping[date, int]
"""How many requests used shared keys, by the organization's local day."""


@dataclass
class Pace:
    """When this process looked last. Ticks come every ten seconds, which is more than this needs."""

    last: datetime | None = None

    def allows(self, now: datetime) -> bool:
        if self.last and abs(now - self.last) < EVERY:
            return False
        self.last = now
        return True


pace = Pace()


def watch_leaving(now: datetime) -> int:
    """Returns how many organizations were told."""
    if not pace.allows(now):
        return 0
    used = days_of_use(now)
    told = last_told(used, now)
    organizations = Organization.objects.in_bulk(used)
    return sum(tell(organizations[pk], days, told.get(pk), now) for pk, days in used.items())


def days_of_use(now: datetime) -> dict[UUID, dict[date, int]]:
    allowing = RoutingPreference.objects.filter(own_keys_only=False).values("organization")
    rows = DailyRollup.objects.filter(organization__in=allowing, day__gt=now.date() - (DAYS + 1) * DAY, tier=PLATFORM)
    found: defaultdict[UUID, dict[date, int]] = defaultdict(dict)
    for pk, day, requests in rows.values_list("organization", "day").annotate(Sum("requests")):
        found[pk][day] = requests
    return found


def last_told(organizations: Iterable[UUID], now: datetime) -> dict[UUID, datetime]:
    lately = Notice.objects.filter(tag=TAG, organization__in=organizations, created_at__gt=now - timedelta(days=DAYS + 2))
    return dict(lately.values_list("organization").annotate(Max("created_at")))


def tell(organization: Organization, days: Days, told_at: datetime | None, now: datetime) -> bool:
    local = zone(organization.timezone)
    first = beginning(days, now.astimezone(local).date())
    if first is None:
        return False
    begun = datetime.combine(first, time.min, local)
    return not (told_at and told_at >= begun) and write(organization, days, begun, now)


@transaction.atomic
def write(organization: Organization, days: Days, begun: datetime, now: datetime) -> bool:
    """Unless another process told of it meanwhile."""
    lock(organization)
    if Notice.objects.filter(tag=TAG, organization=organization, created_at__gte=begun).exists():
        return False
    first = begun.date()
    requests = counted(sum(number for day, number in days.items() if day >= first), "request")
    Notice.objects.create(
        organization=organization,
        tag=TAG,
        target_id=str(organization.pk),
        subject=f"{organization} has begun to use shared keys",
        body=(
            f"{requests} of {organization} went to keys of the operator, because no key of your own could take them"
            " or because your routing puts shared keys first.\n\nUsage shows them as shared. To stop this, choose on the"
            " routing page that only your own keys are used."
        ),
        path=reverse("usage", args=[organization.slug]),
        created_at=now,
    )
    return True


def beginning(days: Iterable[date], today: date) -> date | None:
    """The first day of the run that lasts today or ended yesterday; None where there is none, or it is an old one."""
    days = set(days)
    day = today if today in days else today - DAY
    if day not in days:
        return None
    while day - DAY in days:
        day -= DAY
    return day if day > today - (DAYS - 1) * DAY else None
