"""Sends one attempt to one provider, and says what came of it in the terms of a walk: a reply, or a failure."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from django.views.decorators.debug import sensitive_variables

from gateway.errors import Refusal, scrub, word
from gateway.exchange import EVENTS, JSON
from gateway.headers import passed_back
from gateway.media import fetch
from gateway.snapshot import Tenant
from gateway.speech import Reader, Request, Speech
from gateway.sse import EventTooLong
from gateway.wires import openai
from gateway.wires.values import BrokenAnswer, Media, Usage
from keys.egress import Answer, Egress, EgressError, Patience
from keys.providers import Credential, Outbound, Provider
from keys.providers.errors import ErrorClass, classify, definite, moves_on, retry_after
from keys.providers.paths import path_of, wire_of
from keys.providers.requests import outbound
from keys.routing import Candidate
from keys.signing import NoToken, Signer, SigningError
from keys.vault import VaultError

ERROR_BYTES = 256 * 1024
SECRET_LENGTH = 8
OWNERS_WORDS = 300
ABOUT_ACCOUNT = frozenset({ErrorClass.REFUSED, ErrorClass.OUT_OF_MONEY, ErrorClass.LIMITED})
AGAINST_KEY = ABOUT_ACCOUNT | {ErrorClass.TROUBLE}
CREDENTIAL_HEADERS = ("authorization", "x-api-key", "api-key", "x-goog-api-key", "x-amz-security-token")


class Failure(Exception):
    """An attempt without an answer. `told` is what the provider said, scrubbed; `reason` is ours and completes a sentence.

    `passed` is what the client gets in place of our own words, if this attempt decides. `elsewhere`: what was asked for is
    not with this key, and may be with another.
    """

    def __init__(
        self,
        error_class: ErrorClass,
        reason: str,
        *,
        status: int | None = None,
        timed_out: bool = False,
        unknown_model: bool = False,
        told: openai.ErrorDetails | None = None,
        headers: Mapping[str, str] | None = None,
        retry_after: float | None = None,
        definite: bool = False,
    ) -> None:
        super().__init__(reason)
        self.error_class = error_class
        self.reason = reason
        self.status = status
        self.timed_out = timed_out
        self.unknown_model = unknown_model
        self.told = told or openai.ErrorDetails()
        self.headers = dict(headers or {})
        self.retry_after = retry_after
        self.definite = definite
        self.moves_on = moves_on(error_class)
        self.elsewhere = False
        self.passed: Refusal | None = None

    def for_owners(self) -> dict[str, object]:
        """What the key's page shows of it. A message about anything but the account may quote what was asked, so it stays out."""
        if self.error_class not in AGAINST_KEY:
            return {}
        words = (self.told.message or self.reason) if self.error_class in ABOUT_ACCOUNT else self.reason
        code = self.told.code or self.told.type or str(self.error_class)
        return {"status": self.status, "code": code, "message": "".join(filter(str.isprintable, words))[:OWNERS_WORDS]}


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer that is all there, and is a completion."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    usage: Usage | None
    content_type: str = JSON


@dataclass(slots=True)
class Live:
    """An answer that has begun to stream: its first event is there and is no error."""

    status: int
    content_type: str
    headers: Mapping[str, str]
    stream: Reader
    answer: Answer
    chunks: AsyncIterator[bytes]
    begun: tuple[bytes, bytes]
    secrets: Sequence[bytes] = field(repr=False)

    async def pieces(self) -> AsyncIterator[tuple[bytes, bytes]]:
        """What `Reader.feed` returns, cleaned. Raises EgressError or EventTooLong where the stream breaks off."""
        now, last = self.begun
        yield cleaned(now, self.secrets), cleaned(last, self.secrets)
        async for chunk in self.chunks:
            now, last = self.stream.feed(chunk)
            yield cleaned(now, self.secrets), cleaned(last, self.secrets)

    def rest(self) -> bytes:
        """What `Reader.rest` returns, cleaned."""
        return cleaned(self.stream.rest(), self.secrets)

    def close(self) -> None:
        self.answer.close()


type Reply = Whole | Live


