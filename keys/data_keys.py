"""Data keys and what they open: the vault, joined to the database."""

import base64
import hashlib
import hmac
import json
import logging
import os
import time
from collections.abc import Buffer, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.conf import settings
from django.views.decorators.debug import sensitive_variables

from keys import vault
from keys.models import DataKey, ProviderKey, RetiredCredential
from keys.openings import Purpose, openings
from keys.providers import Credential
from keys.vault import Context, DataKeys, KeyRing, VaultError
from orgs.models import IdentityProvider, Organization, Webhook

REMEMBERED_SECONDS = 300
SECOND_FACTOR = Context(organization_id=UUID(int=0), secret_id=UUID(int=0), field="second factor", version=1)
log = logging.getLogger(__name__)


def ring() -> KeyRing:
    return _parsed(settings.VAULT_KEYS)


_parsed = lru_cache(maxsize=1)(KeyRing.parse)


def of(organization: Organization) -> DataKeys:
    """The organization's data keys by version. The first is made on first use."""
    return unwrap(list(organization.data_keys.all()) or [create(organization, version=1)])


@sensitive_variables()
def create(organization: Organization, *, version: int) -> DataKey:
    """A new data key. Of two who create the same version at once, both get the one that was first."""
    kek_id, wrapped = ring().wrap(os.urandom(vault.KEY_BYTES), organization.pk, version)
    row, _ = DataKey.objects.get_or_create(
        organization=organization, version=version, defaults={"kek_id": kek_id, "wrapped": wrapped}
    )
    return row


@sensitive_variables()
def unwrap(rows: Iterable[DataKey]) -> DataKeys:
    """The data keys of one organization's rows. A damaged one is left out, so that the rest still opens.

    Asks the database nothing.
    """
    opened = {}
    for row in rows:
        try:
            opened[row.version] = _opened.key_of(row)
        except VaultError:
            log.error("data key %s does not open", row.pk)
    return opened


@dataclass
class Opened:
    """Data keys that were unwrapped lately, so that a remote key ring is asked seldom. All are forgotten together."""

    keys: dict[tuple[object, ...], bytes] = field(default_factory=dict, repr=False)
    since: float = 0.0

    @sensitive_variables()
    def key_of(self, row: DataKey) -> bytes:
        if time.monotonic() - self.since > REMEMBERED_SECONDS:
            self.keys, self.since = {}, time.monotonic()
        keys, wrapped = self.keys, bytes(row.wrapped)
        place = (ring(), row.kek_id, wrapped, row.organization_id, row.version)
        if place not in keys:
            keys[place] = ring().unwrap(row.kek_id, wrapped, row.organization_id, row.version)
        return keys[place]


_opened = Opened()


@sensitive_variables()
def seal_credential(key: ProviderKey, credential: Credential, data_keys: DataKeys) -> bytes:
    return sealed(data_keys, place_of(key), credential)


@sensitive_variables()
def open_credential(key: ProviderKey, data_keys: DataKeys, purpose: Purpose = Purpose.TEST) -> Credential:
    """Raises VaultError."""
    openings.note(key.organization_id, purpose)
    return unsealed(data_keys, place_of(key), key.sealed, key.hint)


@sensitive_variables()
def open_retired(retired: RetiredCredential, data_keys: DataKeys, purpose: Purpose = Purpose.RESTORE) -> Credential:
    """Raises VaultError."""
    openings.note(retired.key.organization_id, purpose)
    return unsealed(data_keys, place_before(retired), retired.sealed, retired.hint)


@sensitive_variables()
def sealed(data_keys: DataKeys, place: Context, credential: Credential) -> bytes:
    """Seals the public parts too: whoever can only write to the database cannot send the secret to another address."""
    payload = canonical({"secret": dict(credential.secret), "public": dict(credential.public)})
    return vault.seal(data_keys, place, payload, suite=settings.VAULT_SUITE)


