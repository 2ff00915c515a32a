"""Writes about an organization's identity provider, and about the people whom it lets in."""

import secrets
from collections.abc import Iterable
from typing import TypedDict

from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from keys import data_keys
from keys.actions.writing import lock
from keys.openid import SignInRefused
from keys.sign_on import Person
from orgs.actions import Actor, record
from orgs.actions.invitations import use_waiting
from orgs.actions.members import LastOwner, set_role
from orgs.models import Identity, IdentityProvider, Membership, Organization, User
from orgs.single_sign_on import domain_of, role_by_groups

KEPT = ("issuer", "client_id", "domain", "groups_claim", "owner_groups")


class Said(TypedDict):
    issuer: str
    client_id: str
    domain: str
    groups_claim: str
    owner_groups: list[str]


class SecretNeeded(ValueError):
    """A kept secret goes nowhere but where it was meant for."""


class DomainRefused(ValueError):
    """The domain is not shown to be theirs. The sentence says why."""


class NobodySignedIn(ValueError):
    """Nobody has signed in by it yet, so nobody knows that it works."""


def needs_secret(provider: IdentityProvider | None, issuer: str, client_id: str) -> bool:
    return provider is None or (provider.issuer, provider.client_id) != (issuer, client_id)


@transaction.atomic
@sensitive_variables()
def set_identity_provider(*, organization: Organization, said: Said, secret: str, by: Actor) -> IdentityProvider:
    """An empty secret leaves the one that is kept. Another domain must be shown to be theirs, too.

    What is demanded of people is demanded of this provider: at another they may sign in with a password again.
    """
    lock(organization)
    current = IdentityProvider.objects.filter(organization=organization).first()
    moved = needs_secret(current, said["issuer"], said["client_id"])
    if moved and not secret:
        raise SecretNeeded
    provider = current or IdentityProvider(organization=organization, secret_version=0)
    before = facts(provider) if current else {}
    if provider.domain != said["domain"]:
        provider.proof, provider.verified_at = f"keyhold-verification={secrets.token_urlsafe(24)}", None
    provider.enforced = provider.enforced and not moved and provider.verified_at is not None
    for name, value in said.items():
        setattr(provider, name, value)
    if secret:
        provider.secret_version += 1
        provider.sealed = data_keys.seal_client_secret(provider, secret.encode(), data_keys.of(organization))
    provider.save()
    tell(provider, by, "identity_provider:set", before, facts(provider))
    return provider


@transaction.atomic
def confirm_domain(*, provider: IdentityProvider, texts: Iterable[str], by: Actor) -> None:
    """`texts`: what the domain's TXT records say, just now. Raises DomainRefused."""
    lock(provider.organization)
    current = IdentityProvider.objects.get(pk=provider.pk)
    if current.domain != provider.domain or current.proof not in texts:
        raise DomainRefused("The record is not there yet. Name servers can take an hour to tell of it.")
    if current.verified_at:
        return
    try:
        with transaction.atomic():
            IdentityProvider.objects.filter(pk=current.pk).update(verified_at=timezone.now())
    except IntegrityError:
        raise DomainRefused("Another organization has shown already that this domain is theirs.") from None
    tell(current, by, "identity_provider:verify", {"verified": False}, {"verified": True, "domain": current.domain})


@transaction.atomic
def set_enforced(*, provider: IdentityProvider, enforced: bool, by: Actor) -> None:
    """Whether people of the domain sign in by it alone. Raises DomainRefused, and NobodySignedIn."""
    lock(provider.organization)
    current = IdentityProvider.objects.get(pk=provider.pk)
    if enforced and not current.verified_at:
        raise DomainRefused("Show first that the domain is yours.")
    if enforced and not current.identities.filter(issuer=current.issuer).exists():
        raise NobodySignedIn("Sign in by it once first, so that you know that it works.")
    if current.enforced != enforced:
        IdentityProvider.objects.filter(pk=current.pk).update(enforced=enforced)
        tell(current, by, "identity_provider:enforce", {"enforced": not enforced}, {"enforced": enforced})


@transaction.atomic
def remove_identity_provider(*, provider: IdentityProvider, by: Actor) -> None:
    """With its secret. People stay; who has no password asks for a new one at the sign-in page."""
    lock(provider.organization)
    if IdentityProvider.objects.filter(pk=provider.pk).delete()[0]:
        tell(provider, by, "identity_provider:remove", facts(provider), {})


@transaction.atomic
def admit(*, provider: IdentityProvider, person: Person, by: Actor) -> User:
    """The account of somebody whom the provider vouches for, with the role that their groups give them.

    At their first sign-in they join, as an invitation says that waits for them. Whom an owner removes later does not come
    back by signing in. An account that has an address elsewhere by now is the provider's no more. Raises SignInRefused.
    """
    organization = provider.organization
    lock(organization)
    known = Identity.objects.filter(provider=provider, issuer=provider.issuer, subject=person.subject).first()
    user = known.user if known else newly_known(provider, person)
    if user.is_staff:
        raise SignInRefused("Staff sign in with a password and a second factor.")
    if domain_of(user.email) != provider.domain:
        raise SignInRefused("Your account here has an address elsewhere now. Sign in with it.")
    Identity.objects.filter(provider=provider, issuer=provider.issuer, user=user).update(used_at=timezone.now())
    record(organization=organization, by=by, tag="identity_provider:vouch", target=user, changes={"subject": person.subject})
    if membership := Membership.objects.for_org(organization).filter(user=user).select_related("role").first():
        keep_role(provider, person, membership, by)
    elif known is None:
        join(provider, person, user, by)
    return user


def newly_known(provider: IdentityProvider, person: Person) -> User:
    user = User.objects.filter(email=person.email).first() or User.objects.create_user(person.email, name=person.name)
    if Identity.objects.filter(provider=provider, issuer=provider.issuer, user=user).exists():
        raise SignInRefused("Somebody else at your provider signed in with this address before.")
    Identity.objects.create(provider=provider, issuer=provider.issuer, subject=person.subject, user=user)
    return user


def join(provider: IdentityProvider, person: Person, user: User, by: Actor) -> None:
    invitation = use_waiting(provider.organization, user)
    role = role_by_groups(provider, person.groups, before=invitation.role.name if invitation else None)
    Membership.objects.create(organization=provider.organization, user=user, role=Group.objects.get(name=role))
    after = {"role": role, "email": user.email}
    if invitation:
        after["invited_by"] = str(invitation.invited_by)
    record(organization=provider.organization, by=by, tag="member:join", target=user, changes={"after": after})


def keep_role(provider: IdentityProvider, person: Person, membership: Membership, by: Actor) -> None:
    """The last owner stays one, whatever the groups say."""
    role = role_by_groups(provider, person.groups, membership.role.name)
    try:
        set_role(organization=provider.organization, user=membership.user, role=role, by=by)
    except LastOwner:
        return


def facts(provider: IdentityProvider) -> dict[str, object]:
    """For the audit log, which holds no secret: only how often it was set."""
    return {name: getattr(provider, name) for name in KEPT} | {"secret_version": provider.secret_version}


def tell(provider: IdentityProvider, by: Actor, tag: str, before: dict[str, object], after: dict[str, object]) -> None:
    record(organization=provider.organization, by=by, tag=tag, target=provider, changes={"before": before, "after": after})
