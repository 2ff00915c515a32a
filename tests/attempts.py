"""Attempts as the gateway would write them down, with believable defaults."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from uuid_utils.compat import uuid7

from keys.models import ClientKey, ProviderKey
from orgs.models import Organization
from usage.journal import Closed, Finished, Opened

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def id_given(at: datetime) -> UUID:
    """An id as the gateway gives it to a request at that time."""
    return uuid7(nanoseconds=int(at.timestamp()) * 10**9)


def attempt(
    organization: Organization, *, at: datetime = NOON, key: UUID | None = None, client: UUID | None = None, **facts: Any
) -> Finished:
    """One attempt that ended well, unless `facts` (fields of Opened or Closed) say otherwise."""
    id = facts.pop("id", None) or str(uuid7())
    opened = {
        "request_id": str(id_given(at)),
        "organization_id": str(organization.id),
        "client_key_id": str(client or UUID(int=1)),
        "member_id": None,
        "provider_key_id": str(key or UUID(int=2)),
        "provider": "openai",
        "model": "openai/gpt-4o",
        "native_model": "gpt-4o",
        "tier": "prioritized",
        "number": 1,
        "stream": False,
        "started_at": at.timestamp(),
        "input_estimate": 50,
        "output_estimate": 500,
        "mark": "",
        "skipped": (),
    }
    closed = {
        "outcome": "ok",
        "status": 200,
        "error_class": "",
        "first_byte_ms": 300,
        "latency_ms": 1200,
        "input_tokens": 100,
        "output_tokens": 20,
    }
    opened |= {name: facts.pop(name) for name in list(facts) if name in opened}
    return Finished(Opened(id=id, **opened), Closed(id=id, **closed | facts))


@dataclass(frozen=True)
class Keys:
    """A provider key and a client key of one organization."""

    provider: ProviderKey
    client: ClientKey


def make_keys(organization: Organization, name: str = "Production", provider: str = "openai", **fields: Any) -> Keys:
    """Rows only: nothing is sealed in them and nothing opens."""
    provider_key = ProviderKey.objects.create(
        organization=organization, provider=provider, name=name, priority=1, sealed=b"", hint="sk-…AbCd", fingerprint="", **fields
    )
    client_key = ClientKey.objects.create(
        organization=organization, name=name, public_id=uuid4().hex[:12], digest=b"", pepper_version=1, hint="byok_live_…AbCd"
    )
    return Keys(provider_key, client_key)
