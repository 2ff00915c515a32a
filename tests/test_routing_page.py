"""The routing page: what it draws, how an order is staged without scripts, and what two owners see who save at once."""

import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from keys.actions import add_key, disable_key, reorder_keys, set_provider_routing
from keys.models import ProviderKey, RoutingPreference
from keys.providers import Credential
from keys.testing import TestResult, Verdict
from orgs.actions import Actor
from orgs.models import OWNER, AuditEvent, Membership, Organization, User
from tests.fake import FakeProvider
from tests.tampering import behind_the_trigger
from usage.models import DailyRollup, Outcome

BY = Actor.command("test")
PASSED = TestResult(verdict=Verdict.VALID, reason="", status=200, latency_ms=9, models=("gpt-4o", "o3-mini"))
REFUSED = TestResult(verdict=Verdict.INVALID, reason="OpenAI refused this key (401).", status=401, latency_ms=9, models=())
PAGE, ORDER = reverse("routing", args=["acme"]), reverse("routing_order", args=["acme"])


@pytest.fixture
def alices(client_of: Callable[[User], Client], alice: User, acme: Organization) -> Client:
    return client_of(alice)


@pytest.fixture
def bobs(client_of: Callable[[User], Client], bob: User, acme: Organization) -> Client:
    return client_of(bob)


@pytest.fixture
def provider_answers(settings: Any, fake_provider: FakeProvider) -> FakeProvider:
    """Tests of keys reach the fake."""
    settings.UPSTREAM_OVERRIDES = fake_provider.overrides()
    return fake_provider


def make_key(organization: Organization, provider: str, name: str, **changes: Any) -> ProviderKey:
    credential = Credential(secret={"api_key": f"sk-{name}"}, public={}, hint=f"sk-…{name[:4]}")
    fields: dict[str, Any] = {"credential": credential, "test": PASSED, "by": BY} | changes
    return add_key(organization=organization, provider=provider, name=name, **fields)


@pytest.fixture
def keys(acme: Organization) -> dict[str, ProviderKey]:
    names = [("anthropic", "Main"), ("anthropic", "Backup"), ("openai", "Production"), ("groq", "Default")]
    return {name: make_key(acme, provider, name) for provider, name in names}


def sent(text: str) -> dict[str, Any]:
    """What a browser would send of the form on the page."""
    (version,) = re.findall(r'name="version" value="(\d+)"', text)
    return {"version": version, "order": re.findall(r'name="order" value="([^"]+)"', text)}


def names(fields: Iterable[str]) -> list[str]:
    """`Main`, or `Main (fallback)`."""
    called = {str(key.pk): key.name for key in ProviderKey.objects.all()}
    pairs = (field.split(":") for field in fields)
    return [called[key] + (f" ({tier})" if tier == "fallback" else "") for key, tier in pairs]


def stored(organization: Organization) -> list[str]:
    return names(f"{key.pk}:{key.tier}" for key in ProviderKey.objects.for_org(organization))


def hops(text: str) -> list[str]:
    return re.findall(r'<li data-name="([^"]+)">\s*<div class="hop">', text)


def changed(text: str) -> bool:
    return 'id="save" hidden' not in text


# What it draws


def test_providers_stand_in_their_order_each_with_its_keys(alices: Client, keys: dict[str, ProviderKey]) -> None:
    text = alices.get(PAGE).text
    assert hops(text) == ["Anthropic", "OpenAI", "Groq"]
    assert names(sent(text)["order"]) == ["Main", "Backup", "Production", "Default"]
    assert "<small>Production, 2 models</small>" in text
    assert "<small>2 models</small>" in text
    assert "sk-…Main" in text
    assert not changed(text)
    assert "<h2>Fallback</h2>" not in text


def test_a_provider_says_how_many_of_its_keys_work(alices: Client, acme: Organization, keys: dict[str, ProviderKey]) -> None:
    ProviderKey.objects.filter(pk=keys["Main"].pk).update(status="failing")
    assert "1 of 2 working" in alices.get(PAGE).text
    ProviderKey.objects.filter(pk=keys["Backup"].pk).update(status="limited")
    assert "1 of 2 working" in alices.get(PAGE).text
    ProviderKey.objects.filter(pk=keys["Backup"].pk).update(status="failing")
    text = alices.get(PAGE).text
    assert "working" not in text
    assert text.count("status failing") == 3


