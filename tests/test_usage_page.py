"""The usage page and its CSV: what they add up to, how they are filtered, and who may look."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from html import unescape
from typing import Any
from uuid import UUID, uuid4

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from keys.models import ProviderKey
from orgs.models import Organization, User
from tests.attempts import NOON, attempt, id_given, make_keys
from usage import periods, queries
from usage.exports import csv_lines, guarded
from usage.ingest import book
from usage.journal import NO_KEY
from usage.models import DailyRollup, HourlyRollup
from usage.periods import zone
from usage.recent import recent
from usage.reports import MEASURE, OTHER, Totals, names_of, report

pytestmark = pytest.mark.django_db
USAGE = "/o/acme/usage/"
CSV = "/o/acme/usage.csv"
FOCUS = "/o/acme/usage-focus.csv"
type SignIn = Callable[[User], Client]


@pytest.fixture(autouse=True)
def at_noon(time_machine: Any) -> None:
    time_machine.move_to(NOON, tick=False)


@pytest.fixture
def owner(alice: User, acme: Organization, client_of: SignIn) -> Client:
    return client_of(alice)


def text_of(client: Client, url: str, **headers: str) -> str:
    response = client.get(url, headers=headers)
    assert response.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def rows_of(client: Client, url: str = CSV) -> list[dict[str, str]]:
    response = client.get(url)
    assert response.status_code == 200
    return list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode(), newline="")))


def test_the_page_shows_five_numbers(owner: Client, acme: Organization) -> None:
    book(
        [
            attempt(acme, input_tokens=1_000_000, output_tokens=100_000),
            attempt(acme, outcome="error", input_tokens=0, output_tokens=0),
        ]
    )
    page = text_of(owner, USAGE)
    assert "Requests 2 None in the 30 days before" in page
    assert "Tokens 1.1M 100k of them output" in page
    assert "Estimated cost $3.50 From list prices and your own. Your invoices decide." in page
    assert "Errors 50% 1 failed request" in page
    assert "Median latency 1.25 s" in page


def test_failures_that_another_key_rescued_are_told_apart(owner: Client, acme: Organization) -> None:
    book([attempt(acme, outcome="absorbed", input_tokens=0, output_tokens=0), attempt(acme)])
    page = text_of(owner, USAGE)
    assert "Requests 1 " in page
    assert "Errors 0% 1 more failure rescued by another key." in page


def test_a_request_that_was_refused_is_a_request_and_an_error_without_cost(owner: Client, acme: Organization) -> None:
    nothing = {
        "provider": "",
        "native_model": "",
        "tier": "",
        "number": 0,
        "latency_ms": None,
        "input_tokens": 0,
        "output_tokens": 0,
    }
    refused = [attempt(acme, key=UUID(NO_KEY), outcome="refused", model=f"m{number % 3}", **nothing) for number in range(6)]
    book([*refused, attempt(acme, input_tokens=1_000_000, output_tokens=0)])
    page = text_of(owner, USAGE)
    assert "Requests 7 " in page
    assert "Estimated cost $2.50 From list prices and your own." in page
    assert "Errors 85.7% 6 failed requests" in page
    assert "Median latency 1.25 s" in page
    assert "Refused 6 85.7% 0 0 100% errors – $0.00" in page
    assert "No provider" not in page
    by_key = owner.get(f"{USAGE}?by=key").content.decode()
    assert ">Refused<" in by_key
    assert f"?by=key&amp;key={NO_KEY}" in by_key
    assert "Requests 6 " in text_of(owner, f"{USAGE}?key={NO_KEY}")
    assert [row["provider"] for row in rows_of(owner)] == ["No provider", "OpenAI"]


def test_refused_requests_are_a_series_of_their_own_beside_the_others(owner: Client, acme: Organization) -> None:
    slugs = ["", "openai", "groq", "anthropic", "xai", "azure", "bedrock", "vertex", "fal"]
    book([attempt(acme, provider=slug) for slug in slugs for _ in range(2 if slug == "" else 1)])
    shown = report(acme, queries.read({"m": "requests"}, zone("UTC"), NOON))
    assert shown.series[0] == ""
    assert shown.series[-1] == OTHER
    assert shown.buckets[-1][1] == [2, 1, 1, 1, 1, 1, 3]


def test_an_unknown_price_is_never_shown_as_nothing(owner: Client, acme: Organization) -> None:
    book([attempt(acme, provider="deepinfra", native_model="someone/new")])
    assert "Estimated cost – No price known." in text_of(owner, USAGE)
    assert rows_of(owner)[0]["estimated_cost_usd"] == ""
    book([attempt(acme, input_tokens=1_000_000, output_tokens=0)])
    assert "Estimated cost $2.50 No price known for 1 request." in text_of(owner, USAGE)


def test_numbers_are_compared_with_the_period_before(owner: Client, acme: Organization) -> None:
    earlier = NOON - timedelta(days=7)
    book([attempt(acme, at=earlier) for _ in range(4)] + [attempt(acme), attempt(acme, outcome="error")])
    page = text_of(owner, f"{USAGE}?range=7d")
    assert "Requests 2 50% fewer than in the 7 days before" in page
    assert "Errors 50% 50.0 points worse." in page


@pytest.mark.parametrize(
    ("by", "name"), [("provider", "OpenAI"), ("key", "OpenAI Production"), ("model", "openai/gpt-4o"), ("client", "Production")]
)
def test_the_breakdown_names_its_items(owner: Client, acme: Organization, by: str, name: str) -> None:
    keys = make_keys(acme)
    book([attempt(acme, key=keys.provider.id, client=keys.client.id, input_tokens=1000)])
    assert f"{name} 1 100% 1k 20 0% errors 1.25 s $0.0027" in text_of(owner, f"{USAGE}?by={by}")


def test_a_removed_key_keeps_its_name(owner: Client, acme: Organization) -> None:
    keys = make_keys(acme, removed_at=NOON)
    book([attempt(acme, key=keys.provider.id)])
    assert "OpenAI Production" in text_of(owner, f"{USAGE}?by=key")


def test_hints_are_not_on_the_page(client_of: SignIn, bob: User, acme: Organization) -> None:
    keys = make_keys(acme)
    book([attempt(acme, key=keys.provider.id, client=keys.client.id)])
    for url in (f"{USAGE}?by=key", f"{USAGE}?by=client", "/o/acme/"):
        assert "AbCd" not in client_of(bob).get(url).content.decode()


@pytest.mark.parametrize("name", ["provider", "key", "model", "client"])
def test_a_filter_narrows_page_and_csv(owner: Client, acme: Organization, name: str) -> None:
    ours, other = make_keys(acme, "Ours"), make_keys(acme, "Other", "groq")
    book([attempt(acme, key=ours.provider.id, client=ours.client.id)])
    book([attempt(acme, key=other.provider.id, client=other.client.id, provider="groq", model="meta/llama")])
    value = {"provider": "openai", "key": ours.provider.id, "model": "openai/gpt-4o", "client": ours.client.id}[name]
    assert "Requests 1 " in text_of(owner, f"{USAGE}?{name}={value}")
    assert [row["requests"] for row in rows_of(owner, f"{CSV}?{name}={value}")] == ["1"]


def test_ids_of_others_and_nonsense_match_nothing(owner: Client, acme: Organization, globex: Organization) -> None:
    foreign = make_keys(globex)
    book([attempt(acme), attempt(globex, key=foreign.provider.id)])
    answers = {text_of(owner, f"{USAGE}?key={key}") for key in (foreign.provider.id, uuid4(), "nonsense", "%00")}
    assert len(answers) == 1
    assert "No request matches these filters" in answers.pop()


@pytest.mark.parametrize(
    "query",
    [
        "range=1000y",
        "by=secret",
        "m=x",
        "sort=x",
        "from=2026-02-31",
        "from=0001-01-01",
        "to=9999-12-31",
        "model=%00",
        "provider=%27",
    ],
)
def test_nonsense_in_the_url_is_no_error(owner: Client, acme: Organization, query: str) -> None:
    assert owner.get(f"{USAGE}?{query}").status_code == 200
    assert owner.get(f"{CSV}?{query}").status_code == 200


def test_the_url_is_the_state_and_links_keep_it(owner: Client, acme: Organization) -> None:
    book([attempt(acme)])
    page = owner.get(f"{USAGE}?range=7d&by=model&m=tokens").content.decode()
    assert 'href="?range=7d&amp;by=model&amp;m=cost"' in page
    assert 'href="?range=7d&amp;by=client&amp;m=tokens"' in page
    assert 'href="/o/acme/usage.csv?range=7d&amp;by=model&amp;m=tokens"' in page


def test_htmx_gets_the_report_alone_and_history_the_page(owner: Client, acme: Organization) -> None:
    fragment = owner.get(USAGE, headers={"hx-request": "true"})
    assert fragment.content.decode().strip().startswith('<div class="stack" id="report"')
    assert "HX-Request" in fragment["Vary"]
    restored = owner.get(USAGE, headers={"hx-request": "true", "hx-history-restore-request": "true"})
    assert restored.content.decode().startswith("<!doctype html>")


def test_empty_states_are_told_apart(owner: Client, acme: Organization) -> None:
    assert "No requests yet" in text_of(owner, USAGE)
    book([attempt(acme, at=NOON - timedelta(days=3))])
    assert "No requests in these 24 hours The last one was on 20 November at 12:00 UTC. Show that day" in text_of(
        owner, f"{USAGE}?range=24h"
    )
    assert "No request matches these filters" in text_of(owner, f"{USAGE}?provider=groq")
    assert "Requests 1 " in text_of(owner, f"{USAGE}?from=2026-11-20&to=2026-11-20")


def test_single_keys_have_no_hourly_figures(owner: Client, acme: Organization) -> None:
    book([attempt(acme)])
    assert "Requests per hour by provider" in text_of(owner, f"{USAGE}?range=24h")
    page = text_of(owner, f"{USAGE}?range=24h&by=key")
    assert "There are no hourly figures for single keys and people. Showing days." in page
    assert "Requests per day by provider key" in page


def test_dates_in_either_order_are_cut_to_a_year(owner: Client, acme: Organization) -> None:
    book([attempt(acme)])
    page = text_of(owner, f"{USAGE}?from=2026-11-23&to=2020-01-01")
    assert "23 November 2025 to 23 November, in UTC." in page
    assert "Showing the last 366 days of it." in page


def test_a_day_is_the_organizations_day(owner: Client, acme: Organization) -> None:
    acme.timezone = "Asia/Kolkata"
    acme.save()
    book(
        [
            attempt(acme, at=datetime(2026, 11, 22, 18, 29, tzinfo=UTC)),
            attempt(acme, at=datetime(2026, 11, 22, 18, 30, tzinfo=UTC)),
        ]
    )
    assert [(row["day"], row["requests"]) for row in rows_of(owner)] == [("2026-11-22", "1"), ("2026-11-23", "1")]
    assert "in Asia/Kolkata time." in text_of(owner, USAGE)
    hours = rows_of(owner, f"{CSV}?range=24h")
    assert [row["hour"] for row in hours] == ["2026-11-22T23:30:00+05:30"]
    assert hours[0]["requests"] == "2"


def test_the_hour_that_comes_twice_is_counted_once_a_day(acme: Organization, time_machine: Any) -> None:
    """25 October 2026 in Berlin has 25 hours: 00:30 UTC and 01:30 UTC are both 02:30 there."""
    acme.timezone = "Europe/Berlin"
    acme.save()
    midnight = datetime(2026, 10, 24, 22, tzinfo=UTC)
    book([attempt(acme, at=midnight + timedelta(hours=hour)) for hour in range(-1, 26)])
    days = dict(DailyRollup.objects.order_by("day").values_list("day", "requests"))
    assert days == {date(2026, 10, 24): 1, date(2026, 10, 25): 25, date(2026, 10, 26): 1}
    assert HourlyRollup.objects.count() == 27
    query = queries.read({"from": "2026-10-24", "to": "2026-10-26"}, zone("Europe/Berlin"), NOON)
    assert [sum(values) for _, values in report(acme, query).buckets] == [1, 25, 1]


def test_an_unknown_time_zone_counts_as_utc(acme: Organization) -> None:
    acme.timezone = "Mars/Olympus"
    acme.save()
    assert book([attempt(acme)]) == 1
    assert periods.zone("../etc/passwd").key == "UTC"


def some_attempt(acme: Organization) -> some.SearchStrategy[Any]:
    return some.builds(
        lambda hours, **facts: attempt(acme, at=NOON - timedelta(hours=hours), **facts),
        hours=some.integers(0, 24 * 40),
        key=some.sampled_from([UUID(int=number) for number in range(9)]),
        client=some.sampled_from([UUID(int=number) for number in range(4)]),
        provider=some.sampled_from(["openai", "groq", "fal", "gone"]),
        model=some.sampled_from([f"openai/model-{number}" for number in range(9)]),
        outcome=some.sampled_from(["ok", "error", "absorbed", "cancelled"]),
        input_tokens=some.integers(0, 10**6),
        output_tokens=some.integers(0, 10**6),
        reported_cost_microusd=some.none() | some.integers(0, 10**7),
        latency_ms=some.none() | some.integers(0, 10**5),
    )


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=some.data())
def test_every_breakdown_adds_up_to_the_total_and_to_the_csv(acme: Organization, data: some.DataObject) -> None:
    DailyRollup.objects.all().delete()
    HourlyRollup.objects.all().delete()
    book(data.draw(some.lists(some_attempt(acme), max_size=40)))
    span = data.draw(some.sampled_from(["24h", "7d", "30d", "90d"]))
    for by in queries.COLUMNS:
        measure = data.draw(some.sampled_from(queries.MEASURES))
        query = queries.read({"range": span, "by": by, "m": measure}, zone("UTC"), NOON)
        shown = report(acme, query)
        items = Totals()
        for _, totals in shown.items:
            items.add(totals)
        assert items == shown.total
        assert sum(sum(values) for _, values in shown.buckets) == MEASURE[measure].of(shown.total)
        exported = list(csv.DictReader(io.StringIO("".join(csv_lines(acme, query)), newline="")))
        for column, value in (("requests", shown.total.requests), ("input_tokens", shown.total.input_tokens)):
            assert sum(int(row[column]) for row in exported) == value
        cost = sum((Decimal(row["estimated_cost_usd"] or 0) for row in exported), Decimal(0))
        assert cost * 10**6 == shown.total.cost_microusd


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\0"])
def test_no_name_becomes_a_formula(start: str) -> None:
    assert guarded(f"{start}cmd") == f"'{start}cmd"
    assert guarded("Production") == "Production"


def test_hostile_names_come_back_from_the_csv_as_they_are(owner: Client, acme: Organization) -> None:
    names = ['=HYPERLINK("http://x","y")', 'quote " comma , line\r\nend', "@SUM(1)", "Größe 模型"]
    keys = [make_keys(acme, name) for name in names]
    book([attempt(acme, key=each.provider.id, client=each.client.id) for each in keys])
    exported = {row["client_key"] for row in rows_of(owner, f"{CSV}?by=client")}
    assert exported == {f"'{name}" if name[0] in "=@" else name for name in names}


def test_the_csv_streams_and_is_not_kept(owner: Client, acme: Organization) -> None:
    response = owner.get(f"{CSV}?range=7d")
    assert response.streaming
    assert response["Content-Disposition"] == 'attachment; filename="acme-usage-2026-11-17-to-2026-11-23.csv"'
    assert response["Cache-Control"] == "private, no-store"
    b"".join(response.streaming_content)


def test_the_csv_streams_under_asgi(owner: Client) -> None:
    async def fetch() -> bytes:
        client = AsyncClient()
        client.cookies = owner.cookies
        response = await client.get(CSV)
        return b"".join([part async for part in response.streaming_content])

    assert async_to_sync(fetch)().startswith(b"day,provider_slug,provider,requests")


def test_more_items_than_rows_end_in_one_row_for_the_rest(owner: Client, acme: Organization) -> None:
    book([attempt(acme, model=f"openai/model-{number:03}") for number in range(103)])
    page = text_of(owner, f"{USAGE}?by=model")
    assert "3 others, in the CSV 3 " in page
    assert "All models 103 " in page
    assert len(rows_of(owner, f"{CSV}?by=model")) == 103


def test_the_number_of_queries_does_not_grow_with_events(owner: Client, acme: Organization) -> None:
    def queries_of(url: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            response = owner.get(url)
            if response.streaming:
                b"".join(response.streaming_content)
        return len(captured)

    urls = (USAGE, f"{USAGE}?range=24h", f"{USAGE}?by=client&range=90d", CSV, "/o/acme/")
    book([attempt(acme)])
    make_keys(acme, "First")
    text_of(owner, USAGE)
    few = [queries_of(url) for url in urls]
    clients = [make_keys(acme, f"Key {number}") for number in range(20)]
    for batch in range(20):
        book(many(acme, batch, [each.client.id for each in clients]))
    assert DailyRollup.objects.count() > 1000
    assert [queries_of(url) for url in urls] == few == [15, 15, 15, 13, 19]  # of an export, five are its audit event


def test_the_database_adds_up_and_hands_over_few_rows(acme: Organization) -> None:
    book(many(acme, 0, [uuid4() for _ in range(20)]))
    with CaptureQueriesContext(connection) as captured:
        report(acme, queries.read({}, zone("UTC"), NOON))
    sums = [each["sql"] for each in captured.captured_queries if "SUM(" in each["sql"]]
    assert [rows_from(sql) for sql in sums] == [1, 1, 30]


def rows_from(sql: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return len(cursor.fetchall())


def many(acme: Organization, batch: int, clients: list[UUID]) -> list[Any]:
    started = (NOON - timedelta(minutes=number * 51 + batch) for number in range(2500))
    return [
        attempt(acme, at=at, client=clients[number % 20], model=f"openai/model-{number % 7}") for number, at in enumerate(started)
    ]


def test_outsiders_and_strangers_find_nothing(client_of: SignIn, charlie: User, acme: Organization) -> None:
    for url in (USAGE, CSV, "/o/acme/"):
        assert client_of(charlie).get(url).status_code == 404
        assert Client().get(url).status_code == 302


def test_a_member_sees_usage(client_of: SignIn, bob: User, acme: Organization) -> None:
    book([attempt(acme)])
    assert "Requests 1 " in text_of(client_of(bob), USAGE)
    assert len(rows_of(client_of(bob))) == 1


def test_another_organizations_usage_is_not_counted(owner: Client, acme: Organization, globex: Organization) -> None:
    book([attempt(globex), attempt(globex), attempt(acme)])
    assert "Requests 1 " in text_of(owner, USAGE)
    assert ProviderKey.objects.count() == 0


def links_of(client: Client, url: str) -> set[str]:
    return {unescape(link) for link in re.findall(r'href="(\?[^"]*)"', client.get(url).content.decode())}


def test_every_number_leads_to_what_is_behind_it(owner: Client, acme: Organization) -> None:
    facts: dict[str, Any] = {"outcome": "error", "input_tokens": 0, "output_tokens": 0}
    book([attempt(acme), attempt(acme), attempt(acme, **facts), attempt(acme, provider="groq", at=NOON - timedelta(days=1))])
    links = links_of(owner, f"{USAGE}?range=7d")
    for link, requests in (
        ("?range=7d&result=failed#requests", "1"),
        ("?range=7d&provider=openai#requests", "3"),
        ("?range=7d&provider=openai&result=failed#requests", "1"),
        ("?range=7d&provider=openai&m=cost", "3"),
        ("?from=2026-11-22&to=2026-11-22", "1"),
        ("?provider=openai&from=2026-11-23&to=2026-11-23", "3"),
    ):
        assert link in links
        assert f"Requests {requests} " in text_of(owner, USAGE + link.partition("#")[0])


def test_what_is_zero_and_what_has_no_filter_leads_nowhere(owner: Client, acme: Organization) -> None:
    book([attempt(acme, provider="", outcome="refused", input_tokens=0, output_tokens=0)])
    links = links_of(owner, f"{USAGE}?range=7d")
    assert not [link for link in links if "provider=" in link and "by=" not in link]
    assert "?from=2026-11-23&to=2026-11-23" in links


@pytest.mark.parametrize(("result", "words"), [("ok", "Answered"), ("failed", "Failed"), ("cancelled", "Program left")])
def test_requests_are_filtered_by_how_they_ended(owner: Client, acme: Organization, result: str, words: str) -> None:
    book([attempt(acme, outcome=outcome) for outcome in ("ok", "error", "cancelled", "absorbed")])
    page = text_of(owner, f"{USAGE}?result={result}&range=24h")
    assert f"Result {words} , remove filter" in page
    assert "Requests 1 " in page
    assert "Requests per hour" in page
    assert [row["requests"] for row in rows_of(owner, f"{CSV}?result={result}&by=client")] == ["1"]


def test_rescued_failures_are_a_result_of_their_own(owner: Client, acme: Organization) -> None:
    rescued, answered = id_given(NOON), id_given(NOON)
    book([attempt(acme, outcome="absorbed", request_id=str(rescued)), attempt(acme, request_id=str(answered))])
    page = owner.get(f"{USAGE}?result=rescued").content.decode()
    assert "Latest rescued failures" in page
    assert f"/requests/{rescued}/" in page
    assert f"/requests/{answered}/" not in page
    assert f"/requests/{rescued}/" not in owner.get(USAGE).content.decode()


def test_usage_is_broken_down_by_person(owner: Client, acme: Organization, alice: User, bob: User) -> None:
    book([attempt(acme, member_id=alice.pk), attempt(acme, member_id=bob.pk), attempt(acme), attempt(acme, member_id=999_999)])
    page = text_of(owner, f"{USAGE}?by=member")
    for name in ("Alice", "Bob", "Nobody’s", "Former member"):
        assert f"{name} 1 25%" in page
    assert "Everybody 4 " in page
    assert "Person Bob , remove filter" in text_of(owner, f"{USAGE}?member={bob.pk}")
    assert "Requests 1 " in text_of(owner, f"{USAGE}?member=0")


def test_the_latest_requests_are_listed_with_their_walks(owner: Client, acme: Organization, alice: User) -> None:
    keys = make_keys(acme)
    ids = [id_given(NOON) for _ in range(3)]
    facts: dict[str, Any] = {"key": keys.provider.id, "client": keys.client.id, "member_id": alice.pk}
    book(
        [
            attempt(acme, request_id=str(ids[0]), at=NOON - timedelta(hours=1), **facts),
            attempt(acme, request_id=str(ids[1]), outcome="error", at=NOON - timedelta(hours=2), estimated=True, **facts),
            attempt(acme, request_id=str(ids[2]), provider="deepinfra", native_model="someone/new", at=NOON - timedelta(days=2)),
        ]
    )
    page = text_of(owner, USAGE).partition("Latest requests")[2]
    assert "23 Nov, 11:00:00 openai/gpt-4o Answered OpenAI Production Production Alice 120 1.20 s $0.0004" in page
    assert "23 Nov, 10:00:00 openai/gpt-4o Failed OpenAI Production Production Alice about 120 1.20 s about $0.0004" in page
    assert "21 Nov, 12:00:00 openai/gpt-4o Answered Shared key Former key Nobody’s 120 1.20 s no price known" in page
    assert f'href="/o/acme/requests/{ids[1]}/"' in owner.get(USAGE).content.decode()
    assert "21 Nov" not in text_of(owner, f"{USAGE}?range=24h").partition("Latest requests")[2]


def all_pages(client: Client, url: str) -> Iterator[str]:
    while url:
        page = client.get(url).content.decode()
        yield page
        older = re.search(r'href="([^"]*before=[^"]*)#requests"[^>]*>Older', page)
        url = USAGE + unescape(older[1]) if older else ""


def test_the_list_goes_on_page_by_page(owner: Client, acme: Organization) -> None:
    book([attempt(acme, at=NOON - timedelta(hours=number)) for number in range(45)])
    found = [re.findall(r"/requests/(01[^/]*)/", page) for page in all_pages(owner, USAGE)]
    assert [len(page) for page in found] == [20, 20, 5]
    assert len({id for page in found for id in page}) == 45


def test_a_page_of_the_list_is_left_by_every_other_choice(owner: Client, acme: Organization) -> None:
    book([attempt(acme, at=NOON - timedelta(hours=number)) for number in range(25)])
    (older,) = {link for link in links_of(owner, USAGE) if "before=" in link}
    assert [link for link in links_of(owner, USAGE + older.partition("#")[0]) if "before=" in link] == []


@pytest.mark.parametrize("before", ["", "x", "2026-11-23T12:00:00~x", "0001-01-01T00:00:00+14:00~", "9999-12-31T23:59:59-12:00~"])
def test_nonsense_pages_of_the_list_are_no_error(owner: Client, acme: Organization, before: str) -> None:
    book([attempt(acme)])
    assert owner.get(USAGE, {"before": before + str(UUID(int=1)) if before.endswith("~") else before}).status_code == 200


@pytest.mark.parametrize("zones", [("Pacific/Kiritimati", "Pacific/Honolulu"), ("Pacific/Honolulu", "Pacific/Kiritimati")])
def test_the_list_survives_a_change_of_the_time_zone(acme: Organization, zones: tuple[str, str]) -> None:
    """Sums keep the days they were booked on; the requests of the last hours are looked for beyond them."""
    acme.timezone = zones[0]
    acme.save()
    book([attempt(acme, at=NOON - timedelta(minutes=number)) for number in range(5)])
    query = queries.read({"range": "7d", "provider": "openai"}, zone(zones[1]), NOON)
    assert len(recent(acme, query, names_of(acme, None)).lines) == 5


def test_the_list_goes_on_through_one_moment_and_over_quiet_days(owner: Client, acme: Organization) -> None:
    """30 requests of one moment, then some that are days apart: none is lost between pages."""
    book([attempt(acme) for _ in range(30)])
    book([attempt(acme, at=NOON - timedelta(days=day)) for day in (1, 2, 6, 9, 12)])
    pages = [re.findall(r"/requests/(01[^/]*)/", page) for page in all_pages(owner, f"{USAGE}?provider=openai")]
    assert [len(page) for page in pages] == [20, 15]
    assert len({id for page in pages for id in page}) == 35


def test_open_costs_are_told_beside_the_sum(owner: Client, acme: Organization) -> None:
    book([attempt(acme, input_tokens=1_000_000, output_tokens=0), attempt(acme, estimated=True)])
    book([attempt(acme, native_model="someone/new"), attempt(acme, provider="deepinfra", native_model="someone/new")])
    page = text_of(owner, USAGE)
    assert "OpenAI 3 75% 1M 40 0% errors 1.25 s $2.50 1 without price, 1 estimated" in page
    assert "DeepInfra 1 25% 100 20 0% errors 1.25 s – 1 without price" in page
    assert "All providers 4 1M 60 0% errors 1.25 s $2.50 2 without price, 1 estimated" in page


def test_the_cost_export_has_the_columns_of_focus(owner: Client, acme: Organization, alice: User) -> None:
    keys = make_keys(acme, "=Production")
    facts: dict[str, Any] = {"key": keys.provider.id, "client": keys.client.id, "member_id": alice.pk}
    book([attempt(acme, input_tokens=1_000_000, output_tokens=100_000, **facts)])
    book([attempt(acme, provider="deepinfra", native_model="someone/new", model="some/new", tier="platform")])
    response = owner.get(f"{FOCUS}?range=24h")
    assert response["Content-Disposition"] == 'attachment; filename="acme-costs-2026-11-22-to-2026-11-23.csv"'
    unpriced, priced = sorted(rows_of(owner, f"{FOCUS}?range=24h"), key=lambda row: row["BilledCost"])
    assert (priced["BilledCost"], priced["EffectiveCost"], priced["BillingCurrency"]) == ("3.500000", "3.500000", "USD")
    assert (priced["ChargePeriodStart"], priced["ChargePeriodEnd"]) == ("2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z")
    assert (priced["BillingPeriodStart"], priced["BillingPeriodEnd"]) == ("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z")
    assert (priced["ChargeCategory"], priced["ServiceCategory"]) == ("Usage", "AI and Machine Learning")
    assert (priced["ProviderName"], priced["ResourceName"]) == ("OpenAI", "OpenAI =Production")
    assert (priced["SubAccountId"], priced["SubAccountName"]) == (str(keys.client.id), "'=Production")
    assert json.loads(priced["Tags"]) == {"tier": "prioritized", "person": "Alice"}
    assert (unpriced["BilledCost"], unpriced["x_UnpricedRequests"], unpriced["ConsumedQuantity"]) == ("", "1", "120")
    assert json.loads(unpriced["Tags"]) == {"tier": "platform"}


def test_the_cost_export_takes_the_filters_of_the_page(owner: Client, acme: Organization) -> None:
    book([attempt(acme), attempt(acme, provider="groq", outcome="error")])
    assert [row["ProviderName"] for row in rows_of(owner, f"{FOCUS}?result=failed&by=model")] == ["Groq"]
    page = owner.get(f"{USAGE}?result=failed").content.decode()
    assert 'href="/o/acme/usage-focus.csv?result=failed"' in page
