"""What owners decide about routing beside the order: switches, preferences, pausing. As Alice, Bob and Charlie see it."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from keys import actions, routes
from keys.models import ProviderPreference, RoutingPreference
from keys.preference_form import PreferencesForm
from keys.preferences import ALL_MOVES, NONE, Move, Preferences
from orgs.actions import Actor
from orgs.models import AuditEvent, Organization, User

pytestmark = pytest.mark.django_db
BY = Actor.command("test")


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


def test_providers_may_be_written_by_their_labels_and_by_names_from_elsewhere() -> None:
    form = filled({"order": "AWS Bedrock, google-vertex,  OPENAI , openai,"}, fields=["order"])
    assert form.is_valid()
    assert form.preferences == Preferences(order=("bedrock", "vertex", "openai"))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"order": "openai, opnai"}, "“opnai” is not a provider. Did you mean openai?"),
        ({"ignore": "§§§"}, "“§§§” is not a provider. Providers are anthropic,"),
        ({"timeout_seconds": "0"}, "Enter a whole number of seconds from 1 to 600, or nothing."),
        ({"timeout_seconds": "soon"}, "Enter a whole number of seconds from 1 to 600, or nothing."),
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
