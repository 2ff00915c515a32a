"""The Google service accounts that the fake hands out, their grants and their tokens. One RSA key serves them all."""

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.fake.behaviors import BEHAVIORS

PROJECT = "acme-project"
EMAIL = re.compile(r"fake-([a-z]+)-(\d{4})@acme-project\.iam\.gserviceaccount\.com")
AUDIENCE = "https://oauth2.googleapis.com/token"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TOO_LONG = (
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values "
    "in the JWT claim."
)
SKEW = 300  # seconds


class BadGrant(Exception):
    """`error` and the text are what the token endpoint says."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error


@dataclass(frozen=True)
class Account:
    behavior: str
    number: int

    @property
    def email(self) -> str:
        return f"fake-{self.behavior}-{self.number:04}@{PROJECT}.iam.gserviceaccount.com"

    @property
    def key_id(self) -> str:
        return hashlib.sha1(self.email.encode(), usedforsecurity=False).hexdigest()

    def file(self) -> dict[str, str]:
        """What an owner downloads from Google."""
        certificates = "https://www.googleapis.com/robot/v1/metadata/x509"
        return {
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": self.key_id,
            "private_key": pem(),
            "client_email": self.email,
            "client_id": "100000000000000000001",
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": AUDIENCE,
            "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
            "client_x509_cert_url": f"{certificates}/{self.email.replace('@', '%40')}",
            "universe_domain": "googleapis.com",
        }

    def text(self) -> str:
        return json.dumps(self.file())


def account(email: Any) -> Account | None:
    known = EMAIL.fullmatch(str(email))
    return Account(known[1], int(known[2])) if known and known[1] in BEHAVIORS else None


@cache
def rsa_key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


@cache
def pem() -> str:
    return rsa_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def read_grant(assertion: str, now: float) -> Account:
    """Whose grant this is. Raises BadGrant."""
    try:
        key_id = jwt.get_unverified_header(assertion).get("kid")
        claims = jwt.decode(
            assertion,
            rsa_key().public_key(),
            algorithms=["RS256"],
            options={"verify_exp": False, "verify_iat": False, "verify_aud": False, "require": ["iss", "aud", "iat", "exp"]},
        )
    except jwt.PyJWTError:
        raise BadGrant("invalid_grant", "Invalid JWT Signature.") from None
    known = account(claims["iss"])
    if known is None or known.behavior == "refused":
        raise BadGrant("invalid_grant", "Invalid grant: account not found")
    if key_id != known.key_id:
        raise BadGrant("invalid_grant", "Invalid JWT Signature.")
    check_claims(claims, now)
    return known


def check_claims(claims: dict[str, Any], now: float) -> None:
    if claims["aud"] != AUDIENCE:
        raise BadGrant("invalid_grant", "Invalid JWT: Failed audience check.")
    if claims.get("scope") != SCOPE or "sub" in claims:
        raise BadGrant("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
    begins, ends = claims["iat"], claims["exp"]
    if ends - begins > 3600 or ends <= now or begins > now + SKEW:
        raise BadGrant("invalid_grant", TOO_LONG)
