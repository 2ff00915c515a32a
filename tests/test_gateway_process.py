"""A whole process: the gateway, the dashboard behind it, and usage that ends in the database."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest
import uvicorn
from pytest_django import Settings

from byok_site import asgi
from keys import actions
from keys.providers import Credential
from orgs.actions import Actor
from orgs.models import Organization
from tests.fake import FakeProvider
from usage.models import UsageEvent

BY = Actor.command("test")
pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


class Process:
    """byok_site.asgi under uvicorn, in a thread."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._server = uvicorn.Server(uvicorn.Config(asgi.Application(), lifespan="on", log_level="warning"))
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))

    def start(self) -> "Process":
        self._thread.start()
        return self

    def tell_to_stop(self) -> None:
        """As SIGTERM does."""
        self._server.should_exit = True

    def stop(self) -> None:
        self.tell_to_stop()
        self._thread.join()

    def ask(self, method: str, path: str, body: object = None, key: str = "") -> tuple[HTTPResponse, bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(
                method, path, json.dumps(body) if body else None, {"authorization": f"Bearer {key}"} if key else {}
            )
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()


@pytest.fixture
def process(
    fake_provider: FakeProvider, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Process]:
    settings.UPSTREAM_OVERRIDES = fake_provider.overrides()
    monkeypatch.setattr(asgi, "JOURNAL_FOLDER", tmp_path / "journal")
    process = Process().start()
    yield process
    process.stop()


@pytest.fixture
def key(acme: Organization, fake_provider: FakeProvider) -> str:
    return program_of(acme, fake_provider.key("openai"))


@pytest.fixture
def slow_key(acme: Organization, fake_provider: FakeProvider) -> str:
    return program_of(acme, fake_provider.key("openai", "slow"))


def program_of(acme: Organization, api_key: str) -> str:
    credential = Credential({"api_key": api_key}, {}, "sk-…0001")
    actions.add_key(organization=acme, provider="openai", name="main", credential=credential, test=None, needs_test=False, by=BY)
    return actions.issue_client_key(organization=acme, name="Tests", by=BY)[1]


def test_a_request_ends_as_a_row_of_usage(key: str, process: Process, acme: Organization) -> None:
    assert process.ask("GET", "/readyz")[0].status == 200
    body = {"model": "openai/gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
    answer, _ = process.ask("POST", "/v1/chat/completions", body, key)
    assert answer.status == 200
    process.stop()
    event = UsageEvent.objects.get()
    assert (event.organization, event.outcome, str(event.request_id)) == (acme, "ok", answer.headers["x-request-id"])


def test_who_is_told_to_stop_takes_no_more_and_ends_the_stream_that_runs(
    slow_key: str, process: Process, fake_provider: FakeProvider
) -> None:
    running = HTTPConnection("127.0.0.1", process.port, timeout=20)
    body = {"model": "openai/gpt-4o", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    running.request("POST", "/v1/chat/completions", json.dumps(body), {"authorization": f"Bearer {slow_key}"})
    answer = running.getresponse()
    begun = answer.readline()
    process.tell_to_stop()
    assert until_refused(process.port)
    fake_provider.go()
    assert begun.startswith(b"data: ")
    assert answer.read().rstrip().endswith(b"data: [DONE]")
    running.close()
    process.stop()
    event = UsageEvent.objects.get()
    assert (event.outcome, str(event.request_id)) == ("ok", answer.headers["x-request-id"])


def until_refused(port: int) -> bool:
    """Asks again and again, as whoever watches over it does."""
    while True:
        with contextlib.suppress(ConnectionResetError):  # it was waiting to be taken when the listener was closed
            try:
                socket.create_connection(("127.0.0.1", port), timeout=20).close()
            except ConnectionRefusedError:
                return True


def test_what_is_not_the_gateways_goes_to_the_dashboard(process: Process) -> None:
    answer, _ = process.ask("GET", "/")
    assert answer.status in (200, 302)
    assert "x-keyhold-attempts" not in answer.headers


def test_gateway_paths_say_so_while_the_process_starts() -> None:
    sent: list[dict[str, object]] = []

    async def send(message: object) -> None:
        sent.append(message)  # type: ignore[arg-type]

    async def receive() -> dict[str, object]:
        return {"type": "http.request"}

    asyncio.run(asgi.Application()({"type": "http", "path": "/v1/models"}, receive, send))
    assert sent[0]["status"] == 503


def test_a_websocket_is_closed() -> None:
    sent: list[dict[str, object]] = []

    async def send(message: object) -> None:
        sent.append(message)  # type: ignore[arg-type]

    async def receive() -> dict[str, object]:
        return {"type": "websocket.connect"}

    asyncio.run(asgi.Application()({"type": "websocket", "path": "/v1/realtime"}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1000}]
