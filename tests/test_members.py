"""Who belongs to an organization: roles, removing, leaving, handing over, and never without an owner."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import cycle
from typing import Any

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.core.mail import EmailMessage
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, DjangoCaptureOnCommitCallbacks

from keys.actions import issue_client_key
from keys.actions.leaving import end_membership
from keys.models import ClientKey
from orgs import notices
from orgs.actions import Actor, create_organization
from orgs.actions.invitations import invite
from orgs.actions.members import LastOwner, hand_over_ownership, remove_member, set_role
from orgs.models import AUDITOR, MEMBER, OWNER, AuditEvent, Invitation, Membership, Notice, Organization, User
from tests.races import RACES, at_once

pytestmark = pytest.mark.django_db

PAGE, LEAVE = "/o/acme/members/", "/o/acme/members/leave/"
type SignIn = Callable[[User], Client]


@pytest.fixture
def alices(client_of: SignIn, alice: User, acme: Organization) -> Client:
    return client_of(alice)


@pytest.fixture
def bobs(client_of: SignIn, bob: User, acme: Organization) -> Client:
    return client_of(bob)


def by(user: User) -> Actor:
    return Actor(label=str(user), user=user)


def make(user: User, role: str, organization: Organization) -> None:
    Membership.objects.update_or_create(user=user, organization=organization, defaults={"role": Group.objects.get(name=role)})


def role_of(user: User, organization: Organization) -> str | None:
    return Membership.objects.filter(user=user, organization=organization).values_list("role__name", flat=True).first()


def key_of(user: User, organization: Organization, name: str = "web-app") -> ClientKey:
    return issue_client_key(organization=organization, name=name, owner=user, by=by(user))[0]


# The list


def test_owners_and_auditors_see_how_people_sign_in(alices: Client, bobs: Client, acme: Organization, bob: User) -> None:
    make(bob, AUDITOR, acme)
    Authenticator.objects.create(user=bob, type=Authenticator.Type.TOTP, data={})
    Authenticator.objects.create(user=bob, type=Authenticator.Type.WEBAUTHN, data={})
    Authenticator.objects.create(user=bob, type=Authenticator.Type.RECOVERY_CODES, data={})
    invite(organization=acme, emails=["erin@example.com"], role=OWNER, by=Actor("Alice", Membership.objects.owners()[0].user))
    for client in (alices, bobs):
        page = client.get(PAGE).text
        assert "bob@example.com" in page
        assert "Passkey, Authenticator" in page
        assert "erin@example.com" in page
        assert ("Resend" in page) == ("Withdraw" in page) == (client is alices)


def test_members_see_names_and_roles_only(bobs: Client, acme: Organization, alice: User) -> None:
    invite(organization=acme, emails=["erin@example.com"], role=OWNER, by=by(alice))
    page = bobs.get(PAGE).text
    assert "Alice" in page
    assert "Second factor" not in page
    for address in ("alice@example.com", "erin@example.com"):
        assert address not in page


def test_an_expired_invitation_says_so(alices: Client, acme: Organization, alice: User, client_of: SignIn) -> None:
    invite(organization=acme, emails=["erin@example.com"], role=MEMBER, by=by(alice))
    assert "Expired" not in alices.get(PAGE).text
    with time_machine.travel(timezone.now() + timedelta(days=8)):
        assert "Expired" in client_of(alice).get(PAGE).text


def test_the_table_of_roles_says_what_permissions_say(alices: Client, acme: Organization) -> None:
    acts = dict(alices.get(PAGE).context["acts"])
    assert acts["Add, replace, test and delete provider keys"] == ["Yes", "", ""]
    assert acts["See masked key endings"] == ["Yes", "", ""]
    assert acts["See and export the audit log"] == ["Yes", "", "Yes"]
    assert acts["See usage and export it"] == ["Yes", "Yes", "Yes"]
    assert acts["Create client keys"] == ["Yes", "", ""]
    Organization.objects.update(members_issue_keys=True)
    assert dict(alices.get(PAGE).context["acts"])["Create client keys"][:2] == ["Yes", "Own"]


@pytest.mark.parametrize("people", [1, 3])
def test_the_list_takes_the_same_queries_for_any_number(
    people: int,
    acme: Organization,
    alice: User,
    alices: Client,
    make_user: Callable[..., User],
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(people):
        make(make_user(f"Ada{number}"), MEMBER, acme)
        invite(organization=acme, emails=[f"erin{number}@example.com"], role=MEMBER, by=by(alice))
    alices.get(PAGE)
    with django_assert_num_queries(10):
        alices.get(PAGE)


# Roles


def test_an_owner_changes_a_role_and_it_counts_at_the_next_click(
    alices: Client, bobs: Client, acme: Organization, bob: User
) -> None:
    assert bobs.get("/o/acme/settings/").status_code == 403
    assert "Bob is an Owner now." in alices.post(f"{PAGE}{bob.pk}/", {"role": OWNER}, follow=True).text
    assert bobs.get("/o/acme/settings/").status_code == 200
    alices.post(f"{PAGE}{bob.pk}/", {"role": AUDITOR})
    assert bobs.get("/o/acme/settings/").status_code == 403
    events = AuditEvent.objects.filter(tag="member:role").order_by("number")
    assert [(event.changes["before"]["role"], event.changes["after"]["role"]) for event in events] == [
        (MEMBER, OWNER),
        (OWNER, AUDITOR),
    ]
    assert {(event.target_id, event.target_label, event.actor_label) for event in events} == {(str(bob.pk), "Bob", "Alice")}
    subjects = Notice.objects.filter(tag="member:change").order_by("created_at").values_list("subject", flat=True)
    assert list(subjects) == ["Bob is now an owner of Acme", "Bob is now an auditor of Acme"]


def test_whose_role_changed_is_told_with_the_owners(
    acme: Organization, alice: User, bob: User, mailoutbox: list[EmailMessage]
) -> None:
    set_role(organization=acme, user=bob, role=OWNER, by=by(alice))
    set_role(organization=acme, user=bob, role=MEMBER, by=by(alice))
    assert notices.send_due(timezone.now()) == 2
    assert [sorted(mail.to) for mail in mailoutbox] == [["alice@example.com", "bob@example.com"]] * 2
    assert mailoutbox[1].body.startswith("Bob is now a member of Acme. Before, they were an owner. It was done by Alice.\n")


@pytest.mark.parametrize("role", ["", "Support", "Superuser", "nonsense"])
def test_a_role_that_is_none_is_refused(alices: Client, acme: Organization, bob: User, role: str) -> None:
    assert alices.post(f"{PAGE}{bob.pk}/", {"role": role, "is_staff": "on"}).status_code == 422
    assert role_of(bob, acme) == MEMBER
    if role:
        with pytest.raises(ValueError, match="no role"):
            set_role(organization=acme, user=bob, role=role, by=Actor.command("test"))


def test_a_role_that_stays_is_not_told(acme: Organization, alice: User, bob: User) -> None:
    set_role(organization=acme, user=bob, role=MEMBER, by=by(alice))
    assert not AuditEvent.objects.filter(tag="member:role").exists()


def test_who_lost_ownership_while_asking_changes_nothing(acme: Organization, alice: User, bob: User, charlie: User) -> None:
    """The page was still entered as an owner."""
    for act in (
        lambda: set_role(organization=acme, user=alice, role=MEMBER, by=by(bob)),
        lambda: remove_member(organization=acme, user=alice, by=by(bob)),
        lambda: hand_over_ownership(organization=acme, to=bob, by=by(charlie)),
    ):
        with pytest.raises(PermissionDenied):
            act()
    assert (role_of(alice, acme), role_of(bob, acme)) == (OWNER, MEMBER)


@pytest.mark.parametrize("how", ["role", "leave"])
def test_the_last_owner_stays(how: str, alices: Client, acme: Organization, alice: User, bob: User) -> None:
    """One who cannot sign in does not count."""
    make(bob, OWNER, acme)
    User.objects.filter(pk=bob.pk).update(is_active=False)
    answer = alices.post(f"{PAGE}{alice.pk}/", {"role": MEMBER}) if how == "role" else alices.post(LEAVE)
    assert answer.status_code == 422
    assert "Make someone else an owner first." in answer.text
    assert role_of(alice, acme) == OWNER
    assert not AuditEvent.objects.filter(tag__startswith="member:").exists()


def test_ownership_is_handed_over(alices: Client, acme: Organization, alice: User, bob: User) -> None:
    assert "You become a member." in alices.get(f"{PAGE}{bob.pk}/hand-over/").text
    assert role_of(bob, acme) == MEMBER
    alices.post(f"{PAGE}{bob.pk}/hand-over/")
    assert (role_of(alice, acme), role_of(bob, acme)) == (MEMBER, OWNER)
    assert alices.get(f"{PAGE}{bob.pk}/").status_code == 403
    assert AuditEvent.objects.filter(tag="member:role").count() == 2


def test_ownership_is_not_handed_over_to_somebody_who_cannot_sign_in(alices: Client, acme: Organization, bob: User) -> None:
    User.objects.filter(pk=bob.pk).update(is_active=False)
    answer = alices.post(f"{PAGE}{bob.pk}/hand-over/")
    assert answer.status_code == 422
    assert "Bob was turned off and cannot sign in, and you are the last owner." in answer.text
    assert role_of(bob, acme) == MEMBER


def test_nobody_hands_over_to_themselves_or_removes_themselves_there(alices: Client, acme: Organization, alice: User) -> None:
    for act in ("hand-over", "remove"):
        assert alices.post(f"{PAGE}{alice.pk}/{act}/").status_code == 404
    assert role_of(alice, acme) == OWNER


@pytest.mark.parametrize("act", ["", "hand-over/", "remove/"])
def test_somebody_who_is_no_member_is_not_found(act: str, alices: Client, globex: Organization, charlie: User) -> None:
    for method in (alices.get, alices.post):
        assert method(f"{PAGE}{charlie.pk}/{act}", {"role": MEMBER}).status_code == 404
    assert role_of(charlie, globex) == OWNER


# Removing and leaving


def test_a_removed_person_loses_everything_at_once(
    alices: Client, bobs: Client, acme: Organization, alice: User, bob: User
) -> None:
    make(bob, OWNER, acme)
    key = key_of(bob, acme)
    invite(organization=acme, emails=["erin@example.com"], role=OWNER, by=by(bob))
    page = alices.get(f"{PAGE}{bob.pk}/remove/").text
    assert "web-app" in page
    answer = alices.post(f"{PAGE}{bob.pk}/remove/", {"choice": "revoke"}, follow=True)
    assert "Bob is removed from Acme." in answer.text
    for path in ("/o/acme/", PAGE, "/o/acme/settings/", "/o/acme/client-keys/"):
        assert bobs.get(path).status_code == 404
    assert not ClientKey.objects.live().filter(pk=key.pk).exists()
    assert not Invitation.objects.waiting().exists()
    tags = AuditEvent.objects.filter(organization=acme).order_by("-number").values_list("tag", flat=True)[:2]
    assert list(tags) == ["client_key:revoke", "member:remove"]
    assert AuditEvent.objects.get(tag="member:remove").changes["before"] == {
        "role": OWNER,
        "email": "bob@example.com",
        "invitations_ended": 1,
    }


def test_a_removed_person_is_told_by_mail_and_owners_are_told_who_went(
    alices: Client,
    acme: Organization,
    bob: User,
    mailoutbox: list[EmailMessage],
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        alices.post(f"{PAGE}{bob.pk}/remove/")
    [farewell] = mailoutbox
    assert (farewell.to, farewell.subject) == (["bob@example.com"], "Keyhold: You were removed from Acme")
    assert farewell.body.startswith("Alice removed you from Acme at Keyhold.")
    assert Notice.objects.get(tag="member:change").body == "Bob was removed from Acme. They were a member. It was done by Alice."


def test_a_mail_server_in_trouble_keeps_nobody(
    alices: Client,
    acme: Organization,
    bob: User,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    settings.MAILERS = {"default": {"BACKEND": "tests.test_notices.Broken"}}
    with django_capture_on_commit_callbacks(execute=True):
        assert alices.post(f"{PAGE}{bob.pk}/remove/").status_code == 302
    assert role_of(bob, acme) is None
    assert "Somebody who was removed could not be told: OSError." in caplog.text
    assert "bob@example.com" not in caplog.text


def test_who_leaves_gets_no_farewell(
    bobs: Client,
    acme: Organization,
    mailoutbox: list[EmailMessage],
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        bobs.post(LEAVE)
    assert not mailoutbox
    assert Notice.objects.get(tag="member:change").subject == "Bob left Acme"


def test_client_keys_of_a_removed_person_can_be_handed_over(alices: Client, acme: Organization, alice: User, bob: User) -> None:
    key = key_of(bob, acme)
    assert alices.post(f"{PAGE}{bob.pk}/remove/").status_code == 422
    assert alices.post(f"{PAGE}{bob.pk}/remove/", {"choice": "hand-over"}).status_code == 422
    assert role_of(bob, acme) == MEMBER
    own = Membership.objects.get(user=alice)
    assert alices.post(f"{PAGE}{bob.pk}/remove/", {"choice": "hand-over", "owner": own.pk}).status_code == 302
    key.refresh_from_db()
    assert (key.owner, key.revoked_at, role_of(bob, acme)) == (alice, None, None)


def test_without_client_keys_nothing_is_asked(alices: Client, acme: Organization, bob: User) -> None:
    assert "What becomes of" not in alices.get(f"{PAGE}{bob.pk}/remove/").text
    assert alices.post(f"{PAGE}{bob.pk}/remove/").status_code == 302
    assert role_of(bob, acme) is None


def test_a_member_leaves_and_gives_keys_to_owners_only(
    bobs: Client, acme: Organization, alice: User, bob: User, make_user: Callable[..., User]
) -> None:
    ada = make_user("Ada")
    make(ada, MEMBER, acme)
    key = key_of(bob, acme)
    places = {user: Membership.objects.get(user=user).pk for user in (ada, alice)}
    assert bobs.post(LEAVE, {"choice": "hand-over", "owner": places[ada]}).status_code == 422
    answer = bobs.post(LEAVE, {"choice": "hand-over", "owner": places[alice]}, follow=True)
    assert answer.redirect_chain == [("/orgs/", 302)]
    assert "You left Acme." in answer.text
    assert bobs.get("/o/acme/").status_code == 404
    key.refresh_from_db()
    assert (key.owner, key.revoked_at) == (alice, None)
    assert AuditEvent.objects.get(tag="member:leave").actor == bob


def test_rights_in_another_organization_stay(alices: Client, bobs: Client, globex: Organization, bob: User) -> None:
    make(bob, MEMBER, globex)
    key = key_of(bob, globex)
    alices.post(f"{PAGE}{bob.pk}/remove/")
    assert bobs.get("/o/globex/").status_code == 200
    assert ClientKey.objects.live().filter(pk=key.pk).exists()


def test_a_person_who_was_removed_meanwhile_makes_no_client_key(acme: Organization, alice: User, bob: User) -> None:
    """The page was still entered as a member."""
    remove_member(organization=acme, user=bob, by=by(alice))
    with pytest.raises(ValueError, match="Only a member"):
        issue_client_key(organization=acme, name="late", by=by(bob))
    assert not ClientKey.objects.filter(owner=bob).exists()


def test_a_refused_audit_row_keeps_the_member(
    acme: Organization, alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError("no space left")

    key = key_of(bob, acme)
    monkeypatch.setattr(AuditEvent, "save", refuse)
    for act in (
        lambda: end_membership(organization=acme, user=bob, by=by(alice)),
        lambda: set_role(organization=acme, user=bob, role=OWNER, by=by(alice)),
        lambda: invite(organization=acme, emails=["erin@example.com"], role=MEMBER, by=by(alice)),
    ):
        with pytest.raises(OSError, match="no space"):
            act()
    assert role_of(bob, acme) == MEMBER
    assert ClientKey.objects.live().filter(pk=key.pk).exists()
    assert not Invitation.objects.exists()


# Races


@pytest.mark.parametrize("act", ["", "remove/", "hand-over/"])
@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_somebody_who_goes_while_an_owner_decides_is_not_found(
    act: str, postgres_only: None, acme: Organization, bob: User, alices: Client
) -> None:
    """Bob leaves between the page's look at the members and its own turn to write."""
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            remove_member(organization=acme, user=bob, by=by(bob))
            answer = pool.submit(lambda: (alices.post(f"{PAGE}{bob.pk}/{act}", {"role": OWNER}), connection.close())[0])
            wait_for_a_waiter()
        assert answer.result(20).status_code == 404


