"""Who may call and with which keys at one moment, read from the database."""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from django.db.models import Model
from django.views.decorators.debug import sensitive_variables

from gateway.health import HealthBoard
from keys import data_keys, routes, vault
from keys.models import (
    ClientKey,
    DataKey,
    ModelOverride,
    ProviderKey,
    ProviderPreference,
    RoutingPreference,
    native_names,
)
from keys.networks import Network, networks_of
from keys.openings import Purpose, openings
from keys.providers import PROVIDERS, Credential, Provider
from keys.routing import Asking, Policy, RouteKey
from keys.vault import Context, DataKeys, VaultError
from orgs.models import Organization
from usage.models import Budget, Limit

log = logging.getLogger(__name__)

type Target = tuple[str, str]
"""The scope of a limit or budget, and the id of what it is for; of the organization itself, nothing."""


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A provider key as it lies in memory: sealed until it is first used."""

    provider: Provider
    context: Context
    sealed: bytes = field(repr=False)
    hint: str

    @sensitive_variables()
    def open(self, keys: DataKeys) -> Credential:
        openings.note(self.context.organization_id, Purpose.SERVE)
        return data_keys.unsealed(keys, self.context, self.sealed, self.hint)


@dataclass(frozen=True, slots=True)
class Tenant:
    """One organization: the keys that can be tried, in any order, what was decided about them, and what it takes to open them.

    lends: its keys as other organizations see them, if it is the operator's. limits and budgets: by scope and target.
    zone: the name of the time zone whose days it counts.
    """

    id: str
    version: int
    routes: tuple[RouteKey, ...]
    policy: Policy
    lends: tuple[RouteKey, ...]
    stored: Mapping[UUID, StoredKey] = field(repr=False)
    data_keys: DataKeys = field(repr=False)
    limits: Mapping[Target, Limit] = field(default_factory=dict, repr=False)
    budgets: Mapping[Target, Sequence[Budget]] = field(default_factory=dict, repr=False)
    zone: str = "UTC"
    opened: dict[UUID, Credential] = field(default_factory=dict, repr=False, compare=False)

    def credential(self, key: UUID) -> Credential:
        """Opened on first use and kept no longer than this tenant is: until a change or the next reload.

        Opening costs 30 µs, as much as all else that the gateway itself does for a request. Raises VaultError.
        """
        if key not in self.opened:
            self.opened[key] = self.stored[key].open(self.data_keys)
        return self.opened[key]


@dataclass(frozen=True, slots=True)
class Caller:
    """The text of a live client key, and whose it is. Both texts of a key that was rolled have its id.

    until: when this text stops. expires_at: when the key does. Both in seconds since the epoch.
    networks: where it may be used. owner: the name of whose it is.
    """

    id: str
    name: str
    member_id: int | None
    owner: str
    asking: Asking
    paused: bool
    until: float | None
    expires_at: float | None
    networks: tuple[Network, ...] | None
    tenant: Tenant = field(repr=False)
    pepper: bytes = field(repr=False)
    digest: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at one moment. `callers` are found by the public id of their key."""

    tenants: Mapping[UUID, Tenant]
    callers: Mapping[str, Caller] = field(repr=False)

    def lenders(self) -> list[Tenant]:
        """Those whose keys others may use."""
        return [tenant for tenant in self.tenants.values() if tenant.lends]

    def known(self, organization_id: UUID) -> int | None:
        tenant = self.tenants.get(organization_id)
        return None if tenant is None else tenant.version

    def without(self, organizations: Collection[UUID]) -> "Snapshot":
        gone = {str(organization) for organization in organizations}
        return Snapshot(
            {id: tenant for id, tenant in self.tenants.items() if id not in organizations},
            {id: caller for id, caller in self.callers.items() if caller.tenant.id not in gone},
        )

    def with_all_of(self, other: "Snapshot") -> "Snapshot":
        return Snapshot({**self.tenants, **other.tenants}, {**self.callers, **other.callers})


def versions() -> dict[UUID, int]:
    """Of all organizations. Read before what it stands for, so that a change in between is read again, never missed."""
    return dict(Organization.objects.values_list("pk", "routing_version"))


def load(wanted: Mapping[UUID, int], board: HealthBoard) -> Snapshot:
    """What these organizations have. One of them that cannot be read is left out, and the others go on."""
    found = Rows.of(wanted)
    adopt(board, [key for keys in found.routes.values() for key in keys])
    tenants: dict[UUID, Tenant] = {}
    callers: dict[str, Caller] = {}
    for organization, version in wanted.items():
        try:
            tenant = found.tenant(organization, version)
            callers |= callers_of(tenant, found.callers[organization])
        except (VaultError, KeyError):
            log.error("The data keys of organization %s do not open. Its programs are refused.", organization)
            continue
        except ValueError:
            log.error("The routing of organization %s makes no sense. Its programs are refused.", organization)
            continue
        tenants[organization] = tenant
    return Snapshot(tenants, callers)


