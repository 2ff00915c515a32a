"""Writes about a person's own account. Each stands in the audit of every organization that the person belongs to."""

from collections.abc import Mapping
from datetime import datetime

from allauth.mfa.models import Authenticator
from django.db import IntegrityError, transaction

from orgs import sessions
from orgs.actions import Actor, lock_organizations, record, record_everywhere
from orgs.models import Organization, User


class AddressTaken(Exception):
    """Another account has this address."""


@transaction.atomic
def set_name(*, user: User, name: str, by: Actor) -> None:
    """What the people they work with know them by."""
    lock_organizations(user)
    before, user.name = User.objects.get(pk=user.pk).name, name
    if name != before:
        user.save(update_fields=["name"])
        record_everywhere(user=user, by=by, tag="account:name", changes={"before": {"name": before}, "after": {"name": name}})


@transaction.atomic
def change_email(*, user: User, email: str, by: Actor) -> None:
    """To an address that is known to be theirs. Raises AddressTaken. Every session ends."""
    lock_organizations(user)
    before = user.email
    user.email = email.strip().lower()
    try:
        with transaction.atomic():
            user.save(update_fields=["email"])
    except IntegrityError:
        user.email = before
        raise AddressTaken from None
    sessions.end_all(user)
    changes = {"before": {"email": before}, "after": {"email": user.email}}
    record_everywhere(user=user, by=by, tag="account:email", changes=changes)


@transaction.atomic
def set_password(*, user: User, password: str, by: Actor) -> None:
    """Every session ends with it, as their hashes hold the password."""
    lock_organizations(user)
    user.set_password(password)
    user.save(update_fields=["password"])
    record_everywhere(user=user, by=by, tag="account:password")


@transaction.atomic
def end_sessions(*, user: User, by: Actor) -> None:
    """They sign themselves out everywhere. What support does is in orgs/actions/support.py."""
    lock_organizations(user)
    sessions.end_all(user)
    record_everywhere(user=user, by=by, tag="account:sign_out")


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
        changes = {"added": added, "removed": removed}
        record_everywhere(user=user, by=by, tag="account:second_factor", changes=changes)
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
