"""Negotiated prices: a multiplier on a provider key's list price from a day on, and never on what is booked."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as some

from keys.actions import remove_key
from keys.models import ProviderKey
from keys.providers import PROVIDERS
from orgs.actions import Actor
from orgs.models import AuditEvent, Organization, User
from tests.attempts import NOON, attempt, make_keys
from usage.actions import remove_model_price, set_model_price
from usage.actions_prices import remove_key_price, set_key_price
from usage.ingest import book
from usage.models import DailyRollup, KeyPrice, UsageEvent
from usage.prices import cost_microusd
from usage.pricing import Prices

pytestmark = pytest.mark.django_db
BY = Actor.command("test")
PAGE, SET = "/o/acme/usage/prices/", "/o/acme/usage/prices/keys/"
TODAY = NOON.date()
LISTED: dict[str, Any] = {
    "input_tokens": 1000,
    "output_tokens": 100,
}  # 3,500 millionths of a dollar for gpt-4o
type SignIn = Callable[[User], Client]


@pytest.fixture(autouse=True)
def at_noon(time_machine: Any) -> None:
    time_machine.move_to(NOON, tick=False)


@pytest.fixture
def alices(alice: User, acme: Organization, client_of: SignIn) -> Client:
    return client_of(alice)


@pytest.fixture
def key(acme: Organization) -> ProviderKey:
    return make_keys(acme).provider


def booked(organization: Organization, key: ProviderKey | None = None, **facts: Any) -> int | None:
    done = attempt(organization, key=key.pk if key else None, **LISTED | facts)
    book([done])
    return UsageEvent.objects.get(pk=UUID(done.opened.id)).estimated_cost_microusd


def negotiate(key: ProviderKey, thousandths: int, from_day: date = TODAY) -> KeyPrice:
    return set_key_price(key=key, from_day=from_day, thousandths=thousandths, by=BY)


# What it does to costs


def test_a_key_pays_its_part_of_the_list_price_and_the_sums_know_it(acme: Organization, key: ProviderKey) -> None:
    negotiate(key, 850)
    assert booked(acme, key) == 2975
    assert booked(acme) == 3500
    assert sorted(DailyRollup.objects.values_list("estimated_cost_microusd", flat=True)) == [2975, 3500]


def test_old_records_never_change(acme: Organization, key: ProviderKey) -> None:
    assert booked(acme, key) == 3500
    price = negotiate(key, 500)
    assert booked(acme, key) == 1750
    negotiate(key, 2000)
    assert booked(acme, key) == 7000
    remove_key_price(price=price, by=BY)
    assert booked(acme, key) == 3500
    costs = UsageEvent.objects.order_by("estimated_cost_microusd").values_list("estimated_cost_microusd", flat=True)
    assert list(costs) == [1750, 3500, 3500, 7000]
    assert DailyRollup.objects.get().estimated_cost_microusd == 1750 + 3500 + 3500 + 7000


@pytest.mark.parametrize(
    ("timezone", "first_moment"),
    [
        ("UTC", datetime(2026, 11, 24, tzinfo=UTC)),
        ("Asia/Tokyo", datetime(2026, 11, 23, 15, tzinfo=UTC)),
        ("America/New_York", datetime(2026, 11, 24, 5, tzinfo=UTC)),
    ],
)
def test_a_price_holds_from_local_midnight(acme: Organization, key: ProviderKey, timezone: str, first_moment: datetime) -> None:
    Organization.objects.update(timezone=timezone)
    negotiate(key, 500, date(2026, 11, 24))
    assert booked(acme, key, at=first_moment - timedelta(seconds=1)) == 3500
    assert booked(acme, key, at=first_moment) == 1750


def test_midnight_is_found_on_the_day_on_which_clocks_change(acme: Organization, key: ProviderKey) -> None:
    Organization.objects.update(timezone="Europe/Berlin")
    negotiate(key, 500, date(2026, 10, 25))  # of 25 hours
    negotiate(key, 2000, date(2026, 10, 26))
    moments = [datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 23, tzinfo=UTC)]
    costs = [booked(acme, key, at=each - timedelta(seconds=1)) for each in moments] + [booked(acme, key, at=moments[1])]
    assert costs == [3500, 1750, 7000]


def test_of_several_days_the_latest_that_has_come_counts_also_for_late_records(acme: Organization, key: ProviderKey) -> None:
    for days, thousandths in ((0, 900), (10, 700), (20, 1000)):
        negotiate(key, thousandths, TODAY + timedelta(days=days))
    costs = [booked(acme, key, at=NOON + timedelta(days=days)) for days in (25, 15, 5, -1)]
    assert costs == [3500, 2450, 3150, 3500]


def test_what_is_no_list_price_stays_as_it_is(acme: Organization, key: ProviderKey) -> None:
    """What the provider reported, an organization's own price, what is unknown, and a failure that used nothing."""
    negotiate(key, 500)
    price: dict[str, Any] = {"provider": "openai", "model": "someone/new", "input_microusd": 1_000_000, "output_microusd": 0}
    set_model_price(organization=acme, from_day=TODAY, by=BY, **price)
    assert booked(acme, key, reported_cost_microusd=7) == 7
    assert booked(acme, key, model="someone/new", native_model="new") == 1000
    assert booked(acme, key, model="someone/other", native_model="other") is None
    assert booked(acme, key, outcome="error", input_tokens=0, output_tokens=0) == 0


