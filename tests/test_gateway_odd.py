"""Providers that misbehave in ways which no honest one does: bytes by hand, on a socket of our own."""

import json
import socket
from typing import Any

import pytest

from gateway import exchange
from tests.fake import FakeProvider
from tests.gateway_calls import CHAT, GREETING, STREAMED, call, line, read_until
from tests.gateway_server import RunningGateway, StartGateway
from tests.odd_provider import Odd

pytest_plugins = ["tests.gateway_fixtures"]
pytestmark = pytest.mark.large

EVENTS = "content-type: text/event-stream"
CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.fixture
def gateway(start_gateway: StartGateway, odd: Odd, fake_provider: FakeProvider) -> RunningGateway:
    """OpenAI is the odd one and comes first; Groq, which has the same model, is the fake."""
    gateway = start_gateway(overrides={**fake_provider.overrides(), "openai": odd.url}, first_byte_seconds=1.0)
    gateway.add("openai", models=("gpt-oss-120b",), name="odd")
    gateway.add("groq", models=("openai/gpt-oss-120b",), name="good")
    return gateway


def ask(gateway: RunningGateway, body: Any = GREETING) -> Any:
    return call(gateway, {**body, "model": "openai/gpt-oss-120b"})


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("200 OK", b""),
        ("200 OK", b'{"choices":['),
        ("200 OK", b'{"error":{"message":"overloaded"}}'),
        ("200 OK\r\ncontent-length: 100", b'{"choices":[]}'),
        ("200 OK\r\ncontent-encoding: br", b'{"choices":[]}'),
        ("301 Moved\r\nlocation: http://169.254.169.254/", b""),
        ("nonsense", b""),
        ("503 Busy\r\nretry-after: 9", b"<html>busy</html>"),
        ("429 Busy\r\ncontent-length: 100", b"cut"),
    ],
)
def test_an_odd_answer_is_passed_over(gateway: RunningGateway, odd: Odd, head: str, body: bytes) -> None:
    odd.says(head, body)
    reply = ask(gateway)
    assert (reply.status, reply.headers["x-keyhold-key"]) == (200, "good")
    assert [outcome for outcome, _, _ in gateway.outcomes()] == ["absorbed", "ok"]


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (f"200 OK\r\n{EVENTS}", b""),
        (f"200 OK\r\n{EVENTS}", b": only a comment\n\n"),
        (f"200 OK\r\n{EVENTS}", b'data: {"error":{"message":"overloaded"}}\n\n'),
        (f"200 OK\r\n{EVENTS}", b': wait\n\nevent: error\ndata: {"error":{"message":"busy","status_code":429}}\n\n'),
        ("200 OK\r\ncontent-type: application/json", b'{"choices":[]}'),
    ],
)
def test_an_odd_stream_is_passed_over_while_nothing_was_sent(gateway: RunningGateway, odd: Odd, head: str, body: bytes) -> None:
    odd.says(head, body)
    reply = ask(gateway, STREAMED)
    assert (reply.status, reply.headers["x-keyhold-key"]) == (200, "good")
    assert reply.body.endswith(DONE)


def test_comments_do_not_stand_for_a_first_byte(gateway: RunningGateway, odd: Odd) -> None:
    odd.says(f"200 OK\r\n{EVENTS}", b": wait\n\n", holds=True)
    assert ask(gateway, STREAMED).headers["x-keyhold-key"] == "good"
    assert gateway.outcomes() == [("absorbed", "trouble", 200), ("ok", "", 200)]


def test_an_error_in_the_first_event_may_be_the_requests_own_fault(gateway: RunningGateway, odd: Odd) -> None:
    told = {"message": "Tool choice is required.", "code": "tool_use_failed", "type": "invalid_request_error", "status_code": 400}
    odd.says(f"200 OK\r\n{EVENTS}", b"event: error\ndata: " + json.dumps({"error": told}).encode() + b"\n\n")
    reply = ask(gateway, STREAMED)
    assert (reply.status, reply.error["code"], reply.error["message"]) == (400, "tool_use_failed", "Tool choice is required.")


