"""Which keys may serve a request, in which order, and why the others may not. Pure and total.

The gateway and the explainer call the same `plan`. It says for every key either its place or its reason.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from operator import attrgetter
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

from keys import catalog
from keys.health import Health, Standing
from keys.preferences import ALL_MOVES, NONE, Move, Preferences, Settled, Source, settle
from keys.providers import PROVIDERS, azure
from keys.providers.errors import ErrorClass
from keys.providers.paths import wire_of
from keys.restrictions import ANYTHING, Restrictions, matches

PRIORITIZED = "prioritized"
FALLBACK = "fallback"
PLATFORM = "platform"  # the operator's shared keys
TIERS = {PRIORITIZED: 0, PLATFORM: 1, FALLBACK: 2}


class Why(StrEnum):
    """Kinds of reasons."""

    OFF = "off"
    PAUSED = "paused"
    UNTESTED = "untested"
    MODEL = "model"
    RESTRICTED = "restricted"
    NOT_ALLOWED = "not_allowed"  # by the client key, which is for other models
    PREFERENCE = "preference"
    POLICY = "policy"
    HEALTH = "health"
    LIMIT = "limit"


class Mark(StrEnum):
    """Why a key is tried although it is out."""

    NONE = ""
    PROBE = "probe"
    LAST_RESORT = "last_resort"


@dataclass(frozen=True, slots=True)
class RouteKey:
    """What routing knows of a provider key. `tested` False: it waits for a test.

    region: on AWS. overrides: native ids by slug, which go before the catalog's rules.
    always: requests that it may serve never go to shared keys. judged: what `match` has found before. place: in the order.
    """

    id: UUID
    provider: str
    name: str
    priority: int
    tier: str
    enabled: bool
    tested: bool
    discovered: frozenset[str]
    deployments: tuple[Mapping[str, str], ...]
    region: str = ""
    overrides: Mapping[str, str] = field(default_factory=dict)
    always: bool = False
    restrictions: Restrictions = ANYTHING
    place: tuple[int, int, int] = field(init=False, repr=False, compare=False)
    judged: dict[tuple[str, str], "Judged"] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "place", (TIERS.get(self.tier, len(TIERS)), self.priority, self.id.int))


@dataclass(frozen=True, slots=True)
class ProviderPolicy:
    """What an organization decided about one provider."""

    use_own_keys: bool = True
    paused: bool = False
    preferences: Preferences = NONE


@dataclass(frozen=True, slots=True)
class Policy:
    """What an organization decided about all. Nothing in a request or a client key overrides the switches."""

    use_own_keys: bool = True
    own_keys_only: bool = True
    order_first: bool = False
    paused: bool = False
    preferences: Preferences = NONE
    providers: Mapping[str, ProviderPolicy] = MappingProxyType({})

    def stops(self, provider: str) -> bool:
        return provider in self.providers and self.providers[provider].paused


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks, and what the client key and the request itself wish.

    models, provider_keys: all that the client key is for. As in Restrictions, None is everything.
    """

    client_key: UUID | None = None
    member: int | None = None
    of_client_key: Preferences = NONE
    of_request: Preferences = NONE
    models: tuple[str, ...] | None = None
    provider_keys: frozenset[UUID] | None = None


class Candidate(NamedTuple):
    """May be tried. `certain` as in catalog.Match: if not, "unknown model" is no answer yet."""

    key: RouteKey
    native_model: str
    deployment: int | None
    certain: bool = True
    mark: Mark = Mark.NONE


class LeftOut(NamedTuple):
    """`reason` completes a sentence that begins with the key's name."""

    key: RouteKey
    why: Why
    reason: str


class Patience(NamedTuple):
    """timeout_seconds: until the first byte, None for the gateway's own. move_on: failures after which the next key is tried."""

    timeout_seconds: int | None = None
    move_on: frozenset[Move] = ALL_MOVES


@dataclass(frozen=True, slots=True)
class Plan:
    """`patience` by provider. `settings`: what was wished, and by whom. `closed_by`: why shared keys were not looked at.

    `first`: what would be tried first if every key were well.
    """

    candidates: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...]
    patience: Mapping[str, Patience] = MappingProxyType({})
    settings: Settled = MappingProxyType({})
    closed_by: str = ""
    first: RouteKey | None = None


OFF = "is off"
WAITS = "waits for a test"
NOT_ASKED = "is not of the provider that the request names"
OTHER_MODELS = "does not serve this model"
UNKNOWN_PROVIDER = "is of a provider that is not served any more"
LIMITED_MODELS = "is limited to other models"
OTHER_KEYS = "is not among the provider keys that the client key may use"
MODEL_NOT_ALLOWED = "is not asked: the client key is for other models"
OWN_KEYS_OFF = "is not used: the organization's own keys are switched off"
OWN_KEYS_OFF_HERE = "is not used: own keys are switched off for this provider"
PROVIDER_PAUSED = "is paused with its provider"
OWN_KEYS_ONLY = "The organization's policy is “own keys only”."

