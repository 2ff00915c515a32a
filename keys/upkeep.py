"""Goes through everything that is wrapped or sealed: opens it, wraps it anew, seals it anew.

Rows are read in batches, and each is written only if nobody changed it since. So a run may be stopped at any point
and started again, and what is already as it should be is left alone.
"""

from collections import Counter
from collections.abc import Buffer, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Model, QuerySet
from django.views.decorators.debug import sensitive_variables

from keys import data_keys, second_factors, vault
from keys.models import ClientKey, DataKey, ProviderKey, RetiredCredential
from keys.openings import Purpose
from keys.vault import DataKeys, VaultError
from orgs.models import IdentityProvider, Organization, Webhook

BATCH = 500


@dataclass(frozen=True, slots=True)
class Visit:
    """What became of one row. `opened` is False where it is damaged, `changed` is True where it was written."""

    row: Model
    opened: bool
    changed: bool = False

    @property
    def kind(self) -> str:
        return str(self.row._meta.verbose_name)


def verify() -> Iterator[Visit]:
    yield from visit(DataKey.objects.all(), open_data_key)
    yield from visit(sealed_keys(), open_provider_key)
    yield from visit(retired_credentials(), open_retired)
    yield from visit(webhooks(), open_webhook)
    yield from visit(identity_providers(), open_identity_provider)
    yield from visit(second_factors.rows(), second_factors.open_row)
    yield from visit(ClientKey.objects.live().prefetch_related("organization__data_keys"), open_pepper)


def rewrap() -> Iterator[Visit]:
    """Every data key comes under the first key of the ring, and so do people's second factors."""
    yield from visit(needing_rewrap(), rewrap_row)
    yield from visit(second_factors.rows(), second_factors.reseal_row)


def reseal(organizations: QuerySet[Organization]) -> Iterator[Visit]:
    """Every credential, retired ones and others' secrets too, comes under the newest data key and the suite of VAULT_SUITE."""
    yield from visit(sealed_keys().filter(organization__in=organizations), reseal_key)
    yield from visit(retired_credentials().filter(key__organization__in=organizations), reseal_retired)
    yield from visit(webhooks().filter(organization__in=organizations), reseal_webhook)
    yield from visit(identity_providers().filter(organization__in=organizations), reseal_identity_provider)


def needing_rewrap() -> QuerySet[DataKey]:
    return DataKey.objects.exclude(kek_id=data_keys.ring().primary)


def sealed_keys() -> QuerySet[ProviderKey]:
    return ProviderKey.objects.exclude(sealed=b"").prefetch_related("organization__data_keys")


def retired_credentials() -> QuerySet[RetiredCredential]:
    return RetiredCredential.objects.select_related("key__organization").prefetch_related("key__organization__data_keys")


def webhooks() -> QuerySet[Webhook]:
    return Webhook.objects.select_related("organization").prefetch_related("organization__data_keys")


def identity_providers() -> QuerySet[IdentityProvider]:
    return IdentityProvider.objects.select_related("organization").prefetch_related("organization__data_keys")


def wrapped_by() -> Counter[str]:
    """How many data keys each key of the ring wraps."""
    return Counter(DataKey.objects.values_list("kek_id", flat=True))


def sealed_with(rows: QuerySet[Any] | None = None) -> Counter[tuple[int, int]]:
    """How many credentials there are by suite and data key version, as far as they say. Of all keys, unless told which."""
    rows = sealed_keys() if rows is None else rows
    return Counter(vault.sealed_with(row.sealed) for row in in_batches(rows))


def visit[M: Model](rows: QuerySet[M], act: Callable[[M], object]) -> Iterator[Visit]:
    for row in in_batches(rows):
        try:
            changed = bool(act(row))
        except VaultError:
            yield Visit(row, opened=False)
        else:
            yield Visit(row, opened=True, changed=changed)


