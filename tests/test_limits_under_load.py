"""Four gateway processes, one Valkey and 64 connections: what a limit admits, also while Valkey is stalled or killed."""

import json
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from gateway.shared_counters import LOST
from keys import actions
from keys.providers import Credential
from orgs.actions import Actor
from orgs.models import Organization
from tests import gateway_child
from tests.fake import FakeProvider
from tests.serving import free_port
from tests.test_counters import Valkey
from usage.actions import set_limit
from usage.models import Scope

PROCESSES = 4
CONNECTIONS = 64
MOST = 600
BY = Actor.command("test")
BODY = json.dumps({"model": "openai/gpt-4o", "messages": [{"role": "user", "content": "Hello"}]})
pytestmark = [pytest.mark.django_db(transaction=True, serialized_rollback=True)]


class Processes:
    """They serve one database, count in one Valkey, and know Acme's client key and its limit."""

    def __init__(self, ports: list[int], secret: str) -> None:
        self.ports = ports
        self._secret = secret

    def ask(self, port: int) -> tuple[int, str]:
        """Status and error code."""
        status, told = self._call(port, "POST", "/v1/chat/completions", BODY)
        return status, str(told["error"]["code"]) if "error" in told else ""

    def get(self, port: int, path: str) -> Any:
        return self._call(port, "GET", path)[1]

    def _call(self, port: int, method: str, path: str, body: str | None = None) -> tuple[int, Any]:
        client = HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            client.request(method, path, body, {"authorization": f"Bearer {self._secret}"})
            answer = client.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            client.close()

    def load(self, times: int, at: dict[int, Callable[[], object]] | None = None) -> Counter[tuple[int, str]]:
        """So many requests to all processes in turn. at: what happens when so many have been begun."""
        begun = count()

        def one(number: int) -> tuple[int, str]:
            if act := (at or {}).get(next(begun)):
                act()
            return self.ask(self.ports[number % len(self.ports)])

        with ThreadPoolExecutor(CONNECTIONS) as pool:
            return Counter(pool.map(one, range(times)))


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    server = Valkey()
    yield server
    server.resume()
    server.kill()


@pytest.fixture
def four(acme: Organization, fake_provider: FakeProvider, valkey: Valkey, tmp_path: Path) -> Iterator[Processes]:
    credential = Credential({"api_key": fake_provider.key("openai")}, {}, "…0001")
    actions.add_key(organization=acme, provider="openai", name="main", credential=credential, test=None, needs_test=False, by=BY)
    key, secret = actions.issue_client_key(organization=acme, name="Tests", by=BY)
    set_limit(organization=acme, scope=Scope.CLIENT_KEY, target_id=str(key.pk), requests_per_minute=MOST, by=BY)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.gateway_child"])
    database = {name: connection.settings_dict[name] for name in ("NAME", "HOST", "PORT", "USER", "PASSWORD")}
    overrides, ports = fake_provider.overrides(), [free_port() for _ in range(PROCESSES)]
    children = [
        context.Process(target=gateway_child.serve, args=(port, database, overrides, tmp_path / str(port), valkey.url, PROCESSES))
        for port in ports
    ]
    for child in children:
        child.start()
    processes = Processes(ports, secret)
    assert until(lambda: all(serves(processes, port) for port in ports), 60)
    yield processes
    for child in children:
        child.terminate()
    for child in children:
        child.join()


def serves(processes: Processes, port: int) -> bool:
    """Whether it knows the key; asking for that counts nothing."""
    try:
        return bool(processes.get(port, "/v1/key")["limits"])
    except (OSError, KeyError):
        return False


def until(condition: Callable[[], Any], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
    return False


def test_a_limit_of_600_a_minute_admits_600(four: Processes) -> None:
    began = time.monotonic()
    told = four.load(900)
    assert time.monotonic() - began < 60, "too slow to say anything of one minute"
    assert 594 <= told[200, ""] <= 606
    assert told[429, "limit_requests"] == 900 - told[200, ""]
    assert {four.get(port, "/v1/key")["limits"][0]["remaining"] for port in four.ports} == {MOST - told[200, ""]}


@pytest.mark.parametrize("trouble", ["stall", "kill"])
def test_without_valkey_every_process_goes_on_with_its_share(four: Processes, valkey: Valkey, trouble: str) -> None:
    told = four.load(1200, at={200: getattr(valkey, trouble)})
    assert told.keys() == {(200, ""), (429, "limit_requests")}
    spread = CONNECTIONS  # by so much the processes may have been apart when Valkey went away
    assert MOST - spread <= told[200, ""] <= MOST + spread
    for port in four.ports:
        assert (four.get(port, "/readyz")["status"], four.get(port, "/readyz")["limits"]) == ("ready", LOST)
    valkey.resume() if trouble == "stall" else valkey.start()
    assert until(lambda: not any("limits" in four.get(port, "/readyz") for port in four.ports), 20)
    assert [four.ask(port) for port in four.ports] == [(429, "limit_requests")] * PROCESSES
