"""Writes about how an organization's requests are routed: its switches, its preferences, and stopping."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, TypedDict, Unpack

from django.db import transaction
from django.utils import timezone

from keys import preferences
from keys.actions.writing import lock, stamp, tell
from keys.models import ProviderPreference, RoutingPreference
from keys.preferences import Move
from orgs.actions import Actor
from orgs.models import Organization

type Row = RoutingPreference | ProviderPreference


class BeingDeleted(ValueError):
    """The pause belongs to the organization's last days."""


class ProviderChanges(TypedDict, total=False):
    """None withdraws what was said of a preference."""

    use_own_keys: bool
    timeout_seconds: int | None
    move_on: frozenset[Move] | None


class RoutingChanges(ProviderChanges, total=False):
    own_keys_only: bool
    order_first: bool
    order: tuple[str, ...] | None
    only: tuple[str, ...] | None
    ignore: tuple[str, ...] | None
    allow_fallbacks: bool | None


@transaction.atomic
def set_routing(*, organization: Organization, by: Actor, **changes: Unpack[RoutingChanges]) -> None:
    """Switches and preferences of the organization by their names. What is not named stays."""
    lock(organization)
    write(routing_of(organization), changes, organization, by, "routing:set")


@transaction.atomic
def set_provider_routing(*, organization: Organization, provider: str, by: Actor, **changes: Unpack[ProviderChanges]) -> None:
    """The same for one provider, where only these names mean anything."""
    lock(organization)
    write(provider_routing_of(organization, provider), changes, organization, by, "provider_routing:set")


@transaction.atomic
def pause_organization(*, organization: Organization, by: Actor) -> None:
    """Every request is refused from now on, whatever key it would use."""
    lock(organization)
    pause(routing_of(organization), timezone.now(), organization, by, "organization:pause")


@transaction.atomic
def resume_organization(*, organization: Organization, by: Actor) -> None:
    """Raises BeingDeleted."""
    lock(organization)
    if Organization.objects.filter(pk=organization.pk).exclude(delete_at=None).exists():
        raise BeingDeleted(f"{organization} is being deleted. Keep it first, in its settings.")
    pause(routing_of(organization), None, organization, by, "organization:resume")


@transaction.atomic
def pause_provider(*, organization: Organization, provider: str, by: Actor) -> None:
    """No request goes to this provider from now on, not with shared keys either."""
    lock(organization)
    pause(provider_routing_of(organization, provider), timezone.now(), organization, by, "provider:pause")


@transaction.atomic
def resume_provider(*, organization: Organization, provider: str, by: Actor) -> None:
    lock(organization)
    pause(provider_routing_of(organization, provider), None, organization, by, "provider:resume")


def routing_of(organization: Organization) -> RoutingPreference:
    """As it is kept, or the defaults, which are not kept."""
    kept = RoutingPreference.objects.filter(organization=organization).first()
    return kept or RoutingPreference(organization=organization)


def provider_routing_of(organization: Organization, provider: str) -> ProviderPreference:
    kept = ProviderPreference.objects.filter(organization=organization, provider=provider).first()
    return kept or ProviderPreference(organization=organization, provider=provider)


def pause(row: Row, at: datetime | None, organization: Organization, by: Actor, tag: str) -> None:
    """A pause that is there already keeps its time."""
    if (row.paused_at is None) == (at is None):
        return
    before, row.paused_at = row.paused_at, at
    row.save()
    tell(organization, by, tag, before=named(row) | {"paused_at": stamp(before)}, after=named(row) | {"paused_at": stamp(at)})


def write(row: Row, changes: Mapping[str, Any], organization: Organization, by: Actor, tag: str) -> None:
    """Keep and tell what differs, if anything does."""
    before = stated(row)
    wishes = {name: value for name, value in changes.items() if name in preferences.FIELDS}
    row.preferences = preferences.written(replace(preferences.read(row.preferences), **wishes))
    for name in changes.keys() - wishes.keys():
        setattr(row, name, changes[name])
    after = stated(row)
    differ = [name for name in after if after[name] != before[name]]
    if differ:
        row.save()
        told = [named(row) | {name: state[name] for name in differ} for state in (before, after)]
        tell(organization, by, tag, before=told[0], after=told[1])


def stated(row: Row) -> dict[str, Any]:
    """Switches and preferences, as JSON has them."""
    switches = {name: getattr(row, name) for name in ("use_own_keys", "own_keys_only", "order_first") if hasattr(row, name)}
    wishes: dict[str, Any] = row.preferences
    return switches | dict.fromkeys(preferences.FIELDS) | wishes


def named(row: Row) -> dict[str, str]:
    return {"provider": row.provider} if isinstance(row, ProviderPreference) else {}
