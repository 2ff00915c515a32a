"""Writes about a person's own account. Each stands in the audit of every organization that the person belongs to."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.db import IntegrityError, transaction

from orgs import sessions
from orgs.actions import Actor, record
from orgs.models import Organization, User


class AddressTaken(Exception):
    """Another account has this address."""


@transaction.atomic
def change_name(*, user: User, name: str, by: Actor) -> None:
    current = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    before = current.name
    if before != name:
        current.name = name
        current.save(update_fields=["name"])
        _record(current, by, "account:name", {"before": {"name": before}, "after": {"name": name}})


@transaction.atomic
def change_email(*, user: User, email: str, by: Actor) -> None:
    """To an address that is known to be theirs. Raises AddressTaken. Every session ends."""
    before = user.email
    user.email = email.strip().lower()
    try:
        with transaction.atomic():
            user.save(update_fields=["email"])
    except IntegrityError:
        user.email = before
        raise AddressTaken from None
    sessions.end_all(user)
    _record(user, by, "account:email", {"before": {"email": before}, "after": {"email": user.email}})


@transaction.atomic
def set_password(*, user: User, password: str, by: Actor) -> None:
    """Every session ends with it, as their hashes hold the password."""
    user.set_password(password)
    user.save(update_fields=["password"])
    _record(user, by, "account:password")


@transaction.atomic
def end_sessions(*, user: User, by: Actor) -> None:
    """Sign the person out everywhere."""
    sessions.end_all(user)
    _record(user, by, "account:sign_out")


@transaction.atomic
def end_session(*, session: UserSession, by: Actor) -> None:
    """Sign one browser out."""
    session.end()
    _record(session.user, by, "account:end_session", {"before": {"browser": session.user_agent, "from": session.ip}})


def second_factors(user: User) -> dict[int, str]:
    """What the person has besides a password, recovery codes too: its kind by its id."""
    return dict(Authenticator.objects.filter(user=user).order_by("pk").values_list("pk", "type"))


@transaction.atomic
def note_second_factors(*, user: User, before: Mapping[int, str], by: Actor) -> bool:
    """What became of them since `before`, and whether anything did."""
    now = second_factors(user)
    added = [kind for pk, kind in now.items() if pk not in before]
    removed = [kind for pk, kind in before.items() if pk not in now]
    if added or removed:
        _record(user, by, "account:second_factor", {"added": added, "removed": removed})
    return bool(added or removed)


@transaction.atomic
def require_second_factor(*, organization: Organization, since: datetime | None, by: Actor) -> None:
    """From then on nobody enters the organization without one; None: nobody needs one. Programs go on as they are."""
    current = Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    before, current.second_factor_from = current.second_factor_from, since
    if before != since:
        current.save(update_fields=["second_factor_from"])
        changes = {"before": _said(before), "after": _said(since)}
        record(organization=organization, by=by, tag="organization:second_factor", target=organization, changes=changes)


def _said(since: datetime | None) -> dict[str, str | None]:
    return {"second_factor_from": since.isoformat(timespec="seconds") if since else None}


def _record(user: User, by: Actor, tag: str, changes: dict[str, Any] | None = None) -> None:
    """In the order of their ids, so that two acts at once do not wait for each other for ever."""
    for organization in Organization.objects.filter(memberships__user=user).order_by("pk"):
        record(organization=organization, by=by, tag=tag, target=user, changes=changes)
