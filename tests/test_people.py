"""How people and organizations come to be: the one-time link, the command, new organizations, roles and names."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Group, Permission
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from orgs import actions, names, setup
from orgs.actions import Actor, AlreadySetUp
from orgs.models import MEMBER, OWNER, AuditEvent, Membership, Organization, User

PASSWORD = "correct horse battery staple"
FIRST = {"organization_name": "Acme", "name": "Alice", "email": "Alice@Example.com", "password": PASSWORD}


def link() -> str:
    return f"/setup/{setup.link_token()}/"


# The first owner


@pytest.mark.django_db
def test_the_link_makes_the_first_owner_and_signs_them_in(client: Client) -> None:
    assert client.get(link()).status_code == 200
    assert client.post(link(), FIRST)["Location"] == "/o/acme/"
    membership = Membership.objects.select_related("user", "organization", "role").get()
    assert (membership.user.email, membership.organization.name, membership.role.name) == ("alice@example.com", "Acme", OWNER)
    assert client.get("/account/").status_code == 200
    event = AuditEvent.objects.get()
    assert (event.tag, event.actor, event.target_label) == ("organization:create", membership.user, "Acme")


@pytest.mark.django_db
def test_the_link_works_once(client: Client) -> None:
    used = link()
    client.post(used, FIRST)
    for answer in (Client().get(used), Client().post(used, FIRST | {"email": "eve@example.com"})):
        assert answer.status_code == 410
        assert b"set up already" in answer.content
    assert setup.link_token() is None
    assert User.objects.count() == 1


@pytest.mark.django_db
def test_a_wrong_or_old_link_makes_nobody(client: Client) -> None:
    assert client.post(f"/setup/{setup.link_token()}x/", FIRST).status_code == 404
    with time_machine.travel("2026-01-01"):
        old = link()
    assert client.post(old, FIRST).status_code == 404
    assert not User.objects.exists()


@pytest.mark.django_db
def test_a_refused_set_up_says_what_to_fix_and_forgets_the_password(client: Client) -> None:
    answer = client.post(link(), FIRST | {"password": "zq8 short", "email": "alice"})
    assert answer.status_code == 422
    assert b"<title>Error: " in answer.content
    assert b"Enter a whole email address" in answer.content
    assert b"at least 10 characters" in answer.content
    assert b"zq8 short" not in answer.content


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_of_two_who_use_the_link_at_once_one_becomes_the_owner(postgres_only: None) -> None:
    Group.objects.get_or_create(name=OWNER)

    def try_it(number: int) -> bool:
        try:
            actions.set_up_first_owner(email=f"{number}@example.com", password=PASSWORD, organization_name="Acme")
        except AlreadySetUp:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(5) as pool:
        assert sum(pool.map(try_it, range(5))) == 1
    assert (User.objects.count(), Organization.objects.count(), AuditEvent.objects.count()) == (1, 1, 1)


def run_setup(monkeypatch: pytest.MonkeyPatch, password: str = PASSWORD, **options: str) -> str:
    monkeypatch.setattr("sys.stdin", StringIO(password + "\n"))
    out = StringIO()
    call_command("setup", **({"email": "alice@example.com", "org": "Acme", "password_stdin": True} | options), stdout=out)
    return out.getvalue()


@pytest.mark.django_db
def test_the_command_sets_up_without_a_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Acme is ready at /o/acme/. Sign in as alice@example.com." in run_setup(monkeypatch)
    assert User.objects.get().check_password(PASSWORD)
    assert AuditEvent.objects.get().actor_label == "manage.py setup"
    with pytest.raises(CommandError, match="set up already"):
        run_setup(monkeypatch)


@pytest.mark.django_db
def test_the_command_says_in_sentences_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandError) as refusal:
        run_setup(monkeypatch, password="short", org="")
    assert str(refusal.value).splitlines() == [
        "Organization: Enter a name for the organization, for example Acme.",
        "Password: This password is too short. It must contain at least 10 characters.",
    ]
    assert not User.objects.exists()


# Organizations


def test_whoever_creates_an_organization_owns_it(bob: User, client_of: Callable[[User], Client]) -> None:
    answer = client_of(bob).post("/orgs/new/", {"name": " Fieldnotes  GmbH "})
    assert answer["Location"] == "/o/fieldnotes-gmbh/"
    assert Membership.objects.get(user=bob).role.name == OWNER
    assert Organization.objects.get().name == "Fieldnotes GmbH"
    assert AuditEvent.objects.get().address == "127.0.0.1"


def test_two_organizations_of_one_name_get_two_addresses(alice: User) -> None:
    by = Actor(label="Alice", user=alice)
    made = [actions.create_organization(name=name, owner=alice, by=by).slug for name in ("Acme", "ACME!", "acme", "名前")]
    assert made == ["acme", "acme-2", "acme-3", "organization"]


def test_home_is_the_one_organization_or_the_choice(
    acme: Organization, globex: Organization, alice: User, client_of: Callable[[User], Client]
) -> None:
    client = client_of(alice)
    assert client.get("/")["Location"] == "/o/acme/"
    Membership.objects.create(organization=globex, user=alice, role=Group.objects.get(name=MEMBER))
    assert client.get("/")["Location"] == "/orgs/"
    page = client.get("/orgs/").content.decode()
    assert page.index("Acme") < page.index("Globex")


@pytest.mark.parametrize("organizations", [1, 3])
def test_the_list_of_organizations_takes_the_same_queries_for_any_number(
    organizations: int, alice: User, client_of: Callable[[User], Client], django_assert_num_queries: Any
) -> None:
    by = Actor(label="Alice", user=alice)
    for number in range(organizations):
        actions.create_organization(name=f"Acme {number}", owner=alice, by=by)
    client = client_of(alice)
    with django_assert_num_queries(4):  # session, user, memberships, the switcher
        client.get("/orgs/")


def test_a_person_may_change_their_name(alice: User, client_of: Callable[[User], Client]) -> None:
    client = client_of(alice)
    assert client.post("/account/", {"name": "Alice Cooper", "is_superuser": "on", "email": "x@example.com"}).status_code == 302
    alice.refresh_from_db()
    assert (alice.name, alice.is_superuser, alice.email) == ("Alice Cooper", False, "alice@example.com")
    assert client.post("/account/", {"name": "Al\u202eice"}).status_code == 422


# Names


@pytest.mark.parametrize("name", ["Acme", "Ünïcode & Söhne", "Яндекс", "日本語カナ Inc", "한국 Corp", "Ελληνικά", "3M"])
def test_a_name_of_one_alphabet_is_fine(name: str) -> None:
    assert names.clean(name) == name


@pytest.mark.parametrize("name", ["раypal", "Acme\u202egnp", "Ac\u200bme", "Acme\x00", "Αcme"])
def test_a_name_that_could_pass_for_another_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        names.clean(name)


def test_names_are_kept_in_one_spelling() -> None:
    assert names.clean("  Ａｃｍｅ\t ﬁeld ") == "Acme field"


@given(st.text(max_size=60))
def test_every_name_is_either_clean_for_good_or_refused(text: str) -> None:
    try:
        name = names.clean(text)
    except ValueError:
        return
    assert names.clean(name) == name


@given(st.text(max_size=60))
def test_every_name_makes_addresses_that_fit(name: str) -> None:
    first, second = (slug for slug, _ in zip(names.slugs(name), range(2), strict=False))
    assert first != second
    assert all(1 <= len(slug) <= 40 for slug in (first, second))


# Roles


def test_a_role_gives_its_permissions_in_its_organization_only(
    acme: Organization, globex: Organization, alice: User, bob: User
) -> None:
    assert alice.has_perm("orgs.change_organization", acme)
    assert not alice.has_perm("orgs.change_organization", globex)
    assert not alice.has_perm("orgs.change_organization")
    assert bob.has_perm("orgs.view_organization", acme)
    assert not bob.has_perm("orgs.change_organization", acme)


def test_a_superuser_has_no_more_in_an_organization_than_their_role(acme: Organization, alice: User, bob: User) -> None:
    User.objects.update(is_superuser=True)
    bob.refresh_from_db()
    assert bob.has_perm("orgs.change_organization")
    assert not bob.has_perm("orgs.change_organization", acme)


def test_a_person_who_was_turned_off_may_nothing(acme: Organization, alice: User) -> None:
    alice.is_active = False
    assert not alice.has_perm("orgs.view_organization", acme)


def test_a_changed_role_counts_on_the_next_request(
    acme: Organization, alice: User, bob: User, client_of: Callable[[User], Client]
) -> None:
    client = client_of(alice)
    assert client.get("/o/acme/client-keys/").status_code == 200
    Membership.objects.filter(user=alice).update(role=Group.objects.get(name=MEMBER))
    assert client.get("/o/acme/client-keys/").status_code == 403
    Membership.objects.filter(user=alice).delete()
    assert client.get("/o/acme/client-keys/").status_code == 404


def test_a_permission_taken_from_a_role_counts_on_the_next_request(
    acme: Organization, alice: User, client_of: Callable[[User], Client]
) -> None:
    client = client_of(alice)
    Group.objects.get(name=OWNER).permissions.remove(Permission.objects.get(codename="view_clientkey"))
    assert client.get("/o/acme/client-keys/").status_code == 403


def test_who_lacks_the_role_is_told_whom_to_ask(
    acme: Organization, bob: User, charlie: User, client_of: Callable[[User], Client]
) -> None:
    Membership.objects.create(organization=acme, user=charlie, role=Group.objects.get(name=OWNER))
    page = client_of(bob).get("/o/acme/client-keys/").content.decode()
    assert "Ask Alice or Charlie if you need a change." in page
