"""An organization's own prices of models: set and deleted by owners, and counted from their day in place of the list."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as some

from keys.actions import remove_key
from keys.models import ProviderKey
from orgs.actions import Actor
from orgs.models import AuditEvent, Organization, User
from tests.attempts import NOON, attempt, make_keys
from usage.actions import remove_model_price, set_model_price
from usage.actions_prices import set_key_price
from usage.figures import exact_dollars
from usage.ingest import MOST, book
from usage.models import DailyRollup, ModelPrice, UsageEvent
from usage.prices import OwnPrice
from usage.pricing import Prices

pytestmark = pytest.mark.django_db
PRICES, USAGE, CSV = "/o/acme/usage/prices/", "/o/acme/usage/", "/o/acme/usage.csv"
TODAY = NOON.date()
BY = Actor.command("test")
TYPED = {
    "provider": "deepinfra",
    "model": "someone/new",
    "key": "every",
    "from_day": "2026-11-23",
    "input": "0.5",
    "output": "2",
}
LISTED: dict[str, Any] = {"input_tokens": 1000, "output_tokens": 100, "cached_input_tokens": 0}  # of gpt-4o: 3,500 by the list
GPT: dict[str, Any] = {"provider": "openai", "model": "openai/gpt-4o"}
UNKNOWN: dict[str, Any] = {"provider": "deepinfra", "model": "someone/new", "native_model": "someone/new"}
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


def price(organization: Organization, **said: Any) -> ModelPrice:
    usual: dict[str, Any] = {
        "provider": "deepinfra",
        "model": "someone/new",
        "from_day": TODAY,
        "input_microusd": 500_000,
        "output_microusd": 2_000_000,
    }
    return set_model_price(organization=organization, by=BY, **usual | said)


def flat(organization: Organization, dollars: int, **said: Any) -> ModelPrice:
    """Of gpt-4o: so many dollars for a million tokens of any kind."""
    return price(organization, **GPT | {"input_microusd": dollars * 10**6, "output_microusd": dollars * 10**6} | said)


def booked(organization: Organization, **facts: Any) -> int | None:
    """What an attempt costs that is booked now."""
    done = attempt(organization, **UNKNOWN | facts)
    book([done])
    return UsageEvent.objects.get(pk=UUID(done.opened.id)).estimated_cost_microusd


def booked_gpt(organization: Organization, key: ProviderKey | None = None, **facts: Any) -> int | None:
    return booked(organization, key=key.pk if key else None, **GPT | LISTED | {"native_model": "gpt-4o"} | facts)


# The page


def test_an_owner_sets_a_price_and_sees_it(alices: Client, alice: User) -> None:
    answer = alices.post(PRICES, TYPED | {"model": "Someone/New", "input": "0.0625"}, follow=True)
    assert "Your price for someone/new at DeepInfra counts from now on." in answer.text
    assert "$0.0625<" in answer.text
    assert "$2.00<" in answer.text
    kept = ModelPrice.objects.get()
    assert (kept.model, kept.input_microusd, kept.output_microusd, kept.created_by) == ("someone/new", 62_500, 2_000_000, alice)
    assert (kept.from_day, kept.provider_key_id, kept.cached_input_microusd) == (TODAY, None, None)


def test_an_owner_sets_a_price_of_one_key_from_a_later_day(alices: Client, key: ProviderKey) -> None:
    said = GPT | {"key": str(key.pk), "from_day": "2027-01-01", "cached_input": "0.25"}
    answer = alices.post(PRICES, TYPED | said, follow=True)
    assert "Your price for openai/gpt-4o at OpenAI with “OpenAI Production” counts from 1 January 2027." in answer.text
    assert "<small>OpenAI Production</small>" in answer.text
    assert "$0.25<" in answer.text
    kept = ModelPrice.objects.get()
    assert (kept.provider_key_id, kept.from_day, kept.cached_input_microusd) == (key.pk, date(2027, 1, 1), 250_000)


def test_a_key_of_another_provider_or_organization_is_refused_and_the_form_kept(
    alices: Client, globex: Organization, key: ProviderKey
) -> None:
    answer = alices.post(PRICES, TYPED | {"key": str(key.pk)})
    assert answer.status_code == 422
    said = "“OpenAI Production” is not a key of DeepInfra. Choose one that is, or every key."
    assert answer.context["form"].errors == {"key": [said]}
    assert f'<option value="{key.pk}" selected>OpenAI Production</option>' in answer.text
    assert 'value="2026-11-23"' in answer.text
    theirs = make_keys(globex).provider
    assert alices.post(PRICES, TYPED | GPT | {"key": str(theirs.pk)}).status_code == 422
    remove_key(key=key, by=BY)
    assert alices.post(PRICES, TYPED | GPT | {"key": str(key.pk)}).status_code == 422
    assert not ModelPrice.objects.exists()


def test_the_page_tells_which_price_counts_now(alices: Client, acme: Organization, key: ProviderKey) -> None:
    for days, dollars in ((-20, 1), (0, 2), (10, 3)):
        flat(acme, dollars, from_day=TODAY + timedelta(days=days))
    flat(acme, 4, key=key, from_day=TODAY + timedelta(days=1))
    remove_key(key=key, by=BY)
    rows = [(each.key, each.price.input_microusd // 10**6, each.state) for each in alices.get(PRICES).context["prices"]]
    every = "Every key of the provider"
    assert rows == [(every, 3, "Later"), (every, 2, "Now"), (every, 1, "Over"), ("OpenAI Production (deleted)", 4, "Later")]


def test_no_two_fields_of_the_page_have_one_id(alices: Client, key: ProviderKey) -> None:
    ids = [field.id_for_label for name in ("form", "key_form") for field in alices.get(PRICES).context[name]]
    assert len(ids) == len(set(ids)) == 10


def test_a_second_price_of_the_same_day_replaces_the_first_and_both_are_in_the_audit_log(alices: Client, alice: User) -> None:
    for dollars in ("1", "3", "3"):
        alices.post(PRICES, TYPED | {"input": dollars})
    assert AuditEvent.objects.filter(tag="model_price:set").count() == 2
    assert ModelPrice.objects.get().input_microusd == 3_000_000
    event = AuditEvent.objects.latest("pk")
    assert (event.tag, event.actor, event.target_label) == ("model_price:set", alice, "someone/new at DeepInfra")
    assert [event.changes[when]["input_microusd"] for when in ("before", "after")] == [1_000_000, 3_000_000]
    assert [event.changes["after"][name] for name in ("from_day", "provider_key_id")] == ["2026-11-23", None]


def test_an_owner_deletes_a_price(alices: Client, acme: Organization) -> None:
    address = reverse("model_price_remove", args=["acme", price(acme).pk])
    assert address in alices.get(PRICES).text
    assert "Your price for someone/new at DeepInfra is removed." in alices.post(address, follow=True).text
    assert not ModelPrice.objects.exists()
    event = AuditEvent.objects.latest("pk")
    assert (event.tag, event.changes["before"]["output_microusd"]) == ("model_price:remove", 2_000_000)
    assert alices.post(address).status_code == 404


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("input", "-1", "A price cannot be negative."),
        ("output", "-0.01", "A price cannot be negative."),
        ("input", "two", "Enter dollars as a number, for example 2.50."),
        ("input", "2,50", "Enter dollars as a number, for example 2.50."),
        ("input", "NaN", "Enter dollars as a number, for example 2.50."),
        ("output", "Infinity", "Enter dollars as a number, for example 2.50."),
        ("output", "", "Enter a price, or 0 where there is nothing to pay."),
        ("input", "0.0000001", "Enter at most 6 decimals."),
        ("input", "10000.01", "Enter at most 10,000 dollars for a million tokens."),
        ("input", "1e999999", "Enter at most 10,000 dollars for a million tokens."),
        ("provider", "acme-ai", "Choose a provider from the list."),
        ("provider", "", "Choose a provider."),
        ("cached_input", "-1", "A price cannot be negative."),
        ("cached_input", "0.51", "Cached input cannot cost more than input."),
        ("from_day", "", "Choose the first day."),
        ("from_day", "2026-11-22", "Choose today or a later day. What is booked already keeps its cost."),
        ("key", "nonsense", "Choose a provider key from the list."),
        ("model", "", "Enter the model, for example meta/llama-4-maverick."),
        ("model", "two words", "A model’s name has no spaces."),
        ("model", "m" * 201, "This is too long to be a model’s name."),
        ("model", "m" * 199, "This is too long to be a model’s name."),
    ],
)
def test_a_mistake_is_named_at_its_field(alices: Client, field: str, typed: str, said: str) -> None:
    answer = alices.post(PRICES, TYPED | {field: typed})
    assert answer.status_code == 422
    assert "<title>Error: Your own prices" in answer.text
    assert answer.context["form"].errors == {field: [said]}
    assert answer.text.count(said) == 2
    assert not ModelPrice.objects.exists()


def test_bob_may_not_and_charlie_sees_nothing(client_of: SignIn, bob: User, charlie: User, acme: Organization) -> None:
    removal = reverse("model_price_remove", args=["acme", price(acme).pk])
    for person, status in ((bob, 403), (charlie, 404)):
        client = client_of(person)
        answers = [client.get(PRICES), client.post(PRICES, TYPED | {"input": "9"}), client.post(removal)]
        assert [answer.status_code for answer in answers] == [status] * 3
    assert ModelPrice.objects.get().input_microusd == 500_000


def test_charlie_cannot_delete_through_an_organization_of_his_own(
    client_of: SignIn, charlie: User, acme: Organization, globex: Organization
) -> None:
    ours = price(acme)
    assert client_of(charlie).post(reverse("model_price_remove", args=["globex", ours.pk])).status_code == 404
    assert ModelPrice.objects.get() == ours


def test_only_owners_are_led_to_the_page_and_only_where_a_price_is_unknown(
    alices: Client, client_of: SignIn, bob: User, acme: Organization
) -> None:
    book([attempt(acme)])
    assert PRICES not in alices.get(USAGE).text
    booked(acme)
    assert PRICES in alices.get(USAGE).text
    assert PRICES not in client_of(bob).get(USAGE).text


# What it does to costs


def test_an_own_price_counts_and_the_sums_know_it(acme: Organization) -> None:
    price(acme)
    assert booked(acme, input_tokens=1000, output_tokens=100, cached_input_tokens=900) == 700
    day = DailyRollup.objects.get()
    assert (day.estimated_cost_microusd, day.unpriced) == (700, 0)


def test_the_providers_word_goes_first_then_the_keys_own_price_then_that_of_every_key_then_the_list(
    acme: Organization, key: ProviderKey
) -> None:
    set_key_price(key=key, from_day=TODAY, thousandths=500, by=BY)
    assert (booked_gpt(acme, key), booked_gpt(acme)) == (1750, 3500)
    flat(acme, 2)
    assert (booked_gpt(acme, key), booked_gpt(acme)) == (2200, 2200)
    flat(acme, 1, key=key)
    assert (booked_gpt(acme, key), booked_gpt(acme)) == (1100, 2200)
    assert booked_gpt(acme, key, reported_cost_microusd=7) == 7
    assert booked_gpt(acme, key, model="openai/gpt-4o-mini", native_model="gpt-4o-mini") == 105
    assert booked(acme, model="someone/other") is None


def test_a_key_goes_back_to_the_price_of_every_key_before_its_own_begins(acme: Organization, key: ProviderKey) -> None:
    flat(acme, 2, from_day=TODAY - timedelta(days=5))
    flat(acme, 1, key=key)
    costs = [booked_gpt(acme, key, at=NOON + timedelta(days=days)) for days in (-6, -1, 0)]
    assert costs == [3500, 2200, 1100]


@pytest.mark.parametrize(
    ("timezone", "first_moment"),
    [
        ("UTC", datetime(2026, 11, 24, tzinfo=UTC)),
        ("Asia/Tokyo", datetime(2026, 11, 23, 15, tzinfo=UTC)),
        ("America/New_York", datetime(2026, 11, 24, 5, tzinfo=UTC)),
    ],
)
def test_a_price_holds_from_local_midnight(acme: Organization, timezone: str, first_moment: datetime) -> None:
    Organization.objects.update(timezone=timezone)
    flat(acme, 1, from_day=date(2026, 11, 24))
    assert booked_gpt(acme, at=first_moment - timedelta(seconds=1)) == 3500
    assert booked_gpt(acme, at=first_moment) == 1100


def test_of_several_days_the_latest_that_has_come_counts_also_for_late_records(acme: Organization) -> None:
    for days, dollars in ((0, 1), (10, 2), (20, 3)):
        last = flat(acme, dollars, from_day=TODAY + timedelta(days=days))
    costs = [booked_gpt(acme, at=NOON + timedelta(days=days)) for days in (25, 15, 5, -1)]
    assert costs == [3300, 2200, 1100, 3500]
    remove_model_price(price=last, by=BY)
    assert booked_gpt(acme, at=NOON + timedelta(days=25)) == 2200


def test_cached_input_has_its_own_rate_where_one_is_set(acme: Organization) -> None:
    flat(acme, 2, cached_input_microusd=500_000)
    costs = [booked_gpt(acme, cached_input_tokens=cached) for cached in (0, 400, 5000)]
    assert costs == [2200, 1600, 700]
    flat(acme, 2, cached_input_microusd=0)
    assert booked_gpt(acme, cached_input_tokens=400) == 1400


def test_an_azure_deployment_is_known_by_what_programs_ask_for(acme: Organization) -> None:
    flat(acme, 1, provider="azure")
    assert booked_gpt(acme, provider="azure", native_model="our-own-name") == 1100
    assert booked_gpt(acme, provider="azure", model="gpt-4o", native_model="our-own-name") == 1100
    assert booked_gpt(acme, provider="azure", model="azure:our-own-name", native_model="our-own-name") is None


def test_a_model_with_a_key_has_one_price_a_day(acme: Organization, key: ProviderKey) -> None:
    for whose in (None, key):
        kept = flat(acme, 1, key=whose)
        with pytest.raises(IntegrityError), transaction.atomic():
            ModelPrice.objects.create(
                **GPT,
                organization=acme,
                provider_key_id=kept.provider_key_id,
                from_day=TODAY,
                input_microusd=1,
                output_microusd=1,
            )
    assert ModelPrice.objects.count() == 2


def test_budgets_count_by_the_same_prices(acme: Organization, key: ProviderKey) -> None:
    flat(acme, 2, from_day=date(2000, 1, 1))
    flat(acme, 1, key=key)
    with CaptureQueriesContext(connection) as captured:
        prices = Prices.of(acme.pk)
    assert len(captured) == 2
    fields: dict[str, Any] = GPT | LISTED | {"native_model": "gpt-4o", "answered": True, "at": NOON}
    assert prices.cost_microusd(**fields, key_id=key.pk) == booked_gpt(acme, key) == 1100
    assert prices.cost_microusd(**fields, key_id=UUID(int=9)) == booked_gpt(acme) == 2200
    assert prices.cost_microusd(**fields | {"input_tokens": 0, "output_tokens": 0}, key_id=key.pk) is None
    assert prices.cost_microusd(**fields | {"input_tokens": 0, "output_tokens": 0, "answered": False}, key_id=key.pk) == 0


def test_a_price_is_for_one_organization_and_one_provider(acme: Organization, globex: Organization) -> None:
    price(acme)
    assert booked(globex) is None
    assert booked(acme, provider="baseten") is None
    price(globex, input_microusd=0, output_microusd=1_000_000)
    assert (booked(acme), booked(globex)) == (90, 20)


@pytest.mark.parametrize("model", ["gpt-99", "openai/gpt-99", "OpenAI/GPT-99", "openai:gpt-99"])
def test_a_model_is_recognized_however_a_program_spells_it(acme: Organization, model: str) -> None:
    price(acme, provider="openai", model="openai/gpt-99")
    assert booked(acme, provider="openai", model=model, native_model="gpt-99") == 90


def test_a_price_of_nothing_is_known_and_what_has_no_tokens_is_not(acme: Organization) -> None:
    price(acme, input_microusd=0, output_microusd=0)
    assert booked(acme) == 0
    assert booked(acme, input_tokens=0, output_tokens=0) is None


def test_old_records_never_change(acme: Organization, alices: Client) -> None:
    assert booked(acme) is None
    alices.post(PRICES, TYPED)
    assert booked(acme) == 90
    alices.post(PRICES, TYPED | {"input": "5"})
    alices.post(reverse("model_price_remove", args=["acme", ModelPrice.objects.get().pk]))
    assert sorted(UsageEvent.objects.values_list("estimated_cost_microusd", flat=True), key=str) == [90, None]


def test_a_batch_asks_for_prices_of_each_kind_once(acme: Organization, globex: Organization) -> None:
    price(acme)
    with CaptureQueriesContext(connection) as captured:
        book([attempt(each, **UNKNOWN) for each in (acme, globex) for _ in range(20)])
    asked = [sum(table in each["sql"] for each in captured.captured_queries) for table in ("modelprice", "keyprice")]
    assert asked == [1, 1]


def test_the_highest_price_of_the_most_tokens_can_be_summed(acme: Organization) -> None:
    price(acme, input_microusd=10**10, output_microusd=10**10)
    assert booked(acme, input_tokens=MOST, output_tokens=MOST) == MOST


def test_page_and_csv_tell_an_own_price_like_any_other(alices: Client, acme: Organization) -> None:
    def lines() -> list[str]:
        return b"".join(alices.get(CSV).streaming_content).decode().splitlines()

    head, _ = lines()[0], price(acme)
    booked(acme, input_tokens=1_000_000, output_tokens=0)
    assert "$0.50" in alices.get(USAGE).text
    assert lines()[0] == head
    assert "0.500000" in lines()[1]


def test_own_prices_cost_the_usage_page_no_query(alices: Client, acme: Organization) -> None:
    booked(acme)
    price(acme)
    alices.get(USAGE)
    with CaptureQueriesContext(connection) as captured:
        assert PRICES in alices.get(USAGE).text
    assert len(captured) == 15


@given(*[some.integers(0, 10**10)] * 3, *[some.integers(0, MOST)] * 3)
def test_the_sum_is_exact_and_rounded_half_up(fresh: int, cached: int, output: int, new: int, again: int, out: int) -> None:
    rates = OwnPrice(fresh, cached, output)
    cost = rates.cost_microusd(input_tokens=new + again, cached_input_tokens=again, output_tokens=out)
    if cost is None:
        assert new == again == out == 0
    else:
        assert -500_000 <= new * fresh + again * cached + out * output - cost * 1_000_000 < 500_000


@pytest.mark.parametrize(("rate", "cost"), [(500_000, 1), (499_999, 0)])
def test_half_a_millionth_is_rounded_up(rate: int, cost: int) -> None:
    assert OwnPrice(rate, None, 0).cost_microusd(input_tokens=1, cached_input_tokens=0, output_tokens=0) == cost


@pytest.mark.parametrize(
    ("microusd", "shown"), [(0, "$0.00"), (1, "$0.000001"), (62_500, "$0.0625"), (2_500_000, "$2.50"), (10**10, "$10,000.00")]
)
def test_a_price_is_shown_with_all_its_figures(microusd: int, shown: str) -> None:
    assert exact_dollars(microusd) == shown