NOBODY = Asking()
DEFAULT_POLICY = Policy()
ALL_WELL: Mapping[UUID, Health] = MappingProxyType({})

MOST_ATTEMPTS = 3  # for one request
MOST_JUDGED = 64  # models and operations that are remembered for each key

IN_ORDER = attrgetter("place")

type Judged = catalog.Match | LeftOut


def plan(
    keys: Sequence[RouteKey],
    model: str,
    *,
    operation: str = "chat",
    asking: Asking = NOBODY,
    policy: Policy = DEFAULT_POLICY,
    shared: Sequence[RouteKey] = (),
    health: Mapping[UUID, Health] = ALL_WELL,
    now: float = 0.0,
) -> Plan:
    """Prioritized keys, shared keys, fallback keys, each by priority. Keys may come in any order.

    operation: a name of keys/providers/paths.py. A key whose provider does not offer it for the model is left out.
    shared: the operator's keys, of tier "platform". now: seconds since the epoch, as in `health`.
    """
    asked = model[: catalog.MAX_MODEL], operation
    return arrange(keys, shared, lambda key: key.judged.get(asked) or judge(key, asked), asking, policy, health, now)


def plan_native(
    keys: Sequence[RouteKey],
    provider: str,
    model: str,
    *,
    asking: Asking = NOBODY,
    policy: Policy = DEFAULT_POLICY,
    health: Mapping[UUID, Health] = ALL_WELL,
    now: float = 0.0,
) -> Plan:
    """For a provider's own API: keys of this provider, whatever they serve. Shared keys are never lent to it.

    model: as the provider calls it, "" where the request names none.
    """
    return arrange(keys, (), lambda key: match_native(key, provider, model), asking, policy, health, now)


def judge(key: RouteKey, asked: tuple[str, str]) -> Judged:
    """`match`, remembered: it costs several microseconds, and depends on nothing that changes while the key does not."""
    if len(key.judged) >= MOST_JUDGED:
        key.judged.clear()
    found = key.judged[asked] = match(key, catalog.read(asked[0]), asked[1])
    return found


def open_to(keys: Sequence[RouteKey], shared: Sequence[RouteKey], asking: Asking, policy: Policy) -> list[RouteKey]:
    """Keys that serve this caller something, whatever their health."""
    settings = settle((Source.CLIENT_KEY, asking.of_client_key), (Source.ORGANIZATION, policy.preferences))
    lent = () if policy.own_keys_only else shared
    return [
        key
        for key in (*keys, *lent)
        if key.enabled
        and key.tested
        and key.restrictions.forbid_caller(asking.member, asking.client_key) is None
        and (asking.provider_keys is None or key.id in asking.provider_keys)
        and bar(key.provider, policy, settings, key.tier) is None
    ]


def allows(key: RouteKey, slug: str, asking: Asking = NOBODY) -> bool:
    """Whether the limits of the key and of the client key let it serve this model, which it has."""
    if key.restrictions.models is None and asking.models is None:
        return True
    provider = PROVIDERS[key.provider]
    found = catalog.serve(provider, catalog.read(slug), key.discovered, key.deployments, key.region, key.overrides)
    if found is None or not key.restrictions.allow_model(names_of(key, found)):
        return False
    return asking.models is None or matches(asking.models, names_of(key, found))


def match(key: RouteKey, wanted: catalog.Wanted, operation: str) -> Judged:
    """How a key serves a model, or why it does not."""
    if wanted.pinned is not None and wanted.pinned != key.provider:
        return LeftOut(key, Why.MODEL, NOT_ASKED)
    provider = PROVIDERS.get(key.provider)
    if provider is None:
        return LeftOut(key, Why.MODEL, UNKNOWN_PROVIDER)
    found = catalog.serve(provider, wanted, key.discovered, key.deployments, key.region, key.overrides)
    if found is None:
        return LeftOut(key, Why.MODEL, OTHER_MODELS)
    try:
        wire_of(provider, operation, found.native_model)
    except LookupError as error:
        return LeftOut(key, Why.MODEL, str(error))
    if key.restrictions.models is not None and not key.restrictions.allow_model(names_of(key, found)):
        return LeftOut(key, Why.RESTRICTED, LIMITED_MODELS)
    return found


def match_native(key: RouteKey, provider: str, model: str) -> Judged:
    if key.provider != provider:
        return LeftOut(key, Why.MODEL, NOT_ASKED)
    found = catalog.Match(model, deployment_called(key, model))
    if key.restrictions.models is not None and not (model and key.restrictions.allow_model(names_of(key, found))):
        return LeftOut(key, Why.RESTRICTED, LIMITED_MODELS)
    return found


