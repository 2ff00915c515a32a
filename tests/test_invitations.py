"""Invitations: several at once or none, one use for one address, and dead as soon as they should be."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.core.mail import EmailMessage
from django.test import Client
from django.utils import timezone

from keys.actions.deleting import delete_organization, keep_organization
from orgs.actions import Actor, create_organization
from orgs.actions.invitations import (
    HasAccount,
    NoInvitation,
    TooManyInvitations,
    digest_of,
    invite,
    join,
    join_with_new_account,
    resend_invitation,
    withdraw_invitation,
)
from orgs.actions.members import ROLES, remove_member, set_role
from orgs.models import AUDITOR, MEMBER, OWNER, AuditEvent, Invitation, Membership, Organization, User
from tests.races import RACES, at_once

pytestmark = pytest.mark.django_db

PAGE, SEND = "/o/acme/members/", "/o/acme/members/invite/"
ERIN = "erin@example.com"
ACCOUNT = {"name": "Erin", "password": "correct horse battery staple"}
REFUSALS = (NoInvitation, HasAccount)
type SignIn = Callable[[User], Client]


@pytest.fixture(autouse=True)
def nobody_is_limited() -> None:
    cache.clear()


@pytest.fixture
def alices(client_of: SignIn, alice: User, acme: Organization) -> Client:
    return client_of(alice)


@pytest.fixture
def second(acme: Organization, bob: User) -> User:
    """Bob, who is an owner too."""
    Membership.objects.filter(user=bob).update(role=Group.objects.get(name=OWNER))
    return bob


def by(user: User) -> Actor:
    return Actor(label=str(user), user=user)


def invited(organization: Organization, inviter: User, email: str = ERIN, role: str = MEMBER) -> str:
    """The token that the mail would hold."""
    return invite(organization=organization, emails=[email], role=role, by=by(inviter))[0].token


def link_in(mail: EmailMessage) -> str:
    found = re.search(r"http://localhost:8000(/invite/\S+/)", str(mail.body))
    assert found
    return found[1]


def opened(token: str, client: Client | None = None) -> Client:
    client = client or Client()
    assert client.get(f"/invite/{token}/")["Location"] == "/invite/"
    return client


def works(token: str) -> bool:
    return opened(token).get("/invite/").status_code == 200


def role_of(email: str, organization: Organization) -> str | None:
    return Membership.objects.filter(user__email=email, organization=organization).values_list("role__name", flat=True).first()


# Inviting


def test_several_are_invited_at_once_with_one_role(alices: Client, acme: Organization, mailoutbox: list[EmailMessage]) -> None:
    answer = alices.post(
        SEND, {"emails": "Erin@Example.com, frank@example.com\n\ngrace@example.com", "role": AUDITOR}, follow=True
    )
    assert "3 invitations are sent." in answer.text
    assert sorted(mail.to[0] for mail in mailoutbox) == [ERIN, "frank@example.com", "grace@example.com"]
    assert len({link_in(mail) for mail in mailoutbox}) == 3
    assert mailoutbox[0].subject == "Keyhold: Alice invites you to Acme"
    assert "as Auditor." in mailoutbox[0].body
    assert "only for erin@example.com" in mailoutbox[0].body
    assert list(Invitation.objects.exclude(sent_at=None).values_list("role__name", flat=True)) == [AUDITOR] * 3
    assert (
        AuditEvent.objects.filter(tag="invitation:send", target_label__startswith=ERIN, changes__after__role=AUDITOR).count() == 1
    )
    assert 'name="role"' in answer.text


@pytest.mark.parametrize(
    ("emails", "problem"),
    [
        ("erin@example.com\njonas@", "Line 2: “jonas@” is not a whole email address."),
        ("erin@example.com\n\nbob@example.com", "Line 3: bob@example.com is already a member."),
        ("BOB@EXAMPLE.COM", "Line 1: bob@example.com is already a member."),
        (f"erin@example.com, {'a' * 60}@{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 60}.com", "is too long."),
        ("  ,\n;", "Enter at least one email address."),
        ("", "Enter at least one email address."),
        ("\n".join(f"{number}@example.com" for number in range(51)), "Invite 50 at a time at most. These are 51."),
    ],
)
def test_one_wrong_line_is_named_and_nobody_is_invited(
    alices: Client, mailoutbox: list[EmailMessage], emails: str, problem: str
) -> None:
    answer = alices.post(SEND, {"emails": emails, "role": MEMBER})
    assert answer.status_code == 422
    assert problem in answer.text
    assert "<title>Error: Members" in answer.text
    assert f">\n{emails}</textarea>" in answer.text  # what was typed stays
    assert not Invitation.objects.exists()
    assert not mailoutbox


@pytest.mark.parametrize("role", ["", "Support", "Superuser", "owner"])
def test_nobody_is_invited_to_what_is_no_role_of_a_member(alices: Client, role: str) -> None:
    assert Group.objects.filter(name="Support").exists()
    assert alices.post(SEND, {"emails": ERIN, "role": role}).status_code == 422
    assert not Invitation.objects.exists()


def test_the_action_refuses_such_a_role_too(acme: Organization, alice: User) -> None:
    with pytest.raises(ValueError, match="no role"):
        invited(acme, alice, role="Support")
    assert ROLES == (MEMBER, AUDITOR, OWNER)


def test_members_and_auditors_invite_nobody(acme: Organization, bob: User, client_of: SignIn) -> None:
    for role in (MEMBER, AUDITOR):
        Membership.objects.filter(user=bob).update(role=Group.objects.get(name=role))
        assert client_of(bob).post(SEND, {"emails": ERIN, "role": MEMBER}).status_code == 403
        assert 'action="/o/acme/members/invite/"' not in client_of(bob).get(PAGE).text
    with pytest.raises(PermissionDenied):
        invited(acme, bob)
    assert not Invitation.objects.exists()


def test_what_cannot_be_sent_is_marked_and_can_be_sent_again(
    alices: Client, settings: Any, caplog: pytest.LogCaptureFixture, mailoutbox: list[EmailMessage]
) -> None:
    working, settings.MAILERS = settings.MAILERS, {"default": {"BACKEND": "tests.test_notices.Broken"}}
    answer = alices.post(SEND, {"emails": f"{ERIN}\nfrank@example.com", "role": MEMBER}, follow=True)
    assert "2 of 2 could not be sent." in answer.text
    assert answer.text.count("Not sent") == 2
    assert "OSError" in caplog.text
    assert ERIN not in caplog.text
    settings.MAILERS = working
    erin = Invitation.objects.get(email=ERIN)
    assert "The invitation is sent." in alices.post(f"/o/acme/members/invitations/{erin.pk}/resend/", follow=True).text
    assert opened(link_in(mailoutbox[0]).split("/")[2]).get("/invite/").status_code == 200


def test_who_signed_in_long_ago_confirms_first_and_finds_what_was_typed(
    alices: Client, password: str, mailoutbox: list[EmailMessage]
) -> None:
    with time_machine.travel(timezone.now() + timedelta(minutes=16)):
        asked = alices.post(SEND, {"emails": ERIN, "role": OWNER})["Location"]
        assert asked.startswith("/signin/again/")
        assert alices.post(asked, {"password": password})["Location"] == SEND
        page = alices.get(SEND).text
        assert f">\n{ERIN}</textarea>" in page
        assert '<option value="Owner" selected>' in page
        assert not Invitation.objects.exists()
        assert alices.post(SEND, {"emails": ERIN, "role": OWNER})["Location"] == PAGE
    assert len(mailoutbox) == 1


def test_the_token_is_kept_nowhere(alices: Client, mailoutbox: list[EmailMessage], caplog: pytest.LogCaptureFixture) -> None:
    alices.post(SEND, {"emails": ERIN, "role": MEMBER})
    link = link_in(mailoutbox[0])
    token = link.split("/")[2]
    assert len(token) >= 43  # 32 random bytes
    client = opened(token)
    page = client.get("/invite/")
    assert token not in page.text
    assert token not in str(dict(client.session))
    assert page["Referrer-Policy"] == "same-origin"
    assert page["Cache-Control"].count("no-store")
    assert bytes(Invitation.objects.get().digest) == digest_of(token)
    rows = [*Invitation.objects.values(), *AuditEvent.objects.values()]
    assert token not in str(rows) + caplog.text
    assert token not in alices.get(PAGE).text


def test_a_letter_does_not_show_its_token(acme: Organization, alice: User) -> None:
    letter = invite(organization=acme, emails=[ERIN], role=MEMBER, by=by(alice))[0]
    assert letter.token not in repr(letter)


def test_nobody_sends_mails_to_strangers_without_end(alices: Client, acme: Organization, alice: User) -> None:
    for day in range(4):
        invite(organization=acme, emails=[f"erin{day}.{number}@example.com" for number in range(50)], role=MEMBER, by=by(alice))
    with pytest.raises(TooManyInvitations):
        invited(acme, alice)
    answer = alices.post(SEND, {"emails": ERIN, "role": MEMBER})
    assert (answer.status_code, "sends 200 invitations an hour at most" in answer.text) == (422, True)
    pk = Invitation.objects.all()[0].pk
    assert "Send these later." in alices.post(f"/o/acme/members/invitations/{pk}/resend/", follow=True).text
    assert not AuditEvent.objects.filter(tag="invitation:resend").exists()
    with time_machine.travel(timezone.now() + timedelta(hours=1, seconds=1)):
        assert invited(acme, alice)


def test_links_are_not_tried_without_end(acme: Organization, alice: User) -> None:
    with time_machine.travel(timezone.now(), tick=False):
        statuses = [Client().get(f"/invite/guess{number}/").status_code for number in range(61)]
        assert statuses == [302] * 60 + [429]
    with time_machine.travel(timezone.now() + timedelta(minutes=1, seconds=1)):
        assert works(invited(acme, alice))


# Joining


def test_somebody_without_an_account_joins_with_a_name_and_a_password(acme: Organization, alice: User) -> None:
    client = opened(invited(acme, alice, role=AUDITOR))
    page = client.get("/invite/")
    assert "Alice invites you, as auditor. You will sign in as erin@example.com." in page.text
    assert (
        client.post("/invite/", ACCOUNT | {"email": "eve@example.com", "role": OWNER, "is_staff": "on"})["Location"] == "/o/acme/"
    )
    erin = User.objects.get(email=ERIN)
    assert (erin.name, erin.is_staff, erin.check_password(ACCOUNT["password"])) == ("Erin", False, True)
    assert role_of(ERIN, acme) == AUDITOR
    assert "Welcome to Acme." in client.get("/o/acme/").text
    event = AuditEvent.objects.get(tag="member:join")
    assert (event.actor, event.address) == (erin, "127.0.0.1")
    assert event.changes["after"] == {"role": AUDITOR, "email": ERIN, "invited_by": "Alice"}


def test_a_refused_sign_up_says_what_to_fix_and_uses_nothing(acme: Organization, alice: User) -> None:
    client = opened(invited(acme, alice))
    answer = client.post("/invite/", {"name": "", "password": "zq8 short"})
    assert answer.status_code == 422
    assert "Enter your name." in answer.text
    assert "at least 10 characters" in answer.text
    assert "zq8 short" not in answer.text
    assert not User.objects.filter(email=ERIN).exists()
    assert client.post("/invite/", ACCOUNT).status_code == 302


def test_somebody_with_an_account_signs_in_and_joins(
    acme: Organization, alice: User, charlie: User, globex: Organization, password: str
) -> None:
    client = opened(invited(acme, alice, charlie.email))
    assert 'href="/signin/?next=/invite/"' in client.get("/invite/").text
    assert client.post("/invite/", ACCOUNT).status_code == 200  # makes no second account and changes no password
    signed_in = client.post("/signin/?next=/invite/", {"login": charlie.email, "password": password})
    assert signed_in["Location"] == "/invite/"
    assert role_of(charlie.email, acme) is None
    assert "You are signed in as charlie@example.com." in client.get("/invite/").text
    assert client.post("/invite/")["Location"] == "/o/acme/"
    assert role_of(charlie.email, acme) == MEMBER
    charlie.refresh_from_db()
    assert charlie.check_password(password)


def test_somebody_signed_in_as_another_is_told_so(acme: Organization, alice: User, charlie: User, client_of: SignIn) -> None:
    client = opened(invited(acme, alice), client_of(charlie))
    for answer in (client.get("/invite/"), client.post("/invite/", ACCOUNT)):
        assert answer.status_code == 403
        assert "This invitation is for erin@example.com" in answer.text
        assert "You are signed in as charlie@example.com." in answer.text
    assert role_of(charlie.email, acme) is None
    assert not Invitation.objects.exclude(used_at=None).exists()


def test_who_presses_the_button_twice_is_in(
    acme: Organization, alice: User, charlie: User, globex: Organization, client_of: SignIn
) -> None:
    client = opened(invited(acme, alice, charlie.email), client_of(charlie))
    assert [client.post("/invite/")["Location"] for _ in range(2)] == ["/o/acme/", "/o/acme/"]
    remove_member(organization=acme, user=charlie, by=by(alice))
    assert client.get("/invite/").status_code == 404


def test_an_invitation_works_once(acme: Organization, alice: User) -> None:
    token = invited(acme, alice)
    opened(token).post("/invite/", ACCOUNT)
    remove_member(organization=acme, user=User.objects.get(email=ERIN), by=by(alice))
    client = opened(token)
    assert client.get("/invite/").status_code == 404
    assert client.post("/invite/", ACCOUNT).status_code == 404
    assert role_of(ERIN, acme) is None


@pytest.mark.parametrize("token", ["x", "A" * 43, "%00", "ü"])
def test_a_token_that_nobody_was_sent_opens_nothing(acme: Organization, token: str) -> None:
    client = Client()
    client.get(f"/invite/{token}/")
    assert client.get("/invite/").status_code == 404


def test_an_invitation_expires_after_seven_days(acme: Organization, alice: User) -> None:
    token = invited(acme, alice)
    with time_machine.travel(timezone.now() + timedelta(days=7, seconds=-5)):
        assert works(token)
    with time_machine.travel(timezone.now() + timedelta(days=7, seconds=5)):
        assert not works(token)
        with pytest.raises(NoInvitation):
            join_with_new_account(digest=digest_of(token), address=None, **ACCOUNT)


def test_inviting_again_ends_the_link_before(acme: Organization, alice: User) -> None:
    before = invited(acme, alice)
    now = invited(acme, alice, role=AUDITOR)
    assert (works(before), works(now)) == (False, True)


def test_another_organizations_invitation_of_the_same_person_stays(
    acme: Organization, globex: Organization, alice: User, charlie: User
) -> None:
    tokens = [invited(acme, alice), invited(globex, charlie)]
    assert [works(token) for token in tokens] == [True, True]


def test_a_resent_invitation_has_a_new_link_and_seven_new_days(acme: Organization, alice: User) -> None:
    before = invited(acme, alice)
    with time_machine.travel(timezone.now() + timedelta(days=8)):
        now = resend_invitation(invitation=Invitation.objects.get(), by=by(alice)).token
        assert (works(before), works(now)) == (False, True)
    assert AuditEvent.objects.filter(tag="invitation:resend").count() == 1


def test_a_withdrawn_invitation_is_dead(alices: Client, acme: Organization, alice: User) -> None:
    token = invited(acme, alice)
    pk = Invitation.objects.get().pk
    answer = alices.post(f"/o/acme/members/invitations/{pk}/withdraw/", follow=True)
    assert "The invitation of erin@example.com is withdrawn." in answer.text
    assert not works(token)
    for act in ("resend", "withdraw"):
        assert "used or withdrawn meanwhile" in alices.post(f"/o/acme/members/invitations/{pk}/{act}/", follow=True).text
    assert AuditEvent.objects.filter(tag__startswith="invitation:", tag__endswith="withdraw").count() == 1
    assert not AuditEvent.objects.filter(tag="invitation:resend").exists()


@pytest.mark.parametrize("how", ["demoted", "removed", "left", "turned off"])
def test_an_invitation_dies_when_its_sender_is_no_owner_any_more(how: str, acme: Organization, alice: User, second: User) -> None:
    token = invited(acme, second, role=OWNER)
    assert works(token)
    if how == "demoted":
        set_role(organization=acme, user=second, role=MEMBER, by=by(alice))
    elif how == "turned off":
        User.objects.filter(pk=second.pk).update(is_active=False)
    else:
        remove_member(organization=acme, user=second, by=by(alice if how == "removed" else second))
    assert not works(token)
    if how == "demoted":  # and does not come back to life
        set_role(organization=acme, user=second, role=OWNER, by=by(alice))
        assert not works(token)


def test_an_invitation_rests_while_its_organization_is_being_deleted(acme: Organization, alice: User) -> None:
    token = invited(acme, alice)
    delete_organization(organization=acme, by=by(alice))
    assert not works(token)
    keep_organization(organization=acme, by=by(alice))
    assert works(token)


def test_anothers_invitation_is_not_found(
    acme: Organization, globex: Organization, alice: User, charlie: User, client_of: SignIn
) -> None:
    token = invited(acme, alice)
    pk = Invitation.objects.get().pk
    for act in ("resend", "withdraw"):
        assert client_of(charlie).post(f"/o/globex/members/invitations/{pk}/{act}/").status_code == 404
    assert works(token)


# Races


@pytest.fixture
def raced(transactional_db: None, postgres_only: None, make_user: Callable[..., User]) -> tuple[Organization, User]:
    owner = make_user("Alice")
    return create_organization(name="Acme", owner=owner, by=Actor.command("tests")), owner


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_of_five_who_use_a_link_at_once_one_joins(raced: tuple[Organization, User]) -> None:
    """Half of the races are for a new account, half by five browsers of somebody who has one."""
    acme, alice = raced
    for number in range(RACES):
        email = f"erin{number}@example.com"
        digest = digest_of(invited(acme, alice, email))
        if number % 2:
            person = User.objects.create_user(email, name="Erin")
            results = at_once([lambda: join(digest=digest, by=by(person))] * 5, *REFUSALS)  # noqa: B023 (run before the next)
        else:
            results = at_once([lambda: join_with_new_account(digest=digest, address=None, **ACCOUNT)] * 5, *REFUSALS)  # noqa: B023
        assert sum(not isinstance(result, Exception) for result in results) == 1, f"race {number}"
    assert Membership.objects.filter(user__email__startswith="erin").count() == RACES
    assert AuditEvent.objects.filter(tag="member:join").count() == RACES
    assert User.objects.filter(email__startswith="erin").count() == RACES


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_nobody_joins_after_the_sender_lost_ownership(raced: tuple[Organization, User], make_user: Callable[..., User]) -> None:
    acme, alice = raced
    bob = make_user("Bob")
    Membership.objects.create(organization=acme, user=bob, role=Group.objects.get(name=OWNER))
    joined = 0
    for number in range(RACES):
        person = User.objects.create_user(f"erin{number}@example.com", name="Erin")
        digest = digest_of(invited(acme, bob, person.email))
        calls: list[Callable[[], Any]] = [
            lambda: join(digest=digest, by=by(person)),  # noqa: B023
            lambda: set_role(organization=acme, user=bob, role=MEMBER, by=by(alice)),
        ]
        result = at_once(calls if number % 2 else calls[::-1], *REFUSALS)[0 if number % 2 else 1]
        order = list(AuditEvent.objects.order_by("-number").values_list("tag", flat=True)[:2])
        refused = isinstance(result, NoInvitation)
        assert order == (["member:role", "invitation:send"] if refused else ["member:role", "member:join"])
        joined += not refused
        set_role(organization=acme, user=bob, role=OWNER, by=by(alice))
    assert Membership.objects.filter(user__email__startswith="erin").count() == joined


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_of_five_who_invite_an_address_at_once_one_link_works(raced: tuple[Organization, User]) -> None:
    acme, alice = raced
    results = at_once([lambda: invited(acme, alice)] * 5)
    assert sum(map(works, results)) == 1
    assert withdraw_invitation(invitation=Invitation.objects.waiting().get(), by=by(alice)) is None
    assert sum(map(works, results)) == 0
