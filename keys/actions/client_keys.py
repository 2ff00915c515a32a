"""Writes about client keys."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from keys import client_keys, data_keys, vault
from keys.actions.restricting import RestrictionError, checked_models, complete, named
from keys.actions.writing import NameTaken, lock, stamp, tell
from keys.models import ClientKey, ProviderKey
from keys.networks import read_networks
from keys.preferences import FIELDS, Preferences, written
from orgs.actions import Actor
from orgs.models import Membership, Notice, Organization, User

NO_PROVIDER_KEYS = "Choose at least one provider key, or let it use all of them. A client key for none would serve nothing."
PROVIDER_KEY_GONE = "A provider key you chose is deleted. Look through the list and save again."
NO_NETWORKS = "Write at least one network, or let it be used from everywhere."
OVER = "This day is over already. Choose a later one, or none."
NO_MEMBER = "Only a member of the organization can have a client key."


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Until when a client key works and what it is for. None means for ever and everything; an empty list is refused."""

    expires_at: datetime | None = None
    models: Sequence[str] | None = None
    provider_keys: Collection[UUID] | None = None
    networks: Sequence[str] | None = None


UNLIMITED = Terms()


class RolledMeanwhile(ValueError):
    """The text that was to be replaced is replaced already, and the one before it would stop too early."""


@transaction.atomic
@sensitive_variables()
def issue_client_key(
    *, organization: Organization, name: str, by: Actor, owner: User | None = None, terms: Terms = UNLIMITED
) -> tuple[ClientKey, str]:
    """The new key and its text, which cannot be had a second time. It is that of whoever creates it, unless an owner is named.

    Raises NameTaken and RestrictionError.
    """
    lock(organization)
    check_name(organization, name)
    if holder := owner or by.user:
        check_member(organization, holder)
    said = checked(terms, organization)
    text, texts = fresh_text(organization)
    key = ClientKey(organization=organization, name=name, owner=holder, created_by=by.user, **texts)
    put(key, said)
    key.told_expiring_at = timezone.now()
    key.save(force_insert=True)
    limits = {each: value for each, value in shown(key).items() if value is not None}
    tell(key, by, "client_key:issue", after={"name": name, "hint": key.hint} | limits)
    return key, text


@transaction.atomic
def change_client_key(*, key: ClientKey, name: str, terms: Terms, by: Actor) -> None:
    """Raises NameTaken and RestrictionError."""
    current = locked(key)
    if current is None:
        return
    if name != current.name:
        check_name(current.organization, name)
    before = {"name": current.name} | shown(current)
    current.name = name
    put(current, checked(terms, current.organization, known=current.expires_at))
    after = {"name": name} | shown(current)
    differ = [each for each in after if after[each] != before[each]]
    if differ:
        if "expires_at" in differ:
            current.told_expiring_at = timezone.now()
        current.save(update_fields=["name", *TERMS, "told_expiring_at"])
        told = [{each: state[each] for each in differ} for state in (before, after)]
        tell(current, by, "client_key:change", before=told[0], after=told[1])


@transaction.atomic
@sensitive_variables()
def roll_client_key(*, key: ClientKey, public_id: str, grace: timedelta, by: Actor) -> str:
    """The new text, which cannot be had a second time. The present one, of this public id, works on for as long as `grace`.

    One that was rolled before stops at once. Raises RolledMeanwhile, and ClientKey.DoesNotExist for a revoked key.
    """
    current = locked(key)
    if current is None:
        raise ClientKey.DoesNotExist
    if current.public_id != public_id:
        raise RolledMeanwhile("This key was rolled already.")
    until, before = timezone.now() + grace, current.hint
    if grace:
        current.rolled_public_id, current.rolled_digest = current.public_id, current.digest
        current.rolled_pepper_version, current.rolled_hint = current.pepper_version, current.hint
        current.rolled_until = until
    else:
        forget_rolled(current)
    text, texts = fresh_text(current.organization)
    for name, value in texts.items():
        setattr(current, name, value)
    current.save(update_fields=[*texts, *ROLLED])
    after = {"hint": current.hint, "rolled_until": stamp(current.rolled_until)}
    tell(current, by, "client_key:roll", before={"hint": before}, after=after)
    return text


ROLLED = ("rolled_public_id", "rolled_digest", "rolled_pepper_version", "rolled_hint", "rolled_until")
TERMS = ("expires_at", "allowed_models", "allowed_provider_keys", "allowed_networks")


