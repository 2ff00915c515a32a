"""What a chat is, in plain values that no provider's dialect shows through.

`chat_request` reads OpenAI's dialect into a Chat and `chat_answer` writes a Reply back as OpenAI's; every other wire
translates between these values and its provider's bodies, so each knows one foreign dialect only.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

type Json = dict[str, Any]
type FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class Unsupported(ValueError):
    """A field that is malformed or that the provider's own dialect cannot express. `param` is its path in the request."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


class BrokenAnswer(ValueError):
    """A provider's answer that is not what its dialect promises."""


def json_object(data: bytes) -> Json:
    """Raises BrokenAnswer for anything else."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise BrokenAnswer("not a JSON object")
    return value


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Media:
    """An image, document or sound: base64 `data` with its media type, or the `url` of one that is still to be fetched.

    where: its place in the request, for those that have an address.
    """

    kind: Literal["image", "document", "audio"]
    media_type: str = ""
    data: str = field(default="", repr=False)
    url: str = ""
    name: str = ""
    where: str = field(default="", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """`extra` is what a provider wants back with the call, such as Gemini's thought signature."""

    id: str
    name: str
    arguments: Json
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolResult:
    id: str
    name: str
    parts: tuple[Text | Media, ...]


type Part = Text | Media | ToolCall | ToolResult


@dataclass(frozen=True, slots=True)
class Turn:
    role: Literal["user", "assistant"]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    description: str
    parameters: Json
    strict: bool


@dataclass(frozen=True, slots=True)
class Schema:
    """What the answer must look like: a JSON schema, or any JSON object where `schema` is None."""

    name: str
    schema: Json | None
    strict: bool


@dataclass(frozen=True, slots=True)
class Chat:
    """One chat request. Turns alternate between user and assistant; tool results stand in user turns."""

    system: tuple[str, ...]
    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    forced_tool: str = ""
    parallel_tool_calls: bool = True
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    schema: Schema | None = None
    effort: str | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)

    def refuse_sampling(self, wire: str, honored: Sequence[str] = ()) -> None:
        """Refuse the sampling fields that this wire has no word for."""
        for name in self.sampling:
            if name not in honored:
                raise Unsupported(name, f"{wire} has no {name}. Leave it out, or use a model of another provider.")

    def remote_media(self) -> dict[str, str]:
        """Addresses of media that a wire without remote media must have fetched first, each with its place."""
        return {part.url: part.where for part in self._media() if part.url}

    def with_media(self, fetched: Mapping[str, Media]) -> "Chat":
        """The same chat with each fetched address replaced by its bytes."""
        turns = tuple(Turn(turn.role, tuple(_replaced(part, fetched) for part in turn.parts)) for turn in self.turns)
        return replace(self, turns=turns)

    def _media(self) -> Iterator[Media]:
        for turn in self.turns:
            for part in turn.parts:
                inner = part.parts if isinstance(part, ToolResult) else (part,)
                yield from (item for item in inner if isinstance(item, Media))


def _replaced(part: Part, fetched: Mapping[str, Media]) -> Part:
    if isinstance(part, Media) and part.url in fetched:
        return fetched[part.url]
    if isinstance(part, ToolResult):
        inner = tuple(fetched.get(item.url, item) if isinstance(item, Media) else item for item in part.parts)
        return ToolResult(part.id, part.name, inner)
    return part


MOST = 1_000_000_000_000


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer, normalized: cached ones are part of the input, reasoning ones part of the output."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    reasoning_tokens: int = 0
    reported_cost_microusd: int | None = None

    @property
    def plausible(self) -> bool:
        """Whether these can be numbers of one answer; what a provider sends may be anything."""
        counts = (self.input_tokens, self.output_tokens, self.cached_input_tokens, self.reasoning_tokens)
        return all(type(count) is int and 0 <= count < MOST for count in (*counts, self.reported_cost_microusd or 0))


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer of a provider, in plain values."""

    text: str
    finish_reason: FinishReason
    usage: Usage
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str = ""
    refusal: str = ""