def test_a_multiplier_counts_again_once_the_own_price_of_a_model_is_removed(acme: Organization, key: ProviderKey) -> None:
    negotiate(key, 500)
    rates: dict[str, Any] = {"input_microusd": 1_000_000, "output_microusd": 1_000_000}
    own = set_model_price(organization=acme, provider="openai", model="openai/gpt-4o", key=key, from_day=TODAY, by=BY, **rates)
    assert booked(acme, key) == 1100
    remove_model_price(price=own, by=BY)
    assert booked(acme, key) == 1750


def test_nothing_to_pay_is_known_to_cost_nothing(acme: Organization, key: ProviderKey) -> None:
    negotiate(key, 0)
    assert booked(acme, key) == 0
    assert booked(acme, key, model="someone/other", native_model="other") is None


def test_a_price_is_for_the_organization_that_set_it(acme: Organization, globex: Organization, key: ProviderKey) -> None:
    """Also where another one uses the key, because it is lent."""
    negotiate(key, 500)
    assert (booked(globex, key), booked(acme, key)) == (3500, 1750)


def test_budgets_count_by_the_same_prices(acme: Organization, key: ProviderKey) -> None:
    negotiate(key, 850)
    fields: dict[str, Any] = {"provider": "openai", "native_model": "gpt-4o", "model": "openai/gpt-4o", "answered": True}
    prices = Prices.of(acme.pk)
    assert prices.cost_microusd(**fields, **LISTED, key_id=key.pk, at=NOON) == booked(acme, key) == 2975
    assert prices.cost_microusd(**fields, **LISTED, key_id=UUID(int=9), at=NOON) == booked(acme) == 3500


def test_a_batch_asks_once_however_many_keys_and_organizations(acme: Organization, globex: Organization) -> None:
    keys = [make_keys(each, name=f"Key {number}").provider for each in (acme, globex) for number in range(5)]
    for each in keys:
        negotiate(each, 500)
    with CaptureQueriesContext(connection) as captured:
        book([attempt(each.organization, key=each.pk, **LISTED) for each in keys for _ in range(3)])
    assert sum("usage_keyprice" in each["sql"] for each in captured.captured_queries) == 1
    assert set(UsageEvent.objects.values_list("estimated_cost_microusd", flat=True)) == {1750}


@given(some.integers(0, 10_000), some.integers(0, 10**7), some.integers(1, 10**7))
def test_the_part_is_taken_before_rounding(thousandths: int, tokens_in: int, tokens_out: int) -> None:
    """gpt-4o-mini costs 0.15 and 0.60 dollars a million: 3/20 and 12/20 of a millionth a token."""
    usage: dict[str, Any] = {"input_tokens": tokens_in, "output_tokens": tokens_out, "at": NOON, "thousandths": thousandths}
    cost = cost_microusd(PROVIDERS["openai"], "gpt-4o-mini", **usage)
    assert cost == ((3 * tokens_in + 12 * tokens_out) * thousandths * 2 + 20_000) // 40_000


# The writes


def test_each_change_is_told_once_in_the_history_of_the_key(acme: Organization, alice: User, key: ProviderKey) -> None:
    by = Actor(label="Alice", user=alice)
    for thousandths in (850, 850, 800):
        price = set_key_price(key=key, from_day=TODAY, thousandths=thousandths, by=by)
    remove_key_price(price=price, by=by)
    remove_key_price(price=price, by=by)
    events = AuditEvent.objects.filter(tag__startswith="provider_key:", target_id=str(key.pk)).order_by("pk")
    first, second = ({"from_day": "2026-11-23", "thousandths": each} for each in (850, 800))
    assert [(event.tag, event.actor, event.changes["before"], event.changes["after"]) for event in events] == [
        ("provider_key:set_price", alice, {}, first),
        ("provider_key:set_price", alice, first, second),
        ("provider_key:remove_price", alice, second, {}),
    ]


# The page


def typed(key: ProviderKey | str, **fields: str) -> dict[str, str]:
    return {"key": str(key.pk) if isinstance(key, ProviderKey) else key, "multiplier": "0.85", "from_day": "2026-11-23"} | fields


