"""Writes about who belongs to an organization. Each takes the organization's lock first, so that it never lacks an owner."""

from functools import partial

from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from orgs import farewells
from orgs.actions import Actor, record
from orgs.models import AUDITOR, MEMBER, OWNER, Invitation, Membership, Notice, Organization, User

ROLES = (MEMBER, AUDITOR, OWNER)  # of all groups, those that a person can have in an organization


class LastOwner(ValueError):
    """The organization would be left without anybody who can sign in and owns it."""

    def __init__(self) -> None:
        super().__init__("Make someone else an owner first.")


@transaction.atomic
def set_role(*, organization: Organization, user: User, role: str, by: Actor) -> None:
    """role: one of ROLES. Raises LastOwner, and Membership.DoesNotExist for somebody who is no member any more."""
    lock(organization)
    check_owner(organization, by)
    membership = held(organization, user)
    before = membership.role.name
    if role == before:
        return
    membership.role = group(role)
    membership.save(update_fields=["role"])
    ended = end_ownership(organization, user) if before == OWNER else 0
    changes = {"before": {"role": before}, "after": {"role": role, "invitations_ended": ended}}
    record(organization=organization, by=by, tag="member:role", target=user, changes=changes)
    tell(organization, user, f"{user} is now {a(role)} of {organization}", f"Before, they were {a(before)}.", by, person=user)


@transaction.atomic
def hand_over_ownership(*, organization: Organization, to: User, by: Actor) -> None:
    """They become an owner, and whoever hands over becomes a member. Raises Membership.DoesNotExist."""
    assert by.user is not None
    set_role(organization=organization, user=to, role=OWNER, by=by)
    set_role(organization=organization, user=by.user, role=MEMBER, by=by)


@transaction.atomic
def remove_member(*, organization: Organization, user: User, by: Actor) -> None:
    """Somebody is removed by an owner or leaves. Their client keys are ended by keys.actions.end_membership, which calls this.

    Raises LastOwner, and Membership.DoesNotExist for somebody who is no member any more.
    """
    lock(organization)
    leaves = by.user == user
    if not leaves:
        check_owner(organization, by)
    membership = held(organization, user)
    membership.delete()
    ended = end_ownership(organization, user) if membership.role.name == OWNER else 0
    before = {"role": membership.role.name, "email": user.email, "invitations_ended": ended}
    tag = "member:leave" if leaves else "member:remove"
    record(organization=organization, by=by, tag=tag, target=user, changes={"before": before})
    happened = f"{user} left {organization}" if leaves else f"{user} was removed from {organization}"
    tell(organization, user, happened, f"They were {a(membership.role.name)}.", by)
    if not leaves:
        farewell = partial(farewells.send, email=user.email, organization=str(organization), by=by.label)
        transaction.on_commit(farewell, robust=True)


def lock(organization: Organization) -> None:
    """One writer at a time for each organization."""
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)


def check_owner(organization: Organization, by: Actor) -> None:
    """A person who acts is still an owner, now that nobody else can change that. Programs and commands were asked before."""
    if by.user and not Membership.objects.for_org(organization).owners().filter(user=by.user).exists():
        raise PermissionDenied


def held(organization: Organization, user: User) -> Membership:
    return Membership.objects.for_org(organization).select_related("role").get(user=user)


def group(role: str) -> Group:
    if role not in ROLES:
        raise ValueError(f"{role} is no role of a member.")
    return Group.objects.get(name=role)


def end_ownership(organization: Organization, user: User) -> int:
    """What only an owner holds: invitations that wait. Returns how many there were. Raises LastOwner."""
    if not Membership.objects.for_org(organization).owners().filter(user__is_active=True).exists():
        raise LastOwner
    waiting = Invitation.objects.for_org(organization).waiting().filter(invited_by=user)
    return waiting.update(withdrawn_at=timezone.now())


def a(role: str) -> str:
    """The role in a sentence: an owner."""
    return f"{'an' if role[0] in 'AO' else 'a'} {role.lower()}"


def tell(organization: Organization, user: User, happened: str, before: str, by: Actor, person: User | None = None) -> None:
    """The owners; and the person, while they belong to the organization."""
    Notice.objects.create(
        organization=organization,
        tag="member:change",
        target_id=str(user.pk),
        subject=happened[:200],
        body=f"{happened}. {before} It was done by {by.label}.",
        path=reverse("members", args=[organization.slug]),
        person=person,
    )
