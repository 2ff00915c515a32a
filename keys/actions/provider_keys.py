"""Writes about provider keys."""

from django.db import transaction
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from keys import data_keys
from keys.actions.health import apply_test
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
    """Add a provider key, last in the order. `needs_test=False` lets it have traffic before a test has passed."""
    lock(organization)
    present = ProviderKey.objects.for_org(organization)
    if present.filter(provider=provider, name=name).exists():
        raise NameTaken(f"There is already a key named “{name}” for {PROVIDERS[provider].label}.")
    last = present.last()
    key = ProviderKey(
        organization=organization,
        provider=provider,
        name=name,
        priority=last.priority + 1 if last else 1,
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
    key.save(force_insert=True)
    shown = ("provider", "name", "priority", "hint", "fingerprint", "public", "status", "needs_test")
    tell(key, by, "provider_key:add", after={name: getattr(key, name) for name in shown})
    return key


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
    """Erase the credential. The row stays, so that usage keeps its name."""
    lock(key.organization)
    key.sealed, key.removed_at = b"", timezone.now()
    if ProviderKey.objects.present().filter(pk=key.pk).update(sealed=key.sealed, removed_at=key.removed_at):
        tell(key, by, "provider_key:remove", before={"hint": key.hint, "fingerprint": key.fingerprint})
