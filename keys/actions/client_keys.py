"""Writes about client keys."""

from datetime import datetime

from django.db import transaction
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from keys import client_keys, data_keys, vault
from keys.actions.writing import NameTaken, lock, stamp, tell
from keys.models import ClientKey
from keys.preferences import FIELDS, Preferences, written
from orgs.actions import Actor
from orgs.models import Organization


@transaction.atomic
@sensitive_variables()
def issue_client_key(*, organization: Organization, name: str, by: Actor) -> tuple[ClientKey, str]:
    """The new key and its text, which cannot be had a second time."""
    lock(organization)
    if ClientKey.objects.live().filter(organization=organization, name=name).exists():
        raise NameTaken(f"There is already a client key named “{name}”.")
    fresh = client_keys.generate()
    opened = data_keys.of(organization)
    pepper_version = max(opened)
    key = ClientKey.objects.create(
        organization=organization,
        name=name,
        public_id=fresh.public_id,
        digest=client_keys.digest(vault.derive(opened[pepper_version], "client-key"), fresh.secret),
        pepper_version=pepper_version,
        hint=fresh.hint,
        owner=by.user,
        created_by=by.user,
    )
    tell(key, by, "client_key:issue", after={"name": name, "hint": key.hint})
    return key, fresh.text


@transaction.atomic
def revoke_client_key(*, key: ClientKey, by: Actor) -> None:
    lock(key.organization)
    key.revoked_at = timezone.now()
    if ClientKey.objects.live().filter(pk=key.pk).update(revoked_at=key.revoked_at):
        tell(key, by, "client_key:revoke", before={"name": key.name, "hint": key.hint})


@transaction.atomic
def pause_client_key(*, key: ClientKey, by: Actor) -> None:
    """Requests with it are refused from now on. A pause that is there already keeps its time."""
    pause(key, timezone.now(), by, "client_key:pause")


@transaction.atomic
def resume_client_key(*, key: ClientKey, by: Actor) -> None:
    pause(key, None, by, "client_key:resume")


def pause(key: ClientKey, at: datetime | None, by: Actor, tag: str) -> None:
    current = locked(key)
    if current is None or (current.paused_at is None) == (at is None):
        return
    before, current.paused_at = current.paused_at, at
    current.save(update_fields=["paused_at"])
    tell(current, by, tag, before={"paused_at": stamp(before)}, after={"paused_at": stamp(at)})


@transaction.atomic
def set_client_key_preferences(*, key: ClientKey, preferences: Preferences, by: Actor) -> None:
    """All that requests with it wish, in place of what they wished before."""
    current = locked(key)
    wishes = written(preferences)
    if current is None or current.preferences == wishes:
        return
    before, current.preferences = current.preferences, wishes
    current.save(update_fields=["preferences"])
    names = [name for name in FIELDS if before.get(name) != wishes.get(name)]
    told = [{name: said.get(name) for name in names} for said in (before, wishes)]
    tell(current, by, "client_key:preferences", before=told[0], after=told[1])


def locked(key: ClientKey) -> ClientKey | None:
    """As it is now; None once it is revoked."""
    lock(key.organization)
    return ClientKey.objects.live().select_related("organization").filter(pk=key.pk).first()
