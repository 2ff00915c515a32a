"""A budget holds for processes that share Valkey, and for one without it, through kills and restarts of both."""

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import redis
from django.db import connection
from django.db.models import Sum

from keys import actions
from keys.providers import Credential
from orgs.actions import Actor
from orgs.models import Organization
from tests import gateway_child
from tests.fake import FakeProvider
from tests.serving import free_port
from usage.ingest import Ingester
from usage.models import Budget, DailyRollup, Period, Scope

BY = Actor.command("test")
BODY = {"model": "openai/gpt-4o", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 50}
FACT, WORST = 115, 560  # millionths of a dollar that a request comes to, and may come to
pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


class Gateways:
    """Processes on one journal, and programs that ask them."""

    def __init__(self, secret: str, overrides: dict[str, str], folder: Path) -> None:
        self.secret, self.overrides, self.folder = secret, overrides, folder
        self.running: dict[int, BaseProcess] = {}

    def start(self, count: int, valkey: str = "") -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.gateway_child"])
        database = {name: connection.settings_dict[name] for name in ("NAME", "HOST", "PORT", "USER", "PASSWORD")}
        for port in [free_port() for _ in range(count)]:
            process = context.Process(
                target=gateway_child.serve, args=(port, database, self.overrides, self.folder, valkey, count), daemon=True
            )
            process.start()
            self.running[port] = process
        for port in self.running:
            while self.ask(port) is None:
                assert self.running[port].is_alive()

    def kill(self) -> None:
        for process in self.running.values():
            process.kill()
            process.join()
        self.running.clear()

    def ask(self, port: int) -> str | None:
        """200 or the code of the refusal; nothing where nobody answers."""
        client = HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            client.request("POST", "/v1/chat/completions", json.dumps(BODY), {"authorization": f"Bearer {self.secret}"})
            told = json.loads(client.getresponse().read())
        except (OSError, HTTPException):
            return None
        finally:
            client.close()
        return str(told["error"]["code"]) if "error" in told else "200"

    def spend(self, programs: int, until: Callable[[str | None], bool]) -> list[str | None]:
        """Programs ask again and again, each until it is told that; what each was told last."""

        def go_on(number: int) -> str | None:
            ports = list(self.running)
            while not until(said := self.ask(ports[number % len(ports)])):
                pass
            return said

        with ThreadPoolExecutor(programs) as pool:
            return list(pool.map(go_on, range(programs)))


@pytest.fixture
def gateways(acme: Organization, fake_provider: FakeProvider, tmp_path: Path) -> Iterator[Gateways]:
    credential = Credential({"api_key": fake_provider.key("openai", "valid")}, {}, "…0001")
    actions.add_key(organization=acme, provider="openai", name="main", credential=credential, test=None, needs_test=False, by=BY)
    _, secret = actions.issue_client_key(organization=acme, name="Tests", by=BY)
    found = Gateways(secret, fake_provider.overrides(), tmp_path)
    yield found
    found.kill()


def allow(acme: Organization, microusd: int) -> Budget:
    return Budget.objects.create(organization=acme, scope=Scope.ORGANIZATION, period=Period.LIFETIME, amount_microusd=microusd)


def booked(folder: Path) -> int:
    Ingester(folder).run_once()
    return int(DailyRollup.objects.aggregate(cost=Sum("estimated_cost_microusd"))["cost"])


def no_more(said: str | None) -> bool:
    assert said in ("200", "budget_reserved", "budget_exhausted", None), said
    return said in ("budget_exhausted", None)


@pytest.mark.parametrize(("processes", "shared"), [(1, False), pytest.param(4, True, marks=pytest.mark.large)])
def test_sixty_four_programs_spend_no_more_than_there_is(
    gateways: Gateways, acme: Organization, fake_provider: FakeProvider, processes: int, shared: bool
) -> None:
    amount = 100_000
    allow(acme, amount)
    gateways.start(processes, os.environ["REDIS_URL"] if shared else "")
    assert set(gateways.spend(64, no_more)) == {"budget_exhausted"}
    assert amount - WORST < len(fake_provider.requests) * FACT <= amount
    gateways.kill()
    assert booked(gateways.folder) == len(fake_provider.requests) * FACT


@pytest.mark.parametrize("shared", [False, pytest.param(True, marks=pytest.mark.large)])
def test_kills_and_restarts_reset_nothing(
    gateways: Gateways, acme: Organization, fake_provider: FakeProvider, shared: bool
) -> None:
    """Nor does it when Valkey loses everything it knew between a kill and the next start."""
    amount = 60_000
    allow(acme, amount)
    valkey = os.environ["REDIS_URL"] if shared else ""
    for _ in range(3):
        gateways.start(2 if shared else 1, valkey)
        before = len(fake_provider.requests)
        with ThreadPoolExecutor(1) as pool:
            spending = pool.submit(gateways.spend, 16, no_more)
            while len(fake_provider.requests) < before + 60:
                time.sleep(0.005)
            gateways.kill()
            spending.result()
        if shared:
            redis.Redis.from_url(valkey).flushdb()
    gateways.start(2 if shared else 1, valkey)
    gateways.spend(16, no_more)
    gateways.kill()
    gateways.start(1, valkey)
    assert [gateways.ask(port) for port in gateways.running] == ["budget_exhausted"]
    gateways.kill()
    assert len(fake_provider.requests) * FACT <= amount
    assert amount - 2 * WORST < booked(gateways.folder) <= amount
