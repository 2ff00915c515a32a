"""Writes about management keys."""

import hmac
from datetime import datetime

from django.db import transaction
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from keys import client_keys, data_keys, vault
from keys.actions.writing import NameTaken, lock, stamp, tell
from keys.models import ManagementKey
from keys.vault import VaultError
from orgs.actions import Actor
from orgs.models import Organization, User

NOBODYS = bytes(32)


@transaction.atomic
@sensitive_variables()
def issue_management_key(
    *, organization: Organization, name: str, expires_at: datetime | None = None, by: Actor
) -> tuple[ManagementKey, str]:
    """The new key and its text, which cannot be had a second time. It may do what its maker may do. Raises NameTaken."""
    lock(organization)
    if ManagementKey.objects.for_org(organization).filter(name=name, revoked_at=None).exists():
        raise NameTaken(f"There is already a management key named “{name}”.")
    fresh = client_keys.generate(client_keys.MANAGEMENT)
    opened = data_keys.of(organization)
    version = max(opened)
    key = ManagementKey.objects.create(
        organization=organization,
        name=name,
        public_id=fresh.public_id,
        digest=digest(opened[version], fresh.secret),
        pepper_version=version,
        hint=fresh.hint,
        expires_at=expires_at,
        created_by=by.user,
    )
    tell(key, by, "management_key:issue", after={"name": name, "hint": key.hint, "expires_at": stamp(expires_at)})
    return key, fresh.text


@transaction.atomic
def revoke_management_key(*, key: ManagementKey, by: Actor) -> None:
    lock(key.organization)
    key.revoked_at = timezone.now()
    if ManagementKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=key.revoked_at):
        tell(key, by, "management_key:revoke", before={"name": key.name, "hint": key.hint})


@transaction.atomic
def revoke_management_keys_of(*, organization: Organization, maker: User, by: Actor) -> None:
    """All that somebody made who leaves: nobody may do through them what they may not."""
    lock(organization)
    for key in ManagementKey.objects.filter(organization=organization, created_by=maker).select_related("organization"):
        revoke_management_key(key=key, by=by)


@sensitive_variables()
def find_management_key(text: str, now: datetime) -> ManagementKey | None:
    """The key with this text, if it can be used now. An id that nobody has is checked like a wrong secret."""
    parsed = client_keys.parse(text, client_keys.MANAGEMENT)
    if parsed is None:
        return None
    public_id, secret = parsed
    found = ManagementKey.objects.in_use(now).select_related("organization", "created_by").filter(public_id=public_id).first()
    try:
        pepper = data_keys.of(found.organization)[found.pepper_version] if found else NOBODYS
    except (VaultError, KeyError):
        return None
    kept = bytes(found.digest) if found else NOBODYS
    return found if hmac.compare_digest(digest(pepper, secret), kept) else None


@sensitive_variables()
def digest(data_key: bytes, secret: str) -> bytes:
    return client_keys.digest(vault.derive(data_key, "management-key"), secret)
