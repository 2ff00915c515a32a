"""Writes about people and organizations, each with its audit event in the same transaction."""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, TypedDict, Unpack

from django.contrib.auth.models import Group
from django.db import IntegrityError, models, transaction
from django.http import HttpRequest

from orgs import audit, names
from orgs.models import OWNER, Membership, Organization, User


class AlreadySetUp(Exception):
    """There is a first owner already; more people come by invitation."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a signed-in person, or a command on the server (then `user` is None)."""

    label: str
    user: User | None = None
    address: str | None = None

    @classmethod
    def of(cls, request: HttpRequest) -> "Actor":
        user = request.user
        assert isinstance(user, User)
        return cls(label=str(user), user=user, address=address_of(request))

    @classmethod
    def command(cls, name: str) -> "Actor":
        return cls(label=f"manage.py {name}")


def address_of(request: HttpRequest) -> str | None:
    """Where it comes from; None where that is no address, as the `unknown` that some proxies say."""
    try:
        return str(ip_address(request.META.get("REMOTE_ADDR", "")))
    except ValueError:
        return None


def record(
    *, organization: Organization, by: Actor, tag: str, target: models.Model, changes: dict[str, Any] | None = None
) -> None:
    """Write one audit event, or raise. Call it inside the transaction of the act; `tag` reads `provider_key:add`."""
    audit.append(
        organization,
        actor=by.user,
        actor_label=by.label[:120],
        address=by.address,
        tag=tag,
        target_id=str(target.pk),
        target_label=str(target)[:160],
        changes=changes or {},
    )


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
def record_export(*, organization: Organization, filters: dict[str, str], by: Actor) -> None:
    """Somebody takes the audit log away, or what matches these filters."""
    record(organization=organization, by=by, tag="audit:export", target=organization, changes={"after": filters})


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
