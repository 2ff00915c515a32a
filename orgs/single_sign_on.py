"""Whom an identity provider signs in: the people of a domain that its organization has shown to be its own."""

from orgs.models import AUDITOR, MEMBER, OWNER, IdentityProvider, User


def domain_of(email: str) -> str:
    return email.strip().rpartition("@")[2].lower()


def record_of(domain: str) -> str:
    """The name whose TXT record shows whose the domain is."""
    return f"_keyhold.{domain}"


def provider_for(email: str) -> IdentityProvider | None:
    """Of everybody with an address in the domain, whether or not they have an account."""
    verified = IdentityProvider.objects.exclude(verified_at=None).select_related("organization")
    return verified.filter(domain=domain_of(email)).first()


def is_enforced(email: str) -> bool:
    """Whether people with an address in that domain sign in by their provider alone."""
    provider = provider_for(email)
    return provider is not None and provider.enforced


def is_demanded(email: str) -> bool:
    """Whether this person does. Staff never do: no organization decides who they are."""
    return is_enforced(email) and not User.objects.filter(email=email.strip().lower(), is_staff=True).exists()


def role_by_groups(provider: IdentityProvider, groups: frozenset[str] | None, before: str | None) -> str:
    """Their role from now on. `groups`: None where the provider leaves them open; `before`: None for somebody new.

    Who is in no group of owners is no owner. Auditors stay what they are, as no group makes one.
    """
    if not provider.owner_groups or groups is None:
        return before or MEMBER
    if groups & set(provider.owner_groups):
        return OWNER
    return AUDITOR if before == AUDITOR else MEMBER
