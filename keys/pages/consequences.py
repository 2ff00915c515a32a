"""What is not served any more once something is stopped: told before, by the same plan that the gateway follows."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple
from uuid import UUID

from django.utils import timezone

from keys.catalog import Match, slugs
from keys.health import State
from keys.models import ClientKey
from keys.providers import PROVIDERS, Shape
from keys.providers.errors import ErrorClass
from keys.restrictions import ANYTHING, matches
from keys.routes import Routes, asking
from keys.routing import NOBODY, Asking, ProviderPolicy, RouteKey, judge, names_of, plan_native
from orgs.models import Organization

ANY = "any"  # stands for a model of a provider that the request names

type Callers = Mapping[str, Asking]
"""Who asks, by the names of client keys."""


class Lost(NamedTuple):
    """names: slugs of models or labels of providers. callers: names of the client keys that lose them, empty for everybody."""

    names: tuple[str, ...]
    callers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Loss:
    """models: served now and then by no key. providers: of which no key is left that a request could name.

    Both by who loses them, the most first. callers: names of the client keys that lose a model, or a provider of which no
    model is known; to be able to name a provider that nobody need name is no loss.
    """

    models: tuple[Lost, ...] = ()
    providers: tuple[Lost, ...] = ()
    callers: tuple[str, ...] = ()


class Question(NamedTuple):
    """Whether a request is served. `models`: slugs for which the answer is the same; without any it is about a provider.

    Without an operation the request is one to the provider's own API.
    """

    provider: str
    model: str
    operation: str
    models: tuple[str, ...] = ()


def callers(organization: Organization) -> dict[str, Asking]:
    keys = ClientKey.objects.for_org(organization).in_use(timezone.now())
    return {key.name: asking(key) for key in keys}


def of_key(routes: Routes, key: UUID, *, callers: Callers, now: float) -> Loss:
    """Of turning a provider key off or removing it."""
    gone = [each for each in routes.keys if each.id == key]
    return loss(routes, replace(routes, keys=tuple(each for each in routes.keys if each.id != key)), gone, callers, now)


def of_provider(routes: Routes, slug: str, *, callers: Callers, now: float) -> Loss:
    """Of pausing a provider."""
    decided = routes.policy.providers.get(slug, ProviderPolicy())
    after = replace(routes.policy, providers={**routes.policy.providers, slug: replace(decided, paused=True)})
    gone = [each for each in (*routes.keys, *routes.shared) if each.provider == slug]
    return loss(routes, replace(routes, policy=after), gone, callers, now)


def of_own_keys(routes: Routes, *, callers: Callers, now: float) -> Loss:
    """Of switching the organization's own keys off."""
    after = replace(routes.policy, use_own_keys=False)
    return loss(routes, replace(routes, policy=after), routes.keys, callers, now)


def of_organization(routes: Routes, *, callers: Callers, now: float) -> Loss:
    """Of pausing all that these callers ask for."""
    after = replace(routes.policy, paused=True)
    return loss(routes, replace(routes, policy=after), (*routes.keys, *routes.shared), callers, now)


def of_client_key(routes: Routes, name: str, caller: Asking, *, now: float) -> Loss:
    """Of pausing or revoking a client key."""
    return of_organization(routes, callers={name: caller}, now=now)


def loss(before: Routes, after: Routes, gone: Sequence[RouteKey], callers: Callers, now: float) -> Loss:
    """gone: the keys of `before` that may serve less in `after`. Without client keys, what anybody would lose."""
    before, after = steady(before), steady(after)
    keys = (*before.keys, *before.shared)
    kinds = alike(callers or {"": NOBODY}, keys)
    lists = {caller.models for caller, _ in kinds if caller.models is not None}

    def losers(asked: Question) -> frozenset[str]:
        lost = (names for who, names in kinds if serves(before, asked, who, now) and not serves(after, asked, who, now))
        return frozenset(chain.from_iterable(lost))

    models = {asked: losers(asked) for asked in about_models(gone, keys, sorted(lists))}
    providers = {asked: losers(asked) for asked in about_providers(gone)}
    known = {asked.provider for asked in models}
    unknown = (names for asked, names in providers.items() if asked.provider not in known)
    affected = frozenset().union(*models.values(), *unknown) - {""}
    everybody = frozenset(callers)
    return Loss(
        by_losers(((model, names) for asked, names in models.items() for model in asked.models), everybody),
        by_losers(((PROVIDERS[asked.provider].label, names) for asked, names in providers.items()), everybody),
        in_order(affected),
    )


