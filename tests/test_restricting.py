"""Limits of a key: the form that owners fill in, the action behind it, and what becomes of requests."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from keys import routes
from keys.actions import (
    RestrictionError,
    add_key,
    issue_client_key,
    remove_key,
    revoke_client_key,
    set_always,
    set_overrides,
    set_restrictions,
)
from keys.models import ClientKey, ProviderKey
from keys.providers import Credential
from keys.testing import TestResult, Verdict
from orgs.actions import Actor
from orgs.models import AuditEvent, Membership, Organization, User

BY = Actor(label="Alice")
PASSED = TestResult(verdict=Verdict.VALID, reason="", status=200, latency_ms=9, models=("gpt-4o", "gpt-4o-mini", "o3-mini"))
ALL = {"every_models": "", "every_members": "", "every_client_keys": ""}
EVERYTHING: dict[str, Any] = {"models": None, "members": None, "client_keys": None}
LIMITS_QUERIES = 9  # session, person, membership, permissions, key, members, client keys, failing keys, organizations


@pytest.fixture
def key(acme: Organization) -> ProviderKey:
    credential = Credential(secret={"api_key": "sk-proj-x"}, public={}, hint="sk-proj-…x")
    return add_key(organization=acme, provider="openai", name="Production", credential=credential, test=PASSED, by=BY)


@pytest.fixture
def app(acme: Organization) -> ClientKey:
    return issue_client_key(organization=acme, name="web-app", by=BY)[0]


@pytest.fixture
def alices(client_of: Callable[[User], Client], alice: User, acme: Organization) -> Client:
    return client_of(alice)


@pytest.fixture
def bobs(client_of: Callable[[User], Client], bob: User, acme: Organization) -> Client:
    return client_of(bob)


def page(name: str, key: ProviderKey) -> str:
    return reverse(name, args=["acme", key.pk])


def limits(key: ProviderKey) -> tuple[Any, Any, Any]:
    key.refresh_from_db()
    return key.allowed_models, key.allowed_members, key.allowed_client_keys


def told(tag: str) -> list[dict[str, Any]]:
    return [event.changes for event in AuditEvent.objects.filter(tag=tag).order_by("pk")]


# The action


def test_limits_are_kept_as_routing_reads_them_and_told_by_name(key: ProviderKey, app: ClientKey, bob: User) -> None:
    version = key.organization.routing_version
    set_restrictions(key=key, models=["OpenAI/GPT-4*", "openai/gpt-4*"], members=[bob.pk], client_keys=[app.pk], by=BY)
    assert limits(key) == (["openai/gpt-4*"], [bob.pk], [str(app.pk)])
    assert told("provider_key:restrict") == [
        {
            "before": {"models": None, "members": None, "client_keys": None},
            "after": {"models": ["openai/gpt-4*"], "members": {str(bob.pk): "Bob"}, "client_keys": {str(app.pk): "web-app"}},
        }
    ]
    assert Organization.objects.get(pk=key.organization_id).routing_version > version


def test_only_what_differs_is_told_and_nothing_when_nothing_does(key: ProviderKey, bob: User) -> None:
    set_restrictions(key=key, **EVERYTHING | {"members": [bob.pk]}, by=BY)
    set_restrictions(key=key, **EVERYTHING | {"members": [bob.pk]}, by=BY)
    set_restrictions(key=key, **EVERYTHING, by=BY)
    shown = {str(bob.pk): "Bob"}
    assert told("provider_key:restrict") == [
        {"before": {"members": None}, "after": {"members": shown}},
        {"before": {"members": shown}, "after": {"members": None}},
    ]
    assert limits(key) == (None, None, None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"models": []}, "Name at least one model"),
        ({"models": ["a b"]}, "Line 1: a model's name has no spaces."),
        ({"members": []}, "Choose at least one member"),
        ({"client_keys": []}, "Choose at least one client key"),
        ({"client_keys": [uuid4()]}, "A client key you chose is revoked."),
    ],
)
def test_an_empty_list_is_refused_and_so_is_what_is_not_there(changes: dict[str, Any], said: str, key: ProviderKey) -> None:
    with pytest.raises(RestrictionError, match=said) as refused:
        set_restrictions(key=key, **EVERYTHING | changes, by=BY)
    assert [refused.value.field] == list(changes)
    assert limits(key) == (None, None, None)
    assert told("provider_key:restrict") == []


def test_people_and_client_keys_of_others_are_refused(key: ProviderKey, charlie: User, globex: Organization) -> None:
    theirs, _ = issue_client_key(organization=globex, name="theirs", by=BY)
    with pytest.raises(RestrictionError, match="no member any more"):
        set_restrictions(key=key, **EVERYTHING | {"members": [charlie.pk]}, by=BY)
    with pytest.raises(RestrictionError, match="revoked"):
        set_restrictions(key=key, **EVERYTHING | {"client_keys": [theirs.pk]}, by=BY)


def test_a_key_that_was_removed_meanwhile_stays_as_it_is(key: ProviderKey) -> None:
    remove_key(key=ProviderKey.objects.get(pk=key.pk), by=BY)
    set_restrictions(key=key, **EVERYTHING | {"models": ["a/*"]}, by=BY)
    set_always(key=key, always=True, by=BY)
    assert (told("provider_key:restrict"), told("provider_key:always")) == ([], [])


def test_routing_follows(key: ProviderKey, app: ClientKey, acme: Organization) -> None:
    def served(model: str, client_key: ClientKey | None = None) -> bool:
        found = routes.of(acme).plan(model, asking=routes.asking(client_key), now=timezone.now().timestamp())
        return [candidate.key.id for candidate in found.candidates] == [key.pk]

    set_restrictions(key=key, models=["openai/gpt-4*"], members=None, client_keys=[app.pk], by=BY)
    assert served("openai/gpt-4o", app)
    assert not served("openai/o3-mini", app)
    assert not served("openai/gpt-4o")


# The page


def test_an_owner_limits_a_key_and_sees_it_on_its_page(
    alices: Client, bobs: Client, key: ProviderKey, app: ClientKey, bob: User
) -> None:
    fields = {
        "every_models": "some",
        "models": " openai/gpt-4o* \n\n",
        "every_members": "some",
        "members": [bob.pk],
        "every_client_keys": "some",
        "client_keys": [app.pk],
    }
    text = alices.post(page("provider_key_limits", key), fields, follow=True).text
    assert "The limits of “Production” are saved. Requests follow them within 2 seconds." in text
    assert limits(key) == (["openai/gpt-4o*"], [bob.pk], [str(app.pk)])
    assert '<li class="tag mono">openai/gpt-4o*</li>' in text
    assert "2 of the 3 models that the last good test found match." in text
    assert "<dd>web-app</dd>" in text
    assert "<dd>Bob</dd>" in text
    assert "Limits changed: 1 model, 1 member, 1 client key" in text
    members = bobs.get(page("provider_key", key)).text
    assert "<dd>1 client key</dd>" in members
    assert "web-app" not in members
    form = alices.get(page("provider_key_limits", key)).text
    assert form.count("checked") == 5
    assert "openai/gpt-4o*</textarea>" in form


def test_every_limit_can_be_lifted_again(alices: Client, key: ProviderKey, bob: User) -> None:
    set_restrictions(key=key, **EVERYTHING | {"models": ["a/*"], "members": [bob.pk]}, by=BY)
    text = alices.post(page("provider_key_limits", key), ALL | {"models": "still here", "members": ["x"]}, follow=True).text
    assert limits(key) == (None, None, None)
    for said in ("All 3", "All client keys", "Everybody"):
        assert f"<dd>{said}</dd>" in text


def test_an_empty_list_is_answered_with_a_sentence_and_the_form_is_kept(alices: Client, key: ProviderKey, bob: User) -> None:
    fields = {"every_models": "some", "models": "", "every_members": "some", "every_client_keys": "some", "members": [bob.pk]}
    answer = alices.post(page("provider_key_limits", key), fields)
    assert answer.status_code == 422
    assert "<title>Error: Limits of OpenAI Production" in answer.text
    assert 'href="#limit-models">Name at least one model, or let the key serve every model.' in answer.text
    assert 'href="#limit-client_keys">Choose at least one client key' in answer.text
    assert "Choose at least one member" not in answer.text
    assert answer.text.count("checked") == 4
    assert limits(key) == (None, None, None)


def test_a_form_that_says_nothing_lifts_no_limit(alices: Client, key: ProviderKey) -> None:
    set_restrictions(key=key, **EVERYTHING | {"models": ["a/*"]}, by=BY)
    assert alices.post(page("provider_key_limits", key)).status_code == 422
    assert limits(key)[0] == ["a/*"]


def test_mistakes_are_named_by_their_line(alices: Client, key: ProviderKey) -> None:
    fields = ALL | {"every_models": "some", "models": "openai/*\ngpt 4"}
    answer = alices.post(page("provider_key_limits", key), fields)
    assert answer.status_code == 422
    assert "Line 2: a model&#x27;s name has no spaces." in answer.text
    assert "openai/*\ngpt 4</textarea>" in answer.text


@pytest.mark.parametrize(("name", "value"), [("members", "999"), ("client_keys", str(UUID(int=1))), ("client_keys", "x")])
def test_what_went_away_meanwhile_is_said(name: str, value: str, alices: Client, key: ProviderKey) -> None:
    answer = alices.post(page("provider_key_limits", key), ALL | {f"every_{name}": "some", name: [value]})
    assert answer.status_code == 422
    assert "Look through the list and save again." in answer.text


def test_patterns_that_match_nothing_known_are_doubted(alices: Client, key: ProviderKey) -> None:
    text = alices.post(page("provider_key_limits", key), ALL | {"every_models": "some", "models": "gpt4"}, follow=True).text
    assert "none of its 3 known models matches them." in text
    assert limits(key)[0] == ["gpt4"]


def test_names_that_owners_gave_count_as_names(alices: Client, key: ProviderKey, acme: Organization) -> None:
    set_overrides(organization=acme, provider="openai", overrides={"acme/chat": "gpt-4o"}, by=BY)
    text = alices.post(page("provider_key_limits", key), ALL | {"every_models": "some", "models": "acme/*"}, follow=True).text
    assert "1 of the 3 models" in text


def test_a_limit_to_what_is_gone_serves_nobody_and_says_so(
    alices: Client, key: ProviderKey, app: ClientKey, bob: User, acme: Organization
) -> None:
    set_restrictions(key=key, models=None, members=[bob.pk], client_keys=[app.pk], by=BY)
    revoke_client_key(key=app, by=BY)
    Membership.objects.get(user=bob, organization=acme).delete()
    text = alices.get(page("provider_key", key)).text
    assert "No client key: those it was limited to are revoked" in text
    assert "Nobody: those it was limited to have left" in text


def test_azure_deployments_are_counted_by_their_slugs(alices: Client, acme: Organization) -> None:
    entries = [
        {"model_slug": f"openai/{name}", "endpoint_url": "https://acme.openai.azure.com", "model_id": name}
        for name in ("gpt-4o", "o3-mini")
    ]
    credential = Credential(secret={"api_keys": ["a", "b"]}, public={"deployments": entries}, hint="2 deployments")
    azure = add_key(organization=acme, provider="azure", name="EU", credential=credential, test=PASSED, by=BY)
    set_restrictions(key=azure, **EVERYTHING | {"models": ["openai/o3*"]}, by=BY)
    assert "1 of the 2 deployments of this key matches." in alices.get(page("provider_key", azure)).text


def test_members_read_limits_and_do_not_set_them(bobs: Client, key: ProviderKey) -> None:
    assert page("provider_key_limits", key) not in bobs.get(page("provider_key", key)).text
    assert bobs.get(page("provider_key_limits", key)).status_code == 403
    assert bobs.post(page("provider_key_limits", key), ALL).status_code == 403
    assert bobs.post(page("provider_key_always", key), {"always": "on"}).status_code == 403


def test_the_form_takes_as_many_queries_for_many_as_for_one(
    alices: Client, key: ProviderKey, app: ClientKey, acme: Organization, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    address = page("provider_key_limits", key)
    alices.get(address)
    with django_assert_num_queries(LIMITS_QUERIES):
        alices.get(address)
    for number in range(20):
        issue_client_key(organization=acme, name=f"app {number}", by=BY)
        member = User.objects.create_user(f"m{number}@example.com", name=f"M{number}")
        Membership.objects.create(organization=acme, user=member, role=Membership.objects.first().role)  # type: ignore[union-attr]
    with django_assert_num_queries(LIMITS_QUERIES):
        assert alices.get(address).text.count('type="checkbox"') == 43


# Always


def test_an_owner_sets_a_key_to_be_used_always_and_back(alices: Client, bobs: Client, key: ProviderKey) -> None:
    assert "Shared keys are off for Acme, so this changes nothing now." in alices.get(page("provider_key", key)).text
    text = alices.post(page("provider_key_always", key), {"always": "on"}, follow=True).text
    assert "Requests that “Production” may serve never go to shared keys." in text
    assert 'id="id_always" checked' in text
    assert "Always used for OpenAI" in bobs.get(page("provider_key", key)).text
    alices.post(page("provider_key_always", key), {"always": "on"})
    text = alices.post(page("provider_key_always", key), follow=True).text
    assert "“Production” does not keep requests from shared keys." in text
    assert told("provider_key:always") == [
        {"before": {"always": False}, "after": {"always": True}},
        {"before": {"always": True}, "after": {"always": False}},
    ]