@dataclass(frozen=True, slots=True)
class Sending:
    """One attempt on its way."""

    provider: Provider
    credential: Credential = field(repr=False)
    candidate: Candidate
    request: Request
    speech: Speech
    secrets: Sequence[bytes] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Upstream:
    """How this process reaches providers. `overrides` are the operator's base URLs."""

    egress: Egress
    signer: Signer
    overrides: Mapping[str, str]
    first_byte_seconds: float

    async def speech(self, tenant: Tenant, candidate: Candidate, request: Request) -> Speech:
        """The request in this candidate's words. Raises Refusal for what its provider cannot honor."""
        provider = tenant.stored[candidate.key.id].provider
        wire = wire_of(provider, request.operation, candidate.native_model)
        return await request.speech(provider, wire, candidate.native_model, self._fetch)

    async def send(
        self,
        tenant: Tenant,
        candidate: Candidate,
        request: Request,
        speech: Speech,
        headers: Mapping[str, str],
        seconds: float | None = None,
    ) -> Reply:
        """seconds: until the first byte, where somebody wishes less than the operator allows. Raises Failure."""
        sending = prepared(tenant, candidate, request, speech)
        seconds = min(seconds or self.first_byte_seconds, self.first_byte_seconds)
        answer = None
        try:
            async with asyncio.timeout(seconds) as first_event:
                target = await self._target(sending, headers)
                sending = replace(sending, secrets=secrets_of(sending.credential, target))
                answer = await self.egress.send(target, speech.body, Patience(first_byte=seconds))
                if answer.status == 401:
                    self.signer.forget(sending.credential)
                if not request.stream:
                    first_event.reschedule(None)  # the egress keeps the time of a whole answer
                return await self._read(answer, sending)
        except TimeoutError:
            raise late(answer, seconds) from None
        except EgressError as error:
            raise late(answer, seconds) if error.kind == "timeout" else unreached(answer, error) from None
        except BaseException:
            if answer:
                answer.close()
            raise

    async def _target(self, sending: Sending, headers: Mapping[str, str]) -> Outbound:
        speech = sending.speech
        try:
            target = self._address(sending)
            whole = replace(target, headers={**headers, **speech.headers, **target.headers})
            signed = speech.body if isinstance(speech.body, bytes) else b""  # whoever signs a body takes no uploads
            return await self.signer.sign(whole, sending.provider, sending.credential, signed)
        except SigningError as error:
            raise unsigned(sending, error) from None
        except (ValueError, LookupError):
            raise Failure(ErrorClass.MISCONFIGURED, "is set up in a way that requests cannot use") from None

    def _address(self, sending: Sending) -> Outbound:
        """Raises ValueError and LookupError."""
        provider, credential, candidate, request = sending.provider, sending.credential, sending.candidate, sending.request
        path = path_of(provider, credential, request.operation, candidate.native_model, stream=request.stream)
        return outbound(provider, credential, path=path, overrides=self.overrides, deployment=candidate.deployment)

    async def _read(self, answer: Answer, sending: Sending) -> Reply:
        if not 200 <= answer.status < 300:
            raise await refused(answer, sending)
        check_encoding(answer)
        if sending.speech.free_form and (text := text_type(answer)):
            return Whole(answer.status, passed_back(answer.headers), cleaned(await answer.read(), sending.secrets), Usage(), text)
        at_once = sending.speech.free_form and answer.headers.get("content-type", "").lower().startswith(JSON)
        return await opened(answer, sending) if sending.request.stream and not at_once else await completed(answer, sending)

    async def _fetch(self, addresses: Mapping[str, str]) -> Mapping[str, Media]:
        return await fetch(self.egress, addresses)


def late(answer: Answer | None, seconds: float) -> Failure:
    if answer:
        answer.close()
    reason = f"did not answer within {seconds:g} seconds"
    return Failure(ErrorClass.TROUBLE, reason, status=answer.status if answer else None, timed_out=True)


@sensitive_variables()
def prepared(tenant: Tenant, candidate: Candidate, request: Request, speech: Speech) -> Sending:
    provider = tenant.stored[candidate.key.id].provider
    try:
        return Sending(provider, tenant.credential(candidate.key.id), candidate, request, speech)
    except VaultError:
        raise Failure(ErrorClass.MISCONFIGURED, "does not open and must be entered again") from None


def check_encoding(answer: Answer) -> None:
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        raise broken(answer, "answered in an encoding that was not asked for")


def text_type(answer: Answer) -> str:
    """The type of an answer that is plain text, such as subtitles, else nothing."""
    content_type = answer.headers.get("content-type", "").lower()
    return content_type if content_type.startswith(("text/plain", "text/vtt", "text/srt", "application/x-subrip")) else ""


async def completed(answer: Answer, sending: Sending) -> Whole:
    body = await answer.read()
    try:
        written, usage = sending.speech.whole(body)
    except BrokenAnswer:
        raise broken(answer, "answered with something that makes no sense") from None
    return Whole(answer.status, passed_back(answer.headers), cleaned(written, sending.secrets), usage)


async def opened(answer: Answer, sending: Sending) -> Live:
    """Reads up to the first event with data. What comes before it, such as comments, waits with it."""
    if not answer.headers.get("content-type", "").lower().startswith(sending.speech.stream_type):
        raise broken(answer, "did not answer with a stream")
    stream = sending.speech.reader()
    chunks = answer.chunks()
    now = last = ending = b""
    try:
        async for chunk in chunks:
            more, final = stream.feed(chunk)
            now, last = now + more, last + final
            if stream.events or stream.error:
                break
        else:
            ending = stream.rest()
    except EventTooLong:
        raise broken(answer, "sent an event without an end") from None
    if stream.begins_with_error and stream.error:
        raise told_in_stream(answer, sending, stream.error)
    if not stream.events and not (ending and stream.done):
        raise broken(answer, "sent an empty stream")
    content_type = EVENTS if sending.speech.stream_type else relayed_type(answer)
    return Live(
        answer.status, content_type, passed_back(answer.headers), stream, answer, chunks, (now, last + ending), sending.secrets
    )


