"""Images that a chat names by address: fetched for those who take bytes only, and never from where they must not be."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import openai
import pytest
from openai import OpenAI

from gateway import media
from tests.chats import PIXEL
from tests.gateway_calls import call
from tests.gateway_server import RunningGateway, StartGateway
from tests.test_egress import HOSTILE

pytest_plugins = ["tests.gateway_fixtures"]
pytestmark = pytest.mark.large

PNG = base64.b64decode(PIXEL)
FETCHING = [("bedrock", "amazon/nova-pro"), ("aistudio", "google/gemini-2.5-pro"), ("vertex", "google/gemini-2.5-pro")]
PASSING = [
    ("anthropic", "anthropic/claude-sonnet-4.5"),
    ("openai", "openai/gpt-4o"),
    ("perplexity", "perplexity/sonar"),
    ("vertex", "anthropic/claude-sonnet-4.5"),
]


class Pictures(ThreadingHTTPServer):
    """A host on loopback. `asked` are the paths that somebody wanted."""

    daemon_threads = True
    answers: dict[str, tuple[int, dict[str, str], bytes]] = {
        "/cat.png": (200, {"content-type": "image/png; x=y"}, PNG),
        "/page": (200, {"content-type": "text/html"}, b"<html>"),
        "/nothing": (200, {}, PNG),
        "/missing": (404, {"content-type": "image/png"}, PNG),
        "/moved": (302, {"content-type": "image/png", "location": "/elsewhere.png"}, b""),
        "/elsewhere.png": (200, {"content-type": "image/png"}, PNG),
        "/packed": (200, {"content-type": "image/png", "content-encoding": "gzip"}, PNG),
        "/large": (200, {"content-type": "image/png"}, bytes(media.LARGEST + 1)),
        "/cut": (200, {"content-type": "image/png", "content-length": "5000"}, PNG),
    }

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Picture)
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class Picture(BaseHTTPRequestHandler):
    server: Pictures

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        status, headers, body = self.server.answers[self.path.partition("?")[0]]
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def pictures() -> Iterator[Pictures]:
    with Pictures() as server:
        yield server
        server.shutdown()


def add(gateway: RunningGateway, provider: str) -> None:
    gateway.keep(provider, gateway.fake.credential(provider), "main", gateway.fake.models(provider))


def shown(*addresses: str) -> list[Any]:
    """The addresses stand in the second message."""
    images = [{"type": "image_url", "image_url": {"url": address}} for address in addresses]
    return [
        {"role": "system", "content": "Look."},
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, *images]},
    ]


def ask(gateway: RunningGateway, model: str, *addresses: str) -> Any:
    return call(gateway, {"model": model, "messages": shown(*addresses)})


@pytest.mark.parametrize(("provider", "model"), FETCHING)
def test_an_image_is_fetched_where_the_wire_takes_bytes(
    gateway: RunningGateway, pictures: Pictures, provider: str, model: str
) -> None:
    add(gateway, provider)
    reply = ask(gateway, model, f"{pictures.url}/cat.png?a=1", f"{pictures.url}/cat.png", f"{pictures.url}/cat.png")
    assert reply.status == 200, reply.body
    assert sorted(pictures.asked) == ["/cat.png", "/cat.png?a=1"]
    assert gateway.fake.requests[-1].body.decode().count(PIXEL) == 3
    assert all(set(headers) == {"host", "accept", "accept-encoding", "user-agent"} for headers in pictures.headers)


def test_an_image_in_a_tools_result_is_fetched_too(gateway: RunningGateway, pictures: Pictures) -> None:
    add(gateway, "bedrock")
    called: Any = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    content = [{"type": "image_url", "image_url": {"url": f"{pictures.url}/cat.png"}}]
    messages = [
        {"role": "user", "content": "Show me"},
        {"role": "assistant", "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "c1", "content": content},
    ]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    reply = call(gateway, {"model": "amazon/nova-pro", "messages": messages, "tools": tools})
    assert reply.status == 200, reply.body
    assert PIXEL in gateway.fake.requests[-1].body.decode()


@pytest.mark.parametrize(("provider", "model"), PASSING)
def test_an_address_is_passed_on_to_those_who_fetch_themselves(
    gateway: RunningGateway, pictures: Pictures, provider: str, model: str
) -> None:
    add(gateway, provider)
    address = f"{pictures.url}/cat.png"
    assert ask(gateway, model, address).status == 200
    assert address in gateway.fake.requests[-1].body.decode()
    assert pictures.asked == []


@pytest.mark.parametrize("path", ["/page", "/nothing", "/missing", "/moved", "/packed", "/large", "/cut"])
def test_what_is_no_image_is_refused_by_the_name_of_its_message(gateway: RunningGateway, pictures: Pictures, path: str) -> None:
    add(gateway, "bedrock")
    with (
        OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.secret, max_retries=0) as sdk,
        pytest.raises(openai.BadRequestError) as caught,
    ):
        sdk.chat.completions.create(
            model="amazon/nova-pro", messages=shown(f"{pictures.url}/cat.png", f"{pictures.url}{path}?token=canary")
        )
    assert caught.value.param == "messages[1].content[2].image_url.url"
    assert f"{pictures.url}{path}" in caught.value.message
    assert "canary" not in caught.value.message
    assert "data: URI" in caught.value.message
    assert set(pictures.asked) <= {"/cat.png", f"{path}?token=canary"}  # no redirect is followed; one refusal ends the other
    assert gateway.attempts() == []
    assert not gateway.fake.requests


@pytest.mark.parametrize(("provider", "model"), FETCHING[:2])
def test_hostile_addresses_never_connect(start_gateway: StartGateway, pictures: Pictures, provider: str, model: str) -> None:
    gateway = start_gateway(allow=[])
    add(gateway, provider)
    port = str(pictures.server_address[1])
    for address in (*HOSTILE, f"{pictures.url}/cat.png", "ftp://images.example/cat.png", "https://[fd00:ec2::254]/latest"):
        reply = ask(gateway, model, address.format(port=port))
        assert (reply.status, reply.error["param"]) == (400, "messages[1].content[1].image_url.url"), address
    assert pictures.asked == []
    assert gateway.attempts() == []
    assert not gateway.fake.requests


def test_more_images_than_one_request_may_name_are_refused(gateway: RunningGateway, pictures: Pictures) -> None:
    add(gateway, "bedrock")
    reply = ask(gateway, "amazon/nova-pro", *(f"{pictures.url}/cat.png?{number}" for number in range(media.MOST + 1)))
    assert (reply.status, reply.error["param"]) == (400, "messages")
    assert pictures.asked == []


def test_another_key_that_fetches_itself_serves_where_the_first_cannot(gateway: RunningGateway, pictures: Pictures) -> None:
    """What stands behind the address is then the provider's to judge."""
    claude = "anthropic/claude-sonnet-4.5"
    add(gateway, "bedrock")
    add(gateway, "anthropic")
    reply = ask(gateway, claude, f"{pictures.url}/page")
    assert (reply.status, gateway.fake.requests[-1].provider) == (200, "anthropic")
    assert [ended.opened.number for ended in gateway.attempts()] == [1]
    assert json.loads(reply.body)["model"] == claude
