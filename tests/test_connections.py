"""Who connects and does not say what they want is let go."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import pytest
import uvicorn

from byok_site import connections

WHOLE = b"GET / HTTP/1.1\r\nhost: keyhold\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers once it has the whole body."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 1.0)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, http="byok_site.connections:Connection", lifespan="off", log_config=None, timeout_keep_alive=600)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    yield listener.getsockname()
    server.should_exit = True
    thread.join()


def answers(address: tuple[str, int], *parts: bytes) -> bytes:
    """Sends the first part, each other once something came back, and reads until the server hangs up."""
    with socket.create_connection(address, timeout=20) as client:
        said = b""
        for part in parts:
            client.sendall(part)
            said += client.recv(65536)
        while more := client.recv(65536):
            said += more
        return said


@pytest.mark.parametrize("begun", [b"", WHOLE[:-2]])
def test_a_head_that_does_not_arrive_is_not_waited_for(address: tuple[str, int], begun: bytes) -> None:
    assert answers(address, begun) == b""


def test_neither_is_a_second_one(address: tuple[str, int]) -> None:
    assert answers(address, WHOLE, WHOLE[:-2]).count(ANSWER) == 1


def test_a_head_that_never_ends_is_cut_off(address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 600)
    endless = b"GET / HTTP/1.1\r\nx-a: " + b"a" * 2 * connections.HEAD_BYTES
    with socket.create_connection(address, timeout=20) as client, contextlib.suppress(ConnectionError):
        client.sendall(endless)
        assert client.recv(65536) == b""


def test_a_body_and_the_next_request_are_waited_for(address: tuple[str, int]) -> None:
    client = HTTPConnection(*address, timeout=20)
    client.putrequest("POST", "/")
    client.putheader("content-length", "4")
    client.endheaders(b"ab")
    assert answers(address, b"") == b""  # so much time has passed
    client.send(b"cd")
    assert client.getresponse().read() == b"ok"
    assert answers(address, b"") == b""
    client.request("GET", "/")
    assert client.getresponse().read() == b"ok"
    client.close()