def deployment_called(key: RouteKey, name: str) -> int | None:
    """Which entry of an Azure key has the deployment of this name."""
    return next((number for number, entry in enumerate(key.deployments) if azure.deployment_name(entry) == name), None)


def names_of(key: RouteKey, found: catalog.Match) -> set[str]:
    """Everything that a model is called by us, by the provider, and by those who wrote names for it."""
    written = {slug for slug, native in key.overrides.items() if native == found.native_model}
    if found.deployment is not None:
        written.add(key.deployments[found.deployment]["model_slug"])
    names = {found.native_model, catalog.slug(PROVIDERS[key.provider], found.native_model), *written}
    return {name.lower() for name in names}


def arrange(
    keys: Sequence[RouteKey],
    shared: Sequence[RouteKey],
    matching: Callable[[RouteKey], Judged],
    asking: Asking,
    policy: Policy,
    health: Mapping[UUID, Health],
    now: float,
) -> Plan:
    said = (
        (Source.REQUEST, asking.of_request),
        (Source.CLIENT_KEY, asking.of_client_key),
        (Source.ORGANIZATION, policy.preferences),
    )
    settings = settle(*said)
    left_out: list[LeftOut] = []
    fit = sift(sorted(keys, key=IN_ORDER), matching, asking, policy, settings, left_out)
    closed_by = why_closed(policy, fit)
    if shared and not closed_by:
        fit += sift(sorted(shared, key=IN_ORDER), matching, asking, policy, settings, left_out)
    if place := placing(keys, policy, settings):
        fit.sort(key=place)
    fit = without_fallbacks(fit, settings, left_out)
    first = fit[0].key if fit else None
    fit = in_health(fit, health, now, left_out)
    patience = {provider: patience_with(provider, said, policy) for provider in {each.key.provider for each in fit}}
    return Plan(tuple(fit), tuple(left_out), patience, settings, closed_by, first)


def sift(
    keys: Iterable[RouteKey],
    matching: Callable[[RouteKey], Judged],
    asking: Asking,
    policy: Policy,
    settings: Settled,
    left_out: list[LeftOut],
) -> list[Candidate]:
    """Those that may serve, whatever their health. The others go to `left_out`, each with its most lasting reason."""
    fit = []
    barred = {
        provider: bar(provider, policy, settings, key.tier) for provider, key in {key.provider: key for key in keys}.items()
    }
    for key in keys:
        found = matching(key)
        if isinstance(found, LeftOut):
            left_out.append(found)
        elif not (key.enabled and key.tested):
            left_out.append(switched_off(key))
        elif key.restrictions is not ANYTHING and (reason := key.restrictions.forbid_caller(asking.member, asking.client_key)):
            left_out.append(LeftOut(key, Why.RESTRICTED, reason))
        elif beyond := beyond_client_key(key, found, asking):
            left_out.append(LeftOut(key, *beyond))
        elif stopped := barred[key.provider]:
            left_out.append(LeftOut(key, *stopped))
        else:
            fit.append(Candidate(key, found.native_model, found.deployment, found.certain))
    return fit


def beyond_client_key(key: RouteKey, found: catalog.Match, asking: Asking) -> tuple[Why, str] | None:
    """Why the client key may not have this. Where models are listed, a request that names none is for no client key."""
    if asking.models is not None and not (found.native_model and matches(asking.models, names_of(key, found))):
        return Why.NOT_ALLOWED, MODEL_NOT_ALLOWED
    if asking.provider_keys is not None and key.id not in asking.provider_keys:
        return Why.RESTRICTED, OTHER_KEYS
    return None


def switched_off(key: RouteKey) -> LeftOut:
    return LeftOut(key, Why.UNTESTED, WAITS) if key.enabled else LeftOut(key, Why.OFF, OFF)


def bar(provider: str, policy: Policy, settings: Settled, tier: str) -> tuple[Why, str] | None:
    """Why no key of this provider is used for this request. Own keys that are off leave shared ones alone."""
    if policy.stops(provider):
        return Why.PAUSED, PROVIDER_PAUSED
    only, by = settings["only"]
    if only is not None and provider not in only:
        return Why.PREFERENCE, f"is not among the providers that the {by} allows"
    ignore, by = settings["ignore"]
    if provider in ignore:
        return Why.PREFERENCE, f"is of a provider that the {by} ignores"
    return None if tier == PLATFORM else own_keys_off(provider, policy)


