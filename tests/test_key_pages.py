"""The pages of provider keys, as Alice the owner, Bob the member and Charlie from elsewhere see them."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from keys.actions import add_key, disable_key, enable_key
from keys.models import ProviderKey
from keys.pages import listing
from keys.providers import PROVIDERS, Credential
from keys.testing import TestResult, Verdict
from orgs.actions import Actor
from orgs.models import Organization, User
from tests.attempts import attempt
from tests.fake import FakeProvider
from tests.submissions import service_account
from usage.ingest import book

HTMX = {"HX-Request": "true"}
PASSED = TestResult(verdict=Verdict.VALID, reason="", status=200, latency_ms=9, models=("gpt-4o", "o3-mini"))
REFUSED = TestResult(verdict=Verdict.INVALID, reason="OpenAI refused this key (401).", status=401, latency_ms=9, models=())
AZURE = """[
  {
    "model_slug": "openai/gpt-4o",
    "endpoint_url": "https://acme-weu.openai.azure.com",
    "api_key": "first-secret-of-acme",
    "model_id": "gpt-4o"
  },
  {
    "model_slug": "openai/o3-mini",
    "endpoint_url": "acme-swc.openai.azure.com",
    "api_key": "second-secret-of-acme",
    "model_id": "o3-mini"
  }
]"""


@pytest.fixture
def alices(client_of: Callable[[User], Client], alice: User, acme: Organization) -> Client:
    return client_of(alice)


@pytest.fixture
def bobs(client_of: Callable[[User], Client], bob: User, acme: Organization) -> Client:
    return client_of(bob)


@pytest.fixture
def charlies(client_of: Callable[[User], Client], charlie: User, globex: Organization) -> Client:
    return client_of(charlie)


@pytest.fixture
def provider_answers(settings: Any, fake_provider: FakeProvider) -> FakeProvider:
    """Tests of keys reach the fake."""
    settings.UPSTREAM_OVERRIDES = fake_provider.overrides()
    return fake_provider


def make_key(organization: Organization, name: str = "Production", provider: str = "openai", **changes: Any) -> ProviderKey:
    secret = f"sk-proj-{name}-of-{provider}"
    fields = {"credential": Credential(secret={"api_key": secret}, public={}, hint=f"sk-proj-…{name[:4]}"), "test": PASSED}
    return add_key(organization=organization, provider=provider, name=name, by=Actor.command("test"), **(fields | changes))


def page(name: str, *args: Any) -> str:
    return reverse(name, args=["acme", *args])


def add_page(provider: str, mode: str = "") -> str:
    return page("provider_key_add", provider) + (f"?mode={mode}" if mode else "")


# The list


def test_an_owner_sees_hint_status_and_order_of_each_key(alices: Client, acme: Organization) -> None:
    make_key(acme, "Production")
    make_key(acme, "Broken", test=REFUSED)
    text = alices.get(page("provider_key_list")).text
    assert "sk-proj-…Prod" in text
    assert "<em>Production</em>" in text
    assert f"Refused since {timezone.now():%H:}" in text
    assert "OpenAI refused this key (401)" not in text
    assert "2 keys across 1 of 13 providers." in text


def test_a_member_sees_names_and_status_but_no_hint_and_no_action(bobs: Client, acme: Organization) -> None:
    key = make_key(acme)
    for address in (page("provider_key_list"), page("provider_key", key.pk)):
        text = bobs.get(address).text
        assert "Production" in text
        assert "Healthy" in text
        assert "sk-proj-" not in text
        assert key.fingerprint[:4] + " " not in text
        assert "Test now" not in text
        assert "Add key" not in text


def test_neighbors_of_one_provider_share_a_number_and_keys_without_traffic_have_none(acme: Organization) -> None:
    names = [("A", "openai"), ("B", "openai"), ("C", "groq"), ("D", "openai")]
    keys = [make_key(acme, name, provider) for name, provider in names] + [make_key(acme, "Waits", test=None)]
    disable_key(key=make_key(acme, "Off"), by=Actor.command("test"))
    rows = listing.rows(ProviderKey.objects.for_org(acme))
    assert [row.key.name for row in rows] == ["A", "B", "D", "Waits", "Off", "C"]
    assert [row.order for row in rows] == ["1a", "1b", "1c", "", "", "2"]
    assert [row.state for row in rows] == ["healthy"] * 3 + ["untested", "off", "healthy"]
    assert listing.stand_in(rows, keys[0]) == listing.StandIn(keys[1], everything=True)
    assert listing.stand_in(rows, keys[2]) is None


@pytest.mark.parametrize(("index", "letters"), [(0, "a"), (25, "z"), (26, "aa"), (51, "az"), (52, "ba")])
def test_more_than_26_neighbors_are_lettered_on(index: int, letters: str) -> None:
    assert listing.letter(index) == letters


def test_search_and_status_filter_are_in_the_address(alices: Client, acme: Organization) -> None:
    make_key(acme, "Production")
    make_key(acme, "Batch", "groq", test=None)
    for query, shown, hidden in [
        ("q=GROQ", "Batch", "Production"),
        ("q=o3-mini", "Production", "Batch"),
        ("status=off", "Batch", "Production"),
    ]:
        text = alices.get(f"{page('provider_key_list')}?{query}").text
        assert f"<em>{shown}</em>" in text
        assert f"<em>{hidden}</em>" not in text
    assert "No key matches “claudee”" in alices.get(f"{page('provider_key_list')}?q=claudee").text


def test_htmx_gets_the_table_and_the_filters_alone(alices: Client, acme: Organization) -> None:
    make_key(acme)
    answer = alices.get(page("provider_key_list"), headers=HTMX)
    assert answer.text.strip().startswith('<div class="stack-sm" id="key-table">')
    assert 'hx-swap-oob="true"' in answer.text
    assert "<html" not in answer.text
    assert "HX-Request" in answer.headers["Vary"]


def test_the_list_takes_as_many_queries_for_300_keys_as_for_three(
    alices: Client, acme: Organization, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(3):
        make_key(acme, f"First {number}")
    alices.get(page("provider_key_list"))
    with django_assert_num_queries(QUERIES):
        alices.get(page("provider_key_list"))
    for number in range(297):
        make_key(acme, f"Key {number}", test=REFUSED if number % 2 else PASSED)
    with django_assert_num_queries(QUERIES):
        answer = alices.get(page("provider_key_list"))
    assert answer.text.count("<em>") == 300


QUERIES = 8  # session, person, membership, permissions, keys, their week, failing keys, organizations of the switcher


def test_each_key_shows_its_requests_of_seven_days(alices: Client, acme: Organization, globex: Organization) -> None:
    busy, idle = make_key(acme, "Busy"), make_key(acme, "Idle")
    now = timezone.now()
    asked = [attempt(acme, at=now - timedelta(days=days), key=busy.pk) for days in (0, 0, 3, 6, 9)]
    book([*asked, attempt(acme, at=now, key=busy.pk, outcome="absorbed"), attempt(globex, at=now, key=busy.pk)])
    text = alices.get(page("provider_key_list")).text
    assert 'aria-label="4 requests in 7 days"' in text
    assert text.count('class="spark') == 1
    row = alices.post(page("provider_key_test", busy.pk), headers=HTMX).text
    assert 'aria-label="4 requests in 7 days"' in row
    assert "Checked" in text
    assert idle.name in text


NOW = datetime(2026, 11, 23, 13, 41, tzinfo=UTC)
FAILING = {"status": "failing", "error_class": "refused", "status_since": NOW - timedelta(minutes=40)}
LIMITED = {"status": "limited", "error_class": "limited", "status_since": NOW}


def answered(minutes: int, status: int | None = 401) -> dict[str, Any]:
    return {"last_error": {"status": status, "at": (NOW - timedelta(minutes=minutes)).isoformat()}}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (FAILING | answered(40), "401 since 14:01"),
        (FAILING | answered(41), "Refused since 14:01"),
        (FAILING | answered(39, None), "Refused since 14:01"),
        (FAILING | {"error_class": "out_of_money"}, "No credit since 14:01"),
        (FAILING | {"error_class": "trouble", "status_since": NOW - timedelta(hours=15)}, "Provider trouble since 22 Nov"),
        (FAILING | {"error_class": "", "status_since": NOW - timedelta(days=340)}, "Not working since 18 Dec 2025"),
        (FAILING | {"status_since": None}, "Refused"),
        (LIMITED | {"until": NOW + timedelta(minutes=5)}, "Limited until 14:46"),
        (LIMITED | {"until": NOW - timedelta(minutes=5)}, "Limit ended 14:36"),
        ({"status": "healthy", "status_reason": "OpenAI accepted the key but does not allow it."}, "Last test unclear"),
        ({"status": "healthy"}, None),
    ],
    ids=str,
)
@time_machine.travel(NOW, tick=False)
def test_a_few_words_say_what_is_the_matter_in_the_time_zone_of_the_organization(
    fields: dict[str, Any], words: str | None, bobs: Client, acme: Organization
) -> None:
    Organization.objects.update(timezone="Europe/Berlin")
    ProviderKey.objects.filter(pk=make_key(acme).pk).update(**fields)
    assert NOTE.findall(bobs.get(page("provider_key_list")).text) == ([words] if words else [])


NOTE = re.compile('<span class="substatus">(.*?)</span>')


def test_a_key_that_is_off_says_who_turned_it_off_and_when_in_one_query_for_all(
    alices: Client, alice: User, acme: Organization, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    keys = [make_key(acme, f"Key {number}") for number in range(20)]
    for at, actor, some in [
        ("2026-11-10T09:00Z", Actor.command("byok"), keys),
        ("2026-11-12T09:00Z", Actor(str(alice), alice), keys[:3]),
    ]:
        with time_machine.travel(at, tick=False):
            for key in some:
                enable_key(key=key, by=actor)
                disable_key(key=key, by=actor)
    with time_machine.travel(NOW, tick=False):
        client_answer = alices.get(page("provider_key_list"))
        with django_assert_num_queries(QUERIES + 1):
            assert alices.get(page("provider_key_list")).status_code == 200
    notes = NOTE.findall(client_answer.text)
    assert notes[:3] == ["Alice, 12 Nov"] * 3
    assert len(notes) == 20
    assert all(note.endswith(", 10 Nov") for note in notes[3:])


def test_failing_keys_are_named_newest_first_with_where_their_requests_went(
    alices: Client, bobs: Client, acme: Organization
) -> None:
    now = timezone.now()
    for minutes, name, error_class in [(48, "Old", "out_of_money"), (4, "New", "refused"), (9, "Middle", "trouble")]:
        key = make_key(acme, name)
        since = now - timedelta(minutes=minutes, seconds=5)
        ProviderKey.objects.filter(pk=key.pk).update(status="failing", error_class=error_class, status_since=since)
    text = alices.get(page("provider_key_list")).text
    assert "No other OpenAI key can take over. Requests that no other key can answer fail." in text
    assert text.index("OpenAI refused “New” ") < text.index("OpenAI stopped answering “Middle” ")
    assert "“Old” ran out of credit" not in text
    assert "And 1 more" in text
    backup = make_key(acme, "Backup")
    assert alices.get(page("provider_key_list")).text.count("Requests moved to “Backup”.") == 2
    ProviderKey.objects.filter(pk=backup.pk).update(allowed_models=["openai/gpt-4o"])
    some = "Requests that “Backup” may serve go there. Others fail if no other key can answer them."
    assert alices.get(page("provider_key_list")).text.count(some) == 2
    assert "Fix key" not in bobs.get(page("provider_key_list")).text


def test_an_empty_list_leads_to_the_first_run(alices: Client, bobs: Client) -> None:
    assert f'href="{page("overview")}">See how it works' in alices.get(page("provider_key_list")).text
    assert "An owner of Acme can add them." in bobs.get(page("provider_key_list")).text


def test_a_damaged_secret_breaks_neither_the_list_nor_its_page(alices: Client, acme: Organization) -> None:
    key = make_key(acme)
    ProviderKey.objects.filter(pk=key.pk).update(sealed=b"damaged")
    assert alices.get(page("provider_key_list")).status_code == 200
    assert alices.get(page("provider_key", key.pk)).status_code == 200
    answer = alices.post(page("provider_key_test", key.pk), follow=True)
    assert "Keyhold cannot open the stored secret of “Production”." in answer.text


# Who may


PAGES = [("provider_key_list", 0), ("provider_key", 1)]
OWNERS_PAGES = [("provider_picker", 0), ("provider_key_disable", 1), ("provider_key_remove", 1)]
ACTS = [("provider_key_test", 1), ("provider_key_disable", 1), ("provider_key_enable", 1), ("provider_key_remove", 1)]


def test_members_may_read_and_outsiders_may_know_nothing(bobs: Client, charlies: Client, acme: Organization) -> None:
    key = make_key(acme)
    for name, takes_key in PAGES + OWNERS_PAGES:
        address = page(name, *[key.pk][:takes_key])
        assert bobs.get(address).status_code == (200 if (name, takes_key) in PAGES else 403), name
        assert charlies.get(address).status_code == 404, name
        assert Client().get(address).status_code == 302, name
    for name, _ in ACTS:
        assert bobs.post(page(name, key.pk), {"confirm": key.name}).status_code == 403, name
        assert charlies.post(page(name, key.pk), {"confirm": key.name}).status_code == 404, name
    for provider in PROVIDERS:
        assert bobs.get(add_page(provider)).status_code == 403
        assert bobs.post(add_page(provider)).status_code == 403
        assert charlies.post(add_page(provider)).status_code == 404
    key.refresh_from_db()
    assert (key.enabled, key.removed_at) == (True, None)


def test_another_organizations_key_answers_like_a_missing_one(alices: Client, acme: Organization, globex: Organization) -> None:
    theirs = make_key(globex)
    for name, _ in [PAGES[1], *OWNERS_PAGES[1:], *ACTS]:
        method = alices.post if (name, 1) in ACTS else alices.get
        foreign, missing = method(page(name, theirs.pk)), method(page(name, uuid4()))
        assert (foreign.status_code, missing.status_code) == (404, 404), name
        assert foreign.text == missing.text


def test_an_unknown_provider_has_no_form(alices: Client) -> None:
    assert alices.get(add_page("nobody")).status_code == 404


# Choosing and adding


def test_the_picker_shows_every_provider_and_how_many_keys_it_has(alices: Client, acme: Organization) -> None:
    make_key(acme)
    text = alices.get(page("provider_picker")).text
    assert text.count('class="pick"') == len(PROVIDERS)
    assert "1 key<" in text
    found = alices.get(page("provider_picker") + "?q=gro").text
    assert found.count('class="pick"') == 2
    assert "2 providers" in found


def test_a_key_that_passes_its_test_is_saved_last_in_the_order(
    alices: Client, acme: Organization, provider_answers: FakeProvider
) -> None:
    make_key(acme, "Backup")
    answer = alices.post(
        add_page("openai"), {"name": "Production", "api_key": provider_answers.key("openai"), "do": "test"}, follow=True
    )
    assert answer.redirect_chain == [(page("provider_key_list"), 302)]
    assert "“Production” passed its test and is now last in the order." in answer.text
    key = ProviderKey.objects.for_org(acme).last()
    assert key
    assert (key.name, key.status, key.needs_test) == ("Production", "healthy", False)
    assert key.discovered_models


def test_htmx_is_sent_to_the_list_after_saving(alices: Client, provider_answers: FakeProvider) -> None:
    fields = {"name": "Production", "api_key": provider_answers.key("openai"), "do": "test"}
    answer = alices.post(add_page("openai"), fields, headers=HTMX)
    assert answer.headers["HX-Redirect"] == page("provider_key_list")


@pytest.mark.parametrize(("behavior", "words"), [("refused", "OpenAI refused this key (401)"), ("broken", "500")])
def test_a_key_that_fails_its_test_is_not_saved_and_the_page_says_why(
    behavior: str, words: str, alices: Client, acme: Organization, provider_answers: FakeProvider
) -> None:
    secret = provider_answers.key("openai", behavior)
    answer = alices.post(add_page("openai"), {"name": "Production", "api_key": secret, "do": "test"})
    assert answer.status_code == 422
    assert words in answer.text
    assert "Nothing was saved." in answer.text
    assert "Paste it again; we do not keep what was not saved." in answer.text
    assert 'value="Production"' in answer.text
    assert secret not in answer.text
    assert not ProviderKey.objects.for_org(acme).exists()


def test_a_limited_key_is_saved(alices: Client, acme: Organization, provider_answers: FakeProvider) -> None:
    fields = {"name": "Busy", "api_key": provider_answers.key("openai", "limited"), "do": "test"}
    answer = alices.post(add_page("openai"), fields, follow=True)
    assert "“Busy” is saved and is now last in the order." in answer.text
    assert ProviderKey.objects.for_org(acme).get().status == "limited"


def test_saving_without_testing_gives_the_key_no_traffic(alices: Client, acme: Organization) -> None:
    answer = alices.post(add_page("perplexity"), {"name": "Research", "api_key": "pplx-secret", "do": "save"}, follow=True)
    assert "“Research” is saved. It gets no traffic until it passes a test." in answer.text
    assert ProviderKey.objects.for_org(acme).get().needs_test


def test_warnings_and_a_secret_that_is_there_already_are_said_after_saving(alices: Client, acme: Organization) -> None:
    for name in ("First", "Second"):
        fields = {"name": name, "api_key": "gsk_a-key-of-another-provider", "do": "save"}
        answer = alices.post(add_page("openai"), fields, follow=True)
    assert "a Groq key" in answer.text
    assert "The same secret is saved as “First” too." in answer.text


def test_a_taken_name_is_refused_at_its_field(alices: Client, acme: Organization) -> None:
    make_key(acme)
    answer = alices.post(add_page("openai"), {"name": "Production", "api_key": "sk-proj-x", "do": "save"})
    assert answer.status_code == 422
    assert "“Production”" in answer.text
    assert 'href="#id_name"' in answer.text
    assert ProviderKey.objects.for_org(acme).count() == 1


def test_every_problem_stands_in_the_title_the_summary_and_at_its_field(alices: Client) -> None:
    answer = alices.post(add_page("openai"), {"name": "", "api_key": "", "do": "test"})
    assert "<title>Error: Add an OpenAI key" in answer.text
    assert "2 things need fixing before this can be saved." in answer.text
    assert 'href="#id_name"' in answer.text
    assert 'href="#id_api_key"' in answer.text
    assert "Enter a name, for example Production." in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert 'aria-describedby="id_api_key_helptext id_api_key_error"' in answer.text


@time_machine.travel("2026-11-23T09:41:20Z", tick=False)
def test_the_eleventh_test_in_a_minute_says_when_to_come_back(alices: Client, provider_answers: FakeProvider) -> None:
    fields = {"name": "Production", "api_key": provider_answers.key("openai", "refused"), "do": "test"}
    for _ in range(10):
        alices.post(add_page("openai"), fields)
    answer = alices.post(add_page("openai"), fields)
    assert "Test again in 40 seconds" in answer.text
    assert len(provider_answers.requests) == 10


def test_an_organization_and_a_project_are_asked_for_where_a_provider_has_them(alices: Client, acme: Organization) -> None:
    assert "Organization ID" in alices.get(add_page("openai")).text
    assert "Organization ID" not in alices.get(add_page("groq")).text
    fields = {"name": "Team", "api_key": "sk-proj-x", "organization": "org-Acme1", "project": "proj_Web2", "do": "save"}
    assert alices.post(add_page("openai"), fields).status_code == 302
    key = ProviderKey.objects.for_org(acme).get()
    assert key.public == {"organization": "org-Acme1", "project": "proj_Web2"}
    assert "org-Acme1" in alices.get(page("provider_key", key.pk)).text


def test_an_organization_that_is_none_is_refused_at_its_field(alices: Client) -> None:
    fields = {"name": "Team", "api_key": "sk-proj-x", "organization": "Acme Inc.", "project": "Web", "do": "save"}
    answer = alices.post(add_page("openai"), fields)
    assert "2 things need fixing before this can be saved." in answer.text
    assert 'href="#id_organization">This is not the organization ID. It starts org-; leave it empty' in answer.text
    assert 'href="#id_project">This is not the project ID. It starts proj_;' in answer.text
    assert "Acme Inc." not in answer.text


# Azure, Bedrock and Vertex


def test_azure_problems_are_marked_in_the_editor_where_htmx_keeps_the_text(alices: Client) -> None:
    answer = alices.post(add_page("azure"), {"name": "EU", "deployments": AZURE, "do": "save"}, headers=HTMX)
    assert answer.status_code == 422
    assert "<title>Error: Add an Azure key" in answer.text
    assert 'data-goto="10"' in answer.text
    assert 'class="hit" data-say="Needs https://"' in answer.text
    assert answer.text.count("<li></li>") + answer.text.count('<li class="hit"') == AZURE.count("\n") + 1
    assert "Fix line 10" in answer.text
    assert "acme-weu" in answer.text
    assert "secret-of-acme" not in answer.text
    assert "What you sent" not in answer.text


def test_without_scripts_the_lines_round_a_problem_are_shown_without_secrets(alices: Client) -> None:
    answer = alices.post(add_page("azure"), {"name": "EU", "deployments": AZURE, "do": "save"})
    assert "What you sent, with secrets left out" in answer.text
    assert "acme-swc.openai.azure.com" in answer.text
    assert "&quot;api_key&quot;: &quot;••••&quot;" in answer.text
    assert "secret-of-acme" not in answer.text
    assert "data-goto" not in answer.text


def test_one_object_is_offered_to_be_wrapped_and_then_saved(alices: Client, acme: Organization) -> None:
    one = json.dumps(json.loads(AZURE.replace('"acme-swc', '"https://acme-swc'))[0])
    fields = {"name": "EU", "deployments": one, "do": "save"}
    refused = alices.post(add_page("azure"), fields)
    assert "This is one deployment." in refused.text
    assert "Put it inside [ and ] for me" in refused.text
    assert alices.post(add_page("azure"), fields | {"wrap": "on"}).status_code == 302
    assert ProviderKey.objects.for_org(acme).get().hint == "1 deployment"


def test_a_good_azure_array_is_tested_and_saved(alices: Client, acme: Organization, provider_answers: FakeProvider) -> None:
    text = AZURE.replace('"acme-swc', '"https://acme-swc')
    for secret in ("first-secret-of-acme", "second-secret-of-acme"):
        text = text.replace(secret, provider_answers.key("azure"))
    answer = alices.post(add_page("azure"), {"name": "EU", "deployments": text, "do": "test"}, follow=True)
    assert "“EU” passed its test" in answer.text
    assert [row.models for row in listing.rows(ProviderKey.objects.for_org(acme))] == [["openai/gpt-4o", "openai/o3-mini"]]


def test_a_deployment_whose_key_was_refused_is_not_called_ready(alices: Client, provider_answers: FakeProvider) -> None:
    text = AZURE.replace('"acme-swc', '"https://acme-swc').replace(
        "first-secret-of-acme", provider_answers.key("azure", "refused")
    )
    answer = alices.post(add_page("azure"), {"name": "EU", "deployments": text, "do": "test"}, headers=HTMX)
    assert "Azure refused this key (401)." in answer.text
    assert "Ready to test" not in answer.text


AWS = {"accessKeyId": "AKIAIOSFODNN7EXAMPLE", "secretAccessKey": "s" * 40, "region": "us-east-1"}


@pytest.mark.parametrize(
    ("mode", "fields"),
    [
        ("fields", {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "s" * 40, "region": "us-east-1"}),
        ("api-key", {"api_key": "ABSK" + "b" * 110, "region": "us-east-1"}),
        (
            "json",
            {"json": json.dumps(AWS)},
        ),
    ],
)
def test_bedrock_takes_access_keys_an_api_key_or_json(
    mode: str, fields: dict[str, str], alices: Client, acme: Organization
) -> None:
    assert f'href="?mode={mode}" aria-current="true"' in alices.get(add_page("bedrock", mode)).text
    answer = alices.post(add_page("bedrock", mode), {"name": "us-east-1", "do": "save", **fields})
    assert answer.status_code == 302
    assert ProviderKey.objects.for_org(acme).get().public["region"] == "us-east-1"


def test_a_wrong_region_is_named_with_a_suggestion_at_its_field(alices: Client) -> None:
    fields = {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "s" * 40, "region": "us-east-9"}
    answer = alices.post(add_page("bedrock"), {"name": "us", "do": "save", **fields})
    assert "“us-east-9” is not an AWS region. Did you mean us-east-" in answer.text
    assert 'href="#id_region"' in answer.text
    assert "AKIAIOSFODNN7EXAMPLE" not in answer.text


def test_a_service_account_may_be_a_file(alices: Client, acme: Organization) -> None:
    file = SimpleUploadedFile("key.json", json.dumps(service_account("0123456789abcdef")).encode(), "application/json")
    answer = alices.post(add_page("vertex"), {"name": "ml", "file": file, "location": "us-central1", "do": "save"})
    assert answer.status_code == 302
    assert ProviderKey.objects.for_org(acme).get().public["project_id"] == "acme-ml"


def test_a_file_that_is_too_large_is_not_read(alices: Client) -> None:
    file = SimpleUploadedFile("key.json", b"x" * 40_000, "application/json")
    answer = alices.post(add_page("vertex"), {"name": "ml", "file": file, "do": "save"})
    assert "This file is larger than 32 kB." in answer.text


# One key


def test_testing_a_key_again_notes_what_came_of_it(alices: Client, acme: Organization, provider_answers: FakeProvider) -> None:
    credential = Credential(secret={"api_key": provider_answers.key("openai", "refused")}, public={}, hint="…")
    key = make_key(acme, credential=credential)
    answer = alices.post(page("provider_key_test", key.pk), {"from": "key"}, follow=True)
    assert answer.redirect_chain == [(page("provider_key", key.pk), 302)]
    key.refresh_from_db()
    assert key.status == "failing"
    row = alices.post(page("provider_key_test", key.pk), headers=HTMX)
    assert row.text.startswith(f'<tr role="row" id="key-{key.pk}"')
    assert 'hx-swap-oob="beforeend:#toasts"' in row.text


def test_turning_a_key_off_says_who_takes_over_and_on_brings_it_back(alices: Client, acme: Organization) -> None:
    key = make_key(acme, "Batch jobs")
    assert "No other OpenAI key can take over." in alices.get(page("provider_key_disable", key.pk)).text
    make_key(acme, "Production")
    asked = alices.get(page("provider_key_disable", key.pk))
    assert "Turn off “Batch jobs”?" in asked.text
    assert "Its requests will use “Production”." in asked.text
    assert "“Batch jobs” is off." in alices.post(page("provider_key_disable", key.pk), follow=True).text
    key.refresh_from_db()
    assert not key.enabled
    assert "“Batch jobs” is on." in alices.post(page("provider_key_enable", key.pk), follow=True).text
    key.refresh_from_db()
    assert key.enabled


def test_reading_changes_nothing(alices: Client, acme: Organization) -> None:
    key = make_key(acme)
    for name in ("provider_key_enable", "provider_key_test"):
        assert alices.get(page(name, key.pk)).status_code == 405


def test_deleting_needs_the_name_typed_exactly(alices: Client, acme: Organization) -> None:
    key = make_key(acme)
    asked = alices.get(page("provider_key_remove", key.pk))
    assert "Type <strong>Production</strong> to confirm" in asked.text
    refused = alices.post(page("provider_key_remove", key.pk), {"confirm": "production"})
    assert refused.status_code == 422
    assert "Type Production exactly as shown." in refused.text
    done = alices.post(page("provider_key_remove", key.pk), {"confirm": "Production"}, follow=True)
    assert "OpenAI Production is deleted. Its stored secret is erased." in done.text
    assert not ProviderKey.objects.for_org(acme).exists()
    assert not ProviderKey.objects.get(pk=key.pk).sealed
    assert alices.get(page("provider_key", key.pk)).status_code == 404
