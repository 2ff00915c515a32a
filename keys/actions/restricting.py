"""Writes about whom and what a provider key serves."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction

from keys.actions.writing import lock, tell
from keys.models import ClientKey, ProviderKey
from keys.restrictions import read_patterns
from orgs.actions import Actor
from orgs.models import Organization, User

EMPTY = {
    "models": "Name at least one model, or let the key serve every model. A key without any would serve nothing.",
    "members": "Choose at least one member, or let everybody use the key. A key for nobody would serve nothing.",
    "client_keys": "Choose at least one client key, or let all of them use the key. A key for none would serve nothing.",
}
GONE = {
    "members": "Somebody you chose is no member any more. Look through the list and save again.",
    "client_keys": "A client key you chose is revoked. Look through the list and save again.",
}


class RestrictionError(ValueError):
    """What is wrong with which list, in sentences."""

    def __init__(self, field: str, *problems: str) -> None:
        super().__init__(" ".join(problems))
        self.field, self.problems = field, problems


@transaction.atomic
def set_restrictions(
    *,
    key: ProviderKey,
    models: Sequence[str] | None,
    members: Collection[int] | None,
    client_keys: Collection[UUID] | None,
    by: Actor,
) -> None:
    """From now on the key serves these models, for these people and client keys. None means all; an empty list is refused.

    Raises RestrictionError.
    """
    lock(key.organization)
    current = ProviderKey.objects.present().filter(pk=key.pk).first()
    if current is None:
        return
    key.allowed_models = checked_models(models)
    key.allowed_members = checked_members(members, key.organization)
    key.allowed_client_keys = checked_client_keys(client_keys, key.organization)
    before, after = told(current), told(key)
    differ = [name for name in after if after[name] != before[name]]
    if differ:
        key.save(update_fields=[f"allowed_{name}" for name in differ])
        shown = [{name: state[name] for name in differ} for state in (before, after)]
        tell(key, by, "provider_key:restrict", before=shown[0], after=shown[1])


@transaction.atomic
def set_always(*, key: ProviderKey, always: bool, by: Actor) -> None:
    """Whether requests that the key may serve stay away from shared keys."""
    lock(key.organization)
    key.always = always
    if ProviderKey.objects.present().filter(pk=key.pk, always=not always).update(always=always):
        tell(key, by, "provider_key:always", before={"always": not always}, after={"always": always})


def checked_models(models: Sequence[str] | None) -> list[str] | None:
    if models is None:
        return None
    patterns, problems = read_patterns("\n".join(models))
    if problems or not patterns:
        raise RestrictionError("models", *(problems or [EMPTY["models"]]))
    return list(patterns)


def checked_members(members: Collection[int] | None, organization: Organization) -> list[int] | None:
    if members is None:
        return None
    present = User.objects.filter(memberships__organization=organization, pk__in=members).values_list("pk", flat=True)
    return sorted(complete("members", set(members), set(present)))


def checked_client_keys(client_keys: Collection[UUID] | None, organization: Organization) -> list[str] | None:
    if client_keys is None:
        return None
    live = ClientKey.objects.live().filter(organization=organization, pk__in=client_keys).values_list("pk", flat=True)
    return sorted(map(str, complete("client_keys", set(client_keys), set(live))))


def complete[T](field: str, chosen: set[T], present: set[T], *, none: str = "", gone: str = "") -> set[T]:
    """none, gone: what is said of a list without anything, and of one with something that is not there."""
    if not chosen:
        raise RestrictionError(field, none or EMPTY[field])
    if chosen != present:
        raise RestrictionError(field, gone or GONE[field])
    return chosen


def told(key: ProviderKey) -> dict[str, Any]:
    """The lists as the audit keeps them: people and client keys with the names that they have now."""
    people = User.objects.filter(pk__in=key.allowed_members or ())
    programs = ClientKey.objects.filter(pk__in=key.allowed_client_keys or ())
    return {
        "models": key.allowed_models,
        "members": named(key.allowed_members, {user.pk: str(user) for user in people}),
        "client_keys": named(key.allowed_client_keys, {str(program.pk): program.name for program in programs}),
    }


def named(ids: Collection[Any] | None, names: dict[Any, str]) -> dict[str, str] | None:
    return None if ids is None else {str(each): names.get(each, "") for each in ids}
