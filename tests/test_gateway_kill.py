"""kill -9 under load: no request that a program has whole is lost, and none is counted twice."""

import json
import multiprocessing
import random
import socket
import threading
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest
from django.db import connection
from django.db.models import Sum

from keys import actions
from keys.providers import Credential
from orgs.actions import Actor
from orgs.models import Organization
from tests import gateway_child
from tests.fake import FakeProvider
from usage.ingest import Ingester
from usage.models import DailyRollup, UsageEvent

KILLS = 20
BY = Actor.command("test")
MESSAGES = [{"role": "user", "content": "Hello"}]
ANSWERED = {"model": "openai/gpt-4o", "messages": MESSAGES}
STREAMED = {**ANSWERED, "stream": True}
NEVER_ANSWERED = {"model": "groq:openai/gpt-oss-120b", "messages": MESSAGES}


class Load:
    """Programs that ask again and again until the server is gone. `finished` are the ids of requests they have whole."""

    def __init__(self, port: int, key: str) -> None:
        self.port, self.key = port, key
        self.finished: list[str] = []
        self.progress = threading.Condition()

    def start(self) -> list[threading.Thread]:
        bodies = [ANSWERED, ANSWERED, STREAMED, STREAMED, NEVER_ANSWERED]
        threads = [threading.Thread(target=self.ask_on, args=(body,)) for body in bodies]
        for thread in threads:
            thread.start()
        return threads

    def ask_on(self, body: object) -> None:
        client = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            while True:
                client.request("POST", "/v1/chat/completions", json.dumps(body), {"authorization": f"Bearer {self.key}"})
                answer = client.getresponse()
                whole = answer.read()
                assert answer.status == 200, whole
                self.note(answer.headers["x-request-id"])
        except (OSError, HTTPException):
            client.close()

    def note(self, request_id: str) -> None:
        with self.progress:
            self.finished.append(request_id)
            self.progress.notify_all()

    def wait_for(self, count: int) -> None:
        with self.progress:
            assert self.progress.wait_for(lambda: len(self.finished) >= count, timeout=60)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def is_ready(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


@pytest.fixture
def client_key(acme: Organization, fake_provider: FakeProvider) -> str:
    for provider, behavior in (("openai", "valid"), ("groq", "stalls")):
        credential = Credential({"api_key": fake_provider.key(provider, behavior)}, {}, "…0001")
        actions.add_key(
            organization=acme, provider=provider, name=behavior, credential=credential, test=None, needs_test=False, by=BY
        )
    return actions.issue_client_key(organization=acme, name="Tests", by=BY)[1]


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_twenty_kills_lose_no_finished_request_and_count_none_twice(
    client_key: str, fake_provider: FakeProvider, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.gateway_child"])
    database = {name: connection.settings_dict[name] for name in ("NAME", "HOST", "PORT", "USER", "PASSWORD")}
    finished: list[str] = []
    for _ in range(KILLS):
        port = free_port()
        server = context.Process(
            target=gateway_child.serve, args=(port, database, fake_provider.overrides(), tmp_path), daemon=True
        )
        server.start()
        while not is_ready(port):
            assert server.is_alive()
        load = Load(port, client_key)
        threads = load.start()
        load.wait_for(random.randint(1, 25))
        server.kill()
        server.join()
        for thread in threads:
            thread.join()
        finished += load.finished

    Ingester(tmp_path).run_once()
    answered = UsageEvent.objects.filter(outcome="ok")
    orphans = UsageEvent.objects.filter(estimated=True)
    assert set(finished) <= {str(event.request_id) for event in answered}
    assert len(finished) == len(set(finished))
    assert orphans.count() >= KILLS / 2  # the one that is never answered, where it had started
    assert {(event.outcome, event.input_tokens > 0) for event in orphans} == {("error", True)}
    assert UsageEvent.objects.count() >= len(fake_provider.requests)
    assert DailyRollup.objects.aggregate(all=Sum("requests"))["all"] == UsageEvent.objects.count()
