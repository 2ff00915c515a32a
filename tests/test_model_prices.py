"""An organization's own prices: set and deleted by owners, and counted where nothing else gives a price."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as some

from orgs.actions import Actor
from orgs.models import AuditEvent, Organization, User
from tests.attempts import NOON, attempt
from usage.actions import set_model_price
from usage.figures import exact_dollars
from usage.ingest import MOST, book
from usage.models import DailyRollup, ModelPrice, UsageEvent
from usage.prices import own_cost_microusd

pytestmark = pytest.mark.django_db
PRICES, USAGE, CSV = "/o/acme/usage/prices/", "/o/acme/usage/", "/o/acme/usage.csv"
TYPED = {"provider": "deepinfra", "model": "someone/new", "input": "0.5", "output": "2"}
UNKNOWN: dict[str, Any] = {"provider": "deepinfra", "model": "someone/new", "native_model": "someone/new"}
type SignIn = Callable[[User], Client]


@pytest.fixture(autouse=True)
def at_noon(time_machine: Any) -> None:
    time_machine.move_to(NOON, tick=False)


@pytest.fixture
def alices(alice: User, acme: Organization, client_of: SignIn) -> Client:
    return client_of(alice)


def price(organization: Organization, **said: Any) -> ModelPrice:
    usual: dict[str, Any] = {
        "provider": "deepinfra",
        "model": "someone/new",
        "input_microusd": 500_000,
        "output_microusd": 2_000_000,
    }
    return set_model_price(organization=organization, by=Actor.command("test"), **usual | said)


def booked(organization: Organization, **facts: Any) -> int | None:
    """What an attempt costs that is booked now."""
    done = attempt(organization, **UNKNOWN | facts)
    book([done])
    return UsageEvent.objects.get(pk=UUID(done.opened.id)).estimated_cost_microusd


# The page


def test_an_owner_sets_a_price_and_sees_it(alices: Client, alice: User) -> None:
    answer = alices.post(PRICES, TYPED | {"model": "Someone/New", "input": "0.0625"}, follow=True)
    assert "Your price for someone/new at DeepInfra counts from now on." in answer.text
    assert "$0.0625<" in answer.text
    assert "$2.00<" in answer.text
    kept = ModelPrice.objects.get()
    assert (kept.model, kept.input_microusd, kept.output_microusd, kept.created_by) == ("someone/new", 62_500, 2_000_000, alice)


def test_a_second_price_replaces_the_first_and_both_are_in_the_audit_log(alices: Client, alice: User) -> None:
    for dollars in ("1", "3"):
        alices.post(PRICES, TYPED | {"input": dollars})
    assert ModelPrice.objects.get().input_microusd == 3_000_000
    event = AuditEvent.objects.latest("pk")
    assert (event.tag, event.actor, event.target_label) == ("model_price:set", alice, "someone/new at DeepInfra")
    assert [event.changes[when]["input_microusd"] for when in ("before", "after")] == [1_000_000, 3_000_000]


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


def test_the_providers_word_goes_first_then_the_list_then_the_own_price(acme: Organization) -> None:
    for provider, model in (("openai", "openai/gpt-4o"), ("deepinfra", "someone/new")):
        price(acme, provider=provider, model=model, input_microusd=1, output_microusd=1)
    listed = {"provider": "openai", "model": "openai/gpt-4o", "native_model": "gpt-4o"}
    assert booked(acme, **listed, reported_cost_microusd=7) == 7
    assert booked(acme, **listed, input_tokens=1000, output_tokens=100) == 3500
    assert booked(acme, reported_cost_microusd=7) == 7
    assert booked(acme, input_tokens=1_000_000, output_tokens=0) == 1
    assert booked(acme, model="someone/other") is None


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


@given(*[some.integers(0, 10**10)] * 2, *[some.integers(0, MOST)] * 2)
def test_the_sum_is_exact_and_rounded_half_up(fresh: int, output: int, tokens_in: int, tokens_out: int) -> None:
    cost = own_cost_microusd(fresh, output, input_tokens=tokens_in, output_tokens=tokens_out)
    if cost is None:
        assert tokens_in == tokens_out == 0
    else:
        assert -500_000 <= tokens_in * fresh + tokens_out * output - cost * 1_000_000 < 500_000


def test_half_a_millionth_is_rounded_up() -> None:
    assert own_cost_microusd(500_000, 0, input_tokens=1, output_tokens=0) == 1
    assert own_cost_microusd(499_999, 0, input_tokens=1, output_tokens=0) == 0


@pytest.mark.parametrize(
    ("microusd", "shown"), [(0, "$0.00"), (1, "$0.000001"), (62_500, "$0.0625"), (2_500_000, "$2.50"), (10**10, "$10,000.00")]
)
def test_a_price_is_shown_with_all_its_figures(microusd: int, shown: str) -> None:
    assert exact_dollars(microusd) == shown
