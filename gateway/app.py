"""The gateway as an ASGI application. Paths are taken from the ASGI scope as they are, and never from a Host header."""

import asyncio
import logging
import os
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

import msgspec

from gateway import listing
from gateway.admission import Admission
from gateway.attempts import Ledger
from gateway.books import Books
from gateway.budgets import Budgets
from gateway.counters import Counters, Memory
from gateway.directory import Directory
from gateway.errors import Refusal
from gateway.exchange import ClientGone, Exchange, Receive, Scope, Send
from gateway.fal import Costs
from gateway.limits import Limits
from gateway.native import Native, NativeUpstream
from gateway.operations import chat, messages, plain, responses
from gateway.operations.native import METHODS
from gateway.operations.native import PREFIX as NATIVE
from gateway.proxy import Proxy, admit
from gateway.speech import Request
from gateway.upstream import Upstream
from keys.egress import Egress
from keys.signing import Signer
from usage.journal import Journal

MODELS = "/v1/models"
PREFIXES = ("/v1/", NATIVE)
OPERATIONS: dict[str, Callable[[bytes], Request]] = {
    "/v1/chat/completions": chat.read_request,
    "/v1/messages": messages.read_request,
    "/v1/responses": responses.read_request,
    "/v1/embeddings": plain.read_embeddings,
    "/v1/images/generations": plain.read_images,
    "/v1/audio/speech": plain.read_speech,
}
UPLOADS = {"/v1/audio/transcriptions": "transcriptions", "/v1/audio/translations": "translations"}
HEALTH = ("/healthz", "/readyz")

log = logging.getLogger(__name__)

type Handler = Callable[[Exchange], Awaitable[None]]


def is_ours(path: str) -> bool:
    """Whether the gateway answers this path, and not the dashboard."""
    return path.startswith(PREFIXES) or path in HEALTH or path == "/v1"


@dataclass(frozen=True, slots=True)
class Gateway:
    """All parts of one process's gateway. They are passed in; who passes them starts and stops them."""

    directory: Directory
    proxy: Proxy
    native: Native
    journal_folder: Path

    @classmethod
    def of(
        cls,
        *,
        directory: Directory,
        egress: Egress,
        journal: Journal,
        journal_folder: Path,
        overrides: Mapping[str, str],
        first_byte_seconds: float,
        most_body_bytes: int,
        public_url: str,
        counters: Counters | None = None,
    ) -> Self:
        """counters: those of this process alone, where none are given."""
        upstream = Upstream(egress, Signer(egress, overrides), overrides, first_byte_seconds)
        own = NativeUpstream(egress, upstream.signer, overrides, first_byte_seconds, public_url, Costs(egress, overrides))
        books = Books(journal_folder)
        admission = Admission(counters or Memory(), (Limits(), Budgets(books)), books)
        proxy = Proxy(directory, admission, Ledger(journal, directory.board), upstream, most_body_bytes, journal_folder)
        return cls(directory, proxy, Native(replace(proxy, upstream=own)), journal_folder)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        try:
            await self._answer(exchange)
        except ClientGone:
            return

    async def _answer(self, exchange: Exchange) -> None:
        try:
            await self._handler(exchange)(exchange)
        except Refusal as refusal:
            await exchange.refuse(refusal)
        except (ClientGone, asyncio.CancelledError):
            raise
        except Exception as error:
            log.error("Request %s failed in the gateway: %s", exchange.request_id, where(error))
            if exchange.begun:
                raise ClientGone from None
            message = f"The gateway failed. Tell its operator the request id {exchange.request_id}."
            await exchange.refuse(Refusal(500, "internal_error", message))

    def _handler(self, exchange: Exchange) -> Handler:
        """Raises Refusal for a path or a method that is not ours."""
        methods = self._methods(exchange.path)
        if not methods:
            raise Refusal(
                404, "unknown_path", f"There is nothing at {exchange.path[:200]}. See the documentation for the paths served."
            )
        if exchange.method not in methods:
            allowed = ", ".join(methods)
            raise Refusal(405, "method_not_allowed", f"Use {allowed} here.", headers={"allow": allowed})
        return methods[exchange.method]

    def _methods(self, path: str) -> dict[str, Handler]:
        if path in OPERATIONS:
            return {"POST": partial(self.proxy.serve, read=OPERATIONS[path])}
        if path.startswith(NATIVE):
            return dict.fromkeys(METHODS, self.native.serve)
        if path in UPLOADS:
            return {"POST": partial(self.proxy.serve_upload, operation=UPLOADS[path])}
        match path:
            case "/v1/key":
                return {"GET": self._key}
            case "/v1/models":
                return {"GET": self._models}
            case "/healthz":
                return {"GET": self._health, "HEAD": self._health}
            case "/readyz":
                return {"GET": self._readiness, "HEAD": self._readiness}
        return {"GET": self._model} if path.startswith(f"{MODELS}/") else {}

    async def _models(self, exchange: Exchange) -> None:
        await exchange.answer(200, listing.all_models(self._reachable(exchange)))

    async def _model(self, exchange: Exchange) -> None:
        await exchange.answer(200, listing.one_model(self._reachable(exchange), exchange.path.removeprefix(f"{MODELS}/")))

    async def _key(self, exchange: Exchange) -> None:
        """What a program may know of its own key."""
        caller = admit(self.directory, exchange)
        expires = None if caller.expires_at is None else datetime.fromtimestamp(caller.expires_at, UTC)
        told = {"object": "key", "name": caller.name, "owner": caller.owner or None, "expires_at": expires}
        await exchange.answer(200, msgspec.json.encode(told | await self.proxy.admission.left(caller)))

    def _reachable(self, exchange: Exchange) -> dict[str, list[str]]:
        caller = admit(self.directory, exchange)
        lenders = self.directory.lenders_to(caller.tenant)
        return listing.reachable(caller.tenant, caller.asking, [route for lender in lenders for route in lender.lends])

    async def _health(self, exchange: Exchange) -> None:
        await exchange.answer(200, b'{"status":"ok"}')

    async def _readiness(self, exchange: Exchange) -> None:
        """Whether requests can be served. The process may be healthy and not ready, as when the disk is full.

        Without Valkey it is ready, and says what that means for limits.
        """
        checks = {"keys": self.directory.snapshot is not None, "journal": can_write(self.journal_folder)}
        told: dict[str, Any] = {"status": "ready" if all(checks.values()) else "not ready", "checks": checks}
        if trouble := self.proxy.admission.counters.told:
            told["limits"] = trouble
        body = msgspec.json.encode(told)
        await exchange.answer(200 if all(checks.values()) else 503, body)


def can_write(folder: Path) -> bool:
    try:
        space = os.statvfs(folder)
    except OSError:
        return False
    return os.access(folder, os.W_OK) and space.f_bavail * space.f_frsize > 1_000_000


def where(error: BaseException) -> str:
    """The kind of the error and its place. Its text may hold anything, so it is not repeated."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno} in {frame.name}"
