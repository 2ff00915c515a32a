"""Who is in the demo organization, how each came there, who is still invited, and the program that manages it."""

from datetime import datetime, timedelta
from typing import NamedTuple

from allauth.mfa.totp.internal import auth as totp

from keys import actions
from keys.models import ManagementKey
from orgs.actions import Actor, set_organization
from orgs.actions.invitations import LASTS, digest_of, invite, join
from orgs.audit.chain import happened
from orgs.models import AUDITOR, MEMBER, OWNER, Invitation, Membership, Organization, User

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


class Person(NamedTuple):
    """joined: so many days ago. seen: signed in so many hours ago. app: has an authenticator app, so cannot be tried."""

    name: str
    email: str
    role: str
    joined: int
    seen: int
    app: bool = False


PEOPLE = (
    Person("Ada Okafor", "ada@meridian.example", OWNER, 95, 3),
    Person("Tomás Rivera", "tomas@meridian.example", OWNER, 94, 16, app=True),
    Person("Priya Nair", "priya@meridian.example", MEMBER, 88, 1),
    Person("Jonas Weber", "jonas@meridian.example", MEMBER, 60, 30),
    Person("Mei Tanaka", "mei@meridian.example", AUDITOR, 40, 52, app=True),
)
INVITED = (("erin@meridian.example", MEMBER, 1), ("lena@contractor.example", MEMBER, 9))


def people(organization: Organization, founder: Actor, others: list[User], now: datetime) -> list[Actor]:
    """The founder, and the others as they joined by invitation. Two more addresses are invited, one of them too long ago."""
    actors = [founder, *(Actor(label=str(user), user=user) for user in others)]
    for actor, person in zip(actors[1:], PEOPLE[1:], strict=True):
        with happened(now - person.joined * DAY):
            (letter,) = invite(organization=organization, emails=[person.email], role=person.role, by=founder)
            join(digest=digest_of(letter.token), by=actor)
    with happened(now - 90 * DAY):
        set_organization(organization=organization, members_issue_keys=True, by=founder)
    for actor, person in zip(actors, PEOPLE, strict=True):
        settle(organization, actor, person, now)
    for email, role, days in INVITED:
        at = now - days * DAY
        with happened(at):
            (letter,) = invite(organization=organization, emails=[email], role=role, by=founder)
        Invitation.objects.filter(pk=letter.invitation.pk).update(created_at=at, sent_at=at, expires_at=at + LASTS)
    return actors


def settle(organization: Organization, actor: Actor, person: Person, now: datetime) -> None:
    Membership.objects.filter(organization=organization, user=actor.user).update(created_at=now - person.joined * DAY)
    User.objects.filter(email=person.email).update(last_login=now - person.seen * HOUR)
    if person.app:
        totp.TOTP.activate(actor.user, totp.generate_totp_secret())


def program(organization: Organization, by: Actor, now: datetime) -> None:
    """It manages the organization, and was here lately."""
    at = now - 25 * DAY
    with happened(at):
        key, _ = actions.issue_management_key(organization=organization, name="terraform", by=by)
    ManagementKey.objects.filter(pk=key.pk).update(created_at=at, last_used_at=now - 2 * HOUR)
