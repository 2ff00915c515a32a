"""A client key or a management key that somebody found where it should not be: it stops, and those whose it is are told."""

import hmac
import logging

from django.db import transaction
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from keys import client_keys, data_keys, vault
from keys.actions.client_keys import ROLLED, forget_rolled, locked, notify, revoke_client_key
from keys.actions.management_keys import find_management_key, revoke_management_key
from keys.actions.writing import tell
from keys.models import ClientKey
from keys.vault import VaultError
from orgs.actions import Actor
from orgs.models import Notice

log = logging.getLogger(__name__)

FINDER = "Somebody who found it"
NOBODYS = bytes(32)
CREATE = "Programs that use it are refused. Create another client key for them, and find out where this one lay open."
MANAGED = "Look through the audit log for what was done with it. Create another for the program, and find out where it lay open."
GOES_ON = "The key itself was rolled before, and works on with its new text. Find out where the old one lay open."


@sensitive_variables()
def report_leak(*, text: str, address: str | None) -> None:
    """Stops the key with this text. Whether there is one is told to those whose it is, and to nobody else."""
    if text.strip().startswith(client_keys.MANAGEMENT):
        stop_management(text.strip(), Actor(label=FINDER, address=address))
        return
    parsed = client_keys.parse(text.strip())
    if parsed is None:
        return
    public_id, secret = parsed
    found = ClientKey.objects.live().filter(Q(public_id=public_id) | Q(rolled_public_id=public_id)).select_related("organization")
    key = found.first()
    try:
        ours = is_text_of(key, public_id, secret)
    except (VaultError, KeyError):  # gateways, which cannot tell either, refuse it already
        log.error("A report came for a client key of an organization whose data keys do not open.")
        return
    if ours and key is not None:
        stop(key, public_id, Actor(label=FINDER, address=address))


@sensitive_variables()
def is_text_of(key: ClientKey | None, public_id: str, secret: str) -> bool:
    """An id that nobody has is checked like a wrong secret."""
    pepper, digest = NOBODYS, NOBODYS
    if key is not None:
        rolled = key.public_id != public_id
        version = key.rolled_pepper_version if rolled else key.pepper_version
        pepper = vault.derive(data_keys.of(key.organization)[version], "client-key")
        digest = bytes(key.rolled_digest if rolled else key.digest)
    return hmac.compare_digest(client_keys.digest(pepper, secret), digest)


@transaction.atomic
@sensitive_variables("text")
def stop_management(text: str, by: Actor) -> None:
    key = find_management_key(text, timezone.now())
    if key is None:
        return
    revoke_management_key(key=key, by=by)
    Notice.objects.create(
        organization=key.organization,
        tag="management_key:reported",
        target_id=str(key.pk),
        subject=f"Management key “{key.name}” was found in public and is revoked",
        body=f"Somebody reported {key.hint}, the management key “{key.name}”, as found in public. It was stopped.\n\n{MANAGED}",
        path=reverse("management_key_list", args=[key.organization.slug]),
        person=key.created_by,
    )


@transaction.atomic
def stop(key: ClientKey, public_id: str, by: Actor) -> None:
    """The whole key; of one that was rolled only the old text, if that is what was found."""
    current = locked(key)
    if current is None:
        return
    if current.public_id == public_id:
        revoke_client_key(key=current, by=by)
        say(current, f"Client key “{current.name}” was found in public and is revoked", current.hint, CREATE)
    elif current.rolled_public_id == public_id and current.rolled_until > timezone.now():
        hint = current.rolled_hint
        forget_rolled(current)
        current.save(update_fields=ROLLED)
        tell(current, by, "client_key:end_roll", before={"rolled_hint": hint})
        say(current, f"The old text of client key “{current.name}” was found in public and is stopped", hint, GOES_ON)


def say(key: ClientKey, subject: str, hint: str, meaning: str) -> None:
    whose = f" of {key.owner}" if key.owner else ""
    body = f"Somebody reported {hint}, the client key “{key.name}”{whose}, as found in public. It was stopped.\n\n{meaning}"
    notify(key, "client_key:reported", subject, body)