@sensitive_variables()
def unsealed(data_keys: DataKeys, place: Context, sealed: Buffer, hint: str) -> Credential:
    """Raises VaultError."""
    payload = json.loads(vault.unseal(data_keys, place, sealed).reveal())
    return Credential(secret=payload["secret"], public=payload["public"], hint=hint)


@sensitive_variables()
def seal_signing_secret(webhook: Webhook, secret: bytes, data_keys: DataKeys) -> bytes:
    return vault.seal(data_keys, place_of_webhook(webhook), secret, suite=settings.VAULT_SUITE)


@sensitive_variables()
def open_signing_secret(webhook: Webhook, data_keys: DataKeys, purpose: Purpose = Purpose.WEBHOOK) -> bytes:
    """Raises VaultError."""
    openings.note(webhook.organization_id, purpose)
    return vault.unseal(data_keys, place_of_webhook(webhook), webhook.sealed).reveal()


@sensitive_variables()
def seal_client_secret(provider: IdentityProvider, secret: bytes, data_keys: DataKeys) -> bytes:
    return vault.seal(data_keys, place_of_client_secret(provider), secret, suite=settings.VAULT_SUITE)


@sensitive_variables()
def open_client_secret(provider: IdentityProvider, data_keys: DataKeys, purpose: Purpose = Purpose.SIGN_IN) -> bytes:
    """Raises VaultError."""
    openings.note(provider.organization_id, purpose)
    return vault.unseal(data_keys, place_of_client_secret(provider), provider.sealed).reveal()


@sensitive_variables()
def fingerprint(provider: str, credential: Credential, data_keys: DataKeys) -> str:
    """The same for the same secret in the same organization, and of no use outside it. 64 hex digits.

    Made with the oldest data key, so that it stays what it was when a new data key comes.
    """
    if not data_keys:
        raise VaultError
    pepper = vault.derive(data_keys[min(data_keys)], "fingerprint")
    return hmac.new(pepper, provider.encode() + b"\0" + canonical(credential.secret), hashlib.sha256).hexdigest()


@sensitive_variables()
def seal_second_factor(text: str) -> str:
    """By a key made from the first of the ring, as people belong to no organization. `k1:<base64>`."""
    kek_id = ring().primary
    sealed = vault.seal(_for_second_factors(kek_id), SECOND_FACTOR, text.encode(), suite=settings.VAULT_SUITE)
    return f"{kek_id}:{base64.b64encode(sealed).decode()}"


@sensitive_variables()
def open_second_factor(sealed: str) -> str:
    """Raises VaultError."""
    kek_id, _, body = sealed.partition(":")
    try:
        blob = base64.b64decode(body, validate=True)
        return vault.unseal(_for_second_factors(kek_id), SECOND_FACTOR, blob).reveal().decode()
    except (KeyError, ValueError):
        raise VaultError from None


@sensitive_variables()
def _for_second_factors(kek_id: str) -> DataKeys:
    return {1: vault.derive(ring().keys[kek_id], "second factors")}


def place_of(key: ProviderKey) -> Context:
    return Context(organization_id=key.organization_id, secret_id=key.pk, field="credential", version=key.secret_version)


def place_before(retired: RetiredCredential) -> Context:
    """Where its key had it, so that it opens there and in no other version of the key."""
    return replace(place_of(retired.key), version=retired.secret_version)


def place_of_webhook(webhook: Webhook) -> Context:
    return Context(organization_id=webhook.organization_id, secret_id=webhook.pk, field="signing secret", version=1)


def place_of_client_secret(provider: IdentityProvider) -> Context:
    """An organization has one identity provider, and the secret of that is all it has under its own id."""
    organization_id = provider.organization_id
    return Context(organization_id, secret_id=organization_id, field="client secret", version=provider.secret_version)


def canonical(secret: Mapping[str, Any]) -> bytes:
    return json.dumps(dict(secret), sort_keys=True, separators=(",", ":")).encode()
