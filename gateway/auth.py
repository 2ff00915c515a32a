"""Which client key a request carries. Every spelling of the header ends in the same check, before anything else is read."""

import hmac
import re
from collections.abc import Collection, Iterable

from django.views.decorators.debug import sensitive_variables

from gateway.errors import unauthorized
from gateway.snapshot import Caller, Snapshot
from keys import client_keys

AWS = "aws4-hmac-sha256"
BEARER = ("bearer",)
ACCESS_KEY_ID = re.compile(r"(?:^|[\s,])Credential=([^/,\s]+)/")
KEY_HEADERS = frozenset({b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"})
MISSING = "No client key came with the request. Send one as Authorization: Bearer byok_live_…"
SEVERAL = "The request carries two different keys. Send one client key, in one header."
MALFORMED = "This is no client key of ours: check that it was copied whole. They begin with byok_live_."
UNKNOWN = "This client key is not valid here. It may have been revoked; an owner of the organization can issue a new one."

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
