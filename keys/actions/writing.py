"""What every write about keys and routing does: takes the organization's lock, and leaves an audit event with it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import models

from orgs.actions import Actor, record
from orgs.models import Organization

KEYHOLD = Actor(label="Keyhold")  # what nobody asked for


class NameTaken(ValueError):
    """Another key has this name. The message says which."""


def lock(organization: Organization) -> None:
    """One writer at a time for each organization, so that names and places in the order stay distinct.

    `no_key`, because usage that refers to the organization is written all the while. SQLite has one writer anyway.
    """
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)


def stamp(at: datetime | None) -> str | None:
    """A time as audit events have it."""
    return at.isoformat(timespec="seconds") if at else None


def tell(
    target: models.Model,
    by: Actor,
    tag: str,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """The audit event, and the sign to the gateways that they must read this organization anew."""
    changes = {"before": dict(before or {}), "after": dict(after or {})}
    organization = target if isinstance(target, Organization) else target.organization  # type: ignore[attr-defined]
    record(organization=organization, by=by, tag=tag, target=target, changes=changes)
    Organization.objects.filter(pk=organization.pk).bump_routing()
