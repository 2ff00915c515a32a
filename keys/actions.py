"""Writes about keys and overrides. Each takes the organization's lock, and leaves an audit event with it."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from keys import client_keys, data_keys, vault
from keys.models import ClientKey, ModelOverride, ProviderKey
from keys.providers import PROVIDERS, Credential
from keys.testing import TestResult, Verdict
from orgs.actions import Actor, record
from orgs.models import Organization

Status = ProviderKey.Status
REASON_LENGTH = ProviderKey._meta.get_field("status_reason").max_length
STATUS_AFTER = {Verdict.VALID: Status.HEALTHY, Verdict.LIMITED: Status.LIMITED, Verdict.INVALID: Status.FAILING}


class NameTaken(ValueError):
    """Another key has this name. The message says which."""


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
def record_test(*, key: ProviderKey, result: TestResult, by: Actor) -> None:
    """Note what a test found, unless the credential was removed or replaced while the test ran."""
    lock(key.organization)
    if not ProviderKey.objects.present().filter(pk=key.pk, secret_version=key.secret_version).exists():
        return
    before = {"status": key.status, "status_reason": key.status_reason}
    apply_test(key, result)
    key.save(update_fields=["status", "status_reason", "needs_test", "tested_at", "discovered_models"])
    after = {"status": key.status, "status_reason": key.status_reason, "verdict": result.verdict}
    tell(key, by, "provider_key:test", before=before, after=after)


def apply_test(key: ProviderKey, result: TestResult) -> None:
    """A test that could not tell leaves the status as it was."""
    key.status = STATUS_AFTER.get(result.verdict, key.status)
    key.status_reason = "" if result.verdict is Verdict.VALID else result.reason[:REASON_LENGTH]
    key.tested_at = timezone.now()
    if result.verdict in (Verdict.VALID, Verdict.LIMITED):
        key.needs_test = False
        key.discovered_models = list(result.models) or key.discovered_models


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


@transaction.atomic
def set_overrides(*, organization: Organization, provider: str, overrides: Mapping[str, str], by: Actor) -> None:
    """From now on these, and no others, are the organization's names for models of the provider."""
    lock(organization)
    present = ModelOverride.objects.for_org(organization).filter(provider=provider)
    before = dict(present.values_list("slug", "native_model"))
    if before == overrides:
        return
    present.delete()
    ModelOverride.objects.bulk_create(
        ModelOverride(organization=organization, provider=provider, slug=slug, native_model=native)
        for slug, native in overrides.items()
    )
    tell(
        organization,
        by,
        "model_override:set",
        before={"provider": provider, "models": before},
        after={"provider": provider, "models": dict(overrides)},
    )


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


def lock(organization: Organization) -> None:
    """One writer at a time for each organization, so that names and places in the order stay distinct.

    `no_key`, because usage that refers to the organization is written all the while. SQLite has one writer anyway.
    """
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)


def tell(
    target: ProviderKey | ClientKey | Organization,
    by: Actor,
    tag: str,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """The audit event, and the sign to the gateways that they must read this organization anew."""
    changes = {"before": dict(before or {}), "after": dict(after or {})}
    organization = target if isinstance(target, Organization) else target.organization
    record(organization=organization, by=by, tag=tag, target=target, changes=changes)
    Organization.objects.filter(pk=organization.pk).bump_routing()
