"""Erases organizations whose time has come: first what opens their secrets, then usage some at a time, then the rest.

It may be stopped anywhere and goes on at the next tick. What backups hold is theirs: nothing here reaches them.
"""

import logging
from datetime import datetime

from django.db import connection, transaction

from keys.models import ClientKey, DataKey, ManagementKey, ProviderKey
from orgs.audit.heads import note_erased
from orgs.models import IdentityProvider, Invitation, Membership, Organization, Webhook
from usage.models import DailyRollup, HourlyRollup, UsageEvent

SECRETS = (DataKey, ProviderKey, ClientKey, ManagementKey, Webhook, IdentityProvider, Invitation, Membership)
BULK = ((UsageEvent, "started_at"), (HourlyRollup, "hour"), (DailyRollup, "day"))
SLICE = 5000  # rows in one statement, or a few more where many are of one time
MOST_SLICES = 20  # at a tick
PATIENCE = "10min"  # with the last statement

log = logging.getLogger(__name__)


def delete_due(now: datetime) -> int:
    """Returns how many organizations are gone."""
    due = Organization.objects.filter(delete_at__lte=now).order_by("delete_at")
    return sum(erase(organization, now) for organization in due)


def erase(organization: Organization, now: datetime) -> bool:
    """Whether nothing is left of it."""
    if not (close(organization, now) and clear(organization)):
        return False
    note_erased(organization.pk, now)
    remove(organization)
    log.warning("The organization %s is deleted, as its owners decided.", organization.pk)
    return True


@transaction.atomic
def close(organization: Organization, now: datetime) -> bool:
    """From here on nobody enters and no secret of it opens. Not if an owner kept it meanwhile."""
    due = Organization.objects.filter(pk=organization.pk, delete_at__lte=now)
    if not due.select_for_update(no_key=True).exists():
        return False
    for model in SECRETS:
        model.objects.filter(organization=organization).delete()
    due.bump_routing()
    return True


@transaction.atomic
def remove(organization: Organization) -> None:
    """PostgreSQL lets go of an audit log only with its organization, and all at once, however long it is."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = '{PATIENCE}'")
    Organization.objects.filter(pk=organization.pk).delete()


def clear(organization: Organization) -> bool:
    """Whether no usage is left."""
    return any(not clear_slice(organization) for _ in range(MOST_SLICES))


def clear_slice(organization: Organization) -> int:
    """The oldest rows of one table. Returns how many there were."""
    for model, column in BULK:
        rows = model.objects.filter(organization=organization)
        end = rows.order_by(column).values_list(column, flat=True)[SLICE - 1 : SLICE].first()
        count, _ = (rows.filter(**{f"{column}__lte": end}) if end else rows).delete()
        if count:
            return count
    return 0
