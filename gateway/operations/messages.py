"""Anthropic's Messages as clients speak them: passed through to Anthropic, and to Claude on Bedrock and Vertex."""

import base64
import json
from typing import ClassVar

import msgspec
from msgspec import Raw, Struct

from gateway.errors import Refusal
from gateway.operations import bodies
from gateway.operations.events import EventReader
from gateway.operations.translation import FRAMES, reading
from gateway.speech import Fetch, Speech
from gateway.wires import anthropic
from gateway.wires.eventstream import Frames
from gateway.wires.values import BrokenAnswer, Json, Usage, json_object
from keys.preferences import Preferences
from keys.providers import Provider, Wire


class MessagesRequest(Struct, frozen=True):
    """POST /v1/messages. `members` are the body's own bytes, name by name."""

    members: dict[str, Raw]
    size: int
    model: str
    stream: bool
    max_tokens: int

    answers: ClassVar[int] = 1
    operation: ClassVar[str] = "messages"

    @property
    def wishes(self) -> Preferences:
        return bodies.wishes(self.members)

    async def speech(self, provider: Provider, wire: Wire, native_model: str, fetch: Fetch) -> Speech:
        body = anthropic.hosted(bodies.with_model(self.members, native_model), provider.slug)
        if provider.slug == "bedrock":
            accept = FRAMES if self.stream else "application/json"
            return Speech(msgspec.json.encode(body), answered, FramedMessages, FRAMES, {"accept": accept})
        return Speech(msgspec.json.encode(body), answered, MessagesStream)

    def error_event(self, refusal: Refusal) -> bytes:
        """The blank line in front ends an event that was cut."""
        return b"\n\nevent: error\ndata: " + refusal.body("anthropic") + b"\n\n"


def read_request(body: bytes) -> MessagesRequest:
    """Raises Refusal that names the field."""
    members = bodies.members(body)
    return MessagesRequest(
        members=members,
        size=len(body),
        model=bodies.model(members),
        stream=bodies.stream(members),
        max_tokens=bodies.limit(members, "max_tokens"),
    )


@reading()
def answered(body: bytes) -> tuple[bytes, Usage | None]:
    """The answer as it came, and its usage. Raises BrokenAnswer."""
    native = json_object(body)
    if native.get("type") != "message":
        raise BrokenAnswer("not an Anthropic message")
    return body, anthropic.usage(native.get("usage") or {})


class MessagesStream(EventReader):
    """The events of a message."""

    def __init__(self) -> None:
        super().__init__()
        self._counted: Json = {}

    def read(self, data: bytes | None) -> None:
        if data and b'"ping"' not in data[:20]:
            super().read(data)

    def skips(self, data: bytes) -> bool:
        return b"content_block" in data[:40]

    def look(self, event: Json, data: bytes) -> None:
        match event.get("type"):
            case "message_start":
                self._count(event["message"].get("usage"))
            case "message_delta":
                self._count(event.get("usage"))
            case "message_stop":
                self.done = True
            case "error":
                self.error = self.error or data

    def _count(self, told: Json | None) -> None:
        self._counted = anthropic.merged(self._counted, told or {})
        self.usage = anthropic.usage(self._counted)


class FramedMessages(MessagesStream):
    """The same events in the frames in which Bedrock sends them, relayed as server-sent events."""

    def __init__(self) -> None:
        super().__init__()
        self._frames = Frames()

    def feed(self, chunk: bytes) -> tuple[bytes, bytes]:
        now: list[bytes] = []
        last: list[bytes] = []
        try:
            with reading():
                for name, payload, failed in self._frames.feed(chunk):
                    self._relay(told(name, payload) if failed else base64.b64decode(payload["bytes"]), now, last)
        except BrokenAnswer:
            self._relay(told("damaged", {"message": "The provider's stream is damaged."}), now, last)
        return b"".join(now), b"".join(last)

    def _relay(self, event: bytes, now: list[bytes], last: list[bytes]) -> None:
        if self.error is None:
            self.read(event)
            (last if self.done or self.error else now).append(b"event: %s\ndata: %s\n\n" % (kind_of(event), event))

    def rest(self) -> bytes:
        return b""


def told(name: str, payload: Json) -> bytes:
    """An exception in the stream, in Anthropic's words."""
    error = {"type": "api_error", "message": str(payload.get("message") or name)}
    return json.dumps({"type": "error", "error": error}).encode()


def kind_of(event: bytes) -> bytes:
    kind = json_object(event).get("type")
    return str(kind).encode()
