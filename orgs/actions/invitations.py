"""Writes about invitations, and joining by one. The token is in the mail and nowhere else; its digest finds the invitation."""

import hashlib
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from orgs import single_sign_on
from orgs.actions import Actor, record
from orgs.actions.members import check_owner, group, lock
from orgs.models import AuditEvent, Invitation, InvitationQuerySet, Membership, Organization, User

LASTS = timedelta(days=7)
TOKEN_BYTES = 32
MOST_AT_ONCE = 50
MOST_AN_HOUR = 200  # mails of one organization, so that nobody sends them to strangers without end
SENT = ("invitation:send", "invitation:resend")


class AlreadyMembers(ValueError):
    """Some of the addresses belong to members; nobody was invited."""


class NoInvitation(ValueError):
    """It was used, withdrawn or replaced, it expired, its organization is being deleted, or who sent it is no owner any more."""


class ForSomebodyElse(ValueError):
    """The invitation is for another address than that of whoever is signed in."""


class TooManyInvitations(ValueError):
    """The organization has sent as many as it may in an hour."""

    def __init__(self) -> None:
        super().__init__(f"An organization sends {MOST_AN_HOUR} invitations an hour at most. Send these later.")


class HasAccount(ValueError):
    """There is an account with the address, or single sign-on makes one; its person joins by signing in."""


@dataclass(frozen=True, slots=True)
class Letter:
    """An invitation that is still to be sent, and what its link must hold."""

    invitation: Invitation
    token: str = field(repr=False)


@transaction.atomic
@sensitive_variables()
def invite(*, organization: Organization, emails: Sequence[str], role: str, by: Actor) -> list[Letter]:
    """All of them or nobody; earlier invitations of these addresses end. Emails are in lower case.

    Raises AlreadyMembers and TooManyInvitations.
    """
    assert by.user is not None
    lock(organization)
    check_owner(organization, by)
    if present := members_among(organization, emails):
        raise AlreadyMembers(", ".join(sorted(present)))
    check_pace(organization, len(emails))
    now = timezone.now()
    Invitation.objects.for_org(organization).waiting().filter(email__in=emails).update(withdrawn_at=now)
    letters = []
    for email in emails:
        token = secrets.token_urlsafe(TOKEN_BYTES)
        invitation = Invitation.objects.create(
            organization=organization,
            email=email,
            role=group(role),
            digest=digest_of(token),
            invited_by=by.user,
            created_at=now,
            expires_at=now + LASTS,
        )
        record(organization=organization, by=by, tag="invitation:send", target=invitation, changes={"after": {"role": role}})
        letters.append(Letter(invitation, token))
    return letters


@transaction.atomic
@sensitive_variables()
def resend_invitation(*, invitation: Invitation, by: Actor) -> Letter:
    """The link that was sent before ends, and the seven days begin anew. Raises NoInvitation and TooManyInvitations."""
    lock(invitation.organization)
    check_pace(invitation.organization, 1)
    token, now = secrets.token_urlsafe(TOKEN_BYTES), timezone.now()
    waiting = Invitation.objects.waiting().filter(pk=invitation.pk)
    if not waiting.update(digest=digest_of(token), expires_at=now + LASTS, sent_at=None):
        raise NoInvitation
    invitation.refresh_from_db()
    record(organization=invitation.organization, by=by, tag="invitation:resend", target=invitation)
    return Letter(invitation, token)


@transaction.atomic
def withdraw_invitation(*, invitation: Invitation, by: Actor) -> None:
    """Raises NoInvitation for one that was used or withdrawn meanwhile."""
    lock(invitation.organization)
    if not Invitation.objects.waiting().filter(pk=invitation.pk).update(withdrawn_at=timezone.now()):
        raise NoInvitation
    record(organization=invitation.organization, by=by, tag="invitation:withdraw", target=invitation)


@transaction.atomic
def join(*, digest: bytes, by: Actor) -> Organization:
    """The person who is signed in takes the place that an invitation offers, once. Raises NoInvitation and ForSomebodyElse."""
    assert by.user is not None
    lock(found(digest).organization)
    invitation, now = found(digest), timezone.now()
    if invitation.email != by.user.email:
        raise ForSomebodyElse
    if not Invitation.objects.open(now).filter(digest=digest).update(used_at=now, used_by=by.user):
        raise NoInvitation
    organization, role = invitation.organization, invitation.role
    membership, _ = Membership.objects.get_or_create(organization=organization, user=by.user, defaults={"role": role})
    after = {"role": membership.role.name, "email": by.user.email, "invited_by": str(invitation.invited_by)}
    record(organization=organization, by=by, tag="member:join", target=by.user, changes={"after": after})
    return organization


@transaction.atomic
@sensitive_variables()
def join_with_new_account(*, digest: bytes, name: str, password: str, address: str | None) -> tuple[User, Organization]:
    """Raises NoInvitation and HasAccount."""
    email = found(digest).email
    if single_sign_on.is_demanded(email):
        raise HasAccount
    try:
        with transaction.atomic():
            user = User.objects.create_user(email, password, name=name)
    except IntegrityError:
        raise HasAccount from None
    return user, join(digest=digest, by=Actor(label=str(user), user=user, address=address))


def use_waiting(organization: Organization, user: User) -> Invitation | None:
    """The one that waits for a person who joins by another way than its link; it is used by that. Call it under the lock."""
    invitation = usable(Invitation.objects.for_org(organization).filter(email=user.email))
    if invitation:
        Invitation.objects.filter(pk=invitation.pk).update(used_at=timezone.now(), used_by=user)
    return invitation


def found(digest: bytes) -> Invitation:
    """The invitation that can be used now. Raises NoInvitation."""
    invitation = usable(Invitation.objects.filter(digest=digest))
    if invitation is None:
        raise NoInvitation
    return invitation


def usable(invitations: InvitationQuerySet) -> Invitation | None:
    """Of these the one that can be used now."""
    waiting = invitations.open(timezone.now()).filter(organization__delete_at=None)
    invitation = waiting.select_related("organization", "role", "invited_by").first()
    if invitation and invitation.invited_by.has_perm("orgs.add_invitation", invitation.organization):
        return invitation
    return None


def check_pace(organization: Organization, more: int) -> None:
    """Raises TooManyInvitations. The audit log knows how many were sent."""
    since = timezone.now() - timedelta(hours=1)
    if AuditEvent.objects.filter(organization=organization, at__gt=since, tag__in=SENT).count() + more > MOST_AN_HOUR:
        raise TooManyInvitations


def digest_of(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def members_among(organization: Organization, emails: Collection[str]) -> set[str]:
    members = Membership.objects.for_org(organization).filter(user__email__in=emails)
    return set(members.values_list("user__email", flat=True))
