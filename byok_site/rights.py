"""Looks once a day for what still works for somebody who may not any more. To remove somebody ends it all; this is the proof."""

import logging
from datetime import datetime

from django.core.cache import cache
from django.db.models import Exists, Model, OuterRef, QuerySet

from keys.models import ClientKey, ManagementKey
from orgs.models import Invitation, Membership

DAY = 86_400  # seconds

log = logging.getLogger(__name__)


def watch_rights(now: datetime) -> None:
    """A part of the tick: does something once a day."""
    if cache.add(f"rights:{now:%Y-%m-%d}", True, timeout=DAY) and (found := without_membership(now)):
        told = ", ".join(f"{kind} {pk}" for kind, pk in found)
        log.error("Rights of people who have left: %s. End them, and report it as SECURITY.md says.", told)


def without_membership(now: datetime) -> list[tuple[str, object]]:
    """(kind, id) of each. There is none unless something went wrong."""
    members = Membership.objects.all()
    found = {
        "client key": left(ClientKey.objects.in_use(now), "owner", members),
        "management key": left(ManagementKey.objects.in_use(now), "created_by", members),
        "invitation": left(Invitation.objects.open(now), "invited_by", members.owners()),
    }
    return [(kind, pk) for kind, rows in found.items() for pk in rows.values_list("pk", flat=True)]


def left[Row: Model](rows: QuerySet[Row], person: str, members: QuerySet[Membership]) -> QuerySet[Row]:
    still = members.filter(organization=OuterRef("organization"), user=OuterRef(person))
    return rows.exclude(**{person: None}).filter(~Exists(still)).order_by("pk")
