"""The audit log as a chain for each organization: what was written can be neither changed nor left out unnoticed.

Each event carries an HMAC over what it says and the mac before it. The key of an organization's chain comes from AUDIT_KEY,
which is not in the database; what was signed before AUDIT_KEY was changed fits one of AUDIT_KEY_FALLBACKS.
`orgs/audit/check.py` finds what does not fit.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.utils import timezone

from orgs.models import AuditEvent, AuditHead, Organization

PURPOSE = b"keyhold/audit/v1"
KEY_BYTES = 32

_happened_at: ContextVar[datetime | None] = ContextVar("happened_at", default=None)


def append(organization: Organization, **said: Any) -> AuditEvent:
    """Write the event at the end of the chain, which is locked until the transaction ends. Raises what the database raises."""
    heads = AuditHead.objects.select_for_update(no_key=True)
    head, _ = heads.get_or_create(organization=organization)
    said["changes"] = json.loads(json.dumps(said["changes"]))  # as it will be read back
    event = AuditEvent(organization=organization, at=_happened_at.get() or timezone.now(), **said)
    link(event, head)
    event.save(force_insert=True)
    head.save(update_fields=["number", "mac"])
    return event


def link(event: AuditEvent, head: AuditHead) -> None:
    """Make the event the next one, and the head's. Saves neither."""
    event.number = head.number + 1
    event.mac = mac(event, event.number, bytes(head.mac))
    head.number, head.mac = event.number, event.mac


def mac(event: AuditEvent, number: int, before: bytes, secret: str | None = None) -> bytes:
    """Of the event as the one of this number, behind the event with that mac. secret: other than AUDIT_KEY."""
    key = derived(secret or settings.AUDIT_KEY, event.organization_id.bytes)
    return hmac.digest(key, before + canonical(event, number), hashlib.sha256)


def canonical(event: AuditEvent, number: int) -> bytes:
    """All that an event says, in one spelling."""
    said = {
        "organization": str(event.organization_id),
        "number": number,
        "at": event.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor": event.actor_id,
        "actor_label": event.actor_label,
        "address": str(ip_address(event.address)) if event.address else None,
        "tag": event.tag,
        "target_id": event.target_id,
        "target_label": event.target_label,
        "changes": event.changes,
    }
    return json.dumps(said, sort_keys=True, separators=(",", ":")).encode()


def secrets() -> list[str]:
    """What events may be signed by, the present one first."""
    return [settings.AUDIT_KEY, *settings.AUDIT_KEY_FALLBACKS]


@lru_cache(maxsize=256)
def derived(secret: str, what: bytes) -> bytes:
    """The key of an organization's chain, or of what else is signed."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=PURPOSE + what).derive(secret.encode())


@contextmanager
def happened(at: datetime) -> Iterator[None]:
    """What is recorded in this block is told as of then. For the demo, whose past is made at once."""
    token = _happened_at.set(at)
    try:
        yield
    finally:
        _happened_at.reset(token)
