"""OpenAI's chat completions: what we read of an answer and of a stream. The rest passes through unread."""

from math import isinf
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.json import Decoder

from gateway.sse import Splitter, data_of
from gateway.wires.values import BrokenAnswer, Usage

DONE = b"[DONE]"


class InputDetails(Struct):
    cached_tokens: int | None = None


class OutputDetails(Struct):
    reasoning_tokens: int | None = None


class WireUsage(Struct):
    """`cost_in_usd_ticks` is Grok's (10^10 ticks are a dollar), `estimated_cost` is DeepInfra's, in dollars."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None
    cost_in_usd_ticks: int | float | None = None
    estimated_cost: float | None = None


_decode_usage = Decoder(WireUsage).decode


def read_usage(raw: bytes | Raw) -> Usage | None:
    """Grok counts reasoning beside completion_tokens, everyone else inside; the total tells which."""
    try:
        wire = _decode_usage(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
    entered, written = wire.prompt_tokens or 0, wire.completion_tokens or 0
    reasoning = (wire.completion_tokens_details and wire.completion_tokens_details.reasoning_tokens) or 0
    beside = reasoning if wire.total_tokens == entered + written + reasoning else 0
    return Usage(
        input_tokens=entered,
        output_tokens=written + beside,
        cached_input_tokens=(wire.prompt_tokens_details and wire.prompt_tokens_details.cached_tokens) or 0,
        reasoning_tokens=reasoning,
        reported_cost_microusd=_cost(wire),
    )


def _cost(wire: WireUsage) -> int | None:
    """Millionths of a dollar; none of what is told without an end."""
    if wire.cost_in_usd_ticks is not None:
        return round(wire.cost_in_usd_ticks / 10_000)
    told = None if wire.estimated_cost is None else wire.estimated_cost * 1_000_000
    return None if told is None or isinf(told) else round(told)


class Answer(Struct):
    """A completion, or one chunk of a streamed one."""

    choices: list[Raw] | UnsetType | None = UNSET
    usage: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET

    @property
    def fails(self) -> bool:
        return self.error is not UNSET and bytes(self.error) != b"null"

    @property
    def tokens(self) -> Usage | None:
        """None too for the `"usage": null` that stands in every other chunk."""
        return None if self.usage is UNSET or bytes(self.usage) == b"null" else read_usage(self.usage)


_decode_answer = Decoder(Answer).decode


def completed(body: bytes) -> tuple[bytes, Usage | None]:
    """The answer as it came, and its usage. Raises BrokenAnswer."""
    return body, read_completion(body).tokens


def read_completion(body: bytes) -> Answer:
    """Raises BrokenAnswer for broken JSON and for an error in the clothes of a success."""
    try:
        answer = _decode_answer(body)
    except (msgspec.DecodeError, RecursionError):
        raise BrokenAnswer("no completion") from None
    if answer.fails:
        raise BrokenAnswer("an error in place of a completion")
    return answer


class ChatStream:
    """Reads a stream while it is relayed: counts events, finds usage and errors, takes out the usage we asked for.

    `events` counts those with data, about one a token, but for [DONE]. `error` is the data of the first error event.
    """

    __slots__ = ("_splitter", "_takes_usage_out", "begins_with_error", "done", "error", "events", "usage")

    def __init__(self, *, takes_usage_out: bool) -> None:
        self._splitter = Splitter()
        self._takes_usage_out = takes_usage_out
        self.events = 0
        self.done = False
        self.error: bytes | None = None
        self.begins_with_error = False
        self.usage: Usage | None = None

    def feed(self, chunk: bytes) -> tuple[bytes, bytes]:
        """(bytes to relay now, bytes to relay once the attempt is written down): the latter from [DONE] or an error on."""
        now: list[bytes] = []
        last: list[bytes] = []
        for event in self._splitter.feed(chunk):
            if self._passes(event):
                (last if self.done or self.error else now).append(event)
        return b"".join(now), b"".join(last)

    def rest(self) -> bytes:
        """The stream's last bytes, of an event that was never ended. Some end after the usage, without [DONE]."""
        self.done = self.done or self.usage is not None
        return self._splitter.rest()

    def _passes(self, event: bytes) -> bool:
        """Whether the event is the client's to see. Most are told to be by a look at their bytes."""
        if b"data:" not in event:
            return True
        if DONE in event and data_of(event) == DONE:
            self.done = True
            return True
        self.events += 1
        tells_usage = b'"usage"' in event and b'"usage":null' not in event
        return not (tells_usage or b'"error"' in event) or self._reads(data_of(event) or b"")

    def _reads(self, data: bytes) -> bool:
        """Looks into an event that may hold usage or an error."""
        try:
            answer = _decode_answer(data)
        except (msgspec.DecodeError, RecursionError):
            return True
        if answer.fails and self.error is None:
            self.error = data
            self.begins_with_error = self.events == 1
        tokens = answer.tokens
        self.usage = tokens or self.usage
        return not (self._takes_usage_out and tokens is not None and answer.choices == [])


class ErrorDetails(Struct):
    message: str | None = None
    type: Any = None
    param: Any = None
    code: Any = None
    status_code: Any = None


class ErrorBody(Struct):
    """Every shape that providers use: an object, a bare string, `detail`, or Grok's sentence in `code`; Google's in a list."""

    error: ErrorDetails | str | None = None
    message: str | None = None
    detail: Any = None


def read_error(body: bytes) -> ErrorDetails:
    """Empty where the body is not one of the known shapes."""
    try:
        read = msgspec.json.decode(body, type=ErrorBody | list[ErrorBody])
    except (msgspec.DecodeError, RecursionError):
        return ErrorDetails()
    if isinstance(read, list):
        read = read[0] if read else ErrorBody()
    if isinstance(read.error, ErrorDetails):
        return read.error
    detail = read.detail if isinstance(read.detail, str) else None
    return ErrorDetails(message=read.error or read.message or detail)
