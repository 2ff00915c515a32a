"""Seals secrets so that each opens only in the place it was written for.

A key of the ring (VAULT_KEYS) wraps one data key for each organization and version. From the data key, HKDF derives
a key of its own for every value, bound to the value's `Context`. A sealed value is

    suite (1 byte) + data key version (4 bytes) + body

Suite 1 is AES-256-CBC with HMAC-SHA256 by django-cryptography, always with both keys given: without them that package
falls back to the settings. Suite 2 is AES-256-GCM. Whatever is wrong with a value, the error is the same `VaultError`.
"""

import base64
import binascii
import os
import re
import struct
from collections.abc import Buffer, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol, final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.core.signing import BadSignature
from django.views.decorators.debug import sensitive_variables
from django_cryptography.core.signing import FernetSigner
from django_cryptography.utils.crypto import FernetBytes, InvalidToken

type DataKeys = Mapping[int, bytes]

PURPOSE = b"byok/v1"
KEY_BYTES = 32
NONCE_BYTES = 12
HEADER = struct.Struct(">BI")
KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,40}")


class VaultError(Exception):
    """A value does not open here. It never says why, nor holds any part of the value."""

    def __init__(self) -> None:
        super().__init__("A sealed value did not open.")


@final
class Secret:
    """Holds an opened value and gives it out through `reveal` alone."""

    __slots__ = ("_value",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        return self._value

    def __repr__(self) -> str:
        return "<Secret>"

    def _refuse(self, *_: Any) -> NoReturn:
        raise TypeError("A secret is not printed, copied, compared or serialized.")

    __str__ = __format__ = __eq__ = __reduce_ex__ = __getstate__ = _refuse


@dataclass(frozen=True, slots=True)
class Context:
    """The one place where a value may be opened. `version` rises when the secret is replaced."""

    organization_id: UUID
    secret_id: UUID
    field: str
    version: int


@dataclass(frozen=True, slots=True, eq=False)
class KeyRing:
    """The keys that wrap data keys, by id. The first one wraps; every one unwraps."""

    keys: Mapping[str, bytes] = field(repr=False)

    @classmethod
    @sensitive_variables()
    def parse(cls, setting: str) -> "KeyRing":
        """`k2:<base64>,k1:<base64>`. Raises ValueError with a sentence that quotes no key."""
        keys: dict[str, bytes] = {}
        for number, entry in enumerate(filter(None, map(str.strip, setting.split(","))), start=1):
            key_id, _, encoded = entry.partition(":")
            if not encoded or not KEY_ID.fullmatch(key_id):
                raise ValueError(f"VAULT_KEYS: entry {number} must read id:base64, the id of letters, digits and .-_ only.")
            if key_id in keys:
                raise ValueError(f"VAULT_KEYS: the id {key_id} stands twice.")
            keys[key_id] = _decode(key_id, encoded)
        if not keys:
            raise ValueError("VAULT_KEYS is empty. It needs at least one key, as k1:<base64 of 32 random bytes>.")
        return cls(keys)

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self.keys)

    @property
    def primary(self) -> str:
        return self.ids[0]

    @sensitive_variables()
    def wrap(self, data_key: bytes, organization_id: UUID, version: int) -> tuple[str, bytes]:
        """(id of the wrapping key, wrapped data key)."""
        kek_id = self.primary
        return kek_id, _gcm_seal(self.keys[kek_id], _checked(data_key), _wrapping(organization_id, version, kek_id))

    @sensitive_variables()
    def unwrap(self, kek_id: str, blob: Buffer, organization_id: UUID, version: int) -> bytes:
        try:
            return _checked(_gcm_open(self.keys[kek_id], bytes(blob), _wrapping(organization_id, version, kek_id)))
        except (KeyError, ValueError, InvalidTag):
            raise VaultError from None


@sensitive_variables()
def seal(data_keys: DataKeys, context: Context, payload: bytes, *, suite: int = 1) -> bytes:
    """The payload sealed under the highest version of the organization's data keys."""
    if not data_keys:
        raise VaultError
    version = max(data_keys)
    header = HEADER.pack(suite, version)
    binding = _binding(header, context)
    return header + SUITES[suite].seal(_expand(data_keys[version], binding, 64), payload, binding)


