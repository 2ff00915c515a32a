"""Client keys: what programs send us.

byok_live_<12 base62: public id>_<32 base62: secret, 190 bits><6 base62: CRC32 of all before it>

The public id finds the key, the checksum tells a typo from a wrong key without asking anybody, and of the secret
only an HMAC is kept.
"""

import hashlib
import hmac
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field

from django.views.decorators.debug import sensitive_variables

PREFIX = "byok_live_"
BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
SHAPE = re.compile(rf"({PREFIX}([0-9A-Za-z]{{12}})_([0-9A-Za-z]{{32}}))([0-9A-Za-z]{{6}})")


@dataclass(frozen=True, slots=True)
class ClientKeyText:
    public_id: str
    secret: str = field(repr=False)
    text: str = field(repr=False)

    @property
    def hint(self) -> str:
        return f"{PREFIX}…{self.text[-4:]}"


@sensitive_variables()
def generate() -> ClientKeyText:
    public_id, secret = random_text(12), random_text(32)
    body = f"{PREFIX}{public_id}_{secret}"
    return ClientKeyText(public_id, secret, body + checksum(body))


@sensitive_variables()
def parse(text: str) -> tuple[str, str] | None:
    """(public id, secret), or None where the shape or the checksum is wrong."""
    match = SHAPE.fullmatch(text)
    if match is None or checksum(match[1]) != match[4]:
        return None
    return match[2], match[3]


@sensitive_variables()
def digest(pepper: bytes, secret: str) -> bytes:
    return hmac.digest(pepper, secret.encode(), hashlib.sha256)


def checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, rest = divmod(number, 62)
        digits = BASE62[rest] + digits
    return digits


def random_text(length: int) -> str:
    return "".join(secrets.choice(BASE62) for _ in range(length))