def adopt(board: HealthBoard, keys: Iterable[ProviderKey]) -> None:
    for key in keys:
        board.adopt(key.pk, key.secret_version, routes.health_of(key))


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of several organizations, by organization."""

    data_keys: Mapping[UUID, list[DataKey]]
    routes: Mapping[UUID, list[ProviderKey]]
    callers: Mapping[UUID, list[ClientKey]]
    overrides: Mapping[UUID | None, list[ModelOverride]]
    decided: Mapping[UUID, list[RoutingPreference]]
    by_provider: Mapping[UUID, list[ProviderPreference]]
    limits: Mapping[UUID, list[Limit]]
    budgets: Mapping[UUID, list[Budget]]
    organizations: Mapping[UUID, tuple[bool, str]]

    @classmethod
    def of(cls, wanted: Collection[UUID]) -> "Rows":
        """Nine queries."""
        return cls(
            data_keys=by_organization(DataKey.objects.filter(organization_id__in=wanted), wanted),
            routes=by_organization(ProviderKey.objects.present().filter(organization_id__in=wanted), wanted),
            callers=by_organization(ClientKey.objects.live().filter(organization_id__in=wanted).select_related("owner"), wanted),
            overrides=by_organization(ModelOverride.objects.that_concern(wanted), [None, *wanted]),
            decided=by_organization(RoutingPreference.objects.filter(organization_id__in=wanted), wanted),
            by_provider=by_organization(ProviderPreference.objects.filter(organization_id__in=wanted), wanted),
            limits=by_organization(Limit.objects.filter(organization_id__in=wanted), wanted),
            budgets=by_organization(Budget.objects.filter(organization_id__in=wanted).order_by("period"), wanted),
            organizations={
                pk: (is_platform, zone)
                for pk, is_platform, zone in Organization.objects.filter(pk__in=wanted).values_list(
                    "pk", "is_platform", "timezone"
                )
            },
        )

    def tenant(self, organization: UUID, version: int) -> Tenant:
        """Raises VaultError and ValueError."""
        keys = [key for key in self.routes[organization] if key.provider in PROVIDERS]
        natives = native_names([*self.overrides[None], *self.overrides[organization]])
        decided = next(iter(self.decided[organization]), None)
        policy = routes.policy_of(decided, self.by_provider[organization])
        is_platform, zone = self.organizations[organization]
        lends = keys if is_platform and not policy.paused else []
        return Tenant(
            id=str(organization),
            version=version,
            routes=tuple(routes.route_of(key, natives) for key in keys),
            policy=policy,
            lends=tuple(routes.lent_route(key, natives) for key in lends if not policy.stops(key.provider)),
            stored={key.pk: stored(key) for key in keys},
            data_keys=data_keys.unwrap(self.data_keys[organization]),
            limits={(limit.scope, limit.target_id): limit for limit in self.limits[organization]},
            budgets=by_target(self.budgets[organization]),
            zone=zone,
        )


def by_organization[M: Model, O: UUID | None](rows: Iterable[M], wanted: Collection[O]) -> dict[O, list[M]]:
    grouped: dict[O, list[M]] = {organization: [] for organization in wanted}
    for row in rows:
        grouped[row.organization_id].append(row)  # type: ignore[attr-defined]
    return grouped


def by_target(budgets: Iterable[Budget]) -> dict[Target, list[Budget]]:
    grouped: dict[Target, list[Budget]] = {}
    for budget in budgets:
        grouped.setdefault((budget.scope, budget.target_id), []).append(budget)
    return grouped


def stored(key: ProviderKey) -> StoredKey:
    return StoredKey(provider=key.row, context=data_keys.place_of(key), sealed=bytes(key.sealed), hint=key.hint)


@sensitive_variables()
def callers_of(tenant: Tenant, keys: Iterable[ClientKey]) -> dict[str, Caller]:
    peppers = {version: vault.derive(data_key, "client-key") for version, data_key in tenant.data_keys.items()}
    callers = {}
    for key in keys:
        callers[key.public_id] = caller = caller_of(key, tenant, peppers[key.pepper_version])
        if key.rolled_public_id and key.rolled_pepper_version in peppers:
            callers[key.rolled_public_id] = replace(
                caller,
                until=routes.seconds(key.rolled_until),
                pepper=peppers[key.rolled_pepper_version],
                digest=bytes(key.rolled_digest or b""),
            )
    return callers


@sensitive_variables()
def caller_of(key: ClientKey, tenant: Tenant, pepper: bytes) -> Caller:
    return Caller(
        id=str(key.pk),
        name=key.name,
        member_id=key.owner_id,
        owner=str(key.owner or ""),
        asking=routes.asking(key),
        paused=key.paused_at is not None,
        until=None,
        expires_at=routes.seconds(key.expires_at),
        networks=networks_of(key.allowed_networks),
        tenant=tenant,
        pepper=pepper,
        digest=bytes(key.digest),
    )
