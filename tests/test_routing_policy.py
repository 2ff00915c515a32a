"""What owners decide about routing beside the order: switches, preferences, pausing. As Alice, Bob and Charlie see it."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from keys import actions, routes
from keys.forms.preferences import PreferencesForm
from keys.models import ProviderKey, ProviderPreference, RoutingPreference
from keys.preferences import NONE, Move, Preferences
from keys.providers import Credential
from keys.testing import TestResult, Verdict
from orgs.actions import Actor
from orgs.models import AuditEvent, Organization, User

pytestmark = pytest.mark.django_db
BY = Actor.command("test")
PASSED = TestResult(verdict=Verdict.VALID, reason="", status=200, latency_ms=9, models=("gpt-4o",))
PAGES: list[tuple[str, list[str], int]] = [
    ("routing_own_keys_off", [], 13),
    ("routing_pause", [], 8),
    ("routing_preferences", [], 7),
    ("provider_routing", ["openai"], 14),
    ("provider_routing_pause", ["openai"], 13),
]


def told(organization: Organization) -> list[tuple[str, Any, Any]]:
    """Tags, and what was before and after, but for the creation of the organization."""
    events = AuditEvent.objects.filter(organization=organization).exclude(tag="organization:create").order_by("pk")
    return [(event.tag, event.changes["before"], event.changes["after"]) for event in events]


def version(organization: Organization) -> int:
    organization.refresh_from_db()
    return organization.routing_version


# The writes


def test_setting_a_switch_is_told_with_what_it_was_and_seen_by_the_gateways(acme: Organization) -> None:
    before = version(acme)
    actions.set_routing(organization=acme, by=BY, use_own_keys=False, timeout_seconds=20)
    assert told(acme) == [
        ("routing:set", {"use_own_keys": True, "timeout_seconds": None}, {"use_own_keys": False, "timeout_seconds": 20})
    ]
    assert version(acme) == before + 1
    policy = routes.of(acme).policy
    assert (policy.use_own_keys, policy.preferences) == (False, Preferences(timeout_seconds=20))


def test_nothing_is_written_or_told_where_nothing_changes(acme: Organization) -> None:
    before = version(acme)
    actions.set_routing(organization=acme, by=BY, use_own_keys=True, own_keys_only=True, order_first=False, order=None)
    actions.set_provider_routing(organization=acme, provider="openai", by=BY, use_own_keys=True, move_on=None)
    actions.resume_organization(organization=acme, by=BY)
    actions.resume_provider(organization=acme, provider="openai", by=BY)
    assert (told(acme), version(acme)) == ([], before)
    assert not RoutingPreference.objects.exists()
    assert not ProviderPreference.objects.exists()


def test_preferences_that_are_not_named_stay(acme: Organization) -> None:
    actions.set_routing(organization=acme, by=BY, order=("groq", "openai"), allow_fallbacks=False)
    actions.set_routing(organization=acme, by=BY, order=None, move_on=frozenset({Move.LIMITED}), ignore=("fal",))
    assert routes.of(acme).policy.preferences == Preferences(
        allow_fallbacks=False, ignore=("fal",), move_on=frozenset({Move.LIMITED})
    )


def test_what_is_decided_of_a_provider_is_told_with_its_name(acme: Organization) -> None:
    actions.set_provider_routing(organization=acme, provider="groq", by=BY, use_own_keys=False, move_on=frozenset())
    of_groq = routes.of(acme).policy.providers["groq"]
    assert (of_groq.use_own_keys, of_groq.preferences) == (False, Preferences(move_on=frozenset()))
    assert told(acme) == [
        (
            "provider_routing:set",
            {"provider": "groq", "use_own_keys": True, "move_on": None},
            {"provider": "groq", "use_own_keys": False, "move_on": []},
        )
    ]


def test_a_second_pause_changes_nothing_and_a_resumption_ends_it(acme: Organization) -> None:
    for _ in range(2):
        actions.pause_organization(organization=acme, by=BY)
        actions.pause_provider(organization=acme, provider="groq", by=BY)
    policy = routes.of(acme).policy
    assert policy.paused
    assert policy.providers["groq"].paused
    actions.resume_organization(organization=acme, by=BY)
    actions.resume_provider(organization=acme, provider="groq", by=BY)
    policy = routes.of(acme).policy
    assert not policy.paused
    assert not policy.providers["groq"].paused
    assert [tag for tag, _, _ in told(acme)] == ["organization:pause", "provider:pause", "organization:resume", "provider:resume"]
    since = told(acme)[0][2]["paused_at"]
    assert told(acme)[2][1:] == ({"paused_at": since}, {"paused_at": None})


# The form


def filled(data: dict[str, Any], **options: Any) -> PreferencesForm:
    return PreferencesForm(data, **options)


def test_an_empty_form_says_nothing() -> None:
    form = filled({"move_on": [each.value for each in Move]})
    assert form.is_valid()
    assert form.preferences == NONE


def test_a_form_reads_what_it_wrote() -> None:
    kept = Preferences(
        order=("bedrock", "xai"),
        only=("bedrock", "xai", "groq"),
        ignore=("fal",),
        allow_fallbacks=False,
        timeout_seconds=30,
        move_on=frozenset({Move.TROUBLE}),
    )
    for otherwise in ("", "your organization decides"):
        shown = PreferencesForm(kept=kept, otherwise=otherwise)
        again = filled({name: field.value() for name, field in ((each.name, each) for each in shown)}, otherwise=otherwise)
        assert again.is_valid(), again.errors
        assert again.preferences == kept


def test_the_form_of_a_client_key_says_that_only_a_request_may_say_otherwise() -> None:
    for otherwise, who in (("", "A client key or a request may"), ("your organization decides", " A request may")):
        form = PreferencesForm(otherwise=otherwise)
        assert all(who in str(form[name].help_text) for name in ("only", "ignore"))


def test_providers_may_be_written_by_their_labels_and_by_names_from_elsewhere() -> None:
    form = filled({"order": "AWS Bedrock, google-vertex,  OPENAI , openai,"}, fields=["order"])
    assert form.is_valid()
    assert form.preferences == Preferences(order=("bedrock", "vertex", "openai"))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"order": "openai, opnai"}, "“opnai” is not a provider. Did you mean openai?"),
        ({"ignore": "§§§"}, "“§§§” is not a provider. Providers are anthropic,"),
        ({"timeout_seconds": "0"}, "Enter a whole number of seconds from 1 to 60, or nothing."),
        ({"timeout_seconds": "soon"}, "Enter a whole number of seconds from 1 to 60, or nothing."),
    ],
)
def test_a_mistake_is_named_at_its_field(data: dict[str, str], words: str) -> None:
    form = filled(data)
    assert not form.is_valid()
    assert words in form.errors[next(iter(data))][0]


def test_moves_are_left_to_others_or_decided_here() -> None:
    left = filled({"decides_moves": "", "move_on": ["limited"]}, fields=["move_on"], otherwise="your organization decides")
    here = filled({"decides_moves": "here"}, fields=["move_on"], otherwise="your organization decides")
    last = filled({"move_on": ["limited"]}, fields=["move_on"])
    assert all(form.is_valid() for form in (left, here, last))
    assert [form.preferences.move_on for form in (left, here, last)] == [None, frozenset(), frozenset({Move.LIMITED})]


# The pages


@pytest.fixture
def alices(client_of: Callable[[User], Client], alice: User, acme: Organization) -> Client:
    return client_of(alice)


@pytest.fixture
def bobs(client_of: Callable[[User], Client], bob: User, acme: Organization) -> Client:
    return client_of(bob)


def make_key(organization: Organization, name: str = "Production", provider: str = "openai") -> ProviderKey:
    credential = Credential(secret={"api_key": f"sk-proj-{name}"}, public={}, hint="sk-…")
    return actions.add_key(organization=organization, provider=provider, name=name, credential=credential, test=PASSED, by=BY)


@pytest.fixture
def shared_key(db: None) -> ProviderKey:
    lender = Organization.objects.create(name="Operator", slug="operator", is_platform=True)
    return make_key(lender, "Shared")


def page(name: str, *args: Any) -> str:
    return reverse(name, args=["acme", *args])


def after(client: Client, address: str, data: dict[str, Any] | None = None) -> str:
    """The page to which a good POST leads."""
    answer = client.post(address, data or {}, follow=True)
    assert answer.redirect_chain, answer.text
    return answer.text


def test_switching_our_keys_off_asks_first_and_says_what_happens(alices: Client, acme: Organization) -> None:
    make_key(acme)
    actions.issue_client_key(organization=acme, name="web-app", by=BY)
    text = alices.get(page("routing_own_keys_off")).text
    assert "Requests will stop using your keys. Shared keys are off, so every request will fail." in text
    assert "<b>1 model</b> no key is left for: openai/gpt-4o" in text
    assert "<b>1 client key</b> affected: web-app" in text
    assert "0 requests in the last 7 days" in text
    assert routes.of(acme).policy.use_own_keys
    assert "Your keys are switched off." in after(alices, page("routing_own_keys_off"))
    assert not routes.of(acme).policy.use_own_keys
    assert "Your keys are switched on." in after(alices, page("routing_own_keys_on"))
    assert routes.of(acme).policy.use_own_keys


def test_with_shared_keys_it_says_that_requests_go_there(alices: Client, acme: Organization, shared_key: ProviderKey) -> None:
    actions.set_routing(organization=acme, by=BY, own_keys_only=False)
    assert "Shared keys are on, so requests go to them" in alices.get(page("routing_own_keys_off")).text


def test_the_routing_page_has_the_switch_and_the_fallback_of_an_owner(alices: Client, bobs: Client, acme: Organization) -> None:
    make_key(acme)
    actions.pause_provider(organization=acme, provider="groq", by=BY)
    text = alices.get(page("routing")).text
    assert 'role="switch" aria-checked="true"' in text
    assert "Pause requests" in text
    assert '<button class="btn sm">Save</button>' in text
    assert page("provider_routing", "openai") in text
    assert '<span class="tag bad">Paused</span>' in text
    text = bobs.get(page("routing")).text
    assert "Our keys are used." in text
    assert "Try the next key after" in text
    for word in ('role="switch"', "Pause requests", '<button class="btn sm">Save</button>'):
        assert word not in text


def test_pausing_everything_asks_first_and_shows_until_resumed(alices: Client, acme: Organization) -> None:
    make_key(acme)
    assert "No client key is in use, so no request fails." in alices.get(page("routing_pause")).text
    actions.issue_client_key(organization=acme, name="web-app", by=BY)
    text = alices.get(page("routing_pause")).text
    assert "Pause every request of Acme?" in text
    assert "Client key <b>web-app</b>, never used" in text
    text = after(alices, page("routing_pause"))
    assert "Acme is paused." in text
    assert "Every request is refused." in text
    assert "Resume requests" in text
    assert routes.of(acme).policy.paused
    text = after(alices, page("routing_resume"))
    assert "Requests of Acme are served again within 2 seconds." in text
    assert "Every request is refused." not in text
    assert not routes.of(acme).policy.paused


def test_pausing_a_provider_asks_first_and_shows_until_resumed(alices: Client, acme: Organization) -> None:
    assert "Every model that is served now has another key." in alices.get(page("provider_routing_pause", "openai")).text
    make_key(acme)
    text = alices.get(page("provider_routing_pause", "openai")).text
    assert "Pause OpenAI?" in text
    assert "<b>1 model</b> no key is left for: openai/gpt-4o" in text
    assert "Requests that name <b>OpenAI</b> fail" in text
    assert "0 requests to OpenAI in the last 7 days" in text
    assert "No request goes to OpenAI." in after(alices, page("provider_routing_pause", "openai"))
    assert routes.of(acme).policy.providers["openai"].paused
    assert "Requests go to OpenAI again" in after(alices, page("provider_routing_resume", "openai"))
    assert not routes.of(acme).policy.providers["openai"].paused


def test_an_owner_chooses_which_failures_move_on(alices: Client, acme: Organization) -> None:
    assert "What happens when a key fails is saved." in after(
        alices, page("routing_fallback"), {"move_on": ["limited", "trouble"]}
    )
    assert routes.of(acme).policy.preferences.move_on == {Move.LIMITED, Move.TROUBLE}
    after(alices, page("routing_fallback"), {"move_on": [*Move]})
    assert routes.of(acme).policy.preferences == NONE


def test_shared_keys_are_a_choice_only_where_somebody_shares_some(
    alices: Client, acme: Organization, shared_key: ProviderKey
) -> None:
    text = alices.get(page("routing")).text
    assert "Use shared keys" in text
    after(alices, page("routing_fallback"), {"move_on": [*Move], "last": "shared", "first": "order"})
    policy = routes.of(acme).policy
    assert (policy.own_keys_only, policy.order_first) == (False, True)
    shared_key.delete()
    assert "Use shared keys" in alices.get(page("routing")).text  # it can be taken back
    after(alices, page("routing_fallback"), {"move_on": [*Move], "last": "error", "first": "keys"})
    assert routes.of(acme).policy == routes.policy_of(None, [])
    assert "Use shared keys" not in alices.get(page("routing")).text
    after(alices, page("routing_fallback"), {"move_on": [*Move], "last": "shared", "first": "order"})
    assert routes.of(acme).policy.own_keys_only


def test_a_fallback_without_a_choice_is_refused_and_kept(alices: Client, acme: Organization, shared_key: ProviderKey) -> None:
    answer = alices.post(page("routing_fallback"), {"move_on": ["limited"], "first": "keys"})
    assert answer.status_code == 422
    assert "Choose what happens when all your keys fail." in answer.text
    assert '<input type="checkbox" name="move_on" value="limited" id="id_move_on_0" checked>' in answer.text
    assert told(acme) == []


def test_an_owner_sets_preferences_of_the_organization(alices: Client, acme: Organization) -> None:
    actions.set_routing(organization=acme, by=BY, move_on=frozenset({Move.LIMITED}))
    said = {"order": "groq, openai", "only": "", "ignore": "fal", "allow_fallbacks": "no", "timeout_seconds": "20"}
    text = after(alices, page("routing_preferences_set"), said)
    assert "Preferences are saved." in text
    assert 'value="groq, openai"' in text
    assert routes.of(acme).policy.preferences == Preferences(
        order=("groq", "openai"),
        ignore=("fal",),
        allow_fallbacks=False,
        timeout_seconds=20,
        move_on=frozenset({Move.LIMITED}),
    )


def test_preferences_with_a_mistake_are_kept_in_the_form(alices: Client, acme: Organization) -> None:
    answer = alices.post(page("routing_preferences_set"), {"order": "opnai", "timeout_seconds": "20"})
    assert answer.status_code == 422
    assert "<title>Error: Routing preferences" in answer.text
    assert "“opnai” is not a provider. Did you mean openai?" in answer.text
    assert 'value="opnai"' in answer.text
    assert 'value="20"' in answer.text
    assert told(acme) == []


def test_an_owner_decides_about_one_provider(alices: Client, acme: Organization) -> None:
    make_key(acme, "Batch")
    assert "Batch" in alices.get(page("provider_routing", "openai")).text
    said = {"timeout_seconds": "9", "decides_moves": "here", "move_on": ["trouble"]}
    assert "Routing of OpenAI is saved." in after(alices, page("provider_routing_set", "openai"), said)
    of_openai = routes.of(acme).policy.providers["openai"]
    assert not of_openai.use_own_keys
    assert of_openai.preferences == Preferences(timeout_seconds=9, move_on=frozenset({Move.TROUBLE}))
    after(alices, page("provider_routing_set", "openai"), {"use_own_keys": "on", "decides_moves": "", "move_on": ["trouble"]})
    of_openai = routes.of(acme).policy.providers["openai"]
    assert (of_openai.use_own_keys, of_openai.preferences) == (True, NONE)


def test_a_provider_with_a_mistake_is_kept_and_an_unknown_one_is_missing(alices: Client, acme: Organization) -> None:
    answer = alices.post(page("provider_routing_set", "openai"), {"timeout_seconds": "601"})
    assert answer.status_code == 422
    assert "from 1 to 60, or nothing." in answer.text
    assert 'value="601"' in answer.text
    for name in ("provider_routing", "provider_routing_pause"):
        assert alices.get(page(name, "nowhere")).status_code == 404
    for name in ("provider_routing_set", "provider_routing_pause", "provider_routing_resume"):
        assert alices.post(page(name, "nowhere")).status_code == 404


def test_a_member_reads_preferences_and_cannot_save_them(bobs: Client, acme: Organization) -> None:
    actions.set_routing(organization=acme, by=BY, order=("groq",))
    actions.set_provider_routing(organization=acme, provider="openai", by=BY, timeout_seconds=9)
    for address, value in ((page("routing_preferences"), "groq"), (page("provider_routing", "openai"), "9")):
        text = bobs.get(address).text
        assert f'value="{value}"' in text
        assert "disabled" in text
        assert "Save" not in text
        assert "Pause OpenAI" not in text


@pytest.mark.parametrize("count", [1, 3])
def test_pages_take_the_same_queries_however_many_keys_there_are(
    count: int, alices: Client, acme: Organization, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(count):
        make_key(acme, f"Key {number}")
        actions.issue_client_key(organization=acme, name=f"app {number}", by=BY)
    for name, args, queries in PAGES:
        with django_assert_num_queries(queries):
            assert alices.get(page(name, *args)).status_code == 200
