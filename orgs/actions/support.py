"""Support: owners let it in, staff say why they open an organization, and what staff do about people there.

Each write leaves an audit event in the organizations that it concerns.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from allauth.usersessions.models import UserSession
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from orgs import sessions
from orgs.actions import Actor, lock_organizations, record, record_everywhere
from orgs.models import Organization, SupportGrant, SupportVisit, User

GROUP = "Support"  # whose people are staff that may open organizations
GRANTED = timedelta(hours=24)
VISITED = timedelta(hours=1)


class GrantNeeded(Exception):
    """The organization asks for an owner's permission, and there is none now."""


def actor(request: HttpRequest) -> Actor:
    """Somebody of the staff, called so in the audit of organizations."""
    by = Actor.of(request)
    return replace(by, label=f"{by.label} (support)")


def visited(visitor: User, now: datetime) -> QuerySet[Organization]:
    """The organizations that they have opened."""
    return Organization.objects.filter(pk__in=SupportVisit.objects.by(visitor).under_way(now).values("organization"))


def open_grant(organization: Organization, now: datetime) -> SupportGrant | None:
    return SupportGrant.objects.for_org(organization).open(now).select_related("granted_by").order_by("-until").first()


@transaction.atomic
def grant_support(*, organization: Organization, by: Actor) -> SupportGrant:
    """For 24 hours. One that is open already stays as it is."""
    assert by.user is not None
    lock(organization)
    now = timezone.now()
    grant = open_grant(organization, now)
    if grant is None:
        grant = SupportGrant.objects.create(organization=organization, granted_by=by.user, created_at=now, until=now + GRANTED)
        record(
            organization=organization, by=by, tag="support:grant", target=grant, changes={"after": {"until": stamp(grant.until)}}
        )
    return grant


@transaction.atomic
def end_grant(*, organization: Organization, by: Actor) -> None:
    """Visits that it let in end with it."""
    lock(organization)
    now = timezone.now()
    for grant in SupportGrant.objects.for_org(organization).open(now):
        SupportGrant.objects.filter(pk=grant.pk).update(ended_at=now)
        changes = {"before": {"until": stamp(grant.until)}, "after": {"until": stamp(now)}}
        record(organization=organization, by=by, tag="support:end_grant", target=grant, changes=changes)


@transaction.atomic
def begin_visit(*, organization: Organization, reason: str, by: Actor) -> SupportVisit:
    """For an hour, and no longer than the grant where one is needed. Raises GrantNeeded."""
    assert by.user is not None
    current, now = lock(organization), timezone.now()
    begun, until = now, now + VISITED
    if current.support_needs_grant:
        grant = open_grant(organization, now)
        if grant is None:
            raise GrantNeeded
        begun, until = max(now, grant.created_at), min(until, grant.until)  # another host's clock may be ahead
    visit = SupportVisit.objects.create(organization=current, visitor=by.user, reason=reason, begun_at=begun, until=until)
    changes = {"after": {"reason": reason, "until": stamp(until)}}
    record(organization=current, by=by, tag="support:visit", target=visit, changes=changes)
    return visit


@transaction.atomic
def record_diagnostics(*, organization: Organization, by: Actor) -> None:
    """That the bundle was made, before anybody has it."""
    record(organization=organization, by=by, tag="support:diagnostics", target=organization)


@transaction.atomic
def end_sessions(*, user: User, by: Actor) -> int:
    """Signs them out everywhere. Returns in how many places that was."""
    lock_organizations(user)
    count = UserSession.objects.filter(user=user).count()
    sessions.end_all(user)
    changes = {"before": {"sessions": count}, "after": {"sessions": 0}}
    record_everywhere(user=user, by=by, tag="member:end_sessions", changes=changes)
    return count


@transaction.atomic
def change_person(*, user: User, by: Actor, **said: Any) -> None:
    """What is not named stays. Who is turned off is signed out. Organizations hear of all but staff rights."""
    lock_organizations(user)
    current = User.objects.select_for_update().get(pk=user.pk)
    before = {name: getattr(current, name) for name in said}
    after = {name: value for name, value in said.items() if value != before[name]}
    User.objects.filter(pk=user.pk).update(**after)
    told = [name for name in after if name in ("name", "is_active")]
    if told:
        changes = {"before": {name: before[name] for name in told}, "after": {name: after[name] for name in told}}
        record_everywhere(user=user, by=by, tag="member:change", changes=changes)
    if after.get("is_active") is False:
        end_sessions(user=user, by=by)


def lock(organization: Organization) -> Organization:
    """As it is now; whoever else decides about it waits."""
    return Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)


def stamp(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