def test_an_owner_sets_a_price_and_sees_it(alices: Client, alice: User, key: ProviderKey) -> None:
    answer = alices.post(SET, typed(key), follow=True)
    assert "“OpenAI Production”: 15% off the list price, from now on." in answer.text
    assert "<small>15% off the list price</small>" in answer.text
    kept = KeyPrice.objects.get()
    assert (kept.provider_key_id, kept.thousandths, kept.from_day, kept.created_by) == (key.pk, 850, TODAY, alice)
    answer = alices.post(SET, typed(key, multiplier="1.125", from_day="2027-01-01"), follow=True)
    assert "“OpenAI Production”: 12.5% above the list price, from 1 January 2027." in answer.text


def test_the_page_tells_which_price_counts_now(alices: Client, key: ProviderKey) -> None:
    for days, thousandths in ((-20, 950), (-10, 900), (0, 850), (10, 0)):
        negotiate(key, thousandths, TODAY + timedelta(days=days))
    rows = [(each.price.thousandths, each.state) for each in alices.get(PAGE).context["negotiated"]]
    assert rows == [(0, "Later"), (850, "Now"), (900, "Over"), (950, "Over")]


def test_an_owner_deletes_a_price_also_of_a_deleted_key(alices: Client, key: ProviderKey) -> None:
    address = reverse("key_price_remove", args=["acme", negotiate(key, 850).pk])
    remove_key(key=key, by=BY)
    page = alices.get(PAGE)
    assert address in page.text
    assert "OpenAI Production (deleted)" in page.text
    assert "The negotiated price is removed." in alices.post(address, follow=True).text
    assert not KeyPrice.objects.exists()
    assert alices.post(address).status_code == 404


@pytest.mark.parametrize(
    ("field", "entered", "said"),
    [
        ("key", "", "Choose a provider key."),
        ("key", "nonsense", "Choose a provider key from the list."),
        ("multiplier", "", "Enter a multiplier, for example 0.85."),
        ("multiplier", "15%", "Enter a number, for example 0.85."),
        ("multiplier", "NaN", "Enter a number, for example 0.85."),
        ("multiplier", "-0.1", "A multiplier cannot be negative."),
        ("multiplier", "10.001", "Enter at most 10."),
        ("multiplier", "0.8555", "Enter at most 3 decimals."),
        ("from_day", "", "Choose the first day."),
        ("from_day", "tomorrow", "Write the day as 2026-12-01."),
        ("from_day", "2026-11-22", "Choose today or a later day. What is booked already keeps its cost."),
    ],
)
def test_a_mistake_is_named_at_its_field_and_the_form_kept(
    alices: Client, key: ProviderKey, field: str, entered: str, said: str
) -> None:
    answer = alices.post(SET, typed(key) | {field: entered})
    assert answer.status_code == 422
    assert "<title>Error: Your own prices" in answer.text
    assert answer.context["key_form"].errors == {field: [said]}
    assert answer.text.count(said) == 2
    kept = "multiplier" if field != "multiplier" else "from_day"
    assert f'value="{typed(key)[kept]}"' in answer.text
    assert not KeyPrice.objects.exists()


def test_today_is_that_of_the_organization(alices: Client, key: ProviderKey, time_machine: Any) -> None:
    Organization.objects.update(timezone="Asia/Tokyo")
    time_machine.move_to(datetime(2026, 11, 23, 15, tzinfo=UTC), tick=False)
    assert alices.post(SET, typed(key)).status_code == 422
    assert alices.post(SET, typed(key, from_day="2026-11-24")).status_code == 302


def test_only_keys_that_have_a_list_price_are_offered(
    alices: Client, acme: Organization, globex: Organization, key: ProviderKey
) -> None:
    others = [make_keys(acme, "Images", "fal").provider, make_keys(globex).provider]
    assert [str(key.pk)] == [value for value, _ in alices.get(PAGE).context["key_form"].fields["key"].choices if value]
    assert [alices.post(SET, typed(each)).status_code for each in others] == [422, 422]
    assert not KeyPrice.objects.exists()


def test_nobody_deletes_the_price_of_another_organization(
    client_of: SignIn, charlie: User, acme: Organization, globex: Organization, key: ProviderKey
) -> None:
    price = negotiate(key, 850)
    assert client_of(charlie).post(reverse("key_price_remove", args=["globex", price.pk])).status_code == 404
    assert KeyPrice.objects.get() == price


def test_the_page_asks_as_often_for_one_price_as_for_many(alices: Client, acme: Organization, key: ProviderKey) -> None:
    def questions() -> int:
        with CaptureQueriesContext(connection) as captured:
            alices.get(PAGE)
        return len(captured)

    def price(key: ProviderKey) -> None:
        negotiate(key, 850)
        model: dict[str, Any] = {"provider": "openai", "model": "openai/gpt-4o", "input_microusd": 1, "output_microusd": 1}
        set_model_price(organization=acme, key=key, from_day=TODAY, by=BY, **model)

    price(key)
    questions()
    before = questions()
    for number in range(3):
        price(make_keys(acme, name=f"Key {number}").provider)
    assert (before, questions()) == (9, 9)
