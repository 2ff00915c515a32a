"""Writes down what secrets were opened for: each minute into a sum, and of each hour one audit event."""

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from keys.actions.writing import KEYHOLD, stamp
from keys.models import Opening
from keys.openings import Counts, openings
from orgs.actions import record
from orgs.models import Organization


def write_openings() -> None:
    """What this process has counted. What cannot be written is counted on."""
    counts = openings.take()
    try:
        add(counts, timezone.now())
    except Exception:
        openings.give_back(counts)
        raise


@transaction.atomic
def add(counts: Counts, now: datetime) -> None:
    """In the order of their ids, so that two processes do not wait for each other for ever."""
    present = set(Organization.objects.filter(pk__in={organization for organization, _ in counts}).values_list("pk", flat=True))
    for (organization, purpose), count in sorted(counts.items()):
        if organization in present:
            row, _ = Opening.objects.get_or_create(organization_id=organization, hour=hour_of(now), purpose=purpose)
            Opening.objects.filter(pk=row.pk).update(count=F("count") + count)


def tell_openings(now: datetime) -> None:
    """A part of the tick: hours that are over. Each organization on its own, so that a stop half-way loses nothing."""
    write_openings()
    over = Opening.objects.filter(hour__lt=hour_of(now)).order_by("hour").values_list("organization", "hour").distinct()
    for organization, hour in list(over):
        tell_hour(organization, hour)


@transaction.atomic
def tell_hour(organization_id: UUID, hour: datetime) -> None:
    rows = Opening.objects.select_for_update().filter(organization=organization_id, hour=hour).order_by("pk")
    said = {row.purpose: row.count for row in rows}
    if said:
        organization = Organization.objects.get(pk=organization_id)
        changes = {"after": {"hour": stamp(hour), **dict(sorted(said.items()))}}
        record(organization=organization, by=KEYHOLD, tag="credential:open", target=organization, changes=changes)
        Opening.objects.filter(organization=organization_id, hour=hour).delete()


def hour_of(now: datetime) -> datetime:
    return now.replace(minute=0, second=0, microsecond=0)
