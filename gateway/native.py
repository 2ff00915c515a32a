"""A provider's whole own API behind /native/<provider>/, with an organization's credential in place of the client key."""

import json
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec

from gateway.auth import AWS, BEARER
from gateway.errors import Refusal, scrub
from gateway.exchange import Exchange
from gateway.fal import Costs
from gateway.headers import native_back, native_on
from gateway.health import HealthBoard
from gateway.operations.native import NativeRequest, Target, dialect_of, read_provider, read_request, read_target
from gateway.operations.native_answers import BACK_HERE, JSON, Readdressed, reader_of, relayed_type
from gateway.operations.uploads import Form
from gateway.proxy import Errand, Proxy, admit
from gateway.refusals import no_native_key, title
from gateway.snapshot import Caller, Tenant
from gateway.speech import Reader, Request, Speech
from gateway.spool import spool
from gateway.upstream import Failure, Live, Reply, Sending, Upstream, check_encoding, error_body, failure_of
from gateway.wires.values import Usage
from keys import routing
from keys.egress import Answer
from keys.health import WELL, Standing
from keys.providers import Outbound, Shape, Wire
from keys.providers.errors import ErrorClass
from keys.routing import Candidate, Mark, Plan

SCHEMES = {"fal": (*BEARER, "key"), "baseten": (*BEARER, "api-key"), "bedrock": (*BEARER, AWS)}
"""How a provider's own clients spell Authorization, where it is not Bearer."""
VERSION = "anthropic-version"
TOLD_BY_PROVIDER = (ErrorClass.CLIENT, ErrorClass.MISCONFIGURED)


@dataclass(frozen=True, slots=True)
class Native:
    """`proxy` is one whose upstream is a NativeUpstream."""

    proxy: Proxy

    async def serve(self, exchange: Exchange) -> None:
        """Raises Refusal."""
        target = read_provider(exchange.path)
        caller = admit(self.proxy.directory, exchange, SCHEMES.get(target.provider.slug, BEARER))
        target = read_target(target, exchange.scope["raw_path"], exchange.scope["query_string"])
        async with AsyncExitStack() as stack:
            request = await self._read(exchange, target, stack)
            plan = planned(caller, request, self.proxy.directory.board)
            headers = native_on(exchange.headers, target.provider.slug)
            await self.proxy.send(exchange, Errand(caller, request, plan, headers, partial(no_native_key, target.provider)))

    async def _read(self, exchange: Exchange, target: Target, stack: AsyncExitStack) -> NativeRequest:
        """JSON is read whole, and so are words that are counted and what must be signed; everything else goes through a file."""
        content_type, limit = exchange.header(b"content-type"), self.proxy.most_body_bytes
        is_form = content_type.lower().startswith("multipart/form-data")
        counted = bool(dialect_of(exchange.method, target)) and not is_form
        if counted or target.provider.shape is Shape.BEDROCK or not content_type or "json" in content_type.lower():
            return read_request(exchange.method, target, await exchange.body(limit))
        file = stack.enter_context(spool(self.proxy.spool_folder))
        form = Form(content_type, file) if is_form else None
        await exchange.take_body(limit, form.write if form else file.write)
        return read_request(exchange.method, target, file, form)


def planned(caller: Caller, request: NativeRequest, board: HealthBoard) -> Plan:
    """The provider's keys in their order. On Azure those that have the deployment go alone."""
    now = board.clock()
    health = board.health if request.makes else {}
    slug, policy = request.target.provider.slug, caller.tenant.policy
    plan = routing.plan_native(
        caller.tenant.routes, slug, request.model, asking=caller.asking, policy=policy, health=health, now=now
    )
    having = [candidate for candidate in plan.candidates if candidate.deployment is not None] or plan.candidates
    if not request.makes:
        having = [in_any_health(candidate, board, now) for candidate in having]
    return replace(plan, candidates=tuple(having))


def in_any_health(candidate: Candidate, board: HealthBoard, now: float) -> Candidate:
    """What a key has made, no other has: it is asked for that even while it is out."""
    well = board.health.get(candidate.key.id, WELL).standing(now) is Standing.READY
    return candidate if well else candidate._replace(mark=Mark.LAST_RESORT)