def test_a_provider_whose_keys_are_not_used_says_so(alices: Client, acme: Organization, keys: dict[str, ProviderKey]) -> None:
    set_provider_routing(organization=acme, provider="groq", by=BY, use_own_keys=False)
    assert "Own keys off" in alices.get(PAGE).text


def test_keys_without_traffic_are_below_the_order_and_keep_their_place(
    alices: Client, acme: Organization, keys: dict[str, ProviderKey]
) -> None:
    make_key(acme, "perplexity", "Research", test=None)
    make_key(acme, "openai", "Refused", test=REFUSED)
    with time_machine.travel("2026-11-12T09:40Z", tick=False):
        disable_key(key=keys["Main"], by=BY)
    text = alices.get(PAGE).text
    assert hops(text) == ["Anthropic", "OpenAI", "Groq"]
    assert "<strong>Perplexity</strong> Research has not been tested, so it gets no traffic." in text
    assert "<strong>OpenAI</strong> Refused has not passed a test, so it gets no traffic." in text
    assert '<strong>Anthropic</strong> Main was turned off on <time datetime="2026-11-12T09:40:00+00:00">12 Nov 2026<' in text
    with behind_the_trigger():
        AuditEvent.objects.all().delete()
    assert "<strong>Anthropic</strong> Main is turned off." in alices.get(PAGE).text
    assert (text.count('aria-label="Test now, '), text.count('aria-label="Turn on, ')) == (2, 1)
    assert names(sent(text)["order"]) == ["Main", "Backup", "Production", "Refused", "Default", "Research"]


def test_turning_on_and_testing_lead_back_to_the_order(
    alices: Client, keys: dict[str, ProviderKey], provider_answers: FakeProvider
) -> None:
    disable_key(key=keys["Main"], by=BY)
    for name, says in (("provider_key_enable", "“Main” is on."), ("provider_key_test", "Main")):
        answer = alices.post(reverse(name, args=["acme", keys["Main"].pk]), {"from": "routing"}, follow=True)
        assert answer.redirect_chain == [(PAGE, 302)]
        assert says in answer.text


def test_a_new_key_says_where_it_came(alices: Client, acme: Organization, provider_answers: FakeProvider) -> None:
    make_key(acme, "openai", "Production")
    make_key(acme, "groq", "Default")
    for name, place in (("Second", "behind “OpenAI Production”"), ("Third", "behind “OpenAI Second”")):
        fields = {"name": name, "api_key": provider_answers.key("openai"), "do": "test"}
        answer = alices.post(reverse("provider_key_add", args=["acme", "openai"]), fields, follow=True)
        assert f"“{name}” passed its test and is now {place} in the order." in answer.text


def test_a_member_reads_the_order_and_cannot_move_anything(
    bobs: Client, acme: Organization, keys: dict[str, ProviderKey]
) -> None:
    make_key(acme, "perplexity", "Research", test=None)
    text = bobs.get(PAGE).text
    assert hops(text) == ["Anthropic", "OpenAI", "Groq"]
    for absent in ("Save order", 'name="move"', "Test now", "sk-…", "Reorder"):
        assert absent not in text
    assert bobs.post(ORDER, sent(text)).status_code == 403


def test_an_organization_without_keys_is_told_what_to_do(alices: Client, bobs: Client) -> None:
    assert reverse("provider_picker", args=["acme"]) in alices.get(PAGE).text
    assert "An owner of Acme can add them." in bobs.get(PAGE).text


