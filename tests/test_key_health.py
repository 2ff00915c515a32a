"""What the page of a key says of its health, its past and its week, to owners and to members."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from keys.actions import add_key, pause_organization, pause_provider, replace_credential, set_provider_routing, set_routing
from keys.models import HealthMark, ProviderKey
from keys.pages import history, listing, portrait, strip
from keys.pages.strip import Counts
from keys.preferences import Move
from keys.providers import Credential
from keys.testing import TestResult, Verdict
from orgs.actions import Actor, record
from orgs.models import Organization, User
from tests.fake import FakeProvider
from usage.models import DailyRollup, Outcome

NOW = datetime(2026, 11, 23, 9, 40, 12, tzinfo=UTC)
BY = Actor(label="Alice")
PASSED = TestResult(verdict=Verdict.VALID, reason="", status=200, latency_ms=9, models=("gpt-4o", "o3-mini"))
REFUSED = {"status": 401, "code": "invalid_api_key", "message": "Incorrect API key provided", "at": "2026-11-23T09:38:11+00:00"}
HTMX = {"HX-Request": "true"}
# session, person, membership, permissions, key, keys, their names for models, two of the policy, marks, when it was failing,
# events, week, limits, budgets, replaced credentials, failing keys of the navigation, organizations of the switcher
QUERIES = 18


@pytest.fixture
def alices(client_of: Callable[[User], Client], alice: User, acme: Organization) -> Client:
    return client_of(alice)


@pytest.fixture
def bobs(client_of: Callable[[User], Client], bob: User, acme: Organization) -> Client:
    return client_of(bob)


def credential(text: str) -> Credential:
    return Credential(secret={"api_key": text}, public={}, hint="sk-proj-…last")


def make_key(organization: Organization, name: str = "Production", provider: str = "openai", **changes: Any) -> ProviderKey:
    test = changes.pop("test", PASSED)
    fresh = add_key(organization=organization, provider=provider, name=name, credential=credential(name), test=test, by=BY)
    ProviderKey.objects.filter(pk=fresh.pk).update(**changes)
    return ProviderKey.objects.select_related("organization").get(pk=fresh.pk)


def failing(**changes: Any) -> dict[str, Any]:
    told = {
        "status": "failing",
        "status_reason": "OpenAI says this credential is not valid. Replace it.",
        "error_class": "refused",
    }
    return {**told, "status_since": timezone.now() - timedelta(minutes=48), **changes}


def shown(client: Client, key: ProviderKey) -> str:
    return client.get(reverse("provider_key", args=[key.organization.slug, key.pk])).text


# The strip


@pytest.mark.parametrize(
    ("counts", "state"),
    [
        (Counts(0, 0, 0), "."),
        (Counts(1, 0, 0), "o"),
        (Counts(96, 2, 2), "o"),
        (Counts(95, 5, 0), "w"),
        (Counts(95, 0, 5), "w"),
        (Counts(0, 9, 0), "w"),
        (Counts(5, 0, 5), "x"),
        (Counts(0, 0, 3), "x"),
        (Counts(0, 0, 1), "w"),
        (Counts(2, 0, 2), "w"),
    ],
)
def test_a_half_hour_is_good_mixed_or_failing(counts: Counts, state: str) -> None:
    assert counts.state == state


def test_the_strip_ends_with_the_half_hour_that_runs_and_says_its_marks_in_a_sentence() -> None:
    running = NOW.replace(minute=30, second=0)
    marks = {running: Counts(0, 0, 3), running - strip.SLOT: Counts(9, 1, 0), running - strip.SLOT * 47: Counts(9, 0, 0)}
    marks[running - strip.SLOT * 48] = Counts(0, 0, 9)  # older than the strip
    found = strip.of(marks, NOW)
    assert found.states == "o" + "." * 45 + "wx"
    assert found.label == (
        "Of the last 48 half hours: 1 good, 1 with limits or failures, 1 failing, 45 without requests. "
        "Failing: it was out as the half hour ended, or half of the answers failed, at least 3."
    )
    assert found.start == "Yesterday 10:00 UTC"
    assert strip.of({}, NOW).label == "No requests and no tests in the last 24 hours."
    assert strip.of({}, NOW.replace(hour=23)).start == "Today 00:00 UTC"


def test_a_half_hour_that_ended_while_the_key_was_failing_is_failing(acme: Organization) -> None:
    running, key = NOW.replace(minute=30, second=0), make_key(acme)
    marks = {running: Counts(9, 0, 0), running - strip.SLOT: Counts(5, 0, 1), running - strip.SLOT * 2: Counts(0, 0, 1)}
    turns = [(-100, "healthy", "failing"), (-50, "failing", "failing"), (-9, "failing", "healthy"), (-5, "healthy", "limited")]
    for minutes, before, after in turns:
        changes = {"before": {"status": before}, "after": {"status": after}}
        with time_machine.travel(NOW + timedelta(minutes=minutes), tick=False):
            record(organization=acme, by=BY, tag="provider_key:test", target=key, changes=changes)
    spells = portrait.failed_from_to(key, NOW)
    assert [(NOW - begin, NOW - end) for begin, end in spells] == [
        (timedelta(minutes=100), timedelta(minutes=50)),
        (timedelta(minutes=50), timedelta(minutes=9)),
    ]
    assert strip.of(marks, NOW).states[-3:] == "wwo"
    assert strip.of(marks, NOW, spells).states[-5:] == ".xxxo"
    key.status, key.status_since = ProviderKey.Status.FAILING, NOW - timedelta(minutes=3)
    assert strip.of(marks, NOW, portrait.failed_from_to(key, NOW)).states[-1] == "x"


# Health on the page


def test_a_failing_key_says_since_when_what_it_means_and_who_takes_over(alices: Client, acme: Organization) -> None:
    key = make_key(acme, last_error=REFUSED, **failing())
    make_key(acme, "Broken", **failing())
    make_key(acme, "Backup")
    HealthMark.objects.create(key=key, slot=strip.first_slot(timezone.now()), passed=3)
    text = shown(alices, key)
    assert "<strong>OpenAI says this credential is not valid.</strong> This began <time" in text
    assert "48\xa0minutes ago" in text
    assert "Requests go to “Backup” where it may serve them. The key gets no traffic until it passes a test. Replace it." in text
    assert re.search(r"Of the last 48 half hours: 1 good, [23] failing, 4[45] without requests\.", text)
    assert '<span class="tag bad">401</span> invalid_api_key' in text
    assert "Incorrect API key provided</pre>" in text
    assert "09:38:11 UTC" in text


def test_a_member_sees_health_without_what_the_provider_wrote(bobs: Client, acme: Organization) -> None:
    text = shown(bobs, make_key(acme, last_error=REFUSED, **failing()))
    assert "OpenAI says this credential is not valid." in text
    assert '<span class="tag bad">401</span>' in text
    for hidden in ("Incorrect API key provided", "Test now", "Replace credential", "Delete key", "Save", "sk-proj-"):
        assert hidden not in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"error_class": "trouble", "until": NOW + timedelta(seconds=48)}, "The key is tried again at 09:41 UTC."),
        ({"error_class": "trouble", "until": NOW - timedelta(seconds=1)}, "The next request tries it."),
        (
            {"status": "limited", "error_class": "limited", "until": NOW + timedelta(minutes=2)},
            "The key is used again from 09:42 UTC.",
        ),
        ({"status": "limited", "until": NOW - timedelta(seconds=1)}, "It is used again."),
        ({}, "No other OpenAI key can take over. The key gets no traffic until it passes a test."),
    ],
)
def test_the_notice_says_how_it_ends(changes: dict[str, Any], said: str, alices: Client, acme: Organization) -> None:
    with time_machine.travel(NOW, tick=False):
        text = shown(alices, make_key(acme, **failing(**changes)))
    assert said in text
    assert ("Replace it." in text) == (changes.get("error_class") not in ("limited", "trouble"))  # how it ends is said once
    assert ("can take over" in text) == (changes.get("until", NOW) >= NOW)


def test_an_old_refusal_of_a_key_that_works_is_not_shown(acme: Organization) -> None:
    key = make_key(acme, last_error=REFUSED)
    assert portrait.last_answer(key, NOW)
    assert portrait.last_answer(key, NOW + timedelta(hours=25)) is None
    key.status = ProviderKey.Status.FAILING
    assert portrait.last_answer(key, NOW + timedelta(hours=25))


def test_the_next_test_is_announced_while_the_key_is_on(alices: Client, acme: Organization) -> None:
    soon = timezone.now() + timedelta(minutes=3, seconds=30)
    assert "Next in 3\xa0minutes." in shown(alices, make_key(acme, next_test_at=soon))
    assert "Next in" not in shown(alices, make_key(acme, "Off", next_test_at=soon, enabled=False))


def test_a_key_that_nothing_uses_says_why(alices: Client, acme: Organization) -> None:
    key = make_key(acme)
    steps: list[tuple[Callable[..., None], dict[str, Any], str]] = [
        (set_provider_routing, {"provider": "openai", "use_own_keys": False}, "Your own keys are switched off for OpenAI, so no"),
        (set_routing, {"use_own_keys": False}, "Your own keys are switched off, so no request uses this key."),
        (pause_provider, {"provider": "openai"}, "OpenAI is paused, so no request uses this key."),
        (pause_organization, {}, "Acme is paused, so every request is refused."),
    ]
    for act, changes, said in steps:
        assert said not in shown(alices, key)
        act(organization=acme, by=BY, **changes)
        assert said in shown(alices, key)


def test_testing_from_the_page_swaps_what_a_test_changes(
    alices: Client, acme: Organization, fake_provider: FakeProvider, settings: Any
) -> None:
    settings.UPSTREAM_OVERRIDES = fake_provider.overrides()
    key = make_key(acme)
    answer = alices.post(reverse("provider_key_test", args=["acme", key.pk]), {"from": "key"}, headers=HTMX)
    assert answer.text.strip().startswith('<section class="card" id="health"')
    assert "<html" not in answer.text
    assert '<span id="key-status" hx-swap-oob="true"><span class="status failing pill">' in answer.text
    assert 'id="key-notice" hx-swap-oob="true"' in answer.text
    assert '<div hx-swap-oob="beforeend:#toasts">' in answer.text
    assert "hx-swap-oob" not in shown(alices, key)


# What happens when it fails


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "Try the next key, then return the error. Shared keys are never used."),
        ({"own_keys_only": False}, "Try the next key, then return the error. Shared keys may be among the next ones."),
        ({"move_on": frozenset()}, "Return the error; no other key is tried."),
        (
            {"move_on": frozenset({Move.TROUBLE, Move.LIMITED})},
            "Try the next key after a rate limit or a server error or timeout, then return the error.",
        ),
    ],
)
def test_the_page_says_what_follows_a_failure(changes: dict[str, Any], said: str, alices: Client, acme: Organization) -> None:
    set_routing(organization=acme, by=BY, **changes)
    assert said in shown(alices, make_key(acme))


def test_a_key_that_is_always_used_rules_out_shared_keys(alices: Client, acme: Organization) -> None:
    set_routing(organization=acme, by=BY, own_keys_only=False)
    assert "Shared keys are never used." in shown(alices, make_key(acme, always=True))
    assert "Shared keys may be among" in shown(alices, make_key(acme, "Last", always=True, tier="fallback"))


# History, facts, week


@pytest.mark.parametrize(
    ("tag", "before", "after", "text", "mark"),
    [
        ("provider_key:add", {}, {}, "Added", ""),
        ("provider_key:test", {}, {"verdict": "valid"}, "Test passed", "healthy"),
        ("provider_key:test", {}, {"verdict": "unknown"}, "Test could not tell", ""),
        ("provider_key:test", {}, {}, "Tested", ""),
        ("provider_key:failing", {}, {}, "Failing, taken out", "failing"),
        ("provider_key:rename", {"name": "A"}, {"name": "B"}, "Renamed from “A” to “B”", ""),
        ("provider_key:restrict", {}, {"models": ["a/*"], "members": None}, "Limits changed: 1 model, all members", ""),
        ("provider_key:restrict", {}, {"client_keys": {"x": "a", "y": "b"}}, "Limits changed: 2 client keys", ""),
        ("provider_key:always", {"always": False}, {"always": True}, "Shared keys ruled out for its requests", ""),
        ("provider_key:always", {"always": True}, {"always": False}, "Shared keys allowed again for its requests", ""),
        ("provider_key:set_aside", {}, {}, "Set aside", ""),
    ],
)
def test_events_are_told_in_a_few_words(tag: str, before: Any, after: Any, text: str, mark: str) -> None:
    line = history.line(tag, {"before": before, "after": after}, "Alice", NOW)
    assert (line.text, line.mark, line.who, line.at) == (text, mark, "Alice", NOW)
    assert history.line(tag, {}, "", NOW).text


def test_the_last_eight_events_of_this_key_are_shown(alices: Client, acme: Organization) -> None:
    key, other = make_key(acme), make_key(acme, "Backup")
    for number in range(9):
        record(organization=acme, by=Actor(label=f"Person {number}"), tag="provider_key:enable", target=key)
    record(organization=acme, by=Actor(label="Somebody else"), tag="provider_key:enable", target=other)
    lines = portrait.events(key)
    assert [line.who for line in lines] == [f"Person {number}" for number in range(8, 0, -1)]
    assert "Person 8" in shown(alices, key)


def test_the_facts_say_its_place_and_the_age_of_its_credential(alices: Client, acme: Organization) -> None:
    with time_machine.travel(NOW - timedelta(days=82)):
        key = make_key(acme)
    make_key(acme, "Second")
    waiting = make_key(acme, "Waits", test=None)
    assert portrait.credential_since(key).date() == (NOW - timedelta(days=82)).date()
    assert f'href="{reverse("routing", args=["acme"])}">First of 2</a>' in shown(alices, key)
    assert "Gets no traffic" in shown(alices, waiting)
    with time_machine.travel(NOW, tick=False):
        replace_credential(key=key, credential=credential("another"), test=PASSED, by=BY)
    key.refresh_from_db()
    assert portrait.credential_since(key) == NOW


def test_a_few_models_are_shown_and_many_are_folded(alices: Client, acme: Organization) -> None:
    few, many = make_key(acme), make_key(acme, "Many")
    ProviderKey.objects.filter(pk=many.pk).update(discovered_models=[f"gpt-{number}" for number in range(9)])
    limited = make_key(acme, "Limited", allowed_models=["openai/gpt-4o*"])
    tag, folded = '<li class="tag">', "What the last good test found</summary>"
    assert [(tag in text, folded in text) for text in (shown(alices, few), shown(alices, many))] == [(True, False), (True, True)]
    assert folded in shown(alices, limited)


def test_the_facts_come_before_the_history_and_the_way_to_delete(alices: Client, acme: Organization) -> None:
    text = shown(alices, make_key(acme))
    headings = re.findall(r"<h2[^>]*>([^<]+)</h2>", text)
    assert headings[-4:] == ["Last 7 days", "About", "History", "Delete this key"]


def test_the_eleventh_place_is_a_number(acme: Organization) -> None:
    keys = [make_key(acme, f"Key {number}") for number in range(11)]
    listed = listing.rows(ProviderKey.objects.for_org(acme))
    assert [portrait.place(listed, keys[number]) for number in (0, 9, 10)] == ["First of 11", "Tenth of 11", "11th of 11"]


def test_the_week_counts_this_key_alone(bobs: Client, acme: Organization) -> None:
    key, other = make_key(acme), make_key(acme, "Other")

    def book(of: ProviderKey, outcome: Outcome, requests: int, days_ago: int = 0, **sums: int) -> None:
        ids = {"organization": acme, "client_key_id": key.pk, "provider_key_id": of.pk}
        what = {"provider": "openai", "model": "openai/gpt-4o", "tier": "prioritized", "outcome": outcome}
        day = timezone.now().date() - timedelta(days=days_ago)
        DailyRollup.objects.create(**ids, **what, day=day, requests=requests, **sums)

    assert "No requests used this key." in shown(bobs, key)
    book(key, Outcome.OK, 1200, estimated_cost_microusd=61_400_000, latency_2000=1200)
    book(key, Outcome.ERROR, 38, days_ago=1)
    book(key, Outcome.ABSORBED, 7, days_ago=6)
    book(key, Outcome.OK, 5000, days_ago=7)
    book(other, Outcome.OK, 9)
    text = shown(bobs, key)
    for said in ("1,238", "38 <span", "(3.1%)", "7 <span", "by another key", "$61.40", "1.75 s"):
        assert said in text
    assert 'aria-label="1,238 requests in 7 days, 1,200 of them today"' in text
    assert f"range=7d&amp;by=model&amp;key={key.pk}" in text


def test_the_page_takes_as_many_queries_for_300_keys_as_for_3(
    alices: Client, acme: Organization, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    keys = [make_key(acme, f"Key {number}") for number in range(3)]
    address = reverse("provider_key", args=["acme", keys[0].pk])
    alices.get(address)
    with django_assert_num_queries(QUERIES):
        alices.get(address)
    ProviderKey.objects.bulk_create(
        ProviderKey(organization=acme, provider="openai", name=f"More {number}", priority=10 + number, hint="", fingerprint="")
        for number in range(297)
    )
    with django_assert_num_queries(QUERIES):
        alices.get(address)
