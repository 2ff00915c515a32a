"""What routing must know of an organization, read from the database: for the gateway, for the explainer and for pages."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from keys import preferences, restrictions
from keys.health import Health, State
from keys.models import ClientKey, ModelOverride, ProviderKey, ProviderPreference, RoutingPreference, native_names
from keys.providers import PROVIDERS
from keys.routing import PLATFORM, Asking, Plan, Policy, ProviderPolicy, RouteKey, plan
from orgs.models import Organization, User


@dataclass(frozen=True, slots=True)
class Routes:
    """One organization's keys, the shared ones, what was decided about them, and how they are."""

    keys: tuple[RouteKey, ...]
    shared: tuple[RouteKey, ...]
    policy: Policy
    health: Mapping[UUID, Health]

    def plan(self, model: str, *, now: float, operation: str = "chat", asking: Asking) -> Plan:
        return plan(
            self.keys,
            model,
            operation=operation,
            asking=asking,
            policy=self.policy,
            shared=self.shared,
            health=self.health,
            now=now,
        )


def of(organization: Organization) -> Routes:
    """As the gateway would read them now. Five queries."""
    own = ProviderKey.objects.for_org(organization)
    lent = ProviderKey.objects.lent()
    rows = [key for key in (*own, *lent) if key.provider in PROVIDERS]
    written = list(ModelOverride.objects.that_concern({key.organization_id for key in rows}))
    keys = tuple(route_of(key, names_for(key.organization_id, written)) for key in rows if key.organization_id == organization.pk)
    shared = tuple(
        lent_route(key, names_for(key.organization_id, written)) for key in rows if key.organization_id != organization.pk
    )
    decided = RoutingPreference.objects.filter(organization=organization).first()
    by_provider = ProviderPreference.objects.filter(organization=organization)
    return Routes(keys, shared, policy_of(decided, by_provider), {key.pk: health_of(key) for key in rows})


def names_for(organization: UUID, written: Iterable[ModelOverride]) -> dict[str, dict[str, str]]:
    """The organization's names for models after the operator's, by provider."""
    return native_names(row for row in written if row.organization_id in (None, organization))


def route_of(key: ProviderKey, names: Mapping[str, Mapping[str, str]], tier: str = "") -> RouteKey:
    return RouteKey(
        id=key.pk,
        provider=key.provider,
        name=key.name,
        priority=key.priority,
        tier=tier or key.tier,
        enabled=key.enabled,
        tested=not key.needs_test,
        discovered=frozenset(key.discovered_models),
        deployments=tuple(key.public.get("deployments", ())),
        region=str(key.public.get("region", "")),
        overrides=names.get(key.provider, {}),
        always=key.always,
        restrictions=restrictions.of(key.allowed_models, key.allowed_members, key.allowed_client_keys),
    )


def lent_route(key: ProviderKey, names: Mapping[str, Mapping[str, str]]) -> RouteKey:
    """A shared key, as other organizations see it: of its restrictions only those on models mean anything to them."""
    route = route_of(key, names, PLATFORM)
    return replace(route, name="Shared", always=False, restrictions=restrictions.of(key.allowed_models, None, None))


def health_of(key: ProviderKey) -> Health:
    """A key that waits for its first test is well: that it waits is said elsewhere."""
    if key.status not in (State.LIMITED, State.FAILING):
        return Health(since=seconds(key.status_since) or 0.0, trips=key.trips)
    return Health(State(key.status), seconds(key.status_since) or 0.0, seconds(key.until), key.error_class, key.trips)


def seconds(at: datetime | None) -> float | None:
    return at.timestamp() if at else None


def policy_of(decided: RoutingPreference | None, by_provider: Iterable[ProviderPreference]) -> Policy:
    providers = {
        each.provider: ProviderPolicy(each.use_own_keys, each.paused_at is not None, preferences.read(each.preferences))
        for each in by_provider
    }
    if decided is None:
        return Policy(providers=providers)
    return Policy(
        use_own_keys=decided.use_own_keys,
        own_keys_only=decided.own_keys_only,
        order_first=decided.order_first,
        paused=decided.paused_at is not None,
        preferences=preferences.read(decided.preferences),
        providers=providers,
    )


def asking(client_key: ClientKey | None = None, member: User | None = None) -> Asking:
    """Who would ask: with a client key, or a member as their own client keys would."""
    if client_key is None:
        return Asking(member=member.pk if member else None)
    models, provider_keys = client_key.allowed_models, client_key.allowed_provider_keys
    return Asking(
        client_key=client_key.pk,
        member=member.pk if member else client_key.owner_id,
        of_client_key=preferences.read(client_key.preferences),
        models=None if models is None else tuple(models),
        provider_keys=None if provider_keys is None else frozenset(map(UUID, provider_keys)),
    )
