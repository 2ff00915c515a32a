"""The audit log as owners and auditors read it: in sentences, by day, filtered, as CSV, and never with a secret."""

import csv
import html
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group
from django.test import AsyncClient, Client
from pytest_django import DjangoAssertNumQueries

from keys.actions import add_key, disable_key, issue_client_key, report_leak
from keys.models import ProviderKey
from keys.providers import Credential
from orgs.actions import Actor, record, set_organization
from orgs.audit import log as audit_log
from orgs.audit import words as audit_words
from orgs.audit.chain import happened
from orgs.models import AUDITOR, AuditEvent, Membership, Organization, User

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
PAGE, CSV = "/o/acme/audit/", "/o/acme/audit.csv"
CREDENTIAL = Credential(secret={"api_key": "sk-proj-not-a-real-key-0000"}, public={}, hint="sk-…0000")
SCRIPT = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture(autouse=True)
def at_noon(time_machine: Any) -> None:
    time_machine.move_to(NOW, tick=False)


@pytest.fixture
def alices(client_of: Callable[[User], Client], alice: User, acme: Organization) -> Client:
    return client_of(alice)


@pytest.fixture
def by(alice: User) -> Actor:
    return Actor(label="Alice", user=alice, address="192.0.2.7")


@pytest.fixture
def key(acme: Organization, by: Actor) -> ProviderKey:
    with happened(NOW - DAY):
        return add_key(organization=acme, provider="openai", name="Main", credential=CREDENTIAL, test=None, by=by)


def lines(page: str) -> list[str]:
    """Headings and sentences, from the top."""
    found = re.findall(r"<h2>(.*?)</h2>|</span><span>(<b>.*?)</span>", page, re.S)
    return [html.unescape(re.sub(r"<[^>]+>", "", heading or sentence)) for heading, sentence in found]


def rows(answer: Any) -> list[dict[str, str]]:
    text = b"".join(answer.streaming_content).decode()
    return list(csv.DictReader(StringIO(text)))


def test_the_log_tells_who_did_what_by_day(alices: Client, acme: Organization, key: ProviderKey, by: Actor) -> None:
    with happened(NOW - 40 * DAY):
        set_organization(organization=acme, by=by, name="Acme Labs")
    disable_key(key=key, by=by)
    assert lines(alices.get(PAGE).text) == [
        "Today",
        "Alice turned off provider key OpenAI Main",
        "manage.py tests created the organization",
        "Yesterday",
        "Alice added provider key OpenAI Main",
        "Wednesday 14 October",
        "Alice changed the settings",
    ]


def test_an_entry_opens_to_what_changed_and_from_where(alices: Client, acme: Organization, by: Actor) -> None:
    set_organization(organization=acme, by=by, name="<b>Labs</b>", members_see_all=True)
    text = alices.get(PAGE).text
    assert '<span>name</span><span class="val"><del>Acme</del> → <ins>&lt;b&gt;Labs&lt;/b&gt;</ins></span>' in text
    assert '<span>members see all</span><span class="val"><del>no</del> → <ins>yes</ins></span>' in text
    assert '<span>from</span><span class="val">192.0.2.7</span>' in text
    assert '<span>event</span><span class="val">2</span>' in text


def test_days_are_those_of_the_organization(alices: Client, acme: Organization, by: Actor) -> None:
    with happened(NOW - timedelta(hours=13)):
        set_organization(organization=acme, by=by, timezone="Asia/Tokyo")
    page = alices.get(PAGE).text
    assert lines(page)[:2] == ["Today", "manage.py tests created the organization"]
    assert "Yesterday" not in page
    assert '<time datetime="2026-11-22T23:00:00+00:00">08:00</time>' in page
    assert "Times are of Asia/Tokyo." in page


def test_secrets_are_fingerprints_for_owners_and_nothing_for_auditors(
    alices: Client, acme: Organization, charlie: User, client_of: Callable[[User], Client], key: ProviderKey
) -> None:
    Membership.objects.create(organization=acme, user=charlie, role=Group.objects.get(name=AUDITOR))
    own, auditors = alices.get(PAGE).text, client_of(charlie).get(PAGE).text
    assert f"fingerprint {key.fingerprint[:4]} {key.fingerprint[4:8]}" in own
    assert "sk-…0000" in own
    assert "Alice added provider key OpenAI Main" in lines(auditors)
    for each in (auditors, str(rows(client_of(charlie).get(CSV)))):
        assert "sk-…0000" not in each
        assert key.fingerprint[:4] + " " not in each
        assert key.fingerprint not in each
    assert "sk-proj" not in own + auditors


