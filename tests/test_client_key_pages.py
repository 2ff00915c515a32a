"""The pages of client keys: created once, shown once, paused and resumed, revoked for good."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from keys import client_keys, preferences
from keys.actions import (
    add_key,
    issue_client_key,
    pause_client_key,
    resume_client_key,
    revoke_client_key,
    set_client_key_preferences,
)
from keys.models import ClientKey, ProviderKey
from keys.preferences import NONE, Move, Preferences
from keys.providers import Credential
from orgs.actions import Actor
from orgs.models import AuditEvent, Organization, User

BY = Actor.command("test")
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
    assert answer.text.index(">web-app</a>") < answer.text.index(">a-bot</a>")
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
    with django_assert_num_queries(9):  # 4 of who asks, keys, limits, budgets, failing keys, organizations of the switcher
        alices.get(LIST)
    for name in ("jobs", "old"):
        revoke_client_key(key=issue(acme, name), by=Actor.command("test"))
    with django_assert_num_queries(9):
        alices.get(LIST)


def page(key: ClientKey, what: str = "") -> str:
    return reverse(f"client_key{what}", args=["acme", key.pk])


def told(organization: Organization) -> list[tuple[str, Any, Any]]:
    events = AuditEvent.objects.filter(organization=organization, tag__startswith="client_key:").order_by("pk")
    return [(event.tag, event.changes["before"], event.changes["after"]) for event in events][1:]


def version(organization: Organization) -> int:
    organization.refresh_from_db()
    return organization.routing_version


def test_pausing_and_resuming_are_told_once_and_seen_by_the_gateways(acme: Organization) -> None:
    key = issue(acme)
    before = version(acme)
    for _ in range(2):
        pause_client_key(key=key, by=BY)
    key.refresh_from_db()
    assert key.paused_at
    since = key.paused_at.isoformat(timespec="seconds")
    for _ in range(2):
        resume_client_key(key=key, by=BY)
    assert told(acme) == [
        ("client_key:pause", {"paused_at": None}, {"paused_at": since}),
        ("client_key:resume", {"paused_at": since}, {"paused_at": None}),
    ]
    assert version(acme) == before + 2


def test_preferences_of_a_key_replace_those_before_and_tell_what_differs(acme: Organization) -> None:
    key = issue(acme)
    wishes = Preferences(order=("groq",), allow_fallbacks=False)
    for said in (wishes, wishes, Preferences(order=("groq",), move_on=frozenset({Move.LIMITED}))):
        set_client_key_preferences(key=key, preferences=said, by=BY)
    assert told(acme) == [
        ("client_key:preferences", {"order": None, "allow_fallbacks": None}, {"order": ["groq"], "allow_fallbacks": False}),
        (
            "client_key:preferences",
            {"allow_fallbacks": False, "move_on": None},
            {"allow_fallbacks": None, "move_on": ["limited"]},
        ),
    ]


def test_a_revoked_key_stays_as_it_is(alices: Client, acme: Organization) -> None:
    key = issue(acme)
    revoke_client_key(key=key, by=BY)
    pause_client_key(key=key, by=BY)
    set_client_key_preferences(key=key, preferences=Preferences(only=("fal",)), by=BY)
    assert [tag for tag, _, _ in told(acme)] == ["client_key:revoke"]
    text = alices.get(page(key)).text
    assert "This key is revoked." in text
    for what in ("_pause", "_preferences", "_revoke"):
        assert page(key, what) not in text
        assert alices.get(page(key, what)).status_code == 404
    assert alices.post(page(key, "_resume")).status_code == 404


def test_an_owner_pauses_a_key_and_resumes_it(alices: Client, acme: Organization) -> None:
    key = issue(acme)
    assert page(key) in alices.get(LIST).text
    asked = alices.get(page(key, "_pause")).text
    assert "Pause “web-app”?" in asked
    assert "0 requests in the last 7 days" in asked
    assert ClientKey.objects.filter(paused_at=None).exists()
    paused = alices.post(page(key, "_pause"), follow=True).text
    assert "“web-app” is paused." in paused
    assert "Every request with this key is refused." in paused
    assert "Paused" in alices.get(LIST).text
    assert "are served again" in alices.post(page(key, "_resume"), follow=True).text
    assert ClientKey.objects.filter(paused_at=None).exists()


def test_an_owner_sets_preferences_and_the_page_says_them(alices: Client, acme: Organization) -> None:
    key = issue(acme)
    assert "Nothing is set" in alices.get(page(key)).text
    wishes = {"order": "Groq, openai", "timeout_seconds": "20", "decides_moves": "here", "move_on": ["limited"]}
    text = alices.post(page(key, "_preferences"), wishes, follow=True).text
    assert "Preferences of “web-app” are saved." in text
    for said in ("<dd>Groq, OpenAI</dd>", "<dd>20 seconds</dd>", "<dd>Rate limit</dd>"):
        assert said in text
    key.refresh_from_db()
    assert preferences.read(key.preferences) == Preferences(
        order=("groq", "openai"), timeout_seconds=20, move_on=frozenset({Move.LIMITED})
    )
    assert 'value="groq, openai"' in alices.get(page(key, "_preferences")).text
    alices.post(page(key, "_preferences"), {})
    key.refresh_from_db()
    assert preferences.read(key.preferences) == NONE


def test_a_mistake_keeps_the_form_and_saves_nothing(alices: Client, acme: Organization) -> None:
    key = issue(acme)
    answer = alices.post(page(key, "_preferences"), {"order": "grok, nobody", "timeout_seconds": "20"})
    assert answer.status_code == 422
    assert "<title>Error: Preferences of web-app" in answer.text
    assert "“nobody” is not a provider." in answer.text
    assert 'value="grok, nobody"' in answer.text
    key.refresh_from_db()
    assert key.preferences == {}


def test_the_page_names_the_provider_keys_that_are_limited_to_it(alices: Client, acme: Organization) -> None:
    key, other = issue(acme), issue(acme, "jobs")
    assert "No provider key is limited to this client key." in alices.get(page(key)).text
    for name, allowed in (("Ours", [key, other]), ("Theirs", [other])):
        credential = Credential(secret={"api_key": f"sk-proj-{name}-0000"}, public={}, hint="sk-…0000")
        made = add_key(organization=acme, provider="openai", name=name, credential=credential, test=None, by=BY)
        ProviderKey.objects.filter(pk=made.pk).update(allowed_client_keys=[str(each.pk) for each in allowed])
    text = alices.get(page(key)).text
    assert ">Ours</a>, shared with 1 more" in text
    assert "Theirs" not in text


def test_the_page_takes_as_many_queries_for_three_hundred_provider_keys_as_for_none(
    alices: Client, acme: Organization, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    key = issue(acme)
    alices.get(page(key))
    # session, person, membership, permissions, client key, provider keys, limits, budgets, failing, requests, organizations
    with django_assert_num_queries(11):
        alices.get(page(key))
    row = {"organization": acme, "provider": "groq", "sealed": b"", "hint": "", "fingerprint": "", "priority": 1}
    names = (f"Key {number}" for number in range(300))
    ProviderKey.objects.bulk_create(ProviderKey(**row, name=name, allowed_client_keys=[str(key.pk)]) for name in names)
    with django_assert_num_queries(11):
        assert alices.get(page(key)).text.count(">Key ") == 300