def test_a_stream_that_just_stops_ends_in_an_error(gateway: RunningGateway, odd: Odd) -> None:
    odd.says(f"200 OK\r\n{EVENTS}", CHUNK + b"data: {")
    reply = ask(gateway, STREAMED)
    assert reply.body.startswith(CHUNK + b"data: {\n\ndata: ")
    assert json.loads(reply.body.rstrip().rpartition(b"\n\ndata: ")[2])["error"]["code"] == "stream_broken"
    assert gateway.outcomes() == [("error", "trouble", 200)]


@pytest.mark.parametrize("end", [DONE, DONE + b": bye\n\n", b""])
def test_a_stream_with_usage_is_whole(gateway: RunningGateway, odd: Odd, end: bytes) -> None:
    odd.says(f"200 OK\r\n{EVENTS}", CHUNK + USAGE + end)
    assert ask(gateway, STREAMED).body == CHUNK + end
    (ended,) = gateway.attempts()
    assert (ended.closed.outcome, ended.closed.input_tokens, ended.closed.output_tokens) == ("ok", 3, 4)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_without_usage_is_estimated(gateway: RunningGateway, odd: Odd, stream: bool) -> None:
    body = CHUNK * 3 + DONE if stream else b'{"choices":[{"message":{"content":"one two three"}}]}'
    odd.says(f"200 OK\r\n{EVENTS}", body)
    assert ask(gateway, {**GREETING, "stream": stream}).body == body
    (ended,) = gateway.attempts()
    assert (ended.closed.outcome, ended.closed.estimated) == ("ok", True)
    assert (ended.closed.input_tokens, ended.closed.output_tokens) == (
        ended.opened.input_estimate,
        3 if stream else len(body) // 4,
    )


def test_the_end_of_a_stream_does_not_wait_for_a_provider_that_holds_the_line(gateway: RunningGateway, odd: Odd) -> None:
    """The program has its [DONE], and the books are closed, while the provider still holds on."""
    odd.says(f"200 OK\r\n{EVENTS}", CHUNK + USAGE + DONE, holds=True)
    with line(gateway, {**STREAMED, "model": "openai/gpt-oss-120b"}) as client:
        assert DONE in read_until(client, DONE)
        assert gateway.outcomes() == [("ok", "", 200)]


def test_hostile_headers_and_events_go_no_further(gateway: RunningGateway, odd: Odd) -> None:
    names = ["set-cookie", "location", "server", "access-control-allow-origin", "x-keyhold-key", "openai-organization", "link"]
    hostile = "\r\n".join(f"{name}: canary" for name in [*names, *(f"x-odd-{number}" for number in range(50))])
    body = b'{"choices":[],"note":"<script>"}'
    odd.says(f"200 OK\r\ncontent-type: text/html\r\n{hostile}\r\nx-request-id: {'x' * 500}", body)
    reply = ask(gateway)
    assert (reply.body, reply.headers["content-type"]) == (body, "application/json")
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "canary" not in repr(reply.headers)
    assert "x-provider-request-id" not in reply.headers


def test_a_body_that_does_not_arrive_is_not_waited_for(gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "BODY_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2])), timeout=20) as client:
        client.sendall(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nx-api-key: {gateway.secret}\r\ncontent-length: 9\r\n\r\n{{".encode())
        assert b"408 Request Timeout" in read_until(client, b"\r\n")


def test_a_client_that_does_not_read_is_let_go(gateway: RunningGateway, odd: Odd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "WRITE_SECONDS", 0.2)
    odd.says(f"200 OK\r\n{EVENTS}", CHUNK * 500_000)
    with line(gateway, {**STREAMED, "model": "openai/gpt-oss-120b"}):
        assert odd.hung_up.wait(20)
    assert gateway.outcomes() == [("cancelled", "", 200)]
