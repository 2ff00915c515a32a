"""What would happen to a request, on the routing page and in the server's own shell."""

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from keys import actions
from keys.models import ClientKey, ProviderKey
from keys.preferences import Preferences
from keys.providers import Credential
from keys.testing import TestResult, Verdict
from orgs.actions import Actor
from orgs.models import Organization, User

pytestmark = pytest.mark.django_db
BY = Actor.command("test")
PAGE, TRY = "/o/acme/routing/", "/o/acme/routing/try/"
HTMX = {"HX-Request": "true"}


def add(organization: Organization, provider: str, name: str, *models: str, **fields: Any) -> ProviderKey:
    credential = Credential(secret={"api_key": f"sk-proj-{name}-0000-0000"}, public={}, hint="sk-…0000")
    test = TestResult(verdict=Verdict.VALID, reason="", status=200, latency_ms=9, models=models or ("gpt-4o", "whisper-1"))
    key = actions.add_key(organization=organization, provider=provider, name=name, credential=credential, test=test, by=BY)
    ProviderKey.objects.filter(pk=key.pk).update(**fields)
    return key


def issue(organization: Organization, by: Actor = BY, **wishes: Any) -> ClientKey:
    key, _ = actions.issue_client_key(organization=organization, name="web", by=by)
    actions.set_client_key_preferences(key=key, preferences=Preferences(**wishes), by=BY)
    return key


@pytest.fixture
def keys(acme: Organization) -> list[ProviderKey]:
    """Three that serve a model of OpenAI, the first failing, and one that does not."""
    return [
        add(acme, "openai", "Main", status="failing", error_class="refused", status_since=timezone.now()),
        add(acme, "openai", "Backup"),
        add(acme, "groq", "Fast", "openai/gpt-4o"),
        add(acme, "xai", "Other", "grok-4"),
    ]


def explained(*args: str) -> str:
    out = StringIO()
    call_command("explain_route", "--org", "acme", "--model", "gpt-4o", *args, stdout=out)
    return out.getvalue()


# The command


def test_the_command_tells_the_walk_the_other_keys_and_the_settings(keys: list[ProviderKey]) -> None:
    walk, others, settings = explained().strip().split("\n\n")
    assert walk.splitlines()[0].startswith("-  OpenAI “Main”. Skipped, failing since ")
    assert walk.splitlines()[1:] == [
        "1. OpenAI “Backup”, as gpt-4o. Tried first.",
        "2. Groq “Fast”, as openai/gpt-4o. Last of your keys.",
        "   Return the error. Shared keys are off.",
    ]
    assert others.splitlines() == ["Other keys", "-  Grok “Other”. Skipped, does not serve this model."]
    assert "-  Other providers as fallback: Allowed (default)" in settings


def test_the_command_tells_programs_the_same(keys: list[ProviderKey]) -> None:
    told = json.loads(explained("--json"))
    assert [(step["name"], step["why"], step["tried"]) for step in told["steps"]] == [
        ("Main", "health", False),
        ("Backup", "", True),
        ("Fast", "", True),
    ]
    assert [step["why"] for step in told["rest"]] == ["model"]
    assert (told["end"], told["settings"][0]["by"]) == ("Return the error", "Default")


def test_a_request_goes_before_its_client_key_and_that_before_the_organization(
    acme: Organization, keys: list[ProviderKey]
) -> None:
    issue(acme, order=("groq",), allow_fallbacks=False)
    actions.set_routing(organization=acme, by=BY, order=("xai",))
    assert "1. Groq “Fast”" in explained("--client-key", "web")
    told = explained("--client-key", "web", "--request", '{"order": ["openai"], "ignore": ["xai"]}')
    assert "1. OpenAI “Backup”" in told
    assert "-  Groq “Fast”. Skipped, would be a fallback, which the client key does not allow." in told
    assert "-  Order: OpenAI (request, not client key: Groq, not organization: Grok)" in told


def test_keys_for_others_are_skipped_for_whoever_asks(
    acme: Organization, alice: User, bob: User, keys: list[ProviderKey]
) -> None:
    issue(acme, Actor(label="Alice", user=alice))
    ProviderKey.objects.filter(name="Backup").update(allowed_members=[bob.pk])
    assert "“Backup”. Skipped, limited to other members." in explained("--client-key", "web")
    assert "1. OpenAI “Backup”" in explained("--client-key", "web", "--member", "BOB@example.com")