FILTERS = {
    "q=main": ["Alice added provider key OpenAI Main"],
    "q=192.0.2.7": ["Alice added provider key OpenAI Main"],
    "q=100%25": [],
    f"q={'%25' * 1000}": [],
    "q=_": ["Alice added provider key OpenAI Main"],  # in the tag; not a wildcard
    "who=system": ["manage.py tests created the organization"],
    "what=provider-keys": ["Alice added provider key OpenAI Main"],
    "what=settings": ["manage.py tests created the organization"],
    "what=people": [],
    "from=2026-11-23": ["manage.py tests created the organization"],
    "to=2026-11-22": ["Alice added provider key OpenAI Main"],
    "from=2026-11-22&to=2026-11-22": ["Alice added provider key OpenAI Main"],
}
SENSELESS = ["who=x", "what=nothing", "from=yesterday", "to=9999-12-31", "from=0001-01-01", "before=x", "before=99", "q=%00"]


@pytest.mark.parametrize(("query", "found"), FILTERS.items())
def test_the_log_is_filtered(query: str, found: list[str], alices: Client, key: ProviderKey) -> None:
    page = alices.get(f"{PAGE}?{query}").text
    assert [line for line in lines(page) if line not in ("Today", "Yesterday")] == found
    assert ("Nothing matches these filters." in page) is not bool(found)


def test_the_log_of_one_person(alices: Client, alice: User, bob: User, key: ProviderKey) -> None:
    assert lines(alices.get(f"{PAGE}?who={alice.pk}").text) == ["Yesterday", "Alice added provider key OpenAI Main"]
    assert lines(alices.get(f"{PAGE}?who={bob.pk}").text) == []


@pytest.mark.parametrize("query", SENSELESS)
def test_what_makes_no_sense_filters_nothing(query: str, alices: Client, key: ProviderKey) -> None:
    assert len(lines(alices.get(f"{PAGE}?{query}").text)) == 4


def test_a_tag_belongs_to_one_kind_of_event(acme: Organization, by: Actor) -> None:
    tags = [*audit_words.SENTENCES, "provider_key:add", "client_key:issue", "model_price:set", "webhook:add", "member:change"]
    for tag in tags:
        record(organization=acme, by=by, tag=tag, target=acme)
    for kind in audit_words.KINDS:
        query = audit_log.read({"what": kind}, acme)
        found = set(audit_log.matching(acme, query).values_list("tag", flat=True))
        tags = [tag for tag in tags if tag not in found]
    assert tags == []
    by_kind = [audit_log.matching(acme, audit_log.read({"what": kind}, acme)).count() for kind in audit_words.KINDS]
    assert sum(by_kind) == AuditEvent.objects.filter(organization=acme).count()


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ("provider_key:failing", ("took out", True, ", which is failing")),
        ("client_key:issue", ("created client key", True, "")),
        ("member:leave", ("left", False, "")),
        ("model_price:set", ("changed the price of", True, "")),
        ("member:change", ("changed the account of", True, "")),
        ("management_key:issue", ("created management key", True, "")),
        ("new_thing:set_aside", ("set aside new thing", True, "")),
    ],
)
def test_every_tag_makes_a_sentence(tag: str, said: tuple[str, bool, str]) -> None:
    assert audit_words.sentence(tag) == said


CHANGES = {
    "nothing before": ({"after": {"name": "Main", "expires_at": None, "models": []}}, ["name:  > Main"]),
    "nothing after": ({"before": {"name": "Main"}}, ["name: Main > "]),
    "taken away": (
        {"before": {"expires_at": "2026-11-30T20:35:50+00:00"}, "after": {"expires_at": None}},
        ["expires at: 2026-11-30 20:35 UTC > nothing"],
    ),
    "names": (
        {"before": {"models": {}}, "after": {"models": {"openai/gpt-99": "gpt-99-eu"}}},
        ["models: nothing > openai/gpt-99: gpt-99-eu"],
    ),
    "of which provider": (
        {"before": {"provider": "xai", "use": True}, "after": {"provider": "xai", "use": False}},
        ["provider:  > xai", "use: yes > no"],
    ),
    "money": ({"before": {"amount_microusd": 1_250_000_000}, "after": {"amount_microusd": 1}}, ["amount: $1,250 > $0.000001"]),
}


@pytest.mark.parametrize(("said", "told"), CHANGES.values(), ids=CHANGES.keys())
def test_changes_are_told_in_words(said: dict[str, Any], told: list[str]) -> None:
    found = audit_words.changes(said, secrets=True)
    assert [f"{each.name}: {each.before} > {each.after}" for each in found] == told