def in_batches[M: Model](rows: QuerySet[M]) -> Iterator[M]:
    """By primary key. Nothing is held open between batches, so that rows may be written on the way."""
    rows = rows.order_by("pk")
    batch = list(rows[:BATCH])
    while batch:
        yield from batch
        batch = list(rows.filter(pk__gt=batch[-1].pk)[:BATCH])


def open_data_key(row: DataKey) -> None:
    data_keys.ring().unwrap(row.kek_id, row.wrapped, row.organization_id, row.version)


def open_provider_key(key: ProviderKey) -> None:
    data_keys.open_credential(key, data_keys.unwrap(key.organization.data_keys.all()), Purpose.UPKEEP)


def open_retired(retired: RetiredCredential) -> None:
    data_keys.open_retired(retired, data_keys.unwrap(retired.key.organization.data_keys.all()), Purpose.UPKEEP)


def open_webhook(webhook: Webhook) -> None:
    data_keys.open_signing_secret(webhook, data_keys.unwrap(webhook.organization.data_keys.all()), Purpose.UPKEEP)


def open_identity_provider(provider: IdentityProvider) -> None:
    data_keys.open_client_secret(provider, data_keys.unwrap(provider.organization.data_keys.all()), Purpose.UPKEEP)


def open_pepper(key: ClientKey) -> None:
    versions = {key.pepper_version, key.rolled_pepper_version if key.is_rolling else key.pepper_version}
    if versions - data_keys.unwrap(key.organization.data_keys.all()).keys():
        raise VaultError


@sensitive_variables()
def rewrap_row(row: DataKey) -> int:
    ring = data_keys.ring()
    data_key = ring.unwrap(row.kek_id, row.wrapped, row.organization_id, row.version)
    kek_id, wrapped = ring.wrap(data_key, row.organization_id, row.version)
    return DataKey.objects.filter(pk=row.pk, kek_id=row.kek_id).update(kek_id=kek_id, wrapped=wrapped)


@sensitive_variables()
def reseal_key(key: ProviderKey) -> int:
    opened = data_keys.unwrap(key.organization.data_keys.all())
    credential = data_keys.open_credential(key, opened, Purpose.UPKEEP)
    if is_newest(key.sealed, opened):
        return 0
    sealed = data_keys.seal_credential(key, credential, opened)
    return ProviderKey.objects.filter(pk=key.pk, sealed=key.sealed).update(sealed=sealed)


@sensitive_variables()
def reseal_retired(retired: RetiredCredential) -> int:
    opened = data_keys.unwrap(retired.key.organization.data_keys.all())
    credential = data_keys.open_retired(retired, opened, Purpose.UPKEEP)
    if is_newest(retired.sealed, opened):
        return 0
    sealed = data_keys.sealed(opened, data_keys.place_before(retired), credential)
    return RetiredCredential.objects.filter(pk=retired.pk, sealed=retired.sealed).update(sealed=sealed)


@sensitive_variables()
def reseal_webhook(webhook: Webhook) -> int:
    opened = data_keys.unwrap(webhook.organization.data_keys.all())
    secret = data_keys.open_signing_secret(webhook, opened, Purpose.UPKEEP)
    if is_newest(webhook.sealed, opened):
        return 0
    sealed = data_keys.seal_signing_secret(webhook, secret, opened)
    return Webhook.objects.filter(pk=webhook.pk, sealed=webhook.sealed).update(sealed=sealed)


@sensitive_variables()
def reseal_identity_provider(provider: IdentityProvider) -> int:
    opened = data_keys.unwrap(provider.organization.data_keys.all())
    secret = data_keys.open_client_secret(provider, opened, Purpose.UPKEEP)
    if is_newest(provider.sealed, opened):
        return 0
    sealed = data_keys.seal_client_secret(provider, secret, opened)
    return IdentityProvider.objects.filter(pk=provider.pk, sealed=provider.sealed).update(sealed=sealed)


def is_newest(sealed: Buffer, opened: DataKeys) -> bool:
    return vault.sealed_with(sealed) == (settings.VAULT_SUITE, max(opened))
