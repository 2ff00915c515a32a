"""What the page of one key says of it beside its row in the list: health, what takes over, limits, history."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.contrib.humanize.templatetags.humanize import ordinal

from keys import catalog, routes
from keys.health import Health, Standing, State
from keys.models import ClientKey, HealthMark, ModelOverride, ProviderKey, ProviderPreference, RoutingPreference, native_names
from keys.overrides import written
from keys.pages import history, listing, strip
from keys.pages.history import Line
from keys.preferences import ALL_MOVES, Move, Source
from keys.providers import azure
from keys.providers.errors import ErrorClass
from keys.routing import PRIORITIZED, Policy, RouteKey, names_of, settle_provider
from orgs.models import AuditEvent, User

SHOWN_EVENTS = 8
WITH_CREDENTIAL = ("provider_key:add", "provider_key:replace", "provider_key:restore")
ORDINALS = ("First", "Second", "Third", "Fourth", "Fifth", "Sixth", "Seventh", "Eighth", "Ninth", "Tenth")
OUT = {Standing.COOLING, Standing.FAILING}
ENDS_BY_ITSELF = {ErrorClass.LIMITED, ErrorClass.TROUBLE}
MOVES = {Move.LIMITED: "a rate limit", Move.TROUBLE: "a server error or timeout", Move.REFUSED: "a refused credential"}


@dataclass(frozen=True, slots=True)
class Trouble:
    """What the notice of a key says that is not well: the provider's refusal, then what it means and how it ends."""

    headline: str
    rest: str
    since: datetime | None
    meaning: str


@dataclass(frozen=True, slots=True)
class Serving:
    """Whom and what a key serves. None means all. `found`: models that a test found; `permitted`: those that match."""

    models: list[str] | None
    members: list[str] | None
    client_keys: list[str] | None
    found: int
    permitted: int


def of(key: ProviderKey, listed: list[listing.Row], now: datetime) -> dict[str, Any]:
    """Context of the page. At most nine queries."""
    row = listing.row_of(listed, key)
    concerned = list(ModelOverride.objects.that_concern([key.organization_id]).filter(provider=key.provider))
    policy = policy_for(key)
    return {
        "row": row,
        "place": place(listed, key),
        "strip": strip_of(key, now),
        "next_test_at": key.next_test_at if key.enabled and key.next_test_at and key.next_test_at > now else None,
        "trouble": trouble(row, listed, now),
        "answer": last_answer(key, now),
        "unused": unused(policy, key),
        "serving": serving(routes.route_of(key, native_names(concerned)), key),
        "after_failure": after_failure(policy, key),
        "own_keys_only": policy.own_keys_only,
        "history": events(key),
        "credential_since": credential_since(key),
        "own": names_by(concerned, key, key.organization_id),
        "operators": names_by(concerned, key, None),
    }


def names_by(concerned: list[ModelOverride], key: ProviderKey, organization: UUID | None) -> str:
    """Names for models, as the form has them: those of the organization, or with None the operator's."""
    return written(native_names(each for each in concerned if each.organization_id == organization).get(key.provider, {}))


def place(listed: list[listing.Row], key: ProviderKey) -> str:
    """First of 9; nothing while the key gets no traffic."""
    served = [row.key.pk for row in listed if row.order]
    if key.pk not in served:
        return ""
    number = served.index(key.pk)
    return f"{ORDINALS[number] if number < len(ORDINALS) else ordinal(number + 1)} of {len(served)}"


def strip_of(key: ProviderKey, now: datetime) -> strip.Strip:
    rows = HealthMark.objects.filter(key=key, slot__gte=strip.first_slot(now))
    counts = rows.values_list("slot", "passed", "limited", "failed")
    return strip.of({slot: strip.Counts(*answers) for slot, *answers in counts}, now, failed_from_to(key, now))


def failed_from_to(key: ProviderKey, now: datetime) -> list[strip.Spell]:
    """When the key was failing since the strip begins, as far as its events and its status tell."""
    begins, since = strip.first_slot(now), None
    events = AuditEvent.objects.filter(organization=key.organization_id, target_id=str(key.pk), at__gte=begins)
    turns = events.filter(changes__after__has_key="status").order_by("at", "pk")
    spells = []
    for at, before in turns.values_list("at", "changes__before__status"):
        if before == ProviderKey.Status.FAILING:
            spells.append((since or begins, at))
        since = at
    if key.enabled and key.status == ProviderKey.Status.FAILING and key.status_since:
        spells.append((key.status_since, now))
    return spells


def trouble(row: listing.Row, listed: list[listing.Row], now: datetime) -> Trouble | None:
    """None where nothing is the matter, and for a key that is off. How it ends by itself, `meaning` says with its time."""
    if not row.reason:
        return None
    headline, stop, rest = row.reason.partition(". ")
    health = routes.health_of(row.key)
    unwell = health.state is not State.HEALTHY
    meaning = f"{taking_over(row, listed, health, now)}{way_back(health, now)}" if unwell else ""
    ends = unwell and health.error_class in ENDS_BY_ITSELF
    return Trouble(headline + stop.strip(), "" if ends else rest, row.key.status_since if unwell else None, meaning)


