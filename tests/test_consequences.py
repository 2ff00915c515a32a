"""What is not served any more once a key, a provider or everything is stopped, and what the pages that ask say of it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import Client
from django.utils import timezone

from keys import routes
from keys.actions import issue_client_key
from keys.health import Health, State
from keys.models import ClientKey, ProviderKey
from keys.pages import consequences
from keys.pages.consequences import Loss, Lost
from keys.pages.takeover import Share, share
from keys.preferences import Preferences
from keys.restrictions import Restrictions
from keys.routes import Routes
from keys.routing import PLATFORM, Asking, Policy, RouteKey
from orgs.actions import Actor
from orgs.models import Organization, User
from tests.attempts import attempt, make_keys
from usage.ingest import book

BY = Actor.command("test")
WEB, JOBS = Asking(UUID(int=101)), Asking(UUID(int=102))
BOTH = {"web": WEB, "Jobs": JOBS}
AZURE = ({"model_slug": "openai/gpt-4o", "endpoint_url": "https://a.openai.azure.com", "model_id": "prod-4o"},)
NOTHING = Loss()


def lost(models: tuple[str, ...] = (), providers: tuple[str, ...] = (), callers: tuple[str, ...] = ("Jobs", "web")) -> Loss:
    """For everybody, which those callers feel."""
    return Loss(tuple(Lost(each) for each in [models] if each), tuple(Lost(each) for each in [providers] if each), callers)


def key(number: int, provider: str = "openai", *models: str, **changes: Any) -> RouteKey:
    row = RouteKey(UUID(int=number), provider, f"Key {number}", number, "prioritized", True, True, frozenset(models), ())
    return replace(row, **changes)


def all_of(*keys: RouteKey, policy: Policy = Policy(), health: Mapping[UUID, Health] | None = None) -> Routes:  # noqa: B008
    own = tuple(each for each in keys if each.tier != PLATFORM)
    return Routes(own, tuple(each for each in keys if each.tier == PLATFORM), policy, health or {})


def without(number: int, found: Routes, callers: Mapping[str, Asking] = BOTH) -> Loss:
    return consequences.of_key(found, UUID(int=number), callers=callers, now=0.0)


def test_a_twin_takes_everything_over() -> None:
    assert without(1, all_of(key(1, "openai", "gpt-4o"), key(2, "openai", "gpt-4o"))) == NOTHING


def test_models_that_only_this_key_has_are_lost_for_everybody() -> None:
    found = all_of(key(1, "openai", "gpt-4o", "o3"), key(2, "openai", "gpt-4o"))
    assert without(1, found) == lost(("openai/o3",))
    assert without(2, found) == NOTHING


def test_the_last_key_of_a_provider_cannot_be_named_even_where_another_has_its_models() -> None:
    found = all_of(key(1, "openai", "gpt-4o"), key(2, "azure", deployments=AZURE))
    assert without(1, found) == lost((), ("OpenAI",), ())


def test_a_provider_without_our_own_api_is_lost_by_its_name_alone() -> None:
    assert without(1, all_of(key(1, "pollo"))) == lost((), ("Pollo.AI",))
    assert without(1, all_of(key(1, "pollo"), key(2, "pollo"))) == NOTHING


@pytest.mark.parametrize("changes", [{"enabled": False}, {"tested": False}])
def test_who_serves_nobody_is_missed_by_nobody_and_takes_nothing_over(changes: dict[str, Any]) -> None:
    resting, working = key(1, "openai", "gpt-4o", **changes), key(2, "openai", "gpt-4o")
    assert without(1, all_of(resting, working)) == NOTHING
    assert without(2, all_of(resting, working)) == lost(("openai/gpt-4o",), ("OpenAI",))


def test_a_key_that_was_refused_takes_nothing_over() -> None:
    refused = Health(State.FAILING, 0.0, None, "refused")
    found = all_of(key(1, "openai", "gpt-4o"), key(2, "openai", "gpt-4o"), health={UUID(int=2): refused})
    assert without(1, found).models == (Lost(("openai/gpt-4o",)),)
    assert without(2, found) == NOTHING


@pytest.mark.parametrize("unwell", [Health(State.LIMITED, 0.0, 60.0, "limited"), Health(State.FAILING, 0.0, 60.0, "trouble")])
def test_limits_and_troubles_that_pass_make_no_difference(unwell: Health) -> None:
    found = all_of(key(1, "openai", "gpt-4o"), key(2, "openai", "gpt-4o", "o3"), health={UUID(int=2): unwell})
    assert without(1, found) == NOTHING
    assert without(2, found).models == (Lost(("openai/o3",)),)


def test_only_client_keys_that_the_others_do_not_serve_are_affected() -> None:
    jobs_only = Restrictions(client_keys=frozenset({UUID(int=102)}))
    found = all_of(key(1, "openai", "gpt-4o"), key(2, "openai", "gpt-4o", restrictions=jobs_only))
    of_web = ("web",)
    assert without(1, found) == Loss((Lost(("openai/gpt-4o",), of_web),), (Lost(("OpenAI",), of_web),), of_web)
    assert without(2, found) == NOTHING
    picky = {"web": replace(WEB, of_client_key=Preferences(only=("azure",))), "Jobs": JOBS}
    mixed = all_of(key(1, "azure", deployments=AZURE), key(2, "openai", "gpt-4o"))
    assert without(1, mixed, picky) == Loss((Lost(("openai/gpt-4o",), of_web),), (Lost(("Azure",)),), of_web)
    assert without(2, mixed, picky) == Loss((), (Lost(("OpenAI",), ("Jobs",)),), ())


def test_models_are_grouped_by_who_loses_them() -> None:
    jobs_only = Restrictions(client_keys=frozenset({UUID(int=102)}))
    found = all_of(key(1, "openai", "gpt-4o", "o3", "o4"), key(2, "openai", "gpt-4o", "o4", restrictions=jobs_only))
    models = without(1, found).models
    assert models == (Lost(("openai/o3",)), Lost(("openai/gpt-4o", "openai/o4"), ("web",)))


def test_without_client_keys_the_models_are_named_all_the_same() -> None:
    assert without(1, all_of(key(1, "openai", "gpt-4o")), {}) == lost(("openai/gpt-4o",), ("OpenAI",), ())


def test_shared_keys_take_over_where_the_policy_lets_them() -> None:
    own, shared = key(1, "openai", "gpt-4o"), key(2, "openai", "gpt-4o", tier=PLATFORM)
    assert without(1, all_of(own, shared)).models == (Lost(("openai/gpt-4o",)),)
    lent = all_of(own, shared, policy=Policy(own_keys_only=False))
    assert without(1, lent) == NOTHING
    assert consequences.of_own_keys(lent, callers=BOTH, now=0.0) == NOTHING
    assert consequences.of_provider(lent, "openai", callers=BOTH, now=0.0).models == (Lost(("openai/gpt-4o",)),)


def test_a_paused_provider_and_own_keys_that_are_off_serve_nobody() -> None:
    found = all_of(key(1, "openai", "gpt-4o", "o3"), key(2, "azure", deployments=AZURE))
    of_openai = consequences.of_provider(found, "openai", callers=BOTH, now=0.0)
    assert of_openai == lost(("openai/o3",), ("OpenAI",))
    everything = lost(("openai/gpt-4o", "openai/o3"), ("Azure", "OpenAI"))
    assert consequences.of_own_keys(found, callers=BOTH, now=0.0) == everything
    assert consequences.of_organization(found, callers=BOTH, now=0.0) == everything
    assert consequences.of_client_key(found, "web", WEB, now=0.0) == replace(everything, callers=("web",))


def test_what_is_paused_already_has_nothing_to_lose() -> None:
    found = all_of(key(1, "openai", "gpt-4o"), policy=Policy(paused=True))
    assert without(1, found) == NOTHING


@pytest.mark.django_db
def test_callers_are_the_client_keys_that_may_ask_now(acme: Organization, globex: Organization) -> None:
    web, _ = issue_client_key(organization=acme, name="web", by=BY)
    for name, changes in {"paused": {"paused_at": timezone.now()}, "revoked": {"revoked_at": timezone.now()}}.items():
        other, _ = issue_client_key(organization=acme, name=name, by=BY)
        type(other).objects.filter(pk=other.pk).update(**changes)
    issue_client_key(organization=globex, name="theirs", by=BY)
    assert consequences.callers(acme) == {"web": routes.asking(web)}


@pytest.mark.django_db
@pytest.mark.parametrize("page", ["off", "delete"])
def test_before_a_key_is_stopped_its_page_says_what_is_lost(
    page: str, alice: User, acme: Organization, client_of: Callable[[User], Client]
) -> None:
    working: dict[str, Any] = {"status": "healthy", "needs_test": False}
    lone = make_keys(acme, "Production", discovered_models=["gpt-4o", "o3"], **working)
    make_keys(acme, "Backup", discovered_models=["gpt-4o"], **working)
    book([attempt(acme, at=timezone.now(), key=lone.provider.pk), attempt(acme, at=timezone.now(), key=uuid4())])
    text = client_of(alice).get(f"/o/acme/providers/{lone.provider.pk}/{page}/").text
    assert "Requests that “Backup” may serve will go there. Others will fail if no other key can answer them." in text
    assert "openai/o3" in text
    assert "openai/gpt-4o" not in text
    assert "Backup, Production" in text
    assert "1 request in the last 7 days" in text


@pytest.mark.django_db
def test_the_page_says_for_which_client_keys_no_key_is_left(
    alice: User, acme: Organization, client_of: Callable[[User], Client]
) -> None:
    keys = make_keys(acme, "Production", status="healthy", needs_test=False, discovered_models=["gpt-4o"])
    portal, _ = issue_client_key(organization=acme, name="eu-portal", by=BY)
    for_production = [str(keys.client.pk)]
    make_keys(acme, "Web", status="healthy", needs_test=False, discovered_models=["gpt-4o"], allowed_client_keys=for_production)
    ClientKey.objects.exclude(pk__in=[portal.pk, keys.client.pk]).delete()
    page = f"/o/acme/providers/{keys.provider.pk}/off/"
    text = client_of(alice).get(page).text
    assert "For client key eu-portal, no key is left for <b>1 model</b>: openai/gpt-4o" in text
    assert "Requests of client key eu-portal that name <b>OpenAI</b> fail" in text
    assert "<b>1 client key</b> affected: eu-portal" in text
    for name in ("Bot", "Cron"):
        issue_client_key(organization=acme, name=name, by=BY)
    assert "For 3 client keys, no key is left for <b>1 model</b>" in client_of(alice).get(page).text


# Who takes over


def at(provider: str = "openai", models: tuple[str, ...] = (), **changes: Any) -> ProviderKey:
    return ProviderKey(provider=provider, discovered_models=list(models), **changes)


def test_a_key_without_limits_takes_over_what_it_has_too() -> None:
    assert share(at(), at()) is Share.EVERYTHING
    assert share(at(models=("gpt-4o",)), at(models=("gpt-4o", "o3"))) is Share.EVERYTHING
    assert share(at(models=("gpt-4o", "o3")), at(models=("gpt-4o",))) is Share.SOME
    assert share(at(models=("o3",)), at(models=("gpt-4o",))) is Share.NOTHING
    assert share(at("groq", ("a/b",)), at("groq")) is Share.EVERYTHING
    assert share(at("azure", public={"deployments": list(AZURE)}), at("azure", public={"deployments": []})) is Share.NOTHING


def test_a_key_that_is_limited_to_other_models_takes_over_those_it_may_serve() -> None:
    both, some = ("gpt-4o", "o3"), {"allowed_models": ["openai/gpt-*"]}
    assert share(at(models=both), at(models=both, **some)) is Share.SOME
    assert share(at(models=both, **some), at(models=both, **some)) is Share.EVERYTHING
    assert share(at(models=both, **some), at(models=both)) is Share.EVERYTHING
    assert share(at(models=both, allowed_models=["o3"]), at(models=both, **some)) is Share.NOTHING
    assert share(at(), at(**some)) is Share.SOME


@pytest.mark.parametrize("name", ["allowed_members", "allowed_client_keys"])
def test_a_key_that_is_limited_to_others_takes_over_what_is_asked_by_those_it_serves(name: str) -> None:
    def of(*callers: int) -> ProviderKey:
        return at(**{name: list(callers)})

    assert [share(at(), of(1)), share(of(1, 2), of(1))] == [Share.SOME] * 2
    assert [share(of(1), at()), share(of(1), of(1, 2))] == [Share.EVERYTHING] * 2
    assert share(of(1), of(2)) is Share.NOTHING
