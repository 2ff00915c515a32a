"""OpenAI's Responses as clients speak them: passed through where the provider speaks them too."""

from typing import ClassVar

import msgspec
from msgspec import Raw, Struct

from gateway.errors import Refusal, bad_request
from gateway.operations import bodies
from gateway.operations.events import EventReader
from gateway.operations.translation import reading
from gateway.speech import Fetch, Speech
from gateway.wires import responses
from gateway.wires.values import BrokenAnswer, Json, Usage, json_object
from keys.preferences import Preferences
from keys.providers import Provider, Wire

ENDS = {"response.completed", "response.incomplete", "response.failed", "response.cancelled"}


class ResponsesRequest(Struct, frozen=True):
    """POST /v1/responses. `members` are the body's own bytes, name by name."""

    members: dict[str, Raw]
    size: int
    model: str
    stream: bool
    max_tokens: int

    answers: ClassVar[int] = 1
    operation: ClassVar[str] = "responses"

    @property
    def wishes(self) -> Preferences:
        return bodies.wishes(self.members)

    async def speech(self, provider: Provider, wire: Wire, native_model: str, fetch: Fetch) -> Speech:
        body = bodies.with_model(self.members, native_model)
        if provider.slug == "perplexity" and "input" in body:
            body["input"] = typed(body["input"])
        return Speech(msgspec.json.encode(body), answered, ResponsesStream)

    def error_event(self, refusal: Refusal) -> bytes:
        """The blank line in front ends an event that was cut."""
        told = {"type": "error", "code": refusal.code, "message": refusal.message, "param": refusal.param, "sequence_number": 0}
        return b"\n\nevent: error\ndata: " + msgspec.json.encode(told) + b"\n\n"


def typed(raw: Raw) -> Raw:
    """Perplexity wants each item of the input to say what it is. Everyone else takes one that does not for a message."""
    items = bodies.field({"input": raw}, "input", msgspec.json.decode, "text or a list of items")
    if not isinstance(items, list):
        return raw
    return Raw(msgspec.json.encode([{"type": "message", **item} if isinstance(item, dict) else item for item in items]))


def read_request(body: bytes) -> ResponsesRequest:
    """Raises Refusal that names the field."""
    members = bodies.members(body)
    if bodies.is_set(members, "background"):
        message = "What is made in the background tells nobody here what it used. Leave `background` out."
        raise bad_request(message, param="background")
    return ResponsesRequest(
        members=members,
        size=len(body),
        model=bodies.model(members),
        stream=bodies.stream(members),
        max_tokens=bodies.limit(members, "max_output_tokens"),
    )


@reading()
def answered(body: bytes) -> tuple[bytes, Usage | None]:
    """The answer as it came, and its usage. Raises BrokenAnswer, also for a 200 that says it failed."""
    native = json_object(body)
    if native.get("object") != "response" or native.get("status") == "failed":
        raise BrokenAnswer(responses.failure_of(native))
    return body, counted(native)


def counted(native: Json) -> Usage | None:
    told = native.get("usage")
    return responses.usage(told) if isinstance(told, dict) else None


class ResponsesStream(EventReader):
    """The events of a response."""

    def skips(self, data: bytes) -> bool:
        return b'.delta"' in data[:60]

    def look(self, event: Json, data: bytes) -> None:
        kind = event.get("type")
        if kind in ("error", "response.failed"):
            self.error = self.error or data
        if kind in ENDS:
            self.done = True
            self.usage = counted(event.get("response") or {}) or self.usage
