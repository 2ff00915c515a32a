"""The way out: what it refuses to connect to, how long it waits, and that bytes pass as they come."""

import asyncio
import datetime
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from multidict import CIMultiDict

from keys.addresses import AllowList
from keys.egress import Answer, Egress, EgressError, Patience, lowered
from keys.providers.base import Outbound
from tests.fake import FakeProvider

CHAT = b'{"model":"gpt-4o","messages":[{"role":"user","content":"Hello"}]}'
STREAM = CHAT[:-1] + b',"stream":true}'
PUBLIC, PRIVATE = "93.184.215.14", "10.0.0.5"


class Names(AbstractResolver):
    """Answers each question with the next of the given lists of addresses, and counts the questions."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        self.asked.append(host)
        found = self.answers.pop(0) if self.answers else await asyncio.Event().wait()
        return [ResolveResult(hostname=host, host=ip, port=port, family=family, proto=0, flags=0) for ip in found]

    async def close(self) -> None:
        pass


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    async with Egress(AllowList.parse([])) as egress:
        yield egress


@pytest.fixture
async def listener() -> AsyncIterator[tuple[int, list[Any]]]:
    """A port on loopback and who connected to it."""
    seen: list[Any] = []

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("peername"))
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], seen


def guarded(url: str) -> Outbound:
    return Outbound("GET", url, {})


def chat(fake: FakeProvider, behavior: str = "valid") -> Outbound:
    headers = {"authorization": f"Bearer {fake.key('openai', behavior)}", "content-type": "application/json"}
    return Outbound("POST", f"{fake.url}/openai/v1/chat/completions", headers, operator=True)


async def noticed(fake: FakeProvider, condition: Callable[[], bool]) -> bool:
    return await asyncio.to_thread(fake.wait_for, condition)


# Where it does not go

HOSTILE = [
    "http://api.openai.com/v1",
    "https://127.0.0.1:{port}/",
    "http://127.0.0.1:{port}/",
    "https://localhost:{port}/",
    "https://127.0.0.1/",
    "https://localhost/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://0.0.0.0/",
    "https://0/",
    "https://127.1/",
    "https://2130706433/",
    "https://0177.0.0.1/",
    "https://0x7f000001/",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.100.100.200/",
    "https://168.63.129.16/",
    "https://user:pass@127.0.0.1/",
    "https://api.openai.com@127.0.0.1:{port}/",
    "https://127.0.0.1\t/",
    "https://127.0.0.1\r\nHost: api.openai.com/",
    "https:///v1",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "https://①②⑦.⓪.⓪.①/",
]


@pytest.mark.parametrize("url", HOSTILE)
async def test_a_hostile_address_is_refused_before_any_connection(egress: Egress, listener: Any, url: str) -> None:
    port, seen = listener
    with pytest.raises(EgressError) as refusal:
        await egress.send(guarded(url.format(port=port)))
    assert refusal.value.kind == "refused"
    assert not seen


@pytest.mark.parametrize(
    "found", [[PRIVATE], [PUBLIC, PRIVATE], ["127.0.0.1"], ["::1"], [PUBLIC, "fe80::1%2"], ["169.254.169.254"]]
)
async def test_a_name_with_any_address_inside_is_refused(found: list[str]) -> None:
    async with Egress(AllowList.parse([]), Names(found)) as egress:
        with pytest.raises(EgressError, match="public internet") as refusal:
            await egress.send(guarded("https://innocent.example.com/v1"))
    assert refusal.value.kind == "refused"


async def test_a_name_is_resolved_once_and_the_checked_address_is_used() -> None:
    names = Names([PUBLIC], [PRIVATE])
    async with Egress(AllowList.parse([]), names) as egress:
        with pytest.raises(RuntimeError, match=PUBLIC):  # where the test's own wall stops it
            await egress.send(guarded("https://rebinding.example.com/v1"))
    assert names.asked == ["rebinding.example.com"]


async def test_what_the_operator_allows_may_be_private_and_plain(fake_provider: FakeProvider) -> None:
    key = {"api-key": fake_provider.key("azure")}
    async with Egress(AllowList.parse(["127.0.0.1"])) as egress:
        answer = await egress.send(Outbound("GET", f"{fake_provider.azure_url}/openai/v1/models", key))
        await answer.read()
    assert answer.status == 200


async def test_a_redirect_is_an_answer_and_is_not_followed(egress: Egress, fake_provider: FakeProvider) -> None:
    answer = await egress.send(chat(fake_provider, "redirects"), CHAT)
    await answer.read()
    assert answer.status == 302
    assert len(fake_provider.requests) == 1


async def test_proxies_of_the_environment_are_ignored(
    egress: Egress, fake_provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert (await egress.send(chat(fake_provider), CHAT)).status == 200


async def test_cookies_are_not_kept(egress: Egress, fake_provider: FakeProvider) -> None:
    for _ in range(2):
        answer = await egress.send(chat(fake_provider), CHAT)
        await answer.read()
        assert "set-cookie" in answer.headers
    assert "cookie" not in fake_provider.requests[1].headers


@pytest.mark.parametrize("tail", ["\r\nx-evil: 1", "\n", "\0", "\t", "é", "\x7f", "\u2028"])
async def test_a_key_that_would_break_a_header_is_refused_and_not_repeated(
    egress: Egress, fake_provider: FakeProvider, tail: str
) -> None:
    headers = {"authorization": f"Bearer sk-canary-0123456789{tail}"}
    with pytest.raises(EgressError) as refusal:
        await egress.send(Outbound("GET", f"{fake_provider.url}/openai/v1/models", headers, operator=True))
    assert "canary" not in f"{refusal.value!r} {refusal.value.__context__!r}"
    assert not fake_provider.requests


async def test_a_certificate_that_nobody_vouches_for_is_refused(egress: Egress, tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=self_signed(tmp_path))
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(EgressError) as refusal:
            await egress.send(Outbound("GET", f"https://localhost:{port}/", {}, operator=True))
    assert refusal.value.kind == "connect"


def self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - datetime.timedelta(1), now + datetime.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "both.pem").write_bytes(key.private_bytes(*form) + certificate.public_bytes(form[0]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return context


# How long it waits


async def test_a_connection_that_does_not_come_about_ends_the_wait() -> None:
    async with Egress(AllowList.parse([]), Names()) as egress:
        with pytest.raises(EgressError) as end:
            await egress.send(guarded("https://slow.example.com/"), patience=Patience(connect=0.05))
    assert end.value.kind == "connect"


async def test_a_closed_port_is_no_connection(egress: Egress, fake_provider: FakeProvider) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # taken, but nobody listens
        with pytest.raises(EgressError) as end:
            await egress.send(Outbound("GET", f"http://127.0.0.1:{held.getsockname()[1]}/", {}, operator=True))
    assert end.value.kind == "connect"


async def test_a_stall_before_the_first_byte_ends(egress: Egress, fake_provider: FakeProvider) -> None:
    with pytest.raises(EgressError) as end:
        await egress.send(chat(fake_provider, "stalls"), CHAT, Patience(first_byte=0.1))
    assert end.value.kind == "timeout"
    assert await noticed(fake_provider, lambda: fake_provider.disconnects == 1)


@pytest.mark.parametrize("patience", [Patience(idle=0.1), Patience(total=0.2)])
async def test_a_stall_in_the_middle_ends(egress: Egress, fake_provider: FakeProvider, patience: Patience) -> None:
    answer = await egress.send(chat(fake_provider, "slow"), STREAM, patience)
    chunks = answer.chunks()
    assert (await anext(chunks)).startswith(b"data: ")
    with pytest.raises(EgressError) as end:
        await anext(chunks)
    assert end.value.kind == "timeout"
    assert await noticed(fake_provider, lambda: fake_provider.disconnects == 1)


@pytest.mark.parametrize("body", [CHAT, STREAM])
async def test_a_cut_answer_is_broken(egress: Egress, fake_provider: FakeProvider, body: bytes) -> None:
    with pytest.raises(EgressError) as end:
        await (await egress.send(chat(fake_provider, "cuts"), body)).read()
    assert end.value.kind == "broken"


async def test_what_is_not_http_is_broken(egress: Egress, listener: Any) -> None:
    with pytest.raises(EgressError) as end:
        await egress.send(Outbound("GET", f"http://127.0.0.1:{listener[0]}/", {}, operator=True))
    assert end.value.kind == "broken"


# What passes through


async def test_bytes_pass_as_they_are_and_when_they_come(egress: Egress, fake_provider: FakeProvider) -> None:
    answer = await egress.send(chat(fake_provider, "slow"), STREAM)
    chunks = answer.chunks()
    first = await anext(chunks)
    assert first == fake_provider.requests[0].sent  # one event, while the rest waits
    fake_provider.go()
    rest = b"".join([chunk async for chunk in chunks])
    assert first + rest == fake_provider.requests[0].sent
    assert rest.endswith(b"data: [DONE]\n\n")


async def test_a_compressed_answer_is_not_unpacked(egress: Egress, fake_provider: FakeProvider) -> None:
    answer = await egress.send(chat(fake_provider, "compressed"), CHAT)
    assert await answer.read() == fake_provider.requests[0].sent
    assert answer.headers["content-encoding"] == "gzip"
    assert fake_provider.requests[0].headers["accept-encoding"] == "identity"


async def test_a_body_may_be_sent_in_pieces(egress: Egress, fake_provider: FakeProvider) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield CHAT[:10]
        yield CHAT[10:]

    assert (await egress.send(chat(fake_provider), pieces())).status == 200
    assert fake_provider.requests[0].body == CHAT


async def test_a_connection_is_used_again_after_a_whole_answer(egress: Egress, fake_provider: FakeProvider) -> None:
    for body in (CHAT, STREAM, CHAT):
        await finish(await egress.send(chat(fake_provider), body))
    assert len({request.peer for request in fake_provider.requests}) == 1


async def finish(answer: Answer) -> None:
    await answer.read()
    answer.close()


async def test_closing_early_cancels_the_provider_at_once(egress: Egress, fake_provider: FakeProvider) -> None:
    answer = await egress.send(chat(fake_provider, "slow"), STREAM)
    await anext(answer.chunks())
    answer.close()
    assert await noticed(fake_provider, lambda: fake_provider.disconnects == 1)


async def test_cancelling_the_wait_cancels_the_provider(egress: Egress, fake_provider: FakeProvider) -> None:
    waiting = asyncio.create_task(egress.send(chat(fake_provider, "stalls"), CHAT))
    assert await noticed(fake_provider, lambda: bool(fake_provider.requests))
    waiting.cancel()
    assert await noticed(fake_provider, lambda: fake_provider.disconnects == 1)


async def test_an_answer_larger_than_the_limit_is_broken_off(egress: Egress, fake_provider: FakeProvider) -> None:
    with pytest.raises(EgressError, match="more than 10 bytes"):
        await (await egress.send(chat(fake_provider), CHAT)).read(limit=10)


def test_headers_are_lower_case_and_repeated_ones_are_joined() -> None:
    assert lowered(CIMultiDict([("Via", "a"), ("VIA", "b"), ("X-Id", "1")])) == {"via": "a, b", "x-id": "1"}
