"""A request with a model in it: from the client's bytes to the provider's and back."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from gateway.admission import BYTES_PER_TOKEN, Admission, Asked
from gateway.attempts import Ledger, Walk, write_refused
from gateway.auth import BEARER, authenticate, check
from gateway.directory import Directory
from gateway.errors import Refusal, unavailable
from gateway.exchange import ClientGone, Exchange
from gateway.headers import passed_on
from gateway.operations.uploads import Form
from gateway.refusals import no_candidate, refusal_of
from gateway.snapshot import Caller, Tenant
from gateway.speech import Reader, Request
from gateway.spool import spool
from gateway.sse import EventTooLong
from gateway.upstream import Failure, Live, Upstream, Whole
from keys import routing
from keys.egress import EgressError
from keys.providers.errors import ErrorClass
from keys.routing import PLATFORM, Candidate, Plan, RouteKey
from usage.journal import JournalError

BROKEN_OFF = Refusal(502, "stream_broken", "The provider broke off in the middle of its answer. What came so far is incomplete.")


def admit(directory: Directory, exchange: Exchange, schemes: Collection[str] = BEARER) -> Caller:
    """Who calls, with a key in one of these schemes of Authorization.

    Raises Refusal: 401, 403 for what an owner paused or limited, or 503 while the directory knows nothing that can be trusted.
    """
    snapshot = directory.snapshot
    if snapshot is None:
        raise unavailable("not_ready", "The gateway cannot read its keys at the moment. Try again in a few seconds.")
    exchange.trace = {"x-keyhold-attempts": "0", "x-keyhold-fallback": "none"}
    caller = authenticate(snapshot, exchange.headers, schemes)
    check(caller, exchange.address, directory.board.clock())
    return caller


@dataclass(frozen=True, slots=True)
class Errand:
    """What is to be done for a caller. `nobody`: what is told where no key can be tried. `lenders`: whose keys are shared."""

    caller: Caller
    request: Request
    plan: Plan
    headers: Mapping[str, str]
    nobody: Callable[[Plan], Refusal]
    lenders: Sequence[Tenant] = ()

    def holder(self, key: RouteKey) -> Tenant:
        """Who can open this key: as it was when the plan was made, whatever is lent by now."""
        return next((lender for lender in self.lenders if key.tier == PLATFORM and key.id in lender.stored), self.caller.tenant)


@dataclass(frozen=True, slots=True)
class Proxy:
    """The parts that a request passes through, in this order."""

    directory: Directory
    admission: Admission
    ledger: Ledger
    upstream: Upstream
    most_body_bytes: int
    spool_folder: Path

    async def serve(self, exchange: Exchange, read: Callable[[bytes], Request]) -> None:
        """`read` makes the request of the body. Raises Refusal."""
        caller = admit(self.directory, exchange)
        await self._plan(exchange, caller, read(await exchange.body(self.most_body_bytes)))

    async def serve_upload(self, exchange: Exchange, operation: str) -> None:
        """As `serve`, for a form with a file in it."""
        caller = admit(self.directory, exchange)
        with spool(self.spool_folder) as file:
            form = Form(exchange.header(b"content-type"), file)
            await exchange.take_body(self.most_body_bytes, form.write)
            await self._plan(exchange, caller, form.request(operation))

    async def _plan(self, exchange: Exchange, caller: Caller, request: Request) -> None:
        asking, tenant = replace(caller.asking, of_request=request.wishes), caller.tenant
        lenders = self.directory.lenders_to(tenant)
        shared = tuple(route for lender in lenders for route in lender.lends)
        board = self.directory.board
        ask = partial(
            routing.plan, model=request.model, operation=request.operation, asking=asking, health=board.health, now=board.clock()
        )
        plan = ask(tenant.routes, policy=tenant.policy, shared=shared)

        def nobody(walked: Plan) -> Refusal:
            lending = replace(tenant.policy, own_keys_only=False)
            return no_candidate(request.model, caller, walked, lent=bool(ask((), policy=lending, shared=shared).candidates))

        headers = passed_on(exchange.headers, stream=request.stream)
        await self.send(exchange, Errand(caller, request, plan, headers, nobody, lenders))

    async def send(self, exchange: Exchange, errand: Errand) -> None:
        """To one candidate after another until one answers. Raises Refusal."""
        walk = await self._begin(exchange, errand)
        unfinished = "error"
        try:
            async with exchange.until_client_leaves():
                await self._walk(walk, exchange, errand)
        except ClientGone:
            unfinished = "cancelled"
            raise
        finally:
            walk.abandon(unfinished)

    async def _begin(self, exchange: Exchange, errand: Errand) -> Walk:
        """Raises Refusal where a limit or a budget of the caller is reached. That is written down too."""
        caller, request = errand.caller, errand.request
        try:
            grant = await self.admission.admit(Asked(caller, request, errand.plan.candidates))
        except Refusal as refusal:
            write_refused(self.ledger.journal, caller, request, exchange.request_id, refusal.code)
            raise
        exchange.trace |= grant.headers()
        return Walk(self.ledger, caller, request, exchange.request_id, errand.plan, grant)

    async def _walk(self, walk: Walk, exchange: Exchange, errand: Errand) -> None:
        request = errand.request
        unfit: Refusal | None = None
        for candidate in walk.candidates():
            holder = errand.holder(candidate.key)
            if not await walk.may_try(candidate, holder):
                continue
            try:
                speech = await self.upstream.speech(holder, candidate, request)
            except Refusal as refusal:  # this provider cannot honor the request; the next one may
                walk.leave(candidate)
                unfit = unfit or refusal
                continue
            begin(walk, candidate, holder)
            exchange.trace = walk.trace()
            try:
                seconds = walk.patience(candidate).timeout_seconds
                reply = await self.upstream.send(holder, candidate, request, speech, errand.headers, seconds)
            except Failure as failure:
                walk.fail(failure)
            else:
                walk.answer(reply.status)
                await relay(reply, walk, exchange, request)
                return
        walk.give_up()
        exchange.trace |= walk.trace()
        if walk.failed:
            raise refusal_of(walk.failed)
        if unfit:
            raise unfit
        told = walk.limited or errand.nobody(walk.as_walked())
        walk.refuse(told.code)
        raise told


def begin(walk: Walk, candidate: Candidate, holder: Tenant) -> None:
    try:
        walk.begin(candidate, holder.stored[candidate.key.id].context.version)
    except JournalError:
        raise unavailable(
            "journal_unavailable", "The gateway cannot record usage, so it sends nothing. Try again later."
        ) from None


async def relay(reply: Whole | Live, walk: Walk, exchange: Exchange, request: Request) -> None:
    if isinstance(reply, Live):
        await relay_events(reply, walk, exchange, request)
    else:
        walk.finish(reply.usage, events=len(reply.body) // BYTES_PER_TOKEN)
        await exchange.answer(reply.status, reply.body, reply.headers.items(), reply.content_type)


async def relay_events(reply: Live, walk: Walk, exchange: Exchange, request: Request) -> None:
    """Bytes as they come. The attempt is written down before those by which the client knows that it has everything."""
    stream = reply.stream
    walk.rescue()
    try:
        await exchange.begin(reply.content_type, reply.headers.items(), status=reply.status)
        async for now, last in reply.pieces():
            if now:
                await exchange.write(now)
            if last:
                finish(walk, stream)
                await exchange.write(last)
        ending = end_of(walk, reply, request)
    except (EgressError, EventTooLong):
        ending = end_of(walk, reply, request, broken=True)
    finally:
        walk.finish(stream.usage, outcome="cancelled", events=stream.events, cut=not stream.done)
        reply.close()
    await exchange.write(ending, more=False)


def end_of(walk: Walk, reply: Live, request: Request, *, broken: bool = False) -> bytes:
    """The stream's last bytes. One that stopped before its end, with or without notice, ends in an error event of ours."""
    stream = reply.stream
    rest = b"" if broken else reply.rest()
    cut = not stream.done and (broken or not stream.error)
    finish(walk, stream, cut=cut)
    return rest + request.error_event(BROKEN_OFF) if cut else rest


def finish(walk: Walk, stream: Reader, *, cut: bool = False) -> None:
    failed = cut or stream.error is not None
    walk.finish(
        stream.usage,
        outcome="error" if failed else "ok",
        error_class=str(ErrorClass.TROUBLE) if failed else "",
        events=stream.events,
        cut=not stream.done,
    )
