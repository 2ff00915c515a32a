"""An organization's identity provider, made ready to be asked; and the person whom it speaks of."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.urls import reverse
from django.views.decorators.debug import sensitive_variables

from keys import data_keys
from keys.openid import Claims, Client, SignInRefused
from keys.vault import VaultError
from orgs import names
from orgs.models import IdentityProvider, Organization
from orgs.single_sign_on import domain_of


@dataclass(frozen=True, slots=True)
class Person:
    """`subject` is theirs for ever, the address is not. `groups` is None where the provider leaves them open."""

    subject: str
    email: str
    name: str
    groups: frozenset[str] | None


def redirect_uri(organization: Organization) -> str:
    """One for each organization, so that what one provider sends is never taken for another's."""
    return settings.PUBLIC_URL + reverse("sso_back", args=[organization.pk])


@sensitive_variables()
def client_of(provider: IdentityProvider) -> Client:
    try:
        secret = data_keys.open_client_secret(provider, data_keys.of(provider.organization)).decode()
    except VaultError:
        raise SignInRefused("The client secret that is kept here does not open. An owner must enter it again.") from None
    return Client(provider.issuer, provider.client_id, redirect_uri(provider.organization), secret)


def person_of(provider: IdentityProvider, claims: Claims) -> Person:
    """Raises SignInRefused for whom this provider may not sign in."""
    subject, email = claims.get("sub"), str(claims.get("email", "")).strip().lower()
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise SignInRefused("Your provider did not say who you are.")
    try:
        validate_email(email)
    except ValidationError:
        raise SignInRefused("Your provider did not say your email address.") from None
    if domain_of(email) != provider.domain:
        raise SignInRefused(f"Your provider speaks for addresses at {provider.domain}, and yours is elsewhere.")
    if claims.get("email_verified", True) not in (True, "true"):
        raise SignInRefused("Your provider has not checked yet that your email address is yours.")
    return Person(subject, email, name_of(claims.get("name")), groups_of(provider, claims))


def name_of(claimed: Any) -> str:
    """Empty where it cannot be a name here; the person may choose one later."""
    try:
        return names.clean(claimed)[:80] if isinstance(claimed, str) else ""
    except ValueError:
        return ""


def groups_of(provider: IdentityProvider, claims: Claims) -> frozenset[str] | None:
    """Entra says where to ask instead of a list that is too long for a token; then nothing is known."""
    claim = provider.groups_claim
    elsewhere = claims.get("_claim_names")
    if isinstance(elsewhere, dict) and claim in elsewhere:
        return None
    said = claims.get(claim, [])
    said = [said] if isinstance(said, str) else said
    return frozenset(group for group in said if isinstance(group, str)) if isinstance(said, list) else frozenset()