@dataclass(frozen=True)
class NativeUpstream(Upstream):
    """Says what the client says, and answers what the provider answers. `public_url` is where clients find this gateway."""

    public_url: str
    costs: Costs

    async def speech(self, tenant: Tenant, candidate: Candidate, request: Request) -> Speech:
        provider = tenant.stored[candidate.key.id].provider
        return await request.speech(provider, Wire.NATIVE, candidate.native_model, self._fetch)

    async def send(
        self,
        tenant: Tenant,
        candidate: Candidate,
        request: Request,
        speech: Speech,
        headers: Mapping[str, str],
        seconds: float | None = None,
    ) -> Reply:
        """Raises Failure. Who has made something that took too long may have been heard: nobody else is asked for it."""
        try:
            reply = await super().send(tenant, candidate, request, speech, headers, seconds)
        except Failure as failure:
            if failure.timed_out and native(request).makes and not native(request).dialect:
                failure.moves_on = False
            raise
        if isinstance(reply, Live) and isinstance(reply.stream, Readdressed):
            reply.stream.usage = await self._usage(reply, tenant, candidate, native(request))
        return reply

    async def _usage(self, reply: Live, tenant: Tenant, candidate: Candidate, request: NativeRequest) -> Usage:
        """What fal's answer costs. Looking up the price is no part of the time that the provider has."""
        key_id = candidate.key.id
        try:
            found = await self.costs.of(key_id, tenant.credential(key_id), request, reply.answer.headers)
        except BaseException:
            reply.close()
            raise
        return Usage(reported_cost_microusd=found)

    async def _target(self, sending: Sending, headers: Mapping[str, str]) -> Outbound:
        """The client may name the version of Anthropic's API that it speaks."""
        target = await super()._target(sending, headers)
        return replace(target, headers={**target.headers, VERSION: headers[VERSION]}) if VERSION in headers else target

    def _address(self, sending: Sending) -> Outbound:
        return native(sending.request).outbound(sending.credential, self.overrides, sending.candidate.deployment)

    async def _read(self, answer: Answer, sending: Sending) -> Reply:
        if not 200 <= answer.status < 300:
            raise refused(answer, await error_body(answer), sending)
        check_encoding(answer)
        content_type = answer.headers.get("content-type", "")
        stream = self._reader(native(sending.request), answer, sending.candidate)
        chunks = answer.chunks()
        begun = stream.feed(await anext(chunks, b""))
        headers = native_back(answer.headers)
        return Live(answer.status, relayed_type(content_type), headers, stream, answer, chunks, begun, sending.secrets)

    def _reader(self, request: NativeRequest, answer: Answer, candidate: Candidate) -> Reader:
        provider = request.target.provider
        if provider.slug in BACK_HERE and answer.headers.get("content-type", "").lower().startswith(JSON):
            return Readdressed(provider, self.public_url, self.costs.watch(candidate.key.id, request))
        return reader_of(request.dialect, answer.headers, makes=request.makes)


def native(request: Request) -> NativeRequest:
    assert isinstance(request, NativeRequest)
    return request


def refused(answer: Answer, body: bytes, sending: Sending) -> Failure:
    """What is the client's to know, it is told in the provider's words. Another key may have the job that this one has not."""
    failure = failure_of(answer, body, sending)
    if answer.status == 404 and not native(sending.request).makes:
        failure.moves_on = failure.elsewhere = True
    if failure.error_class in TOLD_BY_PROVIDER and 400 <= answer.status < 500:
        failure.passed = told(answer, body, sending, failure)
    return failure


def told(answer: Answer, body: bytes, sending: Sending, failure: Failure) -> Refusal:
    secrets = [secret.decode() for secret in sending.secrets]
    try:
        words = msgspec.json.encode(scrubbed(json.loads(body), secrets))
    except (ValueError, RecursionError):
        message = f"{title(sending.candidate.key)} {failure.reason}."
        return Refusal(answer.status, "provider_refused", message, headers=native_back(answer.headers))
    return Told(answer.status, words, native_back(answer.headers))


class Told(Refusal):
    """The provider's own words, scrubbed."""

    def __init__(self, status: int, words: bytes, headers: Mapping[str, str]) -> None:
        super().__init__(status, "provider_refused", "The provider refused the request.", headers=headers)
        self._words = words

    def body(self, dialect: str = "openai") -> bytes:
        return self._words


def scrubbed(told: Any, secrets: Sequence[str]) -> Any:
    """Every text in it, names too, without anything that looks like a key."""
    match told:
        case str():
            return scrub(told, secrets)
        case list():
            return [scrubbed(item, secrets) for item in told]
        case dict():
            return {scrub(name, secrets): scrubbed(item, secrets) for name, item in told.items()}
    return told
