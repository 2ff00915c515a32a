"""Which client key a request carries. Every spelling of the header ends in the same check, before anything else is read."""

import hmac
import re
from collections.abc import Collection, Iterable
from datetime import UTC, datetime

from django.views.decorators.debug import sensitive_variables

from gateway.errors import Refusal, unauthorized
from gateway.snapshot import Caller, Snapshot
from keys import client_keys
from keys.networks import reach

AWS = "aws4-hmac-sha256"
BEARER = ("bearer",)
ACCESS_KEY_ID = re.compile(r"(?:^|[\s,])Credential=([^/,\s]+)/")
KEY_HEADERS = frozenset({b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"})
MISSING = "No client key came with the request. Send one as Authorization: Bearer byok_live_…"
SEVERAL = "The request carries two different keys. Send one client key, in one header."
MALFORMED = "This is no client key of ours: check that it was copied whole. They begin with byok_live_."
UNKNOWN = "This client key is not valid here. It may have been revoked; an owner of the organization can issue a new one."
WIDER = "An owner of the organization can allow more networks."
LATER = "Whoever looks after it can set a later date, or create another key."
NO_RETRY = {"x-should-retry": "false"}

# What an unknown id is checked against, so that it takes as long as a wrong secret.
NOBODY = (bytes(32), bytes(32))


@sensitive_variables()
def authenticate(snapshot: Snapshot, headers: Iterable[tuple[bytes, bytes]], schemes: Collection[str] = BEARER) -> Caller:
    """schemes: those that Authorization may have, in lower case. Raises Refusal (401)."""
    presented = {credential(name, value, schemes) for name, value in headers if name in KEY_HEADERS} - {""}
    if not presented:
        raise unauthorized(MISSING)
    if len(presented) > 1:
        raise unauthorized(SEVERAL)
    parsed = client_keys.parse(presented.pop())
    if parsed is None:
        raise unauthorized(MALFORMED)
    public_id, secret = parsed
    caller = snapshot.callers.get(public_id)
    pepper, digest = (caller.pepper, caller.digest) if caller else NOBODY
    matches = hmac.compare_digest(client_keys.digest(pepper, secret), digest)
    if caller is None or not matches:
        raise unauthorized(UNKNOWN)
    return caller


def check(caller: Caller, address: str, now: float) -> None:
    """Whether the key may be used now and from there. now: seconds since the epoch. Raises Refusal (401, 403)."""
    if caller.until is not None and caller.until <= now:
        raise unauthorized(UNKNOWN)
    if not reach(caller.networks, address):
        raise stopped("network_not_allowed", f"This client key may not be used from {address or 'here'}. {WIDER}")
    if caller.expires_at is not None and caller.expires_at <= now:
        ended = f"{datetime.fromtimestamp(caller.expires_at, UTC):%-d %B %Y, %H:%M} UTC"
        raise Refusal(401, "client_key_expired", f"This client key expired on {ended}. {LATER}", headers=NO_RETRY)
    if caller.tenant.policy.paused:
        raise stopped("organization_paused", "This organization is paused, so its requests go nowhere. An owner can resume it.")
    if caller.paused:
        raise stopped("client_key_paused", "This client key is paused. An owner of the organization can resume it.")


def stopped(code: str, message: str) -> Refusal:
    """On purpose, so trying again is of no use."""
    return Refusal(403, code, message, headers=NO_RETRY)


@sensitive_variables()
def credential(name: bytes, value: bytes, schemes: Collection[str]) -> str:
    """The key in one of KEY_HEADERS, which may be nothing. One that AWS's SDKs sign with stands as the access key ID."""
    text = value.decode("latin-1").strip()
    scheme, _, token = text.partition(" ")
    if name != b"authorization" or scheme.lower() not in schemes:
        return text
    if scheme.lower() != AWS:
        return token.strip()
    found = ACCESS_KEY_ID.search(token)
    return found[1] if found else text
