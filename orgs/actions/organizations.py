"""Writes about organizations."""

from collections.abc import Mapping
from typing import Literal, TypedDict, Unpack

from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction

from orgs import names
from orgs.actions.recording import Actor, record
from orgs.models import OWNER, Membership, Organization, User

type Export = Literal["audit", "usage", "costs"]


class AlreadySetUp(Exception):
    """There is a first owner already; more people come by invitation."""


@transaction.atomic
def create_organization(*, name: str, owner: User, by: Actor) -> Organization:
    organization = _at_a_free_address(name)
    Membership.objects.create(organization=organization, user=owner, role=Group.objects.get(name=OWNER))
    record(
        organization=organization,
        by=by,
        tag="organization:create",
        target=organization,
        changes={"name": name, "slug": organization.slug, "owner": owner.email},
    )
    return organization


@transaction.atomic
def set_platform(*, organization: Organization, is_platform: bool, by: Actor) -> None:
    """Whether the keys of this organization are the operator's shared keys."""
    changed = Organization.objects.filter(pk=organization.pk, is_platform=not is_platform)
    if changed.update(is_platform=is_platform):
        Organization.objects.filter(pk=organization.pk).bump_routing()
        changes = {"before": {"is_platform": not is_platform}, "after": {"is_platform": is_platform}}
        record(organization=organization, by=by, tag="organization:platform", target=organization, changes=changes)


class Settings(TypedDict, total=False):
    """What owners decide about their organization. `timezone` is a name that zoneinfo knows."""

    name: str
    timezone: str
    members_issue_keys: bool
    members_see_all: bool
    support_needs_grant: bool


@transaction.atomic
def set_organization(*, organization: Organization, by: Actor, **said: Unpack[Settings]) -> None:
    """What is not named stays. Days that were booked keep their date when the time zone changes."""
    current = Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    before = {name: getattr(current, name) for name in said}
    after = {name: value for name, value in said.items() if value != before[name]}
    if after:
        Organization.objects.filter(pk=organization.pk).update(**after)
        Organization.objects.filter(pk=organization.pk).bump_routing()
        changes = {"before": {name: before[name] for name in after}, "after": after}
        record(organization=organization, by=by, tag="organization:set", target=organization, changes=changes)


@transaction.atomic
def record_export(*, organization: Organization, what: Export, filters: Mapping[str, str], by: Actor) -> None:
    """Somebody takes all of it away, or what matches these filters."""
    after = {name: value.replace("\0", "\ufffd") for name, value in filters.items()}  # which PostgreSQL does not keep
    record(organization=organization, by=by, tag=f"{what}:export", target=organization, changes={"after": after})


def _at_a_free_address(name: str) -> Organization:
    """Tries each address in turn; the database's constraint decides, so two at once do not collide."""
    for slug in names.slugs(name):
        try:
            with transaction.atomic():
                return Organization.objects.create(name=name, slug=slug)
        except IntegrityError:
            continue
    raise RuntimeError(f"No free address for an organization called {name}")


@transaction.atomic
def set_up_first_owner(
    *, email: str, password: str, organization_name: str, name: str = "", by: Actor | None = None
) -> tuple[User, Organization]:
    """The first person and their organization. Raises AlreadySetUp once anybody exists, also for the later of two at once."""
    Group.objects.select_for_update().get(name=OWNER)
    if User.objects.exists():
        raise AlreadySetUp
    user = User.objects.create_user(email, password, name=name)
    by = by or Actor(label=str(user), user=user)
    return user, create_organization(name=organization_name, owner=user, by=by)
