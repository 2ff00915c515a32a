"""Four gateway processes: what an owner stops, all of them obey within two seconds, and they share what they know of keys."""

import json
import multiprocessing
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from keys import actions
from keys.models import ClientKey, ProviderKey
from keys.providers import Credential
from orgs.actions import Actor
from orgs.models import Organization
from tests import gateway_child
from tests.fake import FakeProvider
from tests.serving import free_port

PROCESSES = 4
SECONDS = 2.0
BY = Actor.command("test")
BODY = {"model": "openai/gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


class Processes:
    """They serve one database. `secret` is Acme's client key."""

    def __init__(self, ports: list[int], secret: str) -> None:
        self.ports = ports
        self.secret = secret

    def ask(self, port: int) -> tuple[int, str]:
        client = HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            client.request("POST", "/v1/chat/completions", json.dumps(BODY), {"authorization": f"Bearer {self.secret}"})
            answer = client.getresponse()
            told = json.loads(answer.read())
            return answer.status, str(told["error"]["code"]) if "error" in told else answer.headers["x-keyhold-key"]
        finally:
            client.close()

    def all_say(self, expected: tuple[int, str], seconds: float = SECONDS) -> bool:
        """Whether every process answers like this, at the latest after `seconds`."""
        end = time.monotonic() + seconds
        waiting = list(self.ports)
        while waiting and time.monotonic() < end:
            waiting = [port for port in waiting if self.ask(port) != expected]
        return not waiting


@pytest.fixture
def main(acme: Organization, fake_provider: FakeProvider) -> ProviderKey:
    return add(acme, fake_provider, "main")


@pytest.fixture
def client_key(acme: Organization) -> tuple[ClientKey, str]:
    return actions.issue_client_key(organization=acme, name="Tests", by=BY)


def add(acme: Organization, fake: FakeProvider, name: str, behavior: str = "valid") -> ProviderKey:
    credential = Credential({"api_key": fake.key("openai", behavior)}, {}, "…0001")
    return actions.add_key(
        organization=acme, provider="openai", name=name, credential=credential, test=None, needs_test=False, by=BY
    )


@pytest.fixture
def four(
    main: ProviderKey, client_key: tuple[ClientKey, str], fake_provider: FakeProvider, tmp_path: Path
) -> Iterator[Processes]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.gateway_child"])
    database = {name: connection.settings_dict[name] for name in ("NAME", "HOST", "PORT", "USER", "PASSWORD")}
    ports = [free_port() for _ in range(PROCESSES)]
    children = [
        context.Process(target=gateway_child.serve, args=(port, database, fake_provider.overrides(), tmp_path / str(port)))
        for port in ports
    ]
    for child in children:
        child.start()
    processes = Processes(ports, client_key[1])
    assert until(lambda: all(answers(processes, port) for port in ports), 60)
    yield processes
    for child in children:
        child.terminate()
    for child in children:
        child.join()


def answers(processes: Processes, port: int) -> bool:
    try:
        return processes.ask(port)[0] == 200
    except OSError:
        return False


def until(condition: Callable[[], Any], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
    return False


def test_all_processes_obey_within_two_seconds(
    four: Processes, acme: Organization, main: ProviderKey, client_key: tuple[ClientKey, str], fake_provider: FakeProvider
) -> None:
    """Nobody is notified: each process looks for itself, so there is no notification that could be lost."""
    serves = (200, "main")
    assert four.all_say(serves)
    for stop, code, resume in [
        (
            lambda: actions.pause_organization(organization=acme, by=BY),
            "organization_paused",
            lambda: actions.resume_organization(organization=acme, by=BY),
        ),
        (
            lambda: actions.pause_provider(organization=acme, provider="openai", by=BY),
            "provider_paused",
            lambda: actions.resume_provider(organization=acme, provider="openai", by=BY),
        ),
        (
            lambda: actions.pause_client_key(key=client_key[0], by=BY),
            "client_key_paused",
            lambda: actions.resume_client_key(key=client_key[0], by=BY),
        ),
        (
            lambda: actions.set_restrictions(key=main, models=["openai/o3*"], members=None, client_keys=None, by=BY),
            "key_restricted",
            lambda: actions.set_restrictions(key=main, models=None, members=None, client_keys=None, by=BY),
        ),
    ]:
        stop()
        assert four.all_say((403, code)), code
        resume()
        assert four.all_say(serves), code
    actions.disable_key(key=main, by=BY)
    assert four.all_say((404, "model_not_found"))
    actions.enable_key(key=main, by=BY)
    assert four.all_say(serves)
    add(acme, fake_provider, "spare")
    actions.remove_key(key=main, by=BY)
    assert four.all_say((200, "spare"))


def test_what_one_process_learns_of_a_key_all_know(
    four: Processes, acme: Organization, main: ProviderKey, fake_provider: FakeProvider
) -> None:
    spare = add(acme, fake_provider, "spare")
    bad = add(acme, fake_provider, "bad", "refused")
    order = [(key.pk, "prioritized") for key in (bad, main, spare)]
    actions.reorder_keys(organization=acme, order=order, version=acme_order(acme), by=BY)
    assert until(lambda: four.ask(four.ports[0]) and any(r.behavior == "refused" for r in fake_provider.requests), SECONDS)
    assert until(lambda: ProviderKey.objects.get(pk=bad.pk).status == "failing", SECONDS)
    assert until(lambda: known_everywhere(four, fake_provider), SECONDS)
    assert acme.audit_events.filter(tag="provider_key:failing", target_id=str(bad.pk)).count() == 1


def known_everywhere(four: Processes, fake: FakeProvider) -> bool:
    before = sum(received.behavior == "refused" for received in fake.requests)
    for port in four.ports:
        four.ask(port)
    return sum(received.behavior == "refused" for received in fake.requests) == before


def acme_order(acme: Organization) -> int:
    acme.refresh_from_db()
    return int(acme.routing.order_version)
