"""The overview: first run, what needs attention, and the last seven days."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from keys.actions import pause_organization, pause_provider, set_provider_routing, set_routing
from keys.models import ProviderKey
from orgs.actions import Actor
from orgs.models import Membership, Organization, User
from tests.attempts import attempt, make_keys
from tests.serving import free_port
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
    moved = "No other OpenAI key can take over. Requests that no other key can answer fail."
    assert f"OpenAI Production is failing. OpenAI refused this key (401). {moved} Fix key" in text
    assert "Perplexity Research has not been tested. It gets no traffic until it passes. Test now" in text
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
    ("error_class", "title"),
    [
        ("refused", "is refused by OpenAI."),
        ("out_of_money", "has no credit left."),
        ("trouble", "gets no answer from OpenAI."),
        ("", "is failing."),
    ],
)
def test_a_failing_key_says_since_when_and_who_has_its_requests(
    client_of: SignIn, bob: User, acme: Organization, error_class: str, title: str
) -> None:
    since = timezone.now() - timedelta(minutes=48)
    make_keys(acme, needs_test=False, status="failing", error_class=error_class, status_since=since, status_reason="It said no.")
    make_keys(acme, "Broken", needs_test=False, status="failing")
    make_keys(acme, "Backup", needs_test=False, status="healthy")
    stopped = "It stopped working 48 minutes ago . Requests moved to “Backup”."
    assert f"OpenAI Production {title} It said no. {stopped}" in words(overview(client_of(bob)))


def test_a_limited_key_says_when_its_limit_ends(client_of: SignIn, bob: User, acme: Organization) -> None:
    make_keys(acme, status="limited", needs_test=False, until=timezone.now() + timedelta(minutes=4, seconds=30))
    make_keys(acme, "Batch", status="limited", needs_test=False, until=timezone.now() - timedelta(minutes=4))
    text = words(overview(client_of(bob)))
    assert "OpenAI Production is hitting its rate limit. The limit ends 4 minutes from now ." in text
    assert "OpenAI Batch is hitting its rate limit. See more" in text


def test_limits_that_are_not_counted_together_are_told(
    client_of: SignIn, bob: User, acme: Organization, settings: Settings
) -> None:
    make_keys(acme, needs_test=False, status="healthy")
    assert "counted together" not in words(overview(client_of(bob)))
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}"
    client = client_of(bob)
    backend = "django.core.cache.backends.redis.RedisCache"
    settings.CACHES = settings.CACHES | {"valkey": {"BACKEND": backend, "LOCATION": settings.REDIS_URL}}
    told = "Limits are not counted together. Valkey cannot be reached, so each gateway process applies its share"
    assert told in words(overview(client))


def test_an_untested_key_is_tested_from_here(client_of: SignIn, alice: User, bob: User, acme: Organization) -> None:
    key = make_keys(acme).provider
    assert f'<form method="post" action="/o/acme/providers/{key.pk}/test/">' in overview(client_of(alice))
    assert "/test/" not in overview(client_of(bob))


def test_what_was_stopped_comes_first_and_can_be_undone_by_an_owner(
    client_of: SignIn, alice: User, bob: User, acme: Organization
) -> None:
    make_keys(acme, status="failing", needs_test=False)
    stop: dict[str, Any] = {"organization": acme, "by": Actor.command("tests")}
    pause_organization(**stop)
    set_routing(**stop, use_own_keys=False)
    pause_provider(**stop, provider="groq")
    set_provider_routing(**stop, provider="azure", use_own_keys=False)
    page = overview(client_of(alice))
    texts = [
        "Every request is refused. Acme was paused",
        "Your own keys are switched off. Shared keys are off too, so every request fails. Switch on",
        "Your own Azure keys are switched off. No request uses them. See routing",
        "Groq is paused. No request goes there. It was paused",
        "OpenAI Production is failing.",
    ]
    places = [words(page).find(text) for text in texts]
    assert places == sorted(places)
    assert places[0] > 0
    for address in ("routing/resume/", "routing/own-keys/on/", "routing/groq/resume/"):
        assert f'<form method="post" action="/o/acme/{address}">' in page
        assert address not in overview(client_of(bob))
    set_routing(**stop, own_keys_only=False)
    assert "Your own keys are switched off. Requests go to shared keys only." in words(overview(client_of(bob)))
    assert 'href="/o/acme/routing/groq/"' in overview(client_of(bob))


def test_only_the_worst_are_listed_where_there_are_many(client_of: SignIn, alice: User, acme: Organization) -> None:
    for number in range(12):
        make_keys(acme, f"Key {number}", status="failing", needs_test=False)
    page = overview(client_of(alice))
    assert page.count("Fix key") == 10
    assert 'aria-hidden="true">12</span>' in page
    assert "And 2 more" in words(page)


def test_the_navigation_counts_keys_that_are_on_and_failing(
    client_of: SignIn, bob: User, acme: Organization, globex: Organization
) -> None:
    make_keys(acme, status="healthy")
    client = client_of(bob)
    assert "Provider keys 1 failing" not in words(overview(client))
    make_keys(acme, "Broken", status="failing")
    make_keys(acme, "Off", status="failing", enabled=False)
    make_keys(globex, status="failing")
    assert "Provider keys 1 failing" in words(overview(client))


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
        make_keys(acme, f"Key {number}", status=status, enabled=enabled, needs_test=False, tested_at=timezone.now())
    text = words(overview(client_of(alice)))
    assert f"{sentence} Last checked now" in text
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
    for count in (3, 300):
        for number in range(count):
            make_keys(acme, f"Key {count} {number}", status="failing")
        with django_assert_num_queries(19):
            overview(client)
