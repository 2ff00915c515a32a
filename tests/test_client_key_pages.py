"""The pages of client keys: created once, shown once, revoked for good."""

import re
from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from keys import client_keys
from keys.actions import issue_client_key, revoke_client_key
from keys.models import ClientKey
from orgs.actions import Actor
from orgs.models import Organization, User

LIST, NEW = "/o/acme/client-keys/", "/o/acme/client-keys/new/"


@pytest.fixture
def alices(client_of: Callable[[User], Client], alice: User, acme: Organization) -> Client:
    return client_of(alice)


def issue(organization: Organization, name: str = "web-app") -> ClientKey:
    return issue_client_key(organization=organization, name=name, by=Actor.command("test"))[0]


def revoke_page(key: ClientKey) -> str:
    return reverse("client_key_revoke", args=["acme", key.pk])


def test_an_owner_creates_a_key_and_sees_it_once_with_a_line_that_uses_it(alices: Client, acme: Organization) -> None:
    assert "No client keys yet" in alices.get(LIST).text
    answer = alices.post(NEW, {"name": "web-app"})
    shown = re.findall(r"byok_live_\w+", answer.text)
    assert len(shown) == 2
    assert shown[0] == shown[1]
    assert client_keys.parse(shown[0])
    assert f"Authorization: Bearer {shown[0]}" in answer.text
    assert "no-store" in answer.headers["Cache-Control"]
    key = ClientKey.objects.for_org(acme).get()
    for address in (LIST, NEW, revoke_page(key)):
        assert shown[0] not in alices.get(address).text
    assert key.hint in alices.get(LIST).text


def test_sending_the_form_again_makes_no_second_key(alices: Client, acme: Organization) -> None:
    alices.post(NEW, {"name": "web-app"})
    again = alices.post(NEW, {"name": "web-app"})
    assert again.status_code == 422
    assert "byok_live_" not in again.text
    assert "web-app" in again.text
    assert ClientKey.objects.for_org(acme).count() == 1


def test_a_key_needs_a_name(alices: Client) -> None:
    answer = alices.post(NEW, {"name": " "})
    assert answer.status_code == 422
    assert "<title>Error: Create a client key" in answer.text
    assert "Enter a name, for example web-app." in answer.text


def test_a_revoked_key_stays_in_the_list_below_the_live_ones(alices: Client, acme: Organization) -> None:
    key = issue(acme, "a-bot")
    issue(acme, "web-app")
    assert "Revoke “a-bot”?" in alices.get(revoke_page(key)).text
    answer = alices.post(revoke_page(key), follow=True)
    assert "“a-bot” is revoked." in answer.text
    assert answer.text.index('name">web-app<') < answer.text.index('name">a-bot<')
    assert alices.post(revoke_page(key)).status_code == 404
    assert "web-app" in alices.post(NEW, {"name": "a-bot"}).text or ClientKey.objects.live().filter(name="a-bot").exists()


def test_members_may_not_and_outsiders_see_nothing(
    client_of: Callable[[User], Client], bob: User, charlie: User, acme: Organization, globex: Organization
) -> None:
    key, theirs = issue(acme), issue(globex)
    for method in ("get", "post"):
        for address in (LIST, NEW, revoke_page(key)):
            if (method, address) != ("post", LIST):
                assert getattr(client_of(bob), method)(address).status_code == 403
                assert getattr(client_of(charlie), method)(address).status_code == 404
    assert ClientKey.objects.live().count() == 2
    assert client_of(charlie).post(reverse("client_key_revoke", args=["globex", key.pk])).status_code == 404
    assert client_of(charlie).post(reverse("client_key_revoke", args=["globex", theirs.pk])).status_code == 302


def test_the_list_takes_as_many_queries_for_three_keys_as_for_one(
    alices: Client, acme: Organization, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    issue(acme)
    alices.get(LIST)
    with django_assert_num_queries(6):  # session, person, membership, permissions, keys, organizations of the switcher
        alices.get(LIST)
    for name in ("jobs", "old"):
        revoke_client_key(key=issue(acme, name), by=Actor.command("test"))
    with django_assert_num_queries(6):
        alices.get(LIST)
