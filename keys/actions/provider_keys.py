"""Writes about provider keys."""

from django.db import transaction
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from keys import data_keys
from keys.actions.health import apply_test
from keys.actions.ordering import make_room
from keys.actions.replacing import destroy
from keys.actions.writing import NameTaken, lock, tell
from keys.models import ProviderKey
from keys.providers import PROVIDERS, Credential
from keys.testing import TestResult
from orgs.actions import Actor
from orgs.models import Organization


@transaction.atomic
@sensitive_variables("credential")
def add_key(
    *,
    organization: Organization,
    provider: str,
    name: str,
    credential: Credential,
    test: TestResult | None,
    needs_test: bool = True,
    by: Actor,
) -> ProviderKey:
    """Add a provider key, after the last prioritized one of its provider or else of all.

    `needs_test=False` lets it have traffic before a test has passed.
    """
    lock(organization)
    if ProviderKey.objects.for_org(organization).filter(provider=provider, name=name).exists():
        raise taken(name, provider)
    key = ProviderKey(
        organization=organization,
        provider=provider,
        name=name,
        public=dict(credential.public),
        hint=credential.hint,
        needs_test=needs_test,
        created_by=by.user,
    )
    opened = data_keys.of(organization)
    key.sealed = data_keys.seal_credential(key, credential, opened)
    key.fingerprint = data_keys.fingerprint(provider, credential, opened)
    if test:
        apply_test(key, test)
    make_room(key, by)
    key.save(force_insert=True)
    shown = ("provider", "name", "priority", "hint", "fingerprint", "public", "status", "needs_test")
    tell(key, by, "provider_key:add", after={name: getattr(key, name) for name in shown})
    return key


@transaction.atomic
def rename_key(*, key: ProviderKey, name: str, by: Actor) -> None:
    """Touches nothing but the name. Raises NameTaken."""
    lock(key.organization)
    present = ProviderKey.objects.for_org(key.organization).filter(provider=key.provider)
    before = present.values_list("name", flat=True).get(pk=key.pk)
    if name == before:
        return
    if present.filter(name=name).exists():
        raise taken(name, key.provider)
    present.filter(pk=key.pk).update(name=name)
    key.name = name
    tell(key, by, "provider_key:rename", before={"name": before}, after={"name": name})


def taken(name: str, provider: str) -> NameTaken:
    return NameTaken(f"There is already a key named “{name}” for {PROVIDERS[provider].label}.")


@transaction.atomic
def disable_key(*, key: ProviderKey, by: Actor) -> None:
    set_enabled(key, False, by, "provider_key:disable")


@transaction.atomic
def enable_key(*, key: ProviderKey, by: Actor) -> None:
    set_enabled(key, True, by, "provider_key:enable")


def set_enabled(key: ProviderKey, enabled: bool, by: Actor, tag: str) -> None:
    lock(key.organization)
    key.enabled = enabled
    if ProviderKey.objects.present().filter(pk=key.pk, enabled=not enabled).update(enabled=enabled):
        tell(key, by, tag, before={"enabled": not enabled}, after={"enabled": enabled})


@transaction.atomic
def remove_key(*, key: ProviderKey, by: Actor) -> None:
    """Erase the credential and those that it replaced. The row stays, so that usage keeps its name."""
    lock(key.organization)
    key.sealed, key.removed_at = b"", timezone.now()
    if ProviderKey.objects.present().filter(pk=key.pk).update(sealed=key.sealed, removed_at=key.removed_at):
        for retired in key.retired.all():
            destroy(retired, by)
        tell(key, by, "provider_key:remove", before={"hint": key.hint, "fingerprint": key.fingerprint})
