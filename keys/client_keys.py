"""Client keys: what programs send us. Management keys, which manage an organization, differ in how they begin.

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
MANAGEMENT = "byok_admin_"
BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
SHAPE = re.compile(rf"(({PREFIX}|{MANAGEMENT})([0-9A-Za-z]{{12}})_([0-9A-Za-z]{{32}}))([0-9A-Za-z]{{6}})")


@dataclass(frozen=True, slots=True)
class ClientKeyText:
    public_id: str
    secret: str = field(repr=False)
    text: str = field(repr=False)
    prefix: str = PREFIX

    @property
    def hint(self) -> str:
        return f"{self.prefix}…{self.text[-4:]}"


@sensitive_variables()
def generate(prefix: str = PREFIX) -> ClientKeyText:
    public_id, secret = random_text(12), random_text(32)
    body = f"{prefix}{public_id}_{secret}"
    return ClientKeyText(public_id, secret, body + checksum(body), prefix)


@sensitive_variables()
def parse(text: str, prefix: str = PREFIX) -> tuple[str, str] | None:
    """(public id, secret), or None where the shape, the checksum or the kind is wrong."""
    match = SHAPE.fullmatch(text)
    if match is None or match[2] != prefix or checksum(match[1]) != match[5]:
        return None
    return match[3], match[4]


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