def test_the_page_takes_as_many_queries_for_300_keys_as_for_3(
    alices: Client, acme: Organization, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(3):
        key = make_key(acme, "openai", f"Key {number}", test=None if number == 2 else PASSED)
    disable_key(key=key, by=BY)
    alices.get(PAGE)
    with django_assert_num_queries(QUERIES):
        alices.get(PAGE)
    first = ProviderKey.objects.for_org(acme).first()
    assert first
    for number in range(3, 300):
        first.pk, first.name, first.priority = None, f"Key {number}", number + 1
        first.provider = ("openai", "groq", "azure")[number % 3] if number % 3 != 2 else "openai"
        first.tier = "fallback" if number % 2 else "prioritized"
        first.save(force_insert=True)
    with django_assert_num_queries(QUERIES):
        answer = alices.get(PAGE)
    assert len(sent(answer.text)["order"]) == 300


# around every page; switches and fallback; routing as the gateway knows it; who may try; latencies; keys and when they went off
QUERIES = 6 + 4 + 5 + 2 + 1 + 2


def test_keys_in_the_walk_show_how_fast_they_answered_in_these_7_days(
    alices: Client, acme: Organization, keys: dict[str, ProviderKey]
) -> None:
    def book(key: ProviderKey, days_ago: int, outcome: Outcome = Outcome.OK, **latencies: int) -> None:
        ids = {"organization": acme, "client_key_id": key.pk, "provider_key_id": key.pk}
        what = {"provider": "openai", "model": "openai/gpt-4o", "tier": "prioritized", "outcome": outcome}
        DailyRollup.objects.create(**ids, **what, day=timezone.now().date() - timedelta(days=days_ago), **latencies)

    book(keys["Production"], 0, latency_2000=3)
    book(keys["Production"], 6, latency_2000=1)
    book(keys["Production"], 7, latency_40000=99)
    book(keys["Production"], 1, Outcome.ERROR, latency_100=99)
    shown = re.findall(
        r'<span class="tag tn( ok)?"[^>]*><span class="vh">Median latency of 7 days: </span>([^<]+)<',
        alices.get(PAGE, {"model": "openai/gpt-4o"}).text,
    )
    assert shown == [(" ok", "1.8 s")]


# Staging without scripts


def test_a_moved_provider_is_staged_and_nothing_is_saved(
    alices: Client, acme: Organization, keys: dict[str, ProviderKey]
) -> None:
    fields = sent(alices.get(PAGE).text)
    answer = alices.post(ORDER, fields | {"move": "down:prioritized:anthropic"})
    assert (answer.status_code, hops(answer.text)) == (200, ["OpenAI", "Anthropic", "Groq"])
    assert changed(answer.text)
    assert "Not live until you save" in answer.text
    again = alices.post(ORDER, sent(answer.text) | {"move": f"up:{keys['Backup'].pk}"})
    assert names(sent(again.text)["order"]) == ["Production", "Backup", "Main", "Default"]
    assert re.search(rf'value="up:{keys["Backup"].pk}"[^>]* aria-disabled="true" autofocus', again.text)
    assert stored(acme) == ["Main", "Backup", "Production", "Default"]


def test_an_order_that_came_back_to_what_is_live_is_not_changed(alices: Client, keys: dict[str, ProviderKey]) -> None:
    answer = alices.post(ORDER, sent(alices.get(PAGE).text) | {"move": "down:prioritized:anthropic"})
    answer = alices.post(ORDER, sent(answer.text) | {"move": "up:prioritized:anthropic"})
    assert not changed(answer.text)


def test_a_staged_order_is_saved_once(alices: Client, acme: Organization, keys: dict[str, ProviderKey]) -> None:
    answer = alices.post(ORDER, sent(alices.get(PAGE).text) | {"move": f"tier:{keys['Backup'].pk}"})
    assert "<h2>Prioritized</h2>" in answer.text
    assert "<h2>Fallback</h2>" in answer.text
    assert "Tried after everything else." in answer.text
    answer = alices.post(ORDER, sent(answer.text) | {"move": "tier:prioritized:groq"})
    saved = alices.post(ORDER, sent(answer.text), follow=True)
    assert saved.redirect_chain == [(PAGE, 302)]
    assert "The order is saved." in saved.text
    assert stored(acme) == ["Main", "Production", "Backup (fallback)", "Default (fallback)"]
    assert hops(saved.text) == ["Anthropic", "OpenAI", "Anthropic", "Groq"]
    assert not changed(saved.text)


def test_keys_that_stand_apart_are_drawn_together_and_said_not_to_be_live(
    alices: Client, acme: Organization, keys: dict[str, ProviderKey]
) -> None:
    ProviderKey.objects.filter(pk=keys["Main"].pk).update(priority=9)
    text = alices.get(PAGE).text
    assert names(sent(text)["order"]) == ["Backup", "Main", "Production", "Default"]
    assert changed(text)


# Two at once


@pytest.fixture
def tomas(make_user: Callable[..., User], acme: Organization, alice: User) -> User:
    user = make_user("Tomás")
    role = Membership.objects.get(organization=acme, role__name=OWNER, user=alice).role
    Membership.objects.create(organization=acme, user=user, role=role)
    return user


def test_the_second_who_saves_sees_both_orders_and_can_save_on_top(
    alices: Client, acme: Organization, tomas: User, keys: dict[str, ProviderKey]
) -> None:
    fields = sent(alices.get(PAGE).text)
    staged = sent(alices.post(ORDER, fields | {"move": "down:prioritized:anthropic"}).text)
    theirs = [(keys[name].pk, "prioritized") for name in ("Default", "Main", "Backup", "Production")]
    with time_machine.travel("2026-11-23T09:40:00Z", tick=False):
        reorder_keys(organization=acme, order=theirs, version=int(fields["version"]), by=Actor(label="Tomás", user=tomas))
    with time_machine.travel("2026-11-23T09:45:00Z", tick=False):
        answer = alices.post(ORDER, staged)
    assert answer.status_code == 409
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", answer.text))
    assert "Tomás changed the order at 09:40. Your changes were not saved." in words
    orders = re.findall(r'aria-labelledby="h-order-.*?</section>', answer.text, re.DOTALL)
    shown = [re.findall(r"<b>(\w+)</b>", part) for part in orders]
    assert shown == [["Groq", "Anthropic", "OpenAI"], ["OpenAI", "Anthropic", "Groq"]]
    assert stored(acme) == ["Default", "Main", "Backup", "Production"]
    assert alices.post(ORDER, sent(answer.text)).status_code == 302
    assert stored(acme) == ["Production", "Main", "Backup", "Default"]


def test_an_order_without_a_key_that_was_added_meanwhile_takes_it_in(
    alices: Client, acme: Organization, alice: User, keys: dict[str, ProviderKey]
) -> None:
    staged = sent(alices.post(ORDER, sent(alices.get(PAGE).text) | {"move": "up:prioritized:groq"}).text)
    make_key(acme, "groq", "Second", by=Actor(label="Alice", user=alice))
    moved = alices.post(ORDER, staged | {"move": "up:prioritized:groq"})
    assert names(sent(moved.text)["order"]) == ["Default", "Second", "Main", "Backup", "Production"]
    answer = alices.post(ORDER, sent(moved.text))
    assert answer.status_code == 409
    assert "You changed the order" in answer.text
    alices.post(ORDER, sent(answer.text))
    assert stored(acme) == ["Default", "Second", "Main", "Backup", "Production"]


def test_a_key_that_was_removed_meanwhile_is_said_to_be_gone(
    alices: Client, acme: Organization, keys: dict[str, ProviderKey]
) -> None:
    staged = sent(alices.post(ORDER, sent(alices.get(PAGE).text) | {"move": "up:prioritized:groq"}).text)
    ProviderKey.objects.filter(pk=keys["Main"].pk).update(removed_at="2026-11-23T09:40:00Z")
    answer = alices.post(ORDER, staged)
    assert answer.status_code == 409
    assert "Keys were removed while you were moving them." in answer.text
    alices.post(ORDER, sent(answer.text))
    assert stored(acme) == ["Backup", "Default", "Production"]


def test_what_nobody_could_have_sent_is_a_conflict(alices: Client, acme: Organization, keys: dict[str, ProviderKey]) -> None:
    before = RoutingPreference.objects.get(organization=acme).order_version
    for fields in ({}, {"version": "9" * 5000}, {"version": "٣", "order": ["x", ":", f"{keys['Main'].pk}:nowhere"]}):
        assert alices.post(ORDER, fields).status_code == 409
        assert alices.post(ORDER, fields | {"move": "up:up:up"}).status_code == 200
    assert RoutingPreference.objects.get(organization=acme).order_version == before
