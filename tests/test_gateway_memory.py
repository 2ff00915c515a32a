"""What large bodies and long streams cost a gateway, in a process of its own."""

import json
import multiprocessing
import os
import re
import socket
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.db import connection

from keys import actions
from keys.providers import Credential
from orgs.actions import Actor
from orgs.models import Organization
from tests import gateway_child
from tests.fake.eventstream import frame
from tests.test_gateway_kill import free_port, is_ready

CAP = 25_000_000
BY = Actor.command("test")
CHAT = {"choices": [{"message": {"content": "hi"}}], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
MESSAGE = {"type": "message", "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn", "usage": {}}
WORDS = "A few words, as they come from a model that has much to say. "


def sse(event: Any) -> bytes:
    return b"data: " + json.dumps(event).encode() + b"\n\n"


class Stream(NamedTuple):
    kind: str
    piece: bytes
    end: bytes


STREAMS = {
    "/chat/completions": Stream(
        "text/event-stream",
        sse({"choices": [{"index": 0, "delta": {"content": WORDS}}]}),
        sse({"choices": [], "usage": CHAT["usage"]}) + b"data: [DONE]\n\n",
    ),
    "/v1/messages": Stream(
        "text/event-stream",
        sse({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": WORDS}}),
        sse({"type": "message_stop"}),
    ),
    "/converse-stream": Stream(
        "application/vnd.amazon.eventstream",
        frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": WORDS}}),
        frame("messageStop", {"stopReason": "end_turn"}) + frame("metadata", {"usage": {"inputTokens": 1, "outputTokens": 1}}),
    ),
}


class Sink(ThreadingHTTPServer):
    """Takes bodies of any size and forgets them. Answers at once, or with so many events where a stream was asked for."""

    daemon_threads = True
    events = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Drain)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.taken: list[int] = []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class Drain(BaseHTTPRequestHandler):
    server: Sink
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        left = size = int(self.headers["content-length"])
        while left:
            left -= len(self.rfile.read(min(left, 1 << 20)))
        self.server.taken.append(size)
        if self.server.events:
            stream = next(stream for path, stream in STREAMS.items() if self.path.endswith(path))
            self.answer(stream.kind, stream.piece, self.server.events, stream.end)
        else:
            self.answer("application/json", json.dumps(MESSAGE if "messages" in self.path else CHAT).encode())

    def answer(self, kind: str, piece: bytes, count: int = 1, end: bytes = b"") -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(piece) * count + len(end)))
        self.end_headers()
        for start in range(0, count, 100):
            self.wfile.write(piece * min(100, count - start))
        self.wfile.write(end)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as server:
        yield server
        server.shutdown()


class Child(NamedTuple):
    """A gateway in another process."""

    process: BaseProcess
    port: int
    key: str

    def memory(self) -> int:
        return self._told("VmRSS")

    def peak(self) -> int:
        """Since `forget_peak`."""
        return self._told("VmHWM")

    def forget_peak(self) -> None:
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def _told(self, name: str) -> int:
        """Bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(rf"{name}:\s+(\d+) kB", status)[0]) * 1024

    def ask(self, body: bytes) -> tuple[int, int]:
        """(status, size of the answer), of which nothing is kept."""
        client = HTTPConnection("127.0.0.1", self.port, timeout=60)
        client.request("POST", "/v1/chat/completions", body, {"authorization": f"Bearer {self.key}"})
        answer, size = client.getresponse(), 0
        while piece := answer.read(1 << 16):
            size += len(piece)
        client.close()
        return answer.status, size


@pytest.fixture
def child(acme: Organization, sink: Sink, tmp_path: Path) -> Iterator[Child]:
    aws = Credential({"api_key": "ABSKabcdefgh"}, {"region": "us-east-1"}, "…")
    simple = Credential({"api_key": "sk-abcdefgh"}, {}, "…")
    for provider, credential in (("openai", simple), ("anthropic", simple), ("bedrock", aws)):
        actions.add_key(
            organization=acme, provider=provider, name=provider, credential=credential, test=None, needs_test=False, by=BY
        )
    key = actions.issue_client_key(organization=acme, name="Tests", by=BY)[1]
    overrides = dict.fromkeys(("openai", "anthropic", "bedrock"), sink.url)
    database = {name: connection.settings_dict[name] for name in ("NAME", "HOST", "PORT", "USER", "PASSWORD")}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.gateway_child"])
    port = free_port()
    process = context.Process(target=gateway_child.serve, args=(port, database, overrides, tmp_path), daemon=True)
    process.start()
    while not is_ready(port):
        assert process.is_alive()
    yield Child(process, port, key)
    process.kill()
    process.join()


def text(size: int) -> dict[str, Any]:
    return {"role": "user", "content": "x" * size}


def image(size: int) -> dict[str, Any]:
    url = "data:image/png;base64," + "A" * (size // 4 * 4)
    return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}


def asked(model: str, message: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps({"model": model, "messages": [message], **fields}).encode()


MODELS = ["openai/gpt-4o", "anthropic/claude-sonnet-4.5", "bedrock:amazon.nova-pro-v1:0"]
pytestmark = [
    pytest.mark.large,
    pytest.mark.django_db(transaction=True, serialized_rollback=True),
    pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="needs Linux's /proc"),
]


@pytest.mark.parametrize(("model", "message"), [(MODELS[0], text), (MODELS[1], image)])
def test_large_bodies_relay_with_flat_memory(child: Child, sink: Sink, model: str, message: Any) -> None:
    """A body is held a few times while it is on its way. What a process has taken for that it uses again."""
    body = asked(model, message(CAP - 1000))
    assert CAP - 1000 < len(body) <= CAP
    assert child.ask(asked(model, message(100)))[0] == 200
    child.forget_peak()
    before = child.memory()
    after = []
    for _ in range(8):
        assert child.ask(body)[0] == 200
        after.append(child.memory())
    assert min(sink.taken[1:]) > CAP - 2000
    assert child.peak() - before < 8 * CAP
    assert min(after[4:]) - max(after[:4]) < CAP / 5


def test_a_body_over_the_cap_is_refused_before_it_is_whole(child: Child, sink: Sink) -> None:
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {child.key}\r\n"
    with socket.create_connection(("127.0.0.1", child.port), timeout=20) as client:
        client.sendall(f"{head}content-length: 26000000\r\n\r\n{{".encode())
        assert b" 413 " in client.recv(4096)
    with socket.create_connection(("127.0.0.1", child.port), timeout=20) as client:
        client.sendall(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
        for _ in range(26):
            client.sendall(b"F4240\r\n" + b" " * 1_000_000 + b"\r\n")
        assert b" 413 " in client.recv(4096)
    assert sink.taken == []


@pytest.mark.parametrize("model", MODELS)
def test_a_long_stream_costs_no_more_than_a_short_one(child: Child, sink: Sink, model: str) -> None:
    """Here twenty-five times as many events, of which none waits. The first streams fill what buffers there are."""
    peaks = []
    for sink.events in (500, 20_000, 500_000):
        child.forget_peak()
        status, size = child.ask(asked(model, text(10), stream=True))
        assert status == 200
        assert size > sink.events * len(WORDS)
        peaks.append(child.peak())
    assert 500_000 * len(WORDS) > 30_000_000
    assert peaks[1] - peaks[0] < 20_000_000
    assert peaks[2] - peaks[1] < 15_000_000
