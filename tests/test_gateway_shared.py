"""Switches, wishes and the operator's shared keys, as programs meet them."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from keys import actions
from keys.models import ProviderKey
from keys.preferences import Preferences
from keys.providers import Credential
from orgs.actions import Actor, set_platform
from orgs.models import Organization
from tests.gateway_calls import CHAT, GREETING, STREAMED, call, get
from tests.gateway_server import BY, RunningGateway, StartGateway

pytest_plugins = ["tests.gateway_fixtures"]


@pytest.fixture
def lent(gateway: RunningGateway, globex: Organization) -> ProviderKey:
    return lend(gateway, globex)


def lend(gateway: RunningGateway, globex: Organization) -> ProviderKey:
    """A key of the operator, for everybody whose policy allows it."""
    credential = Credential({"api_key": gateway.fake.key("openai", "valid", 77)}, {}, "sk-…0077")
    key = actions.add_key(
        organization=globex, provider="openai", name="Operator's", credential=credential, test=None, needs_test=False, by=BY
    )
    set_platform(organization=globex, is_platform=True, by=BY)
    gateway.directory.refresh()
    return key


def decide(gateway: RunningGateway, **decisions: Any) -> None:
    actions.set_routing(organization=gateway.organization, by=BY, **decisions)
    gateway.directory.refresh()


@pytest.mark.parametrize("body", [GREETING, STREAMED])
def test_own_keys_only_fails_closed_and_names_the_policy(gateway: RunningGateway, lent: ProviderKey, body: Any) -> None:
    reply = call(gateway, body)
    assert (reply.status, reply.error["code"]) == (403, "own_keys_only")
    assert "The organization's policy is “own keys only”." in reply.error["message"]
    assert reply.headers["x-should-retry"] == "false"
    assert not gateway.fake.requests


def test_own_keys_that_fail_do_not_open_the_way_to_shared_ones(gateway: RunningGateway, lent: ProviderKey) -> None:
    gateway.add("openai", "refused")
    assert call(gateway).status == 502
    assert call(gateway).error["code"] == "own_keys_only"
    assert len(gateway.fake.requests) == 1


def test_shared_keys_serve_where_an_owner_allows_it_and_the_answer_says_so(gateway: RunningGateway, lent: ProviderKey) -> None:
    gateway.add("openai", "broken", name="ours")
    decide(gateway, own_keys_only=False)
    reply = call(gateway)
    assert (reply.status, reply.headers["x-keyhold-key"], reply.headers["x-keyhold-fallback"]) == (200, "Shared", "platform")
    assert [ended.opened.tier for ended in gateway.attempts()] == ["prioritized", "platform"]
    assert gateway.attempts()[-1].opened.provider_key_id == str(lent.pk)
    assert gateway.fake.requests[-1].headers["authorization"].endswith("0077")


def test_a_key_that_is_always_used_keeps_its_requests_from_shared_ones(gateway: RunningGateway, lent: ProviderKey) -> None:
    key = gateway.add("openai", "broken", name="ours")
    decide(gateway, own_keys_only=False)
    actions.set_always(key=key, always=True, by=BY)
    gateway.directory.refresh()
    assert call(gateway).status == 502


def test_shared_keys_are_for_no_native_path(gateway: RunningGateway, lent: ProviderKey) -> None:
    decide(gateway, own_keys_only=False)
    assert get(gateway, "/native/openai/models").status == 404
    assert not gateway.fake.requests


def test_shared_models_are_listed_for_those_who_may_use_them(gateway: RunningGateway, lent: ProviderKey) -> None:
    ProviderKey.objects.filter(pk=lent.pk).update(discovered_models=["gpt-4o"])
    decide(gateway, own_keys_only=True)
    Organization.objects.filter(pk=lent.organization_id).bump_routing()
    gateway.directory.refresh()
    assert b"gpt-4o" not in get(gateway, "/v1/models").body
    decide(gateway, own_keys_only=False)
    assert b"gpt-4o" in get(gateway, "/v1/models").body


def test_an_operator_who_lends_no_more_is_obeyed(gateway: RunningGateway, lent: ProviderKey) -> None:
    decide(gateway, own_keys_only=False)
    assert call(gateway).status == 200
    set_platform(organization=lent.organization, is_platform=False, by=Actor.command("test"))
    gateway.directory.refresh()
    assert call(gateway).status == 404


def test_what_stops_being_lent_while_a_request_runs_still_serves_it(start_gateway: StartGateway, globex: Organization) -> None:
    gateway = start_gateway(first_byte_seconds=1.0)
    lend(gateway, globex)
    gateway.add("openai", "stalls", name="ours")
    decide(gateway, own_keys_only=False)
    with ThreadPoolExecutor(1) as program:
        running = program.submit(call, gateway)
        assert gateway.fake.wait_for(lambda: bool(gateway.fake.requests))
        set_platform(organization=globex, is_platform=False, by=BY)
        gateway.directory.refresh()
        assert (running.result().status, running.result().headers["x-keyhold-key"]) == (200, "Shared")


def test_an_operator_who_pauses_lends_nothing(gateway: RunningGateway, lent: ProviderKey) -> None:
    decide(gateway, own_keys_only=False)
    actions.pause_provider(organization=lent.organization, provider="openai", by=BY)
    gateway.directory.refresh()
    assert (call(gateway).status, list(ProviderKey.objects.lent())) == (404, [])
    actions.resume_provider(organization=lent.organization, provider="openai", by=BY)
    actions.pause_organization(organization=lent.organization, by=BY)
    gateway.directory.refresh()
    assert (call(gateway).status, list(ProviderKey.objects.lent())) == (404, [])
    actions.resume_organization(organization=lent.organization, by=BY)
    gateway.directory.refresh()
    assert (call(gateway).status, list(ProviderKey.objects.lent())) == (200, [lent])


def test_the_policy_is_blamed_only_where_shared_keys_would_help(gateway: RunningGateway, lent: ProviderKey) -> None:
    gateway.add("openai")
    actions.pause_provider(organization=gateway.organization, provider="openai", by=BY)
    gateway.directory.refresh()
    assert call(gateway).error["code"] == "provider_paused"


# Switches


@pytest.mark.parametrize("path", [CHAT, "/native/openai/chat/completions"])
def test_a_paused_organization_gets_a_clear_answer(gateway: RunningGateway, path: str) -> None:
    gateway.add("openai")
    actions.pause_organization(organization=gateway.organization, by=BY)
    gateway.directory.refresh()
    reply = call(gateway, path=path)
    assert (reply.status, reply.error["code"], reply.headers["x-should-retry"]) == (403, "organization_paused", "false")
    assert get(gateway, "/v1/models").status == 403
    actions.resume_organization(organization=gateway.organization, by=BY)
    gateway.directory.refresh()
    body = {**GREETING, "model": "gpt-4o"}
    assert call(gateway, body, path, headers={"content-type": "application/json"}).status == 200


def test_a_paused_provider_is_passed_over(gateway: RunningGateway) -> None:
    gateway.add("openai")
    actions.pause_provider(organization=gateway.organization, provider="openai", by=BY)
    gateway.directory.refresh()
    reply = call(gateway)
    assert (reply.status, reply.error["code"]) == (403, "provider_paused")
    gateway.add("groq", models=("openai/gpt-4o",))
    assert call(gateway).headers["x-keyhold-walk"].startswith("openai:valid skipped (is paused with its provider); groq:valid")
    assert b"gpt-4o" in get(gateway, "/v1/models").body


def test_a_paused_client_key_is_refused_and_the_others_go_on(gateway: RunningGateway) -> None:
    gateway.add("openai")
    actions.pause_client_key(key=gateway.client_key, by=BY)
    gateway.directory.refresh()
    assert call(gateway).error["code"] == "client_key_paused"
    actions.resume_client_key(key=gateway.client_key, by=BY)
    gateway.directory.refresh()
    assert call(gateway).status == 200


def test_own_keys_that_are_switched_off_are_not_used(gateway: RunningGateway) -> None:
    gateway.add("openai")
    decide(gateway, use_own_keys=False)
    assert call(gateway).error["code"] == "own_keys_off"


def test_a_key_that_is_limited_to_others_is_refused_with_its_name(gateway: RunningGateway) -> None:
    key = gateway.add("openai", name="main")
    ProviderKey.objects.filter(pk=key.pk).update(allowed_models=["openai/o3*"])
    gateway.prefer()
    reply = call(gateway)
    assert (reply.status, reply.error["code"]) == (403, "key_restricted")
    assert "OpenAI key “main” is limited to other models." in reply.error["message"]
    assert b"gpt-4o" not in get(gateway, "/v1/models").body


# Wishes


def test_a_request_names_its_providers_and_the_provider_never_hears_of_it(gateway: RunningGateway) -> None:
    gateway.add("openai")
    gateway.add("groq", models=("openai/gpt-4o",), name="second")
    reply = call(gateway, {**GREETING, "provider": {"order": ["groq"]}})
    assert reply.headers["x-keyhold-key"] == "second"
    assert "provider" not in gateway.fake.requests[-1].json()


def test_a_wish_that_is_not_understood_is_refused_before_anything_is_sent(gateway: RunningGateway) -> None:
    gateway.add("openai")
    reply = call(gateway, {**GREETING, "provider": {"order": ["nobody"]}})
    assert (reply.status, reply.error["param"]) == (400, "provider.order[0]")
    assert not gateway.fake.requests


def test_a_wish_that_leaves_nobody_says_so(gateway: RunningGateway) -> None:
    gateway.add("openai")
    reply = call(gateway, {**GREETING, "provider": {"ignore": ["openai"]}})
    assert (reply.status, reply.error["code"]) == (404, "no_allowed_provider")
    assert [ended.closed.outcome for ended in gateway.attempts()] == ["refused"]


def test_a_client_key_has_wishes_of_its_own(gateway: RunningGateway) -> None:
    gateway.add("openai")
    gateway.add("groq", models=("openai/gpt-4o",), name="second")
    actions.set_client_key_preferences(key=gateway.client_key, preferences=Preferences(order=("groq",)), by=BY)
    gateway.directory.refresh()
    assert call(gateway).headers["x-keyhold-key"] == "second"


def test_an_organization_may_be_less_patient_with_a_provider(gateway: RunningGateway) -> None:
    gateway.add("openai", "stalls")
    gateway.add("openai", name="spare")
    gateway.prefer(timeout_seconds=1)
    reply = call(gateway)
    assert reply.headers["x-keyhold-key"] == "spare"
    assert gateway.outcomes()[0] == ("absorbed", "trouble", None)