def relayed_type(answer: Answer) -> str:
    """Sound keeps its type; anything else goes out as bytes that a browser will not run."""
    content_type = answer.headers.get("content-type", "")
    return content_type if content_type.startswith(("audio/", "text/event-stream")) else "application/octet-stream"


async def refused(answer: Answer, sending: Sending) -> Failure:
    return failure_of(answer, await error_body(answer), sending)


def failure_of(answer: Answer, body: bytes, sending: Sending) -> Failure:
    """An answer that is no success, in the provider's class and scrubbed words."""
    error_class = classified(sending, answer.status, answer.headers, body)
    unknown = answer.status == 404 and not sending.candidate.certain
    return Failure(
        error_class,
        f"{UNKNOWN_MODEL if unknown else REASONS[error_class]} (status {answer.status})",
        status=answer.status,
        unknown_model=unknown,
        told=scrubbed(openai.read_error(cleaned(body, sending.secrets)), sending.secrets),
        headers=passed_back(answer.headers),
        retry_after=retry_after(answer.headers, body) if error_class is ErrorClass.LIMITED else None,
        definite=error_class is ErrorClass.REFUSED and definite(sending.provider, answer.status, answer.headers, body),
    )


async def error_body(answer: Answer) -> bytes:
    """As much of it as is worth reading; a broken body is no body."""
    try:
        return await answer.read(limit=ERROR_BYTES)
    except EgressError as error:
        if error.kind == "timeout":
            raise
        return b""
    finally:
        answer.close()


def told_in_stream(answer: Answer, sending: Sending, data: bytes) -> Failure:
    """A 200 whose first event is an error: the provider's trouble, unless the error names a status that says more."""
    answer.close()
    told = openai.read_error(data)
    named = next((code for code in (told.status_code, told.code) if isinstance(code, int) and 400 <= code < 600), None)
    error_class = classified(sending, named, {}, data)
    return Failure(
        error_class,
        "answered with an error in its stream",
        status=named or answer.status,
        told=scrubbed(told, sending.secrets),
        retry_after=retry_after(answer.headers, data) if error_class is ErrorClass.LIMITED else None,
    )


def classified(sending: Sending, status: int | None, headers: Mapping[str, str], body: bytes) -> ErrorClass:
    return classify(sending.provider, status, headers, body, certain=sending.candidate.certain)


def unsigned(sending: Sending, error: SigningError) -> Failure:
    """The request was never sent: its credential cannot sign, or whoever gives out tokens refused it."""
    silent = ErrorClass.TROUBLE if isinstance(error, NoToken) else ErrorClass.MISCONFIGURED
    error_class = classified(sending, error.status, {}, error.body) if error.status else silent
    outright = error_class is ErrorClass.REFUSED and definite(sending.provider, error.status, {}, error.body)
    return Failure(error_class, f"{REASONS[error_class]} before the request was sent", status=error.status, definite=outright)


def broken(answer: Answer, reason: str) -> Failure:
    answer.close()
    return Failure(ErrorClass.TROUBLE, reason, status=answer.status)


def unreached(answer: Answer | None, error: EgressError) -> Failure:
    if answer:
        return broken(answer, "broke off in the middle of its answer")
    if error.kind == "refused":
        return Failure(ErrorClass.MISCONFIGURED, f"cannot be reached at its address ({str(error).rstrip('.')})")
    return Failure(ErrorClass.TROUBLE, "could not be reached")


UNKNOWN_MODEL = "does not know this model"
REASONS = {
    ErrorClass.CLIENT: "refused the request",
    ErrorClass.REFUSED: "was refused by the provider",
    ErrorClass.OUT_OF_MONEY: "has no credit left with the provider",
    ErrorClass.LIMITED: "is at its rate limit",
    ErrorClass.NO_PERMISSION: "has no permission for this",
    ErrorClass.MISCONFIGURED: "is set up for something the provider does not have",
    ErrorClass.TROUBLE: "met trouble at the provider",
}


@sensitive_variables()
def scrubbed(told: openai.ErrorDetails, secrets: Sequence[bytes]) -> openai.ErrorDetails:
    return openai.ErrorDetails(
        message=scrub(told.message, [secret.decode() for secret in secrets]) if told.message else None,
        type=word(told.type),
        param=word(told.param),
        code=word(told.code),
    )


@sensitive_variables()
def secrets_of(credential: Credential, target: Outbound) -> Sequence[bytes]:
    """What must not come back: the credential, and what was made of it, such as a token."""
    sent = (target.headers.get(name, "").rpartition(" ")[2] for name in CREDENTIAL_HEADERS)
    return [text.encode() for text in dict.fromkeys((*strings(credential.secret), *sent)) if len(text) >= SECRET_LENGTH]


def cleaned(told: bytes, secrets: Sequence[bytes]) -> bytes:
    """Costs next to nothing: a search for bytes that are hardly ever there."""
    for secret in secrets:
        if secret in told:
            told = told.replace(secret, b"[removed]")
    return told


def strings(value: object) -> Iterable[str]:
    """Every text in a credential's secret part."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings(item)
