"""Signs requests whose credential is not simply a header: AWS access keys (SigV4) and Google service accounts (OAuth 2).

Both use only what the organization gave: never the process's own AWS identity, never an address named in a credential.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

import jwt
import msgspec
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from keys.egress import Answer, Egress, Patience
from keys.providers.base import Credential, Outbound, Provider, Shape

GOOGLE = "https://oauth2.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFE = 3600
RENEW_BEFORE = 225.0
ERROR_BYTES = 64 * 1024


class SigningError(Exception):
    """The credential cannot sign. `status` and `body` are the answer of the token endpoint, if there was one."""

    def __init__(self, sentence: str, status: int | None = None, body: bytes = b"") -> None:
        super().__init__(sentence)
        self.status = status
        self.body = body


class NoToken(SigningError):
    """Google answered with something odd, which says nothing about the credential."""


class TokenAnswer(msgspec.Struct):
    access_token: str
    expires_in: float


@dataclass(frozen=True, slots=True)
class Token:
    text: str
    expires_at: float


class Signer:
    """One for each process. Google's tokens are kept in memory until shortly before they end, and fetched once at a time."""

    def __init__(self, egress: Egress, overrides: Mapping[str, str], clock: Callable[[], float] = time.time) -> None:
        self._egress = egress
        self._overrides = overrides
        self._clock = clock
        self._tokens: dict[str, Token] = {}
        self._fetching: dict[str, asyncio.Task[Token]] = {}

    async def sign(self, outbound: Outbound, provider: Provider, credential: Credential, body: bytes) -> Outbound:
        """The request with what proves who sends it. Raises SigningError and EgressError."""
        if provider.shape is Shape.BEDROCK and "api_key" not in credential.secret:
            return sigv4(outbound, credential, body, service="sts" if outbound.service == "sts" else "bedrock")
        if provider.shape is Shape.VERTEX:
            token = await self._token(credential)
            return replace(outbound, headers={**outbound.headers, "authorization": f"Bearer {token}"})
        return outbound

    def forget(self, credential: Credential) -> None:
        """The provider does not take the token any more: the next request fetches another."""
        if "private_key" in credential.secret:
            self._tokens.pop(token_name(credential), None)

    async def _token(self, credential: Credential) -> str:
        """One fetch serves all who ask meanwhile; whoever leaves does not stop it for the others."""
        name = token_name(credential)
        known = self._tokens.get(name)
        if known and known.expires_at - RENEW_BEFORE > self._clock():
            return known.text
        if name not in self._fetching:
            self._fetching[name] = asyncio.create_task(self._fetch(credential))
            self._fetching[name].add_done_callback(lambda task: self._fetched(name, task))
        return (await asyncio.shield(self._fetching[name])).text

    def _fetched(self, name: str, task: asyncio.Task[Token]) -> None:
        del self._fetching[name]
        if not task.cancelled() and task.exception() is None:
            now = self._clock()
            self._tokens = {other: token for other, token in self._tokens.items() if token.expires_at > now}
            self._tokens[name] = task.result()

    async def _fetch(self, credential: Credential) -> Token:
        now = self._clock()
        override = self._overrides.get("vertex:token")
        form = urlencode({"grant_type": GRANT, "assertion": assertion(credential, now=now)}).encode()
        headers = {"content-type": "application/x-www-form-urlencoded"}
        outbound = Outbound("POST", f"{override or GOOGLE}/token", headers, override is not None)
        answer = await self._egress.send(outbound, form, Patience(first_byte=10.0, total=10.0))
        return await _token_of(answer, now)


def token_name(credential: Credential) -> str:
    secret = credential.secret
    return f"{credential.public['client_email']} {secret['private_key_id']} {hash(secret['private_key'])}"


async def _token_of(answer: Answer, now: float) -> Token:
    body = await answer.read(limit=ERROR_BYTES)
    if answer.status != 200:
        raise SigningError("Google did not accept the service account.", answer.status, body)
    try:
        told = msgspec.json.decode(body, type=TokenAnswer)
    except msgspec.DecodeError:
        raise NoToken("Google's token endpoint answered with something else.") from None
    return Token(told.access_token, now + told.expires_in)


def assertion(credential: Credential, *, now: float) -> str:
    """The grant that a service account signs: an RS256 JWT for Google's fixed address, whatever its JSON names."""
    claims = {
        "iss": credential.public["client_email"],
        "scope": SCOPE,
        "aud": f"{GOOGLE}/token",
        "iat": int(now),
        "exp": int(now) + LIFE,
    }
    try:
        return jwt.encode(claims, credential.secret["private_key"], "RS256", {"kid": credential.secret["private_key_id"]})
    except (ValueError, TypeError, jwt.PyJWTError):
        raise SigningError("The private key of the service account cannot sign.") from None


def sigv4(outbound: Outbound, credential: Credential, body: bytes, *, service: str) -> Outbound:
    """The request signed for AWS with the credential's own access keys, over exactly these bytes and this address."""
    secret, public = credential.secret, credential.public
    if not public.get("access_key_id") or not secret.get("secret_access_key") or not public.get("region"):
        raise SigningError("The credential lacks an access key or a region.")
    keys = Credentials(public["access_key_id"], secret["secret_access_key"], secret.get("session_token") or None)
    request = AWSRequest(outbound.method, outbound.url, dict(outbound.headers), body)
    SigV4Auth(keys, service, public["region"]).add_auth(request)
    return replace(outbound, headers={name.lower(): value for name, value in request.headers.items()})
