"""The overview: first run, what needs attention, and the last seven days."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from keys.models import ProviderKey
from orgs.models import Membership, Organization, User
from tests.attempts import attempt, make_keys
from usage.ingest import book

pytestmark = pytest.mark.django_db
type SignIn = Callable[[User], Client]


def overview(client: Client) -> str:
    response = client.get("/o/acme/")
    assert response.status_code == 200
    return response.content.decode()


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_an_owner_without_keys_is_led_through_three_steps(client_of: SignIn, alice: User, acme: Organization) -> None:
    page = overview(client_of(alice))
    assert "Bring your first key" in page
    assert 'href="/o/acme/providers/add/azure/"' in page
    assert "All 13 providers" in page
    assert "curl http://localhost:8000/v1/chat/completions" in words(page)


def test_a_member_without_keys_is_told_whom_to_ask(client_of: SignIn, bob: User, charlie: User, acme: Organization) -> None:
    page = words(overview(client_of(bob)))
    assert "No keys yet Ask Alice, who is an owner." in page
    assert "Bring your first key" not in page
    Membership.objects.create(organization=acme, user=charlie, role=Membership.objects.get(user__name="Alice").role)
    assert "Ask Alice or Charlie, who are owners." in words(overview(client_of(bob)))


def test_keys_that_fail_or_wait_are_named_with_the_way_to_them(client_of: SignIn, alice: User, acme: Organization) -> None:
    failing = make_keys(
        acme, "Production", status="failing", status_reason="OpenAI refused this key (401).", needs_test=False
    ).provider
    make_keys(acme, "Research", "perplexity")
    make_keys(acme, "Backup", "groq", status="healthy", needs_test=False)
    page = overview(client_of(alice))
    text = words(page)
    assert "OpenAI Production is failing. OpenAI refused this key (401). Fix key" in text
    assert "Perplexity Research has not been tested. It gets no traffic until it passes. Test key" in text
    assert f'href="/o/acme/providers/{failing.id}/"' in page
    assert "Working keys 1 of 3 1 failing, 1 not tested" in text
    assert text.index("is failing") < text.index("has not been tested")


def test_a_member_reads_the_same_without_being_asked_to_act(client_of: SignIn, bob: User, acme: Organization) -> None:
    make_keys(acme, status="failing", status_reason="OpenAI refused this key (401).")
    text = words(overview(client_of(bob)))
    assert "OpenAI Production is failing." in text
    assert "Fix key" not in text
    assert "Add key" not in text


@pytest.mark.parametrize(
    ("states", "sentence"),
    [
        ([("healthy", True)], "Your key is working."),
        ([("healthy", True), ("healthy", True), ("failing", False)], "All 2 keys are working."),
        ([("healthy", False)], "Every key is turned off, so no request can be served."),
    ],
)
def test_nothing_to_do_is_said_in_a_sentence(
    client_of: SignIn, alice: User, acme: Organization, states: list[tuple[str, bool]], sentence: str
) -> None:
    for number, (status, enabled) in enumerate(states):
        make_keys(acme, f"Key {number}", status=status, enabled=enabled, needs_test=False)
    text = words(overview(client_of(alice)))
    assert sentence in text
    assert "Needs attention" not in text


def test_seven_days_are_shown_in_numbers_and_columns(client_of: SignIn, bob: User, acme: Organization) -> None:
    make_keys(acme, status="healthy", needs_test=False)
    now = timezone.now()
    book([attempt(acme, at=now), attempt(acme, at=now - timedelta(days=3)), attempt(acme, at=now - timedelta(days=9))])
    page = overview(client_of(bob))
    assert "Requests, 7 days 2 100% more than in the 7 days before" in words(page)
    assert page.count('<g class="day">') == 7


def test_before_the_first_request_a_client_key_comes_next(client_of: SignIn, alice: User, bob: User, acme: Organization) -> None:
    make_keys(acme, status="healthy", needs_test=False)
    assert 'href="/o/acme/client-keys/">Client keys</a></div>' in overview(client_of(alice))
    assert "No requests yet" in overview(client_of(bob))


def test_removed_keys_are_not_there_any_more(client_of: SignIn, alice: User, acme: Organization) -> None:
    make_keys(acme, status="failing")
    ProviderKey.objects.update(removed_at=timezone.now())
    assert "Bring your first key" in overview(client_of(alice))


def test_the_number_of_queries_does_not_grow_with_keys(
    client_of: SignIn, alice: User, acme: Organization, django_assert_num_queries: Callable[..., object]
) -> None:
    client = client_of(alice)
    for count in (1, 30):
        for number in range(count):
            make_keys(acme, f"Key {count} {number}", status="failing")
        with django_assert_num_queries(13):
            overview(client)
