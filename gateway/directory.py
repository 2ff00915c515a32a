"""Who may call and with which keys, in memory. What gateways find out about keys goes the other way.

A `Snapshot` never changes; a refresh puts a new one in its place, so readers need no lock. Changes are found by the
organizations' routing versions. Each process polls for itself and needs nobody to be told.
"""

import logging
import threading
import time
from datetime import timedelta
from uuid import UUID

from django.db import InterfaceError, OperationalError, close_old_connections
from django.db.models.functions import Now

from gateway.health import HealthBoard
from gateway.snapshot import Snapshot, Tenant, adopt, load, versions
from keys.actions.openings import write_openings
from keys.actions.reporting import report_health
from keys.models import ProviderKey
from orgs.models import Organization

POLL_SECONDS = 0.5
RELOAD_SECONDS = 300.0
OPENINGS_SECONDS = 60.0
LONGEST_TRANSACTION = timedelta(seconds=60)  # a change is seen although it was committed this long after its time stamp
LONGEST_REPORT = timedelta(seconds=10)
MOST_SECONDS_WITHOUT_DATABASE = 300.0
FIRST_LOAD_SECONDS = 10.0
STOP_SECONDS = 10.0

log = logging.getLogger(__name__)


class Directory:
    """Holds the snapshot and keeps it fresh in a thread of its own."""

    def __init__(self, board: HealthBoard | None = None) -> None:
        self.board = board or HealthBoard()
        self._snapshot: Snapshot | None = None
        self._lenders: tuple[Tenant, ...] = ()
        self._confirmed_at = 0.0
        self._reload_at = 0.0
        self._openings_at = time.monotonic() + OPENINGS_SECONDS
        self._in_trouble = False
        self._loaded = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gateway-directory", daemon=True)

    @property
    def snapshot(self) -> Snapshot | None:
        """None before the first load, and once the database has been out of reach for too long to go on from memory."""
        return self._snapshot if time.monotonic() - self._confirmed_at < MOST_SECONDS_WITHOUT_DATABASE else None

    def lenders_to(self, tenant: Tenant) -> tuple[Tenant, ...]:
        """Whose keys are shared with this organization, if its owners allow it."""
        return tuple(lender for lender in self._lenders if lender is not tenant)

    def start(self) -> None:
        """Returns after the first load, or without one if the database takes too long: the thread goes on trying."""
        self._thread.start()
        self._loaded.wait(FIRST_LOAD_SECONDS)

    def stop(self) -> None:
        """Waits no longer for a database that does not answer."""
        self._stopping.set()
        self._thread.join(STOP_SECONDS)

    def refresh(self) -> None:
        """Tell how keys are, and read what has changed, or everything if it is time to. Raises what the database raises."""
        started = time.monotonic()
        self._report()
        if self._snapshot is None or started >= self._reload_at:
            everything = load(versions(), self.board)
            self._take(everything)
            self.board.forget_all_but(key for tenant in everything.tenants.values() for key in tenant.stored)
            self._reload_at = started + RELOAD_SECONDS
        elif changed := self._changed(self._snapshot):
            self._take(self._snapshot.without(changed).with_all_of(load(changed, self.board)))
        adopt(self.board, ProviderKey.objects.present().filter(health_changed_at__gte=Now() - LONGEST_REPORT))
        self._confirmed_at = started
        if started >= self._openings_at:
            write_openings()
            self._openings_at = started + OPENINGS_SECONDS

    def _take(self, snapshot: Snapshot) -> None:
        self._snapshot, self._lenders = snapshot, tuple(snapshot.lenders())

    def _report(self) -> None:
        """What cannot be written while the database is away stays owed; what it refuses is dropped, and holds up nothing."""
        owed = self.board.take()
        while owed:
            try:
                report_health(owed[0])
            except (OperationalError, InterfaceError):
                self.board.give_back(owed)
                raise
            except Exception as error:
                log.error("The health of key %s cannot be written (%s).", owed[0].key, type(error).__name__)
            owed.pop(0)

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
        self._write_last_openings()
        close_old_connections()

    def _write_last_openings(self) -> None:
        try:
            write_openings()
        except Exception as error:
            log.error("What secrets were opened for in the last minute is not written down (%s).", type(error).__name__)
