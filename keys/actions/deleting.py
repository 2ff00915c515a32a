"""An organization is deleted a week after an owner asked for it. Until then it is paused, and an owner may keep it."""

from datetime import datetime, timedelta

from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from keys.actions.routing import pause, routing_of
from keys.actions.writing import stamp, tell
from orgs.actions import Actor
from orgs.actions.members import check_owner
from orgs.models import Notice, Organization

WAIT = timedelta(days=7)


@transaction.atomic
def delete_organization(*, organization: Organization, by: Actor) -> None:
    """Programs are refused from now on. byok_site/deleting.py erases it when its time has come."""
    current = locked(organization, by)
    if current.delete_at:
        return
    now = timezone.now()
    write(current, now + WAIT, by, "organization:delete")
    pause(routing_of(current), now, current, by, "organization:pause")
    announce(current, by, f"{current} will be deleted on {current.delete_at:%-d %B %Y}", "Until then an owner may keep it.")


@transaction.atomic
def keep_organization(*, organization: Organization, by: Actor) -> None:
    """It stays. Programs are served again, unless it had been paused before somebody asked to delete it."""
    current = locked(organization, by)
    if not current.delete_at:
        return
    asked_at = current.delete_at - WAIT
    write(current, None, by, "organization:keep")
    routing = routing_of(current)
    if routing.paused_at == asked_at:
        pause(routing, None, current, by, "organization:resume")
    announce(current, by, f"{current} is kept", "It will not be deleted.")


def locked(organization: Organization, by: Actor) -> Organization:
    current = Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    check_owner(current, by)
    return current


def write(organization: Organization, at: datetime | None, by: Actor, tag: str) -> None:
    before, organization.delete_at = organization.delete_at, at
    organization.save(update_fields=["delete_at"])
    tell(organization, by, tag, before={"delete_at": stamp(before)}, after={"delete_at": stamp(at)})


def announce(organization: Organization, by: Actor, subject: str, meaning: str) -> None:
    Notice.objects.create(
        organization=organization,
        tag="organization:delete",
        target_id=str(organization.pk),
        subject=subject[:200],
        body=f"{subject}, as {by.label} decided. {meaning}",
        path=reverse("settings", args=[organization.slug]),
    )
