"""Writes about client keys."""

from django.db import transaction
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from keys import client_keys, data_keys, vault
from keys.actions.writing import NameTaken, lock, tell
from keys.models import ClientKey
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
