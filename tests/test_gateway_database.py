"""PostgreSQL stalls, goes away and comes back: programs notice nothing, and the books are whole afterwards."""

import contextlib
import multiprocessing
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from django.db import connection

from gateway.directory import POLL_SECONDS
from keys import actions
from keys.models import ClientKey
from keys.providers import Credential
from orgs.actions import Actor
from orgs.models import Organization
from tests import gateway_child
from tests.fake import FakeProvider
from tests.serving import free_port
from tests.test_gateway_processes import Processes, answers, until
from usage.ingest import Ingester
from usage.models import UsageEvent

BY = Actor.command("test")
pytestmark = [pytest.mark.django_db(transaction=True, serialized_rollback=True), pytest.mark.usefixtures("postgres_only")]


class Line:
    """Between a gateway and the server of its database, in `folder`. It can be made to hold all it carries, or be cut."""

    def __init__(self, folder: Path) -> None:
        params = connection.settings_dict
        self._name = f".s.PGSQL.{params['PORT'] or 5432}"
        self._there = f"{params['HOST']}/{self._name}"
        self.folder = folder
        self._flows = threading.Event()
        self._flows.set()
        self.held = threading.Event()
        self._carried: list[socket.socket] = []
        self.mend()

    def mend(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        (self.folder / self._name).unlink(missing_ok=True)
        self._listener.bind(str(self.folder / self._name))
        self._listener.listen()
        threading.Thread(target=self._take, args=(self._listener,), daemon=True).start()

    def hold(self) -> None:
        self._flows.clear()

    def let_go(self) -> None:
        """What was held arrives."""
        self._flows.set()

    def cut(self) -> None:
        """Nobody gets through any more, and whoever had is thrown out."""
        for carried in (self._listener, *self._carried):
            with contextlib.suppress(OSError):
                carried.shutdown(socket.SHUT_RDWR)
            carried.close()
        self._carried = []
        self._flows.set()

    def _take(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = listener.accept()
                there = socket.socket(socket.AF_UNIX)
                there.connect(self._there)
                self._carried += [here, there]
                for giver, taker in ((here, there), (there, here)):
                    threading.Thread(target=self._carry, args=(giver, taker), daemon=True).start()

    def _carry(self, giver: socket.socket, taker: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while said := giver.recv(65536):
                if not self._flows.is_set():
                    self.held.set()
                self._flows.wait()
                taker.sendall(said)
            taker.shutdown(socket.SHUT_WR)


@pytest.fixture
def client_key(acme: Organization, fake_provider: FakeProvider) -> tuple[ClientKey, str]:
    credential = Credential({"api_key": fake_provider.key("openai", "valid")}, {}, "…0001")
    actions.add_key(organization=acme, provider="openai", name="main", credential=credential, test=None, needs_test=False, by=BY)
    return actions.issue_client_key(organization=acme, name="Tests", by=BY)


@pytest.fixture
def line() -> Iterator[Line]:
    with TemporaryDirectory(prefix="kh-") as folder:  # short: the path of a socket ends at 107 bytes
        line = Line(Path(folder))
        yield line
        line.cut()


@pytest.fixture
def gateway(line: Line, client_key: tuple[ClientKey, str], fake_provider: FakeProvider, tmp_path: Path) -> Iterator[Processes]:
    """One process, whose only way to the database is `line`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.gateway_child"])
    database = {name: connection.settings_dict[name] for name in ("NAME", "PORT", "USER", "PASSWORD")}
    database["HOST"] = str(line.folder)
    port = free_port()
    child = context.Process(
        target=gateway_child.serve,
        args=(port, database, fake_provider.overrides(), tmp_path),
        kwargs={"stop_seconds": 0.1},
    )
    child.start()
    processes = Processes([port], client_key[1])
    assert until(lambda: answers(processes, port), 60)
    yield processes
    child.terminate()
    child.join(60)
    assert not child.is_alive()


def test_programs_go_on_while_the_database_does_not(
    gateway: Processes, line: Line, client_key: tuple[ClientKey, str], tmp_path: Path
) -> None:
    served, refused = (200, "main"), (401, "invalid_api_key")
    told = [served]  # when it had started

    def ask() -> tuple[int, str]:
        told.append(gateway.ask(gateway.ports[0]))
        return told[-1]

    def serves_for_a_while() -> bool:
        """Longer than the gateway takes to look for changes three times."""
        return not until(lambda: ask() != served, 3 * POLL_SECONDS)

    line.hold()
    assert serves_for_a_while()
    line.let_go()
    line.cut()
    assert serves_for_a_while()
    line.mend()
    actions.revoke_client_key(key=client_key[0], by=BY)
    assert until(lambda: ask() == refused, 20)
    Ingester(tmp_path).run_once()
    assert set(told) == {served, refused}
    assert UsageEvent.objects.filter(outcome="ok").count() == told.count(served)


def test_whoever_waits_for_the_database_can_be_stopped(gateway: Processes, line: Line) -> None:
    """The fixture sees to it that the process ends while the line is held."""
    line.hold()
    assert line.held.wait(60)
