"""The limits page, its forms, and the rows on the pages of keys: as Alice, Bob and Charlie see them."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from keys.models import ProviderKey
from orgs.actions import Actor
from orgs.models import AuditEvent, Organization, User
from tests.attempts import NOON, Keys, attempt, make_keys
from usage import actions, targets
from usage.ingest import book
from usage.models import Budget, Limit, Period, Scope, Unpriced

pytestmark = pytest.mark.django_db
BY = Actor.command("test")
DOLLAR = 1_000_000
PAGE = "/o/acme/limits/"
WHOLE = f"{PAGE}organization/"
NEW = {"do": "new", "new-period": "month", "new-amount": "400", "new-hard": "hard", "new-unpriced": "nothing"}
SENTENCE = re.compile(r"Nearly spent.*? is refused\.|Stopped .*?\.|Spent\. .*?\.|At this rate .*?\.\d\d\.")
type SignIn = Callable[[User], Client]


@pytest.fixture(autouse=True)
def at_noon(time_machine: Any) -> None:
    time_machine.move_to(NOON, tick=False)


@pytest.fixture
def alices(client_of: SignIn, alice: User, acme: Organization) -> Client:
    return client_of(alice)


@pytest.fixture
def bobs(client_of: SignIn, bob: User, acme: Organization) -> Client:
    return client_of(bob)


@pytest.fixture
def keys(acme: Organization) -> Keys:
    return make_keys(acme)


def text_of(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def spend(organization: Organization, dollars: float, **fields: Any) -> None:
    book([attempt(organization, reported_cost_microusd=round(dollars * DOLLAR), **fields)])


def budget(organization: Organization, dollars: float = 10, **fields: Any) -> Budget:
    fields = {"scope": Scope.ORGANIZATION, "period": Period.MONTH, "by": BY} | fields
    return actions.set_budget(organization=organization, amount_microusd=round(dollars * DOLLAR), **fields)


def told(organization: Organization) -> list[tuple[str, str, Any, Any]]:
    events = AuditEvent.objects.filter(organization=organization).exclude(tag="organization:create").order_by("pk")
    return [(event.tag, event.target_label, event.changes["before"], event.changes["after"]) for event in events]


def version(organization: Organization) -> int:
    organization.refresh_from_db()
    return organization.routing_version


# The writes


def test_a_limit_is_set_changed_and_removed_and_each_is_told(acme: Organization, keys: Keys) -> None:
    before, where = version(acme), {"organization": acme, "scope": "client_key", "target_id": str(keys.client.pk), "by": BY}
    nothing = {"requests_per_minute": None, "tokens_per_minute": None, "concurrent": None}
    actions.set_limit(**where, requests_per_minute=600)
    actions.set_limit(**where, requests_per_minute=600, concurrent=8)
    actions.set_limit(**where)
    rates = [nothing | {"requests_per_minute": 600}, nothing | {"requests_per_minute": 600, "concurrent": 8}]
    assert told(acme) == [
        ("client_key:set_limit", "Production", {}, rates[0]),
        ("client_key:set_limit", "Production", rates[0], rates[1]),
        ("client_key:remove_limit", "Production", rates[1], {}),
    ]
    assert version(acme) == before + 3
    assert not Limit.objects.exists()


def test_nothing_is_written_or_told_where_nothing_changes(acme: Organization) -> None:
    actions.set_limit(organization=acme, scope=Scope.ORGANIZATION, concurrent=3, by=BY)
    budget(acme)
    before, said = version(acme), told(acme)
    actions.set_limit(organization=acme, scope=Scope.ORGANIZATION, concurrent=3, by=BY)
    actions.remove_limit(limit=Limit(pk=uuid4(), organization=acme), by=BY)
    budget(acme)
    assert (version(acme), told(acme)) == (before, said)


def test_a_budget_keeps_its_place_when_its_amount_is_edited(acme: Organization) -> None:
    first = budget(acme, 10)
    Budget.objects.update(alerted={"80": True})
    second = budget(acme, 25, hard=False)
    assert (second.pk, second.alerted) == (first.pk, {"80": True})
    actions.remove_budget(budget=second, by=BY)
    tags = [(tag, before.get("amount_microusd"), after.get("amount_microusd")) for tag, _, before, after in told(acme)]
    assert tags == [
        ("organization:set_budget", None, 10 * DOLLAR),
        ("organization:set_budget", 10 * DOLLAR, 25 * DOLLAR),
        ("organization:remove_budget", 25 * DOLLAR, None),
    ]


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("id", ["", "0", "07", "nonsense", str(2**70), "4dade1bc-b83d-4d59-a177-2f5a58bc8c5b"])
def test_only_what_the_organization_has_gets_limits(acme: Organization, scope: Scope, id: str) -> None:
    if scope is Scope.ORGANIZATION and id == "":
        return budget(acme, scope=scope, target_id=id) and None
    with pytest.raises(targets.NoSuchTarget):
        budget(acme, scope=scope, target_id=id)
    with pytest.raises(targets.NoSuchTarget):
        actions.set_limit(organization=acme, scope=scope, target_id=id, concurrent=1, by=BY)
    return None


def test_anothers_people_and_keys_get_no_limits(acme: Organization, globex: Organization, charlie: User) -> None:
    theirs = make_keys(globex)
    ids = [("member", charlie.pk), ("client_key", theirs.client.pk), ("provider_key", theirs.provider.pk)]
    for scope, id in ids:
        with pytest.raises(targets.NoSuchTarget):
            budget(acme, scope=scope, target_id=str(id))
    assert not Budget.objects.exists()


def test_limits_of_what_has_gone_can_still_be_removed(acme: Organization, keys: Keys) -> None:
    left = budget(acme, scope="provider_key", target_id=str(keys.provider.pk))
    ProviderKey.objects.update(removed_at=NOON)
    actions.remove_budget(budget=left, by=BY)
    assert not Budget.objects.exists()
    assert told(acme)[-1][0] == "provider_key:remove_budget"


# The page of all


def test_the_page_tells_what_is_spent_of_each_budget(alices: Client, acme: Organization, keys: Keys) -> None:
    budget(acme, 400, scope="provider_key", target_id=str(keys.provider.pk))
    budget(acme, 1, scope="client_key", target_id=str(keys.client.pk), period=Period.DAY)
    actions.set_limit(organization=acme, scope="organization", requests_per_minute=6000, tokens_per_minute=100_000, by=BY)
    spend(acme, 188.15, key=keys.provider.pk)
    spend(acme, 2, client=keys.client.pk)
    page = text_of(alices, PAGE)
    assert "Acme All its requests together No budget 6,000 requests a minute 100,000 tokens a minute" in page
    assert "$188.15 of $400 this month Resets 1 Dec" in page
    assert "$2.00 of $1 today Resets 24 Nov Stopped at its limit until 24 Nov." in page
    assert "2 without limits Set limits of Alice Set limits of Bob" in page
    assert "47 percent of the monthly cap used" in alices.get(PAGE).text


@pytest.mark.parametrize(
    ("dollars", "changes", "words"),
    [
        (7.49, {}, ""),
        (7.51, {}, "At this rate it comes to $10.01."),
        (7.51, {"period": Period.LIFETIME}, ""),
        (9.5, {}, "Nearly spent: a request that could cost more than the $0.50 left is refused."),
        (9.5, {"hard": False}, "At this rate it comes to $12.67."),
        (10, {}, "Stopped at its limit until 1 Dec."),
        (10, {"hard": False}, "Spent. Requests are served all the same."),
        (10, {"period": Period.LIFETIME}, "Stopped at its limit until that is raised."),
        (10, {"period": Period.WEEK}, "Stopped at its limit until 30 Nov."),
    ],
)
def test_it_says_what_that_means_for_requests(
    alices: Client, acme: Organization, dollars: float, changes: dict[str, Any], words: str
) -> None:
    budget(acme, 10, **changes)
    spend(acme, dollars)
    sentences = SENTENCE.findall(text_of(alices, PAGE))
    assert sentences == ([words] if words else [])


def test_a_reset_in_another_year_is_told_with_the_year(
    client_of: SignIn, alice: User, acme: Organization, time_machine: Any
) -> None:
    time_machine.move_to(datetime(2026, 12, 31, 23, 30, tzinfo=UTC), tick=False)
    alices = client_of(alice)
    budget(acme)
    assert "Resets 1 Jan 2027" in text_of(alices, PAGE)
    Organization.objects.update(timezone="Europe/Berlin")  # where it is 2027 already
    page = text_of(alices, PAGE)
    assert "Resets 1 Feb" in page
    assert "midnight in Europe/Berlin time" in page


def test_members_see_what_is_everybodys_and_their_own(
    bobs: Client, acme: Organization, alice: User, bob: User, keys: Keys
) -> None:
    own = make_keys(acme, "Bobs").client
    own.owner = bob
    own.save()
    for person in (alice, bob):
        budget(acme, scope="member", target_id=str(person.pk))
    for client in (own, keys.client):
        budget(acme, scope="client_key", target_id=str(client.pk))
    budget(acme, scope="provider_key", target_id=str(keys.provider.pk))
    page = text_of(bobs, PAGE)
    assert page.count("$0.00 of $10") == 3
    assert "Bobs" in page
    assert "Alice" not in page
    assert str(keys.client.pk) not in bobs.get(PAGE).text
    assert "Edit" not in page
    Organization.objects.update(members_see_all=True)
    assert text_of(bobs, PAGE).count("$0.00 of $10") == 5


def test_the_page_takes_the_same_number_of_queries_however_many_limits_there_are(
    alices: Client, acme: Organization, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    def more(name: str) -> None:
        keys = make_keys(acme, name)
        for scope, pk in (("client_key", keys.client.pk), ("provider_key", keys.provider.pk)):
            budget(acme, scope=scope, target_id=str(pk))
            budget(acme, scope=scope, target_id=str(pk), period=Period.DAY)
            actions.set_limit(organization=acme, scope=scope, target_id=str(pk), concurrent=4, by=BY)

    more("One")
    alices.get(PAGE)
    with django_assert_num_queries(13):  # 6 of every page, 3 of whom they may be for, limits, budgets, 2 of what is spent
        alices.get(PAGE)
    more("Two")
    more("Three")
    with django_assert_num_queries(13):
        alices.get(PAGE)


# Setting them


def test_an_owner_adds_a_budget_and_sees_what_is_spent_already(alices: Client, acme: Organization) -> None:
    spend(acme, 100)
    assert alices.post(WHOLE, NEW).headers["Location"] == WHOLE
    page = text_of(alices, WHOLE)
    assert "The monthly budget of “Acme” is saved. Requests follow it within 2 seconds." in page
    assert "$100.00 of $400" in page
    found = Budget.objects.get()
    assert (found.amount_microusd, found.hard, found.unpriced, found.scope) == (400 * DOLLAR, True, "nothing", "organization")


def test_what_counts_without_a_price_must_be_chosen(alices: Client) -> None:
    answer = alices.post(WHOLE, NEW | {"new-unpriced": ""})
    assert answer.status_code == 422
    assert "Choose what a request counts for which no price is known." in answer.text
    assert 'value="400"' in answer.text
    assert "<title>Error: " in answer.text
    assert not Budget.objects.exists()


def test_an_assumed_price_must_be_said_and_is_dropped_with_the_choice(alices: Client) -> None:
    assert alices.post(WHOLE, NEW | {"new-unpriced": "assume"}).status_code == 422
    alices.post(WHOLE, NEW | {"new-unpriced": "assume", "new-assumed": "0.025"})
    assert (Budget.objects.get().unpriced, Budget.objects.get().assumed_microusd) == (Unpriced.ASSUME, 25_000)
    assert 'value="0.025"' in alices.get(WHOLE).text
    changed = {"month-amount": "50", "month-hard": "soft", "month-unpriced": "refuse", "month-assumed": "nonsense"}
    assert alices.post(WHOLE, {"do": "month", **changed}).status_code == 302
    found = Budget.objects.get()
    assert (found.amount_microusd, found.hard, found.unpriced, found.assumed_microusd) == (50 * DOLLAR, False, "refuse", 0)


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("", "Enter an amount in dollars, for example 50."),
        ("much", "Enter dollars as a number, for example 50."),
        ("0", "Enter at least 0.01 dollars."),
        ("-1", "Enter at least 0.01 dollars."),
        ("1.005", "Enter at most 2 decimals."),
        ("NaN", "Enter dollars as a number, for example 50."),
        ("1e30", "Enter at most 100,000,000 dollars."),
    ],
)
def test_an_amount_that_is_none_is_explained(alices: Client, amount: str, words: str) -> None:
    answer = alices.post(WHOLE, NEW | {"new-amount": amount})
    assert answer.status_code == 422
    assert words in answer.text
    assert not Budget.objects.exists()


def test_a_period_has_one_budget(alices: Client) -> None:
    alices.post(WHOLE, NEW)
    answer = alices.post(WHOLE, NEW | {"new-amount": "7"})
    assert answer.status_code == 422
    assert "There is a budget for this period already. Change that one." in answer.text
    for period in ("day", "week", "lifetime"):
        alices.post(WHOLE, NEW | {"new-period": period})
    assert "Add a budget" not in alices.get(WHOLE).text
    assert Budget.objects.get(period="month").amount_microusd == 400 * DOLLAR


def test_a_budget_is_removed_and_can_be_removed_twice(alices: Client) -> None:
    alices.post(WHOLE, NEW)
    for _ in range(2):
        assert alices.post(WHOLE, {"do": "remove month"}).status_code == 302
    assert not Budget.objects.exists()
    assert "The monthly budget of “Acme” is removed." in text_of(alices, WHOLE)


def test_limits_are_set_and_taken_away_by_emptying_them(alices: Client, acme: Organization, keys: Keys) -> None:
    url = f"{PAGE}client-keys/{keys.client.pk}/"
    alices.post(url, {"do": "limit", "requests_per_minute": "600", "tokens_per_minute": "", "concurrent": "8"})
    found = Limit.objects.get()
    assert (found.scope, found.target_id) == ("client_key", str(keys.client.pk))
    assert (found.requests_per_minute, found.tokens_per_minute, found.concurrent) == (600, None, 8)
    assert 'value="600"' in alices.get(url).text
    assert "600 requests a minute 8 at once" in text_of(alices, PAGE)
    assert alices.post(url, {"do": "limit", "requests_per_minute": "0"}).status_code == 422
    assert Limit.objects.get().requests_per_minute == 600
    alices.post(url, {"do": "limit"})
    assert not Limit.objects.exists()


@pytest.mark.parametrize("do", ["", "nonsense", "remove", "remove nonsense", "month"])
def test_a_form_that_says_nothing_lifts_nothing(alices: Client, acme: Organization, do: str) -> None:
    actions.set_limit(organization=acme, scope="organization", concurrent=8, by=BY)
    budget(acme, period=Period.DAY)
    assert alices.post(WHOLE, {"do": do}).status_code == 422
    assert (Limit.objects.count(), Budget.objects.count()) == (1, 1)


def test_a_card_saves_only_itself(alices: Client, acme: Organization) -> None:
    """Somebody else changes the budget while this page is open."""
    budget(acme, 10)
    alices.get(WHOLE)
    budget(acme, 20)
    alices.post(WHOLE, {"do": "limit", "concurrent": "8"})
    assert Budget.objects.get().amount_microusd == 20 * DOLLAR


def test_pages_exist_for_what_the_organization_has(alices: Client, alice: User, charlie: User, keys: Keys) -> None:
    for path in (f"members/{alice.pk}", f"client-keys/{keys.client.pk}", f"provider-keys/{keys.provider.pk}"):
        assert alices.get(f"{PAGE}{path}/").status_code == 200
    other = (f"members/{charlie.pk}", "members/x", "members/01", f"client-keys/{keys.provider.pk}", "client-keys/1", "teams/1")
    for path in other:
        assert alices.get(f"{PAGE}{path}/").status_code == 404
        assert alices.post(f"{PAGE}{path}/", NEW).status_code == 404
    assert not Budget.objects.exists()


def test_a_provider_key_is_passed_over_and_not_refused(alices: Client, acme: Organization, keys: Keys) -> None:
    url = f"{PAGE}provider-keys/{keys.provider.pk}/"
    assert "Pass over this key" in alices.get(url).text
    budget(acme, 10, scope="provider_key", target_id=str(keys.provider.pk))
    spend(acme, 9.9, key=keys.provider.pk)
    assert "could cost more than the $0.10 left passes it over." in text_of(alices, url)


# The pages of keys


def test_the_page_of_a_key_shows_its_cap(alices: Client, bobs: Client, acme: Organization, keys: Keys) -> None:
    page = f"/o/acme/providers/{keys.provider.pk}/"
    assert "Set a budget or a rate limit" in text_of(alices, page)
    budget(acme, 400, scope="provider_key", target_id=str(keys.provider.pk))
    spend(acme, 188.15, key=keys.provider.pk)
    for client in (alices, bobs):
        assert "Monthly cap $188.15 of $400 Resets 1 Dec" in text_of(client, page)
    assert f"{PAGE}provider-keys/{keys.provider.pk}/" in alices.get(page).text
    assert f"{PAGE}provider-keys/{keys.provider.pk}/" not in bobs.get(page).text


def test_the_history_of_a_key_tells_its_cap(alices: Client, acme: Organization, keys: Keys) -> None:
    where = {"scope": "provider_key", "target_id": str(keys.provider.pk)}
    budget(acme, 250, **where)
    budget(acme, 400, **where)
    actions.set_limit(organization=acme, requests_per_minute=6, by=BY, **where)
    actions.remove_budget(budget=Budget.objects.get(), by=BY)
    page = text_of(alices, f"/o/acme/providers/{keys.provider.pk}/")
    for words in ("Monthly cap of $250 set", "Monthly cap changed from $250 to $400", "Rate limit set", "Monthly cap removed"):
        assert words in page


def test_the_page_of_a_client_key_shows_its_limits_and_that_it_is_stopped(alices: Client, acme: Organization, keys: Keys) -> None:
    page, where = f"/o/acme/client-keys/{keys.client.pk}/", {"scope": "client_key", "target_id": str(keys.client.pk)}
    assert "Nothing is set, so only the limits" in text_of(alices, page)
    budget(acme, 5, **where)
    actions.set_limit(organization=acme, requests_per_minute=600, by=BY, **where)
    spend(acme, 5, client=keys.client.pk)
    shown = text_of(alices, page)
    assert "Stopped at its limit until 1 Dec." in shown
    assert "Monthly cap $5.00 of $5 Resets 1 Dec" in shown
    assert "Rate limit 600 requests a minute" in shown


def test_the_overview_shows_the_client_keys_nearest_their_limits(
    alices: Client, bobs: Client, acme: Organization, bob: User
) -> None:
    assert "Client key limits" not in text_of(alices, "/o/acme/")
    for number in range(6):
        client = make_keys(acme, f"App {number}").client
        budget(acme, 10, scope="client_key", target_id=str(client.pk))
        budget(acme, 100, scope="client_key", target_id=str(client.pk), period=Period.DAY)
        spend(acme, 2 * number, client=client.pk)
    client.owner = bob  # of the last one
    client.save()
    shown = re.findall(r"App \d \$[\d.]+ of \$\d+ this month", text_of(alices, "/o/acme/"))
    assert shown == [f"App {number} ${2 * number}.00 of $10 this month" for number in (5, 4, 3, 2)]
    assert re.findall(r"App \d \$", text_of(bobs, "/o/acme/")) == ["App 5 $"]
