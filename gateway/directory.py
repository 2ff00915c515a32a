"""Who may call and with which keys, in memory. The one module of the gateway that reads the database.

A `Snapshot` never changes; a refresh puts a new one in its place, so readers need no lock. Changes are found by the
organizations' routing versions. Each process polls for itself and needs nobody to be told.
"""

import logging
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from django.db import close_old_connections
from django.db.models import Model
from django.db.models.functions import Now
from django.views.decorators.debug import sensitive_variables

from keys import data_keys, routes, vault
from keys.models import ClientKey, DataKey, ModelOverride, ProviderKey, native_names
from keys.providers import PROVIDERS, Credential, Provider
from keys.routing import RouteKey
from keys.vault import Context, DataKeys, VaultError
from orgs.models import Organization

POLL_SECONDS = 0.5
RELOAD_SECONDS = 300.0
LONGEST_TRANSACTION = timedelta(seconds=60)  # a change is seen although it was committed this long after its time stamp
MOST_SECONDS_WITHOUT_DATABASE = 300.0
FIRST_LOAD_SECONDS = 10.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A provider key as it lies in memory: sealed until it is first used."""

    provider: Provider
    context: Context
    sealed: bytes = field(repr=False)
    hint: str

    @sensitive_variables()
    def open(self, keys: DataKeys) -> Credential:
        return data_keys.unsealed(keys, self.context, self.sealed, self.hint)


@dataclass(frozen=True, slots=True)
class Tenant:
    """One organization: the keys that can be tried, in any order, and what it takes to open them."""

    id: str
    version: int
    routes: tuple[RouteKey, ...]
    stored: Mapping[UUID, StoredKey] = field(repr=False)
    data_keys: DataKeys = field(repr=False)
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
    """A live client key and whose it is."""

    id: str
    member_id: int | None
    tenant: Tenant = field(repr=False)
    pepper: bytes = field(repr=False)
    digest: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at one moment. `callers` are found by the public id of their key."""

    tenants: Mapping[UUID, Tenant]
    callers: Mapping[str, Caller] = field(repr=False)

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


class Directory:
    """Holds the snapshot and keeps it fresh in a thread of its own."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._confirmed_at = 0.0
        self._reload_at = 0.0
        self._in_trouble = False
        self._loaded = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gateway-directory", daemon=True)

    @property
    def snapshot(self) -> Snapshot | None:
        """None before the first load, and once the database has been out of reach for too long to go on from memory."""
        return self._snapshot if time.monotonic() - self._confirmed_at < MOST_SECONDS_WITHOUT_DATABASE else None

    def start(self) -> None:
        """Returns after the first load, or without one if the database takes too long: the thread goes on trying."""
        self._thread.start()
        self._loaded.wait(FIRST_LOAD_SECONDS)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def refresh(self) -> None:
        """Read what has changed, or everything if it is time to. Raises what the database raises."""
        started = time.monotonic()
        if self._snapshot is None or started >= self._reload_at:
            self._snapshot = load(versions())
            self._reload_at = started + RELOAD_SECONDS
        elif changed := self._changed(self._snapshot):
            self._snapshot = self._snapshot.without(changed).with_all_of(load(changed))
        self._confirmed_at = started

    def poll(self) -> None:
        """`refresh` that outlives trouble: the last snapshot stands, and the log is told once."""
        try:
            self.refresh()
        except Exception as error:
            if not self._in_trouble:
                log.error("Keys cannot be read from the database (%s). The gateway goes on from memory.", type(error).__name__)
            self._in_trouble = True
        else:
            if self._in_trouble:
                log.warning("Keys can be read from the database again.")
            self._in_trouble = False

    def _changed(self, snapshot: Snapshot) -> dict[UUID, int]:
        recent = Organization.objects.filter(routing_changed_at__gte=Now() - LONGEST_TRANSACTION)
        rows = recent.values_list("pk", "routing_version")
        return {organization: version for organization, version in rows if snapshot.known(organization) != version}

    def _run(self) -> None:
        while True:
            close_old_connections()
            self.poll()
            self._loaded.set()
            if self._stopping.wait(POLL_SECONDS):
                break
        close_old_connections()


def versions() -> dict[UUID, int]:
    """Of all organizations. Read before what it stands for, so that a change in between is read again, never missed."""
    return dict(Organization.objects.values_list("pk", "routing_version"))


def load(wanted: Mapping[UUID, int]) -> Snapshot:
    """What these organizations have. One of them whose data keys do not open is left out, and the others go on."""
    wrapped = by_organization(DataKey.objects.filter(organization_id__in=wanted), wanted)
    routes = by_organization(ProviderKey.objects.present().filter(organization_id__in=wanted), wanted)
    callers = by_organization(ClientKey.objects.live().filter(organization_id__in=wanted), wanted)
    overrides = by_organization(ModelOverride.objects.that_concern(wanted), [None, *wanted])
    tenants: dict[UUID, Tenant] = {}
    found: dict[str, Caller] = {}
    for organization, version in wanted.items():
        try:
            opened = data_keys.unwrap(wrapped[organization])
            natives = native_names([*overrides[None], *overrides[organization]])
            tenant = tenant_of(organization, version, opened, routes[organization], natives)
            found |= callers_of(tenant, callers[organization])
        except (VaultError, KeyError):
            log.error("The data keys of organization %s do not open. Its programs are refused.", organization)
            continue
        tenants[organization] = tenant
    return Snapshot(tenants, found)


def by_organization[M: Model, O: UUID | None](rows: Iterable[M], wanted: Collection[O]) -> dict[O, list[M]]:
    grouped: dict[O, list[M]] = {organization: [] for organization in wanted}
    for row in rows:
        grouped[row.organization_id].append(row)  # type: ignore[attr-defined]
    return grouped


def tenant_of(
    organization: UUID, version: int, opened: DataKeys, keys: Iterable[ProviderKey], natives: Mapping[str, Mapping[str, str]]
) -> Tenant:
    """natives: the providers' names for models by provider and slug, where somebody wrote them down."""
    known = [key for key in keys if key.provider in PROVIDERS]
    return Tenant(
        id=str(organization),
        version=version,
        routes=tuple(routes.route_of(key, natives) for key in known),
        stored={key.pk: stored(key) for key in known},
        data_keys=opened,
    )


def stored(key: ProviderKey) -> StoredKey:
    return StoredKey(provider=key.row, context=data_keys.place_of(key), sealed=bytes(key.sealed), hint=key.hint)


@sensitive_variables()
def callers_of(tenant: Tenant, keys: Iterable[ClientKey]) -> dict[str, Caller]:
    peppers = {version: vault.derive(data_key, "client-key") for version, data_key in tenant.data_keys.items()}
    return {
        key.public_id: Caller(
            id=str(key.pk),
            member_id=key.created_by_id,
            tenant=tenant,
            pepper=peppers[key.pepper_version],
            digest=bytes(key.digest),
        )
        for key in keys
    }