def taking_over(row: listing.Row, listed: list[listing.Row], health: Health, now: datetime) -> str:
    """Which key of the same provider is well and has its traffic now. Nothing while the key is used."""
    if health.standing(now.timestamp()) not in OUT:
        return ""
    well = [each for each in listed if routes.health_of(each.key).standing(now.timestamp()) not in OUT]
    other = listing.stand_in(well, row.key)
    if other is None:
        return f"No other {row.provider.label} key can take over. "
    return f"Requests go to “{other.name}” where it may serve them. "


def way_back(health: Health, now: datetime) -> str:
    match health.standing(now.timestamp()), health.until:
        case Standing.COOLING, float(until):
            return f"The key is used again from {clock(until)}."
        case Standing.FAILING, float(until):
            return f"The key is tried again at {clock(until)}."
        case Standing.PROBE, _:
            return "The next request tries it."
        case Standing.READY, _:
            return "It is used again."
    return "The key gets no traffic until it passes a test."


def clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%H:%M} UTC"


def last_answer(key: ProviderKey, now: datetime) -> dict[str, Any] | None:
    """What the provider said when it refused last, while the key is not well or for as long as the strip reaches back."""
    if not key.last_error.get("at"):
        return None
    at = datetime.fromisoformat(key.last_error["at"])
    unwell = key.status in (ProviderKey.Status.FAILING, ProviderKey.Status.LIMITED)
    return key.last_error | {"at": at} if unwell or at >= strip.first_slot(now) else None


def policy_for(key: ProviderKey) -> Policy:
    """As far as it concerns this key."""
    decided = RoutingPreference.objects.filter(organization=key.organization_id).first()
    return routes.policy_of(decided, ProviderPreference.objects.filter(organization=key.organization_id, provider=key.provider))


def unused(policy: Policy, key: ProviderKey) -> str:
    """Why requests do not use the key, although nothing is the matter with it."""
    here = policy.providers.get(key.provider)
    if policy.paused:
        return f"{key.organization.name} is paused, so every request is refused."
    if here and here.paused:
        return f"{key.row.label} is paused, so no request uses this key."
    if not policy.use_own_keys:
        return "Your own keys are switched off, so no request uses this key."
    if here and not here.use_own_keys:
        return f"Your own keys are switched off for {key.row.label}, so no request uses this one."
    return ""


def after_failure(policy: Policy, key: ProviderKey) -> str:
    """What comes next when the key fails, as far as neither a client key nor a request says otherwise."""
    moves = settle_provider(key.provider, [(Source.ORGANIZATION, policy.preferences)], policy)["move_on"][0]
    closed = policy.own_keys_only or (key.always and key.tier == PRIORITIZED)
    shared = "Shared keys are never used." if closed else "Shared keys may be among the next ones."
    if not moves:
        return "Return the error; no other key is tried."
    when = "" if moves == ALL_MOVES else f" after {' or '.join(words for move, words in MOVES.items() if move in moves)}"
    return f"Try the next key{when}, then return the error. {shared}"


def serving(route: RouteKey, key: ProviderKey) -> Serving:
    return Serving(key.allowed_models, members(key), client_keys(key), *known_models(route))


def known_models(route: RouteKey) -> tuple[int, int]:
    """How many models the key is known to have, and how many of them it may serve."""
    found = models_of(route)
    return len(found), sum(route.restrictions.allow_model(names_of(route, each)) for each in found)


def models_of(route: RouteKey) -> list[catalog.Match]:
    """What the last good test found, or the deployments of an Azure key."""
    deployments = [catalog.Match(azure.deployment_name(entry), number) for number, entry in enumerate(route.deployments)]
    return deployments or [catalog.Match(native) for native in route.discovered]


def members(key: ProviderKey) -> list[str] | None:
    if key.allowed_members is None:
        return None
    present = User.objects.filter(memberships__organization=key.organization_id, pk__in=key.allowed_members)
    return [str(user) for user in present.order_by("name", "email")]


def client_keys(key: ProviderKey) -> list[str] | None:
    if key.allowed_client_keys is None:
        return None
    live = ClientKey.objects.live().filter(organization=key.organization_id, pk__in=key.allowed_client_keys)
    return list(live.order_by("name").values_list("name", flat=True))


def events(key: ProviderKey) -> list[Line]:
    """The latest first."""
    latest = AuditEvent.objects.filter(organization=key.organization_id, target_id=str(key.pk)).order_by("-at", "-pk")
    return [history.line(event.tag, event.changes, event.actor_label, event.at) for event in latest[:SHOWN_EVENTS]]


def credential_since(key: ProviderKey) -> datetime:
    """When what the key holds now was put in."""
    if key.secret_version == 1:
        return key.created_at
    put_in = AuditEvent.objects.filter(organization=key.organization_id, target_id=str(key.pk), tag__in=WITH_CREDENTIAL)
    return put_in.order_by("-at").values_list("at", flat=True).first() or key.created_at