def wait_for_a_waiter() -> None:
    """Until another connection waits for a lock of this one."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    deadline = time.monotonic() + 20
    with connection.cursor() as cursor:
        while time.monotonic() < deadline:
            if cursor.execute(waiting).fetchone()[0]:
                return
    raise AssertionError("Nobody waits.")


def done(calls: list[Callable[[], Any]]) -> int:
    """How many were done; the others were refused."""
    results = at_once(calls, LastOwner, PermissionDenied, Membership.DoesNotExist)
    return sum(not isinstance(result, Exception) for result in results)


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_an_organization_never_loses_its_last_owner(postgres_only: None, make_user: Callable[..., User]) -> None:
    """Two who demote or remove each other, step down or leave at once, or five who all do."""
    people = [make_user(name) for name in ("Alice", "Bob", "Charlie", "Dora", "Erin")]
    acme = create_organization(name="Acme", owner=people[0], by=Actor.command("tests"))

    def demote(who: User, whom: User) -> Callable[[], None]:
        return lambda: set_role(organization=acme, user=whom, role=MEMBER, by=by(who))

    def remove(who: User, whom: User) -> Callable[[], Any]:
        return lambda: end_membership(organization=acme, user=whom, by=by(who))

    def hand_over(who: User, whom: User) -> Callable[[], None]:
        return lambda: hand_over_ownership(organization=acme, to=whom, by=by(who))

    a, b = people[:2]
    races: list[tuple[list[User], list[Callable[[], Any]], set[int]]] = [
        ([a, b], [demote(a, b), demote(b, a)], {1}),
        ([a, b], [remove(a, b), remove(b, a)], {1}),
        ([a, b], [remove(a, a), remove(b, b)], {1}),
        ([a, b], [demote(a, a), remove(b, b)], {1}),
        (people, [remove(person, person) for person in people], {4}),
        (people, [demote(person, person) for person in people], {4}),
        ([a, b], [hand_over(a, b), demote(b, b)], {1, 2}),
    ]
    for number, (owners, calls, wanted) in zip(range(RACES), cycle(races), strict=False):
        for person in owners:
            make(person, OWNER, acme)
        assert done(calls) in wanted, f"race {number}"
        assert Membership.objects.for_org(acme).owners().count() == 1, f"race {number}"
        Membership.objects.for_org(acme).exclude(user=a).delete()
        make(a, OWNER, acme)
