"""Signing in by OpenID Connect: the code flow with PKCE. Every call leaves by keys/egress.py.

Nothing is taken from an ID token before its signature, issuer, audience, age and nonce are right. The provider's
document and its keys are read anew at each sign-in, so that a key which it takes back is gone here, too.
"""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import jwt
from django.conf import settings
from django.views.decorators.debug import sensitive_variables

from keys.addresses import AddressRefused, AllowList, check_url
from keys.egress import Egress, EgressError, Patience
from keys.providers.base import Outbound
from keys.webhooks import run

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")  # no shared secrets
DOCUMENT = "/.well-known/openid-configuration"
LARGEST_ANSWER = 1024 * 1024
LEEWAY = 60  # seconds by which clocks may differ
PATIENCE = Patience(connect=3.0, first_byte=10.0, total=10.0)
SCOPES = "openid email profile"

type Claims = Mapping[str, Any]


class SignInRefused(Exception):
    """Nobody is signed in. The sentence may be shown, and holds nothing that the provider wrote."""


@dataclass(frozen=True, slots=True)
class Client:
    """What the provider knows us by."""

    issuer: str
    client_id: str
    redirect_uri: str
    secret: str = field(repr=False)

    @property
    def host(self) -> str:
        return urlsplit(self.issuer).netloc


@dataclass(frozen=True, slots=True)
class Started:
    """What must be known again when the browser comes back; it stays in the session."""

    state: str
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)

    @classmethod
    def new(cls) -> "Started":
        return cls(*(secrets.token_urlsafe(32) for _ in range(3)))


def address(client: Client, started: Started) -> str:
    """Where the browser goes to sign in. Raises SignInRefused."""
    endpoint = endpoint_of(client, run(document(client)), "authorization_endpoint")
    challenge = base64.urlsafe_b64encode(hashlib.sha256(started.verifier.encode()).digest()).rstrip(b"=").decode()
    query = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": client.redirect_uri,
        "scope": SCOPES,
        "state": started.state,
        "nonce": started.nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"


@sensitive_variables()
def claims_of(client: Client, started: Started, code: str) -> Claims:
    """What the provider says of the person whom the code stands for. Raises SignInRefused."""
    return run(exchange(client, started, code))


@sensitive_variables()
async def exchange(client: Client, started: Started, code: str) -> Claims:
    async with Egress(AllowList.parse(settings.EGRESS_ALLOW)) as egress:
        found = await read_document(egress, client)
        tokens = await ask(egress, client, token_request(client, found), token_body(client, found, started, code))
        keys = await ask(egress, client, Outbound("GET", endpoint_of(client, found, "jwks_uri"), {}))
        claims = checked(client, started, str(tokens.get("id_token", "")), keys)
        if "email" in claims or "userinfo_endpoint" not in found:
            return claims
        return await with_userinfo(egress, client, found, tokens, claims)


def check_provider(client: Client) -> None:
    """Whether somebody answers there as an identity provider. Raises SignInRefused."""
    endpoint_of(client, run(document(client)), "authorization_endpoint")


async def document(client: Client) -> Claims:
    async with Egress(AllowList.parse(settings.EGRESS_ALLOW)) as egress:
        return await read_document(egress, client)


async def read_document(egress: Egress, client: Client) -> Claims:
    found = await ask(egress, client, Outbound("GET", client.issuer.rstrip("/") + DOCUMENT, {}))
    if found.get("issuer") != client.issuer:
        raise SignInRefused(f"{client.host} calls itself by another address than the one that is set here.")
    return found


def endpoint_of(client: Client, found: Claims, name: str) -> str:
    """An address of the provider's document: the browser or egress goes there, so the rules of egress hold for it."""
    try:
        return check_url(str(found.get(name, "")), AllowList.parse(settings.EGRESS_ALLOW)).url
    except AddressRefused:
        raise SignInRefused(f"{client.host} names no address for its {name} that may be used.") from None


@sensitive_variables()
def token_request(client: Client, found: Claims) -> Outbound:
    headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
    if not secret_in_body(found):
        pair = f"{quote(client.client_id, safe='')}:{quote(client.secret, safe='')}"
        headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return Outbound("POST", endpoint_of(client, found, "token_endpoint"), headers)


@sensitive_variables()
def token_body(client: Client, found: Claims, started: Started, code: str) -> bytes:
    fields = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": client.redirect_uri,
        "code_verifier": started.verifier,
    }
    if secret_in_body(found):
        fields |= {"client_id": client.client_id, "client_secret": client.secret}
    return urlencode(fields).encode()


def secret_in_body(found: Claims) -> bool:
    """Only where the provider takes it no other way."""
    methods = found.get("token_endpoint_auth_methods_supported")
    return isinstance(methods, list) and "client_secret_post" in methods and "client_secret_basic" not in methods


@sensitive_variables()
async def with_userinfo(egress: Egress, client: Client, found: Claims, tokens: Claims, claims: Claims) -> Claims:
    """Some providers keep the address out of the token. What the token says comes first."""
    headers = {"authorization": f"Bearer {tokens.get('access_token', '')}", "accept": "application/json"}
    more = await ask(egress, client, Outbound("GET", endpoint_of(client, found, "userinfo_endpoint"), headers))
    if more.get("sub") != claims["sub"]:
        raise SignInRefused(f"{client.host} spoke of two different people.")
    return {**more, **claims}


@sensitive_variables()
async def ask(egress: Egress, client: Client, outbound: Outbound, body: bytes | None = None) -> Claims:
    """The JSON object of an answer of 200."""
    try:
        answer = await egress.send(outbound, body, PATIENCE)
        text = await answer.read(LARGEST_ANSWER)
    except EgressError as refusal:
        raise SignInRefused(f"{client.host} could not be asked. {refusal}") from None
    if answer.status != 200:
        raise SignInRefused(f"{client.host} answered {answer.status}.")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise SignInRefused(f"{client.host} answered what could not be read.")
    return found


@sensitive_variables()
def checked(client: Client, started: Started, token: str, keys: Claims) -> Claims:
    """The claims of an ID token that was made for us, just now, for this very sign-in. See OpenID Connect Core, 3.1.3.7."""
    try:
        claims = jwt.decode(
            token,
            signing_key(token, keys),
            algorithms=ALGORITHMS,
            audience=client.client_id,
            issuer=client.issuer,
            leeway=LEEWAY,
            options={"require": ["iss", "sub", "aud", "exp", "iat"]},
        )
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        raise SignInRefused(f"{client.host} sent a token that does not hold.") from None
    party = claims.get("azp", client.client_id if isinstance(claims["aud"], str) or len(claims["aud"]) == 1 else None)
    if party != client.client_id or not hmac.compare_digest(str(claims.get("nonce", "")).encode(), started.nonce.encode()):
        raise SignInRefused(f"{client.host} sent a token that does not hold.")
    return claims


def signing_key(token: str, keys: Claims) -> jwt.PyJWK:
    """The key that the token names; a token may name none where the provider has one alone. Raises what PyJWT raises."""
    found = [key for key in jwt.PyJWKSet.from_dict(dict(keys)).keys if key.public_key_use in (None, "sig")]
    name = jwt.get_unverified_header(token).get("kid")
    fitting = found if name is None else [key for key in found if key.key_id == name]
    if len(fitting) != 1:
        raise ValueError("no such key")
    return fitting[0]
