"""Who acts, and the audit event that each act leaves in its own transaction."""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from django.db import models
from django.http import HttpRequest

from orgs.audit import chain
from orgs.models import Organization, User


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
    chain.append(
        organization,
        actor=by.user,
        actor_label=by.label[:120],
        address=by.address,
        tag=tag,
        target_id=str(target.pk),
        target_label=str(target)[:160],
        changes=changes or {},
    )


def lock_organizations(user: User) -> list[Organization]:
    """All that the person belongs to, in one order, so that two acts at once do not wait for each other for ever.

    An act about an account begins with it: what is written to the account comes behind, as it does in joining.
    """
    organizations = Organization.objects.filter(memberships__user=user).order_by("pk")
    return list(organizations.select_for_update(no_key=True, of=("self",)))


def record_everywhere(*, user: User, by: Actor, tag: str, changes: dict[str, Any] | None = None) -> None:
    """One event about the person in each organization that they belong to."""
    for organization in lock_organizations(user):
        record(organization=organization, by=by, tag=tag, target=user, changes=changes)
