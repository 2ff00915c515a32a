"""Seals what authenticator apps and recovery codes are made of, so that a copy of the database signs nobody in."""

from collections import Counter

from allauth.mfa.models import Authenticator
from django.db.models import QuerySet
from django.views.decorators.debug import sensitive_variables

from keys import data_keys
from keys.vault import VaultError
from orgs.adapter import SecondFactorAdapter

SEALED_PART = {Authenticator.Type.TOTP: "secret", Authenticator.Type.RECOVERY_CODES: "seed"}  # passkeys hold no secret


class SealedSecondFactors(SecondFactorAdapter):
    @sensitive_variables()
    def encrypt(self, text: str) -> str:
        return data_keys.seal_second_factor(text)

    @sensitive_variables()
    def decrypt(self, encrypted_text: str) -> str:
        try:
            return data_keys.open_second_factor(encrypted_text)
        except VaultError:
            raise self.validation_error("unreadable") from None


def rows() -> QuerySet[Authenticator]:
    return Authenticator.objects.filter(type__in=SEALED_PART)


def sealed_in(row: Authenticator) -> str:
    return str(row.data[SEALED_PART[Authenticator.Type(row.type)]])


def sealed_by() -> Counter[str]:
    """How many each key of the ring seals."""
    return Counter(sealed_in(row).partition(":")[0] for row in rows())


def open_row(row: Authenticator) -> None:
    """Raises VaultError."""
    data_keys.open_second_factor(sealed_in(row))


@sensitive_variables()
def reseal_row(row: Authenticator) -> int:
    """By the first key of the ring, unless it is already, or somebody used it meanwhile. Raises VaultError."""
    text = data_keys.open_second_factor(sealed_in(row))
    if sealed_in(row).startswith(f"{data_keys.ring().primary}:"):
        return 0
    part = SEALED_PART[Authenticator.Type(row.type)]
    resealed = row.data | {part: data_keys.seal_second_factor(text)}
    return Authenticator.objects.filter(pk=row.pk, data=row.data).update(data=resealed)