def own_keys_off(provider: str, policy: Policy) -> tuple[Why, str] | None:
    if not policy.use_own_keys:
        return Why.POLICY, OWN_KEYS_OFF
    if provider in policy.providers and not policy.providers[provider].use_own_keys:
        return Why.POLICY, OWN_KEYS_OFF_HERE
    return None


def why_closed(policy: Policy, fit: Sequence[Candidate]) -> str:
    """Why requests do not go to shared keys; one own key that must always be used is enough."""
    if policy.own_keys_only:
        return OWN_KEYS_ONLY
    always = next((each.key for each in fit if each.key.always and each.key.tier == PRIORITIZED), None)
    return f"{PROVIDERS[always.provider].label} key “{always.name}” is set to be used always." if always else ""


def placing(keys: Iterable[RouteKey], policy: Policy, settings: Settled) -> Callable[[Candidate], Any] | None:
    """How candidates are sorted; None: as their keys are. Own keys go before shared ones, unless the owner chose otherwise."""
    order = settings["order"][0]
    if not order and policy.own_keys_only and not policy.order_first:
        return None
    wished = {provider: place for place, provider in enumerate(order)}
    usual = usual_order(keys)

    def place(each: Candidate) -> tuple[Any, ...]:
        key = each.key
        tier = TIERS.get(key.tier, len(TIERS))
        rank = wished.get(key.provider, len(order))
        among = usual.get(key.provider, len(usual)) if policy.order_first or key.tier == PLATFORM else 0
        ranks = (rank, among, tier) if policy.order_first else (tier, rank, among)
        return *ranks, key.place

    return place


def usual_order(keys: Iterable[RouteKey]) -> dict[str, int]:
    """Places of providers in the organization's own order, which shared keys follow too."""
    firsts: dict[str, int] = {}
    for key in keys:
        firsts[key.provider] = min(firsts.get(key.provider, key.priority), key.priority)
    return {provider: place for place, provider in enumerate(sorted(firsts, key=lambda each: (firsts[each], each)))}


def without_fallbacks(fit: list[Candidate], settings: Settled, left_out: list[LeftOut]) -> list[Candidate]:
    """Where fallbacks are not allowed, only the providers of the order stay, or without one the provider of the first key."""
    allowed, by = settings["allow_fallbacks"]
    if allowed or not fit:
        return fit
    stay = settings["order"][0] or (fit[0].key.provider,)
    reason = f"would be a fallback, which the {by} does not allow"
    left_out += [LeftOut(each.key, Why.PREFERENCE, reason) for each in fit if each.key.provider not in stay]
    return [each for each in fit if each.key.provider in stay]


def in_health(fit: list[Candidate], health: Mapping[UUID, Health], now: float, left_out: list[LeftOut]) -> list[Candidate]:
    """Those that can be used now. If there is none, the one that would be back first is tried all the same.

    health: of those that are not well; others may be missing.
    """
    if not health:
        return fit
    usable, out = [], []
    for each in fit:
        state = health.get(each.key.id)
        if state is None or (standing := state.standing(now)) is Standing.READY:
            usable.append(each)
        elif standing is Standing.PROBE:
            usable.append(each._replace(mark=Mark.PROBE))
        else:
            out.append((each, state))
    if not usable and (best := last_resort(out)):
        usable = [best._replace(mark=Mark.LAST_RESORT)]
    tried = {each.key.id for each in usable}
    left_out += [LeftOut(each.key, Why.HEALTH, unwell(state)) for each, state in out if each.key.id not in tried]
    return usable


def last_resort(out: Sequence[tuple[Candidate, Health]]) -> Candidate | None:
    """A refused credential and an empty account are no resort."""
    waiting = [
        (state.until, place, each)
        for place, (each, state) in enumerate(out)
        if state.until is not None and state.error_class in (ErrorClass.LIMITED, ErrorClass.TROUBLE)
    ]
    return min(waiting)[2] if waiting else None


def unwell(state: Health) -> str:
    if state.error_class == ErrorClass.LIMITED:
        return f"is rate limited until {clock(state.until or 0)}"
    since = f"is failing since {clock(state.since)}"
    return since if state.until is None else f"{since} and is tried again at {clock(state.until)}"


def clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%H:%M:%S} UTC"


def patience_with(provider: str, said: Sequence[tuple[Source, Preferences]], policy: Policy) -> Patience:
    settled = settle_provider(provider, said, policy)
    return Patience(settled["timeout_seconds"][0], settled["move_on"][0])


def settle_provider(provider: str, said: Sequence[tuple[Source, Preferences]], policy: Policy) -> Settled:
    """As `settle`, with what the organization says of this provider before what it says of all."""
    of_provider = policy.providers[provider].preferences if provider in policy.providers else NONE
    return settle(*said[:-1], (Source.PROVIDER, of_provider), said[-1])