def test_a_paused_client_key_tries_nothing(acme: Organization, keys: list[ProviderKey]) -> None:
    actions.pause_client_key(key=issue(acme), by=BY)
    assert explained("--client-key", "web").startswith("   Return an error. The client key is paused.\n")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--org", "nowhere"], "There is no organization with the slug “nowhere”."),
        (["--client-key", "gone"], "There is no client key named “gone” in this organization."),
        (["--member", "charlie@example.com"], "“charlie@example.com” is no member of this organization."),
        (["--request", "{"], "--request is no JSON"),
        (["--request", '{"only": []}'], "--request: `provider.only` is empty"),
        (["--request", '{"timeout_seconds": 1}'], "--request: `provider.timeout_seconds` is not supported"),
        (["--operation", "telepathy"], "invalid choice"),
    ],
)
def test_the_command_says_what_it_does_not_understand(args: list[str], message: str, acme: Organization, charlie: User) -> None:
    with pytest.raises(CommandError, match=message.replace("(", r"\(")):
        explained(*args)


# The page


@pytest.fixture
def alices(client_of: Callable[[User], Client], alice: User, acme: Organization) -> Client:
    return client_of(alice)


def test_the_page_shows_the_walk_of_the_first_model_it_knows(alices: Client, keys: list[ProviderKey]) -> None:
    text = alices.get(PAGE).text
    assert 'value="openai/gpt-4o" list=' in text
    assert '<option value="openai/whisper-1">' in text
    assert text.index("Skipped, failing since") < text.index("Tried first") < text.index("Last of your keys")
    assert "1 other key<" in text


def test_any_model_can_be_tried_and_the_fragment_says_what_the_page_says(alices: Client, keys: list[ProviderKey]) -> None:
    part = alices.get(TRY, {"model": " grok-4 "}, headers=HTMX).text
    assert part.strip().startswith('<div class="stack-sm" id="chain"')
    assert "<html" not in part
    assert part.strip() in alices.get(PAGE, {"model": "grok-4"}).text
    assert alices.get(TRY, {"model": "grok-4"})["Location"] == f"{PAGE}?model=grok-4"
    assert "No key may serve this" in alices.get(TRY, {"model": "<b>", "operation": "telepathy"}, headers=HTMX).text


def test_owners_try_as_a_client_key_and_as_a_member(
    alices: Client, acme: Organization, bob: User, keys: list[ProviderKey]
) -> None:
    key = issue(acme, ignore=("openai",))
    as_key = alices.get(TRY, {"model": "gpt-4o", "who": f"client:{key.pk}"}, headers=HTMX).text
    assert "Skipped, of a provider that the client key ignores" in as_key
    ProviderKey.objects.filter(name="Fast").update(allowed_members=[bob.pk])
    limited = "Skipped, limited to other members"
    assert limited in alices.get(TRY, {"model": "gpt-4o", "who": "somebody"}, headers=HTMX).text
    assert limited not in alices.get(TRY, {"model": "gpt-4o", "who": f"member:{bob.pk}"}, headers=HTMX).text
    actions.pause_client_key(key=key, by=BY)
    assert "The client key is paused" in alices.get(TRY, {"who": f"client:{key.pk}"}, headers=HTMX).text


def test_members_try_as_themselves_and_see_no_client_key(
    client_of: Callable[[User], Client], bob: User, acme: Organization, keys: list[ProviderKey]
) -> None:
    key = issue(acme, ignore=("openai",))
    text = client_of(bob).get(PAGE, {"model": "gpt-4o", "who": f"client:{key.pk}"}).text
    assert "try-who" not in text
    assert "client key ignores" not in text


def test_without_keys_the_card_asks_for_a_model(alices: Client) -> None:
    assert "No key is ready yet." in alices.get(PAGE).text


def test_the_fragment_takes_as_many_queries_for_three_hundred_keys_as_for_four(
    alices: Client, acme: Organization, keys: list[ProviderKey], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    alices.get(TRY, headers=HTMX)
    # session, person, membership, permissions; five of routes; client keys, members, latencies
    with django_assert_num_queries(12):
        alices.get(TRY, headers=HTMX)
    sealed = ProviderKey.objects.filter(name="Fast").values().get()
    more = ({**sealed, "id": None, "name": f"Fast {number}", "priority": number} for number in range(10, 306))
    ProviderKey.objects.bulk_create(ProviderKey(**{name: value for name, value in row.items() if name != "id"}) for row in more)
    with django_assert_num_queries(12):
        assert "other keys" in alices.get(TRY, headers=HTMX).text