def forget_rolled(key: ClientKey) -> None:
    for name in ROLLED:
        setattr(key, name, "" if name == "rolled_hint" else None)


@sensitive_variables()
def fresh_text(organization: Organization) -> tuple[str, dict[str, Any]]:
    """The text of a key, and what is kept of it."""
    fresh = client_keys.generate()
    opened = data_keys.of(organization)
    version = max(opened)
    digest = client_keys.digest(vault.derive(opened[version], "client-key"), fresh.secret)
    return fresh.text, {"public_id": fresh.public_id, "digest": digest, "pepper_version": version, "hint": fresh.hint}


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


@transaction.atomic
def hand_over_client_key(*, key: ClientKey, to: User, by: Actor) -> None:
    """Its requests count as theirs from now on. Raises RestrictionError unless they are a member."""
    current = locked(key)
    if current is None or current.owner_id == to.pk:
        return
    check_member(current.organization, to)
    before, current.owner = current.owner, to
    current.save(update_fields=["owner"])
    tell(current, by, "client_key:hand_over", before={"owner": before and str(before)}, after={"owner": str(to)})


@transaction.atomic
def revoke_of_member(*, organization: Organization, user: User, by: Actor, to: User | None = None) -> int:
    """All client keys of somebody who leaves: revoked, or handed over. Returns how many. Raises RestrictionError."""
    lock(organization)
    keys = list(ClientKey.objects.live().filter(organization=organization, owner=user).select_related("organization"))
    for key in keys:
        if to is None:
            revoke_client_key(key=key, by=by)
        else:
            hand_over_client_key(key=key, to=to, by=by)
    return len(keys)


def check_name(organization: Organization, name: str) -> None:
    if ClientKey.objects.live().filter(organization=organization, name=name).exists():
        raise NameTaken(f"There is already a client key named “{name}”.")


def check_member(organization: Organization, user: User) -> None:
    if not Membership.objects.for_org(organization).filter(user=user).exists():
        raise RestrictionError("owner", NO_MEMBER)


def checked(terms: Terms, organization: Organization, known: datetime | None = None) -> dict[str, Any]:
    """As the columns have it. known: a time that may be over, as it stands there already."""
    if terms.expires_at is not None and terms.expires_at != known and terms.expires_at <= timezone.now():
        raise RestrictionError("expires_on", OVER)
    return {
        "expires_at": terms.expires_at,
        "allowed_models": checked_models(terms.models),
        "allowed_provider_keys": checked_provider_keys(terms.provider_keys, organization),
        "allowed_networks": checked_networks(terms.networks),
    }


def checked_provider_keys(chosen: Collection[UUID] | None, organization: Organization) -> list[str] | None:
    if chosen is None:
        return None
    present = ProviderKey.objects.for_org(organization).filter(pk__in=chosen).values_list("pk", flat=True)
    problems = {"none": NO_PROVIDER_KEYS, "gone": PROVIDER_KEY_GONE}
    return sorted(map(str, complete("provider_keys", set(chosen), set(present), **problems)))


def checked_networks(networks: Sequence[str] | None) -> list[str] | None:
    if networks is None:
        return None
    found, problems = read_networks("\n".join(networks))
    if problems or not found:
        raise RestrictionError("networks", *(problems or [NO_NETWORKS]))
    return list(found)


def put(key: ClientKey, said: Mapping[str, Any]) -> None:
    for name, value in said.items():
        setattr(key, name, value)


def shown(key: ClientKey) -> dict[str, Any]:
    """Its terms as the audit keeps them: provider keys with the names that they have now."""
    keys = ProviderKey.objects.filter(pk__in=key.allowed_provider_keys or ())
    return {
        "expires_at": stamp(key.expires_at),
        "models": key.allowed_models,
        "provider_keys": named(key.allowed_provider_keys, {str(each.pk): str(each) for each in keys}),
        "networks": key.allowed_networks,
    }


def locked(key: ClientKey) -> ClientKey | None:
    """As it is now; None once it is revoked."""
    lock(key.organization)
    return ClientKey.objects.live().select_related("organization", "owner").filter(pk=key.pk).first()


def notify(key: ClientKey, tag: str, subject: str, body: str) -> None:
    """Lets the owners of the organization hear it, and whose key it is."""
    Notice.objects.create(
        organization=key.organization,
        tag=tag,
        target_id=str(key.pk),
        subject=subject,
        body=body,
        path=reverse("client_key", args=[key.organization.slug, key.pk]),
        person=key.owner,
    )
