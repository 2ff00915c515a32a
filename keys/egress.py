"""The only way out: every request to a provider goes through here.

An address that an owner typed is guarded: only https on port 443, every address its name resolves to must be public,
and the connection goes to the addresses that were checked. What the operator allowed in EGRESS_ALLOW or set in
UPSTREAM_OVERRIDES is exempt. Redirects are never followed: a 3xx is an answer like any other. Proxies and netrc of the
environment are ignored, cookies are not kept, bytes are not decompressed.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from keys.addresses import AddressRefused, AllowList, check_url, is_public
from keys.providers.base import Outbound

LARGEST_ANSWER = 64 * 1024 * 1024
PIECE = 256 * 1024
HEADERS = {"user-agent": "Keyhold", "accept-encoding": "identity"}


class EgressError(Exception):
    """No whole answer came. `kind` is refused (by our rules), connect, timeout or broken; the text may be shown."""

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds. `first_byte` runs from sending to the first byte of the body, `idle` from there between its chunks."""

    connect: float = 3.0
    first_byte: float = 60.0
    idle: float = 60.0
    total: float = 900.0


PATIENCE = Patience()


class GuardedResolver(AbstractResolver):
    """Resolves once and answers only if every address may be connected to."""

    def __init__(self, allow: AllowList, inner: AbstractResolver) -> None:
        self._allow = allow
        self._inner = inner

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if not self._allow.has_host(host):
            for address in found:
                check_address(address["host"], self._allow)
        return found

    async def close(self) -> None:
        await self._inner.close()


def check_address(ip: str, allow: AllowList) -> None:
    if not is_public(ip) and not allow.has_ip(ip):
        raise EgressError("refused", "The address is not on the public internet.")


class Answer:
    """What the provider says. Read it by `chunks` or by `read`, then `close` it; closing early ends the provider's work."""

    def __init__(self, response: aiohttp.ClientResponse, patience: Patience, started: float) -> None:
        self.status = response.status
        self.headers = lowered(response.headers)
        self._response = response
        self._patience = patience
        self._next_by = started + patience.first_byte
        self._whole_by = started + patience.total

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body in the pieces in which it arrives. Raises EgressError when it breaks off or pauses for too long."""
        try:
            while chunk := await self._next():
                yield chunk
        finally:
            self.close()

    async def read(self, limit: int = LARGEST_ANSWER) -> bytes:
        """The whole body. Raises EgressError when it has more bytes than `limit`."""
        body = bytearray()
        async for chunk in self.chunks():
            body += chunk
            if len(body) > limit:
                self.close()
                raise EgressError("broken", f"The answer has more than {limit} bytes.")
        return bytes(body)

    def close(self) -> None:
        """After a whole answer the connection is kept for the next request, else it is cut at once."""
        self._response.close()

    async def _next(self) -> bytes:
        content = self._response.content
        try:
            if chunk := content.read_nowait():
                return chunk
            async with asyncio.timeout_at(min(self._next_by, self._whole_by)):
                return await content.readany()
        except TimeoutError:
            raise EgressError("timeout", "The answer stopped coming.") from None
        except (aiohttp.ClientError, OSError):
            raise EgressError("broken", "The connection broke off in the middle of the answer.") from None
        finally:
            self._next_by = asyncio.get_running_loop().time() + self._patience.idle


class Egress:
    """Pooled connections of one process: start it in the loop that uses it, stop it there.

    Owners' addresses and the operator's have a pool each, so that nobody reaches a private host through a connection
    that was opened on the operator's word.
    """

    def __init__(self, allow: AllowList, resolver: AbstractResolver | None = None) -> None:
        self._allow = allow
        self._resolver = resolver
        self._admit = lru_cache(1024)(partial(admit, allow))

    async def start(self) -> None:
        resolver = self._resolver or aiohttp.ThreadedResolver()
        self._guarded = open_session(GuardedResolver(self._allow, resolver))
        self._operator = open_session(resolver)

    async def stop(self) -> None:
        await self._guarded.close()
        await self._operator.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    async def send(
        self, outbound: Outbound, body: bytes | AsyncIterator[bytes] | None = None, patience: Patience = PATIENCE
    ) -> Answer:
        """The answer as soon as its headers are there. Raises EgressError."""
        check_characters(outbound)
        url = URL(outbound.url, encoded=True) if outbound.operator else self._admit(outbound.url)
        session = self._operator if outbound.operator else self._guarded
        headers = outbound.headers
        if isinstance(body, bytes) and len(body) > PIECE:
            headers = {**headers, "content-length": str(len(body))}
            body = pieces(body)
        started = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(started + min(patience.first_byte, patience.total)):
                response = await session.request(
                    outbound.method,
                    url,
                    headers=headers,
                    data=body,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None, connect=patience.connect),
                )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise translated(error) from None
        return Answer(response, patience, started)


def admit(allow: AllowList, address: str) -> URL:
    """The address, as aiohttp will read it. A name in it is checked when it is resolved."""
    try:
        target = check_url(address, allow)
    except AddressRefused as refusal:
        raise EgressError("refused", str(refusal)) from None
    url = URL(target.url, encoded=True)
    if (url.raw_host, url.port) != (target.host, target.port):
        raise EgressError("refused", "The address can be read in two ways.")
    return url


def open_session(resolver: AbstractResolver) -> aiohttp.ClientSession:
    """A pool without a limit of its own: how much may run at once is decided by the gateway's limits."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(resolver=resolver, limit=0, ttl_dns_cache=30, keepalive_timeout=30),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=HEADERS,
        skip_auto_headers=["content-type"],
        auto_decompress=False,
        trust_env=False,
    )


async def pieces(body: bytes) -> AsyncIterator[bytes]:
    """A large body, as fast as the connection takes it: at once it would be copied, and hold up all other requests."""
    for start in range(0, len(body), PIECE):
        yield body[start : start + PIECE]


def check_characters(outbound: Outbound) -> None:
    """Nothing may break out of its line. Libraries name the value in their own error, and the value may be a key."""
    if not all(text.isascii() and text.isprintable() for text in (outbound.url, *outbound.headers.values())):
        raise EgressError("refused", "The credential or the address holds a character that cannot be sent.")


def translated(error: Exception) -> EgressError:
    """Our own words for what a library says; its words may hold addresses and header values."""
    if isinstance(error, aiohttp.ConnectionTimeoutError | aiohttp.ClientConnectorError):
        return EgressError("connect", "No connection could be made.")
    if isinstance(error, TimeoutError):
        return EgressError("timeout", "No answer came in time.")
    if isinstance(error, ValueError):
        return EgressError("refused", "The request cannot be sent to this address.")
    return EgressError("broken", "The connection broke off before an answer came.")


def lowered(headers: Mapping[str, str]) -> dict[str, str]:
    """Names in lower case; values of one name joined by a comma, as RFC 9110 allows."""
    joined: dict[str, str] = {}
    for name, value in headers.items():
        lower = name.lower()
        joined[lower] = f"{joined[lower]}, {value}" if lower in joined else value
    return joined
