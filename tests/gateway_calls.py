"""Requests to a running gateway by hand, where an SDK would hide what is sent or said."""

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any, NamedTuple

from tests.gateway_server import RunningGateway

CHAT = "/v1/chat/completions"
GREETING: dict[str, Any] = {"model": "openai/gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
STREAMED: dict[str, Any] = {**GREETING, "stream": True}


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def error(self) -> Any:
        return json.loads(self.body)["error"]


def call(
    gateway: RunningGateway,
    body: Any = GREETING,
    path: str = CHAT,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
) -> Reply:
    connection = HTTPConnection(gateway.url.removeprefix("http://"), timeout=20)
    try:
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection.request(method, path, content, {"authorization": f"Bearer {gateway.secret}", **(headers or {})})
        answer = connection.getresponse()
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def get(gateway: RunningGateway, path: str, **options: Any) -> Reply:
    return call(gateway, None, path, "GET", **options)


@contextmanager
def line(gateway: RunningGateway, body: Any, path: str = CHAT, *, head: str = "") -> Iterator[socket.socket]:
    """A connection on which the request was sent, and nothing read yet. `head` is what to send in place of all that."""
    content = b"" if head else json.dumps(body).encode()
    head = head or (
        f"POST {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {gateway.secret}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2])), timeout=20) as client:
        client.sendall(head.encode() + content)
        yield client


def read_until(client: socket.socket, mark: bytes) -> bytes:
    received = b""
    while mark not in received and (part := client.recv(65536)):
        received += part
    return received