def by_losers(lost: Iterable[tuple[str, frozenset[str]]], everybody: frozenset[str]) -> tuple[Lost, ...]:
    """A model of several providers is lost to those who lose it at any of them."""
    who: defaultdict[str, frozenset[str]] = defaultdict(frozenset)
    for name, losers in lost:
        who[name] |= losers
    groups: defaultdict[frozenset[str], list[str]] = defaultdict(list)
    for name, losers in sorted(who.items()):
        if losers:
            groups[losers].append(name)
    told = [Lost(tuple(names), () if losers >= everybody else in_order(losers)) for losers, names in groups.items()]
    return tuple(sorted(told, key=lambda each: (len(each.callers) > 0, -len(each.callers), each.names)))


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names, key=str.casefold))


def steady(routes: Routes) -> Routes:
    """As if limits and troubles were over: they pass by themselves, and what is stopped stays so."""
    passing = (State.LIMITED, ErrorClass.TROUBLE)
    lasting = {key: each for key, each in routes.health.items() if each.state not in passing and each.error_class not in passing}
    return replace(routes, health=lasting)


def serves(routes: Routes, asked: Question, caller: Asking, now: float) -> bool:
    if routes.policy.paused:
        return False
    if asked.operation:
        return bool(routes.plan(asked.model, now=now, operation=asked.operation, asking=caller).candidates)
    found = plan_native(
        routes.keys, asked.provider, asked.model, asking=caller, policy=routes.policy, health=routes.health, now=now
    )
    return bool(found.candidates)


def about_models(gone: Iterable[RouteKey], keys: Sequence[RouteKey], lists: Sequence[tuple[str, ...]]) -> Iterator[Question]:
    """One question for all models that the very same keys serve to the same callers: there are hundreds of models.

    lists: the patterns of client keys that are for some models only.
    """
    same: defaultdict[tuple[str, Hashable, Hashable], list[str]] = defaultdict(list)
    for provider, model in sorted(set(known(gone))):
        asked = model, operation_of(provider)
        found = [(key, match) for key in keys if isinstance(match := judge(key, asked), Match)]
        allowed = tuple(frozenset(key.id for key, match in found if matches(each, names_of(key, match))) for each in lists)
        same[provider, frozenset(key.id for key, _ in found), allowed].append(model)
    for (provider, _, _), models in same.items():
        yield Question(provider, models[0], operation_of(provider), tuple(models))


def known(keys: Iterable[RouteKey]) -> Iterator[tuple[str, str]]:
    """Provider and slug of every model that a key is known to serve through the gateway's own API."""
    for key in keys:
        if key.enabled and key.tested and operation_of(key.provider):
            row = PROVIDERS[key.provider]
            for model in slugs(row, discovered=key.discovered, deployments=key.deployments, overrides=key.overrides):
                yield key.provider, model


def about_providers(gone: Iterable[RouteKey]) -> Iterator[Question]:
    """Azure has no model of just any name, so it is asked by its own API."""
    for provider in sorted({key.provider for key in gone if key.provider in PROVIDERS}):
        operation = "" if PROVIDERS[provider].shape is Shape.AZURE else operation_of(provider)
        yield Question(provider, f"{provider}:{ANY}" if operation else "", operation)


def operation_of(provider: str) -> str:
    """The one by which service is judged; none where a provider is reached by its own API only."""
    operations = PROVIDERS[provider].operations if provider in PROVIDERS else ()
    return "chat" if "chat" in operations else next(iter(operations), "")


def alike(callers: Callers, keys: Iterable[RouteKey]) -> list[tuple[Asking, list[str]]]:
    """Callers for whom every answer is the same, one of them with the names of all."""
    limited = [key.restrictions for key in keys if key.restrictions is not ANYTHING]
    kinds: dict[Hashable, tuple[Asking, list[str]]] = {}
    for name, caller in callers.items():
        allowed = tuple(each.forbid_caller(caller.member, caller.client_key) is None for each in limited)
        kinds.setdefault((caller.of_client_key, caller.models, caller.provider_keys, allowed), (caller, []))[1].append(name)
    return list(kinds.values())