@sensitive_variables()
def unseal(data_keys: DataKeys, context: Context, blob: Buffer) -> Secret:
    blob = bytes(blob)
    header, body = blob[: HEADER.size], blob[HEADER.size :]
    try:
        suite, version = HEADER.unpack(header)
        binding = _binding(header, context)
        return Secret(SUITES[suite].open(_expand(data_keys[version], binding, 64), body, binding))
    except (KeyError, ValueError, struct.error, InvalidTag, BadSignature, InvalidToken):
        raise VaultError from None


def sealed_with(blob: Buffer) -> tuple[int, int]:
    """(suite, data key version) as a sealed value claims them; only opening it proves them."""
    try:
        suite, version = HEADER.unpack_from(blob)
    except struct.error:
        raise VaultError from None
    return suite, version


@sensitive_variables()
def derive(data_key: bytes, purpose: str) -> bytes:
    """A key of 32 bytes for one purpose other than sealing."""
    return _expand(data_key, _joined(PURPOSE, b"derive", purpose.encode()), KEY_BYTES)


class Suite(Protocol):
    """`key` has 64 bytes and belongs to this value alone. `binding` says where the value belongs."""

    def seal(self, key: bytes, payload: bytes, binding: bytes) -> bytes: ...

    def open(self, key: bytes, body: bytes, binding: bytes) -> bytes: ...


class FernetSuite:
    """Bound by the key alone. The age of a token is never asked for: it would be judged before the signature is."""

    @sensitive_variables()
    def seal(self, key: bytes, payload: bytes, binding: bytes) -> bytes:
        return self._cipher(key).encrypt(payload)

    @sensitive_variables()
    def open(self, key: bytes, body: bytes, binding: bytes) -> bytes:
        return self._cipher(key).decrypt(body)

    @sensitive_variables()
    def _cipher(self, key: bytes) -> FernetBytes:
        return FernetBytes(_checked(key[:KEY_BYTES]), FernetSigner(_checked(key[KEY_BYTES:])))


class GcmSuite:
    @sensitive_variables()
    def seal(self, key: bytes, payload: bytes, binding: bytes) -> bytes:
        return _gcm_seal(key[:KEY_BYTES], payload, binding)

    @sensitive_variables()
    def open(self, key: bytes, body: bytes, binding: bytes) -> bytes:
        return _gcm_open(key[:KEY_BYTES], body, binding)


SUITES: Mapping[int, Suite] = {1: FernetSuite(), 2: GcmSuite()}


@sensitive_variables()
def _gcm_seal(key: bytes, payload: bytes, binding: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, payload, binding)


@sensitive_variables()
def _gcm_open(key: bytes, body: bytes, binding: bytes) -> bytes:
    return AESGCM(key).decrypt(body[:NONCE_BYTES], body[NONCE_BYTES:], binding)


@sensitive_variables()
def _expand(data_key: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(_checked(data_key))


@sensitive_variables()
def _checked(key: bytes) -> bytes:
    """An empty key would make django-cryptography sign with SECRET_KEY, so no key of another length gets anywhere."""
    if len(key) != KEY_BYTES:
        raise VaultError
    return key


@sensitive_variables()
def _decode(key_id: str, encoded: str) -> bytes:
    try:
        key = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"VAULT_KEYS: the key {key_id} is not base64.") from None
    if len(key) != KEY_BYTES:
        raise ValueError(f"VAULT_KEYS: the key {key_id} has {len(key)} bytes. It needs {KEY_BYTES}.")
    return key


def _binding(header: bytes, context: Context) -> bytes:
    return _joined(
        PURPOSE,
        header,
        context.organization_id.bytes,
        context.secret_id.bytes,
        context.field.encode(),
        context.version.to_bytes(8),
    )


def _wrapping(organization_id: UUID, version: int, kek_id: str) -> bytes:
    return _joined(PURPOSE, b"data key", organization_id.bytes, version.to_bytes(8), kek_id.encode())


def _joined(*parts: bytes) -> bytes:
    """Each part with its length in front, so that no two lists of parts read the same."""
    return b"".join(len(part).to_bytes(4) + part for part in parts)