def filled(organization: Organization, by: Actor, count: int) -> None:
    for number in range(count):
        with happened(NOW - DAY - timedelta(minutes=number // 7)):
            record(organization=organization, by=by, tag="organization:set", target=organization, changes={"number": number})


def numbers(page: str) -> list[int]:
    return [int(number) for number in re.findall(r'<span>event</span><span class="val">(\d+)</span>', page)]


def test_older_entries_come_by_a_cursor_each_once(alices: Client, acme: Organization, by: Actor) -> None:
    filled(acme, by, 120)
    address, seen = PAGE, []
    for _ in range(3):
        page = alices.get(address).text
        seen += numbers(page)
        more = re.search(r'href="(/o/acme/audit/\?before=\d+)"', page)
        address = more[1] if more else ""
    assert not address
    expected = AuditEvent.objects.filter(organization=acme).order_by("-at", "-number").values_list("number", flat=True)
    assert seen == list(expected)


def test_scripts_get_only_what_changes(alices: Client, acme: Organization, by: Actor) -> None:
    filled(acme, by, 60)
    page = alices.get(f"{PAGE}?what=settings", **SCRIPT, HTTP_HX_TARGET="log").text
    assert "<form" not in page
    assert f'id="csv" href="{CSV}?what=settings" download hx-swap-oob="true"' in page
    [older] = re.findall(r'hx-get="([^"]+)"', page)
    assert older.startswith("/o/acme/audit/?what=settings&amp;before=")
    rest = alices.get(html.unescape(older), **SCRIPT, HTTP_HX_TARGET="older").text
    assert len(numbers(rest)) == 11
    assert "<form" not in rest
    assert 'id="log"' not in rest


@pytest.mark.parametrize("count", [1, 30])
def test_the_page_takes_the_same_queries_for_any_number(
    count: int, alices: Client, acme: Organization, by: Actor, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    filled(acme, by, count)
    with django_assert_num_queries(QUERIES):
        alices.get(PAGE)


def test_without_scripts_there_is_a_way_back_to_the_newest(alices: Client, acme: Organization, by: Actor) -> None:
    filled(acme, by, 60)
    assert "Back to the newest" not in alices.get(PAGE).text
    assert f'<a href="{PAGE}?what=settings">Back to the newest</a>' in alices.get(f"{PAGE}?what=settings&before=20").text


QUERIES = 9  # session, user, membership, permissions, events, their number, people, keys that fail, organizations


def test_the_csv_holds_all_that_matches_with_guarded_cells(
    alices: Client, acme: Organization, by: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_log, "LINES_READ", 2)
    set_organization(organization=acme, by=Actor(label='=cmd|"x"!A1'), name="@Acme, “Labs”")
    filled(acme, by, 4)
    found = rows(alices.get(CSV))
    assert [row["number"] for row in found] == ["7", "2", "1", "6", "5", "4", "3"]
    assert found[1]["who"] == '\'=cmd|"x"!A1'
    assert (found[1]["before"], found[1]["after"]) == ('{"name": "Acme"}', '{"name": "@Acme, “Labs”"}')
    assert found[2]["at"] == "2026-11-23T12:00:00+00:00"
    assert [row["number"] for row in rows(alices.get(f"{CSV}?who=system"))] == ["2", "1"]


def test_the_csv_streams_under_asgi(alices: Client) -> None:
    async def fetch() -> bytes:
        client = AsyncClient()
        client.cookies = alices.cookies
        response = await client.get(CSV)
        return b"".join([part async for part in response.streaming_content])

    assert async_to_sync(fetch)().startswith(b"number,at,who,address,event,")


def test_an_export_is_told_in_the_log(alices: Client, acme: Organization, alice: User) -> None:
    alices.get(f"{CSV}?q=main&from=2026-11-01")
    event = AuditEvent.objects.get(tag="audit:export")
    assert (event.actor, event.changes) == (alice, {"after": {"q": "main", "from": "2026-11-01"}})
    assert event.address == "127.0.0.1"


def test_exports_of_usage_and_costs_are_told_in_the_log(alices: Client, acme: Organization, alice: User) -> None:
    alices.head("/o/acme/usage.csv")
    assert not AuditEvent.objects.filter(tag__endswith=":export").exists()
    alices.get("/o/acme/usage.csv?range=7d&by=model")
    alices.get("/o/acme/usage-focus.csv?range=7d")
    told = AuditEvent.objects.filter(organization=acme, tag__endswith=":export").order_by("pk")
    assert [(event.tag, event.actor) for event in told] == [("usage:export", alice), ("costs:export", alice)]
    assert told[0].changes == {"after": {"range": "7d", "by": "model"}}
    page = alices.get(PAGE).text
    assert "exported usage" in page
    assert "exported costs" in page


def test_what_a_stranger_did_is_told_with_their_address(alices: Client, acme: Organization, by: Actor) -> None:
    _, text = issue_client_key(organization=acme, name="web-app", by=by)
    report_leak(text=text, address="198.51.100.9")
    page = alices.get(f"{PAGE}?q=198.51").text
    assert lines(page) == ["Today", "Somebody who found it revoked client key web-app"]
    assert text not in page
