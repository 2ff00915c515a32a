"""Recomputes SigV4 over exactly what arrived: method, path, query, signed headers and bytes."""

import hashlib
import hmac
import re
from collections.abc import Callable
from datetime import UTC, datetime

from aiohttp import web
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.fake import aws_keys

SCHEME = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<id>[A-Z0-9]+)/(?P<day>\d{8})/(?P<region>[a-z0-9-]+)/(?P<service>[a-z-]+)/aws4_request, ?"
    r"SignedHeaders=(?P<headers>[a-z0-9;-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)
TOKEN, DATE, HASH = "x-amz-security-token", "x-amz-date", "x-amz-content-sha256"
REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
SKEW = 300  # seconds

MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and "
    "signing method. Consult the service documentation for details."
)


class BadSignature(Exception):
    """`kind` is incomplete, unknown, mismatch or expired; the text is AWS's."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def check(request: web.Request, body: bytes, *, service: str, clock: Callable[[], float]) -> str:
    """The access key ID that signed. Raises BadSignature."""
    parts = SCHEME.fullmatch(request.headers.get("authorization", ""))
    if not parts:
        raise BadSignature("incomplete", "Authorization header requires 'Credential', 'Signature' and 'SignedHeaders'.")
    if aws_keys.behavior_of(parts["id"]) is None:
        raise BadSignature("unknown", "The security token included in the request is invalid.")
    check_scope(parts, service)
    check_headers(request, parts["headers"].split(";"), body)
    check_date(request.headers[DATE], parts["day"], clock())
    check_token(request, parts["id"])
    if not hmac.compare_digest(signature(request, parts, body), parts["signature"]):
        raise BadSignature("mismatch", MISMATCH)
    return parts["id"]


def check_scope(parts: re.Match[str], service: str) -> None:
    if parts["service"] != service:
        raise BadSignature("mismatch", f"Credential should be scoped to correct service: '{service}'.")
    if not REGION.fullmatch(parts["region"]):
        raise BadSignature("mismatch", "Credential should be scoped to a valid region.")


def check_headers(request: web.Request, signed: list[str], body: bytes) -> None:
    """The host and everything of AWS's own must be signed; a hash that was sent must be that of the body."""
    must = {"host", DATE} | {name.lower() for name in request.headers if name.lower().startswith("x-amz-")}
    if missing := sorted(must - set(signed)):
        raise BadSignature("mismatch", f"{missing[0]} must be a signed header")
    if absent := [name for name in signed if name not in request.headers]:
        raise BadSignature("mismatch", f"{absent[0]} is signed and did not arrive")
    if request.headers.get(HASH, sha256(body)) != sha256(body):
        raise BadSignature("mismatch", MISMATCH)


def check_date(stamp: str, day: str, now: float) -> None:
    try:
        then = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise BadSignature("incomplete", "Date must be in ISO-8601 'basic format'.") from None
    if not stamp.startswith(day) or abs(then.timestamp() - now) > SKEW:
        raise BadSignature("mismatch", f"Signature expired: {stamp} is not near to the current time.")


def check_token(request: web.Request, key_id: str) -> None:
    """A temporary key comes with its session token, any other without one."""
    expected = aws_keys.session_token(key_id) if key_id.startswith("ASIA") else None
    if request.headers.get(TOKEN) != expected:
        raise BadSignature("unknown", "The security token included in the request is invalid.")


def signature(request: web.Request, parts: re.Match[str], body: bytes) -> str:
    """What the secret that was handed out makes of this request."""
    again = AWSRequest(request.method, f"http://{request.headers['host']}{request.raw_path}", data=body)
    for name in parts["headers"].split(";"):
        for value in request.headers.getall(name):
            again.headers[name] = value
    again.context["timestamp"] = request.headers[DATE]
    signer = SigV4Auth(Credentials(parts["id"], aws_keys.secret_access_key(parts["id"])), parts["service"], parts["region"])
    return signer.signature(signer.string_to_sign(again, signer.canonical_request(again)), again)


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
