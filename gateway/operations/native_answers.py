"""Answers of a provider's own API: relayed as they come, while what they cost is read on the side."""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from gateway.operations import plain
from gateway.operations.events import EventReader
from gateway.operations.messages import MessagesStream
from gateway.operations.responses import ResponsesStream
from gateway.operations.translation import FRAMES, reading
from gateway.speech import EVENT_STREAM, Reader
from gateway.sse import EventTooLong
from gateway.wires import anthropic, converse, google
from gateway.wires.eventstream import Frames
from gateway.wires.openai import ChatStream
from gateway.wires.values import BrokenAnswer, Json, Usage, json_object
from keys.providers import Provider

JSON = "application/json"
MOST_GATHERED = 1024 * 1024
RELAYED = (
    JSON,
    EVENT_STREAM,
    FRAMES,
    "application/x-ndjson",
    "application/jsonl",
    "application/pdf",
    "application/zip",
    "text/plain",
    "text/csv",
    "text/vtt",
    "audio/",
    "video/",
    "image/png",
    "image/jpeg",
    "image/webp",
    "image/gif",
)
"""Types that no browser runs as a page of ours."""
FREE = Usage(reported_cost_microusd=0)
BACK_HERE = {"fal": ("status_url", "response_url", "cancel_url")}
"""Names in answers whose addresses lead to the provider, and shall lead to the gateway."""


def relayed_type(told: str) -> str:
    return told if told.lower().startswith(RELAYED) else "application/octet-stream"


def reader_of(dialect: str, headers: Mapping[str, str], *, makes: bool = True) -> Reader:
    """Who reads this answer. Without a dialect nobody does: its cost is unknown, or nothing where nothing was made."""
    content_type = headers.get("content-type", "").lower()
    if not dialect:
        return Watched(plain.PassedStream(), Usage() if makes else FREE)
    if content_type.startswith(FRAMES):
        return Watched(FrameStream())
    if not content_type.startswith(EVENT_STREAM):
        return Watched(Gathered(headers, words=dialect != "plain"))
    match dialect:
        case "chat":
            return Watched(ChatStream(takes_usage_out=False))
        case "messages":
            return Watched(MessagesStream())
        case "responses":
            return Watched(ResponsesStream())
        case "google":
            return Watched(GoogleStream())
    return Watched(plain.PassedStream(), Usage())


class Watched:
    """Relays every byte as it comes. What `watch` makes of it is for the journal only, and may be nothing.

    told: the usage, where that needs no watching.
    """

    begins_with_error = False

    def __init__(self, watch: Reader, told: Usage | None = None) -> None:
        self._watch: Reader | None = watch
        self._told = told
        self._last = watch
        self._ended = False

    @property
    def events(self) -> int:
        return self._last.events if self._told is None else 0

    @property
    def done(self) -> bool:
        return self._ended or (self._told is None and self._last.done)

    @property
    def error(self) -> bytes | None:
        return self._last.error

    @property
    def usage(self) -> Usage | None:
        return self._last.usage if self._told is None else self._told

    def feed(self, chunk: bytes) -> tuple[bytes, bytes]:
        self._look(chunk)
        return (b"", chunk) if self.done else (chunk, b"")

    def rest(self) -> bytes:
        self._look(None)
        self._ended = True
        return b""

    def _look(self, chunk: bytes | None) -> None:
        """None: the end."""
        if self._watch is None:
            return
        try:
            with reading():
                self._watch.rest() if chunk is None else self._watch.feed(chunk)
        except (BrokenAnswer, EventTooLong):
            self._watch = None


class Gathered:
    """A JSON answer with its usage, if it is of bearable size. Without `words` it is no text, and its length tells nothing."""

    done = False
    error: bytes | None = None
    begins_with_error = False

    def __init__(self, headers: Mapping[str, str], *, words: bool) -> None:
        self._headers = headers
        self._words = words
        self._parts: list[bytes] = []
        self._size = 0
        self.usage: Usage | None = None if words else Usage()

    @property
    def events(self) -> int:
        return self._size // 4 if self._words else 0

    def feed(self, chunk: bytes) -> tuple[bytes, bytes]:
        self._size += len(chunk)
        if self._size <= MOST_GATHERED:
            self._parts.append(chunk)
        return b"", b""

    def rest(self) -> bytes:
        if self._size <= MOST_GATHERED:
            told = usage_in(json.loads(b"".join(self._parts))) or counted_by_bedrock(self._headers)
            self.usage = told or self.usage
        return b""


def usage_in(native: Any) -> Usage | None:
    """Each dialect has its own names. Of Gemini's stream as one array the last piece with a count counts."""
    if isinstance(native, list):
        return next((found for piece in reversed(native) if (found := usage_in(piece))), None)
    if "usageMetadata" in native:
        return google.usage(native["usageMetadata"])
    told = native.get("usage")
    if not isinstance(told, dict):
        return None
    if "inputTokens" in told:
        return converse.usage(told)
    return anthropic.usage(told) if native.get("type") == "message" else plain.usage_of(told)


def counted_by_bedrock(headers: Mapping[str, str]) -> Usage | None:
    """Of a model whose own answer has no count that we know."""
    counts = [headers.get(f"x-amzn-bedrock-{side}-token-count", "") for side in ("input", "output")]
    return Usage(int(counts[0]), int(counts[1])) if all(count.isdecimal() for count in counts) else None


class GoogleStream(EventReader):
    """Gemini's events. Each tells the usage so far; the last one says why it is the last."""

    def look(self, event: Json, data: bytes) -> None:
        if "error" in event:
            self.error = self.error or data
        if event.get("usageMetadata"):
            self.usage = google.usage(event["usageMetadata"])
        self.done = self.done or any(candidate.get("finishReason") for candidate in event.get("candidates") or ())


class FrameStream:
    """Bedrock's frames: Converse's own, and those in which InvokeModel wraps what a model says."""

    begins_with_error = False

    def __init__(self) -> None:
        self._frames = Frames()
        self.events = 0
        self.done = False
        self.error: bytes | None = None
        self.usage: Usage | None = None

    def feed(self, chunk: bytes) -> tuple[bytes, bytes]:
        for name, payload, failed in self._frames.feed(chunk):
            self.events += 1
            if failed:
                self.error = self.error or name.encode()
            elif name == "metadata":
                self._ends(converse.usage(payload.get("usage") or {}))
            elif name == "chunk":
                self._read(base64.b64decode(payload.get("bytes", "")))
        return b"", b""

    def rest(self) -> bytes:
        return b""

    def _read(self, said: bytes) -> None:
        if b"amazon-bedrock-invocationMetrics" in said:
            metrics = json_object(said)["amazon-bedrock-invocationMetrics"]
            cached = metrics.get("cacheReadInputTokenCount") or 0
            fresh = metrics["inputTokenCount"] + (metrics.get("cacheWriteInputTokenCount") or 0)
            self._ends(Usage(fresh + cached, metrics["outputTokenCount"], cached))

    def _ends(self, usage: Usage) -> None:
        self.usage, self.done = usage, True


class Readdressed:
    """A JSON answer whose addresses at the provider are made addresses at the gateway. Too large a one stays as it is.

    `watch` sees the members of an answer that is an object. `usage` is set by whoever knows what the answer costs.
    """

    begins_with_error = False
    error: bytes | None = None
    events = 0

    def __init__(self, provider: Provider, public_url: str, watch: Callable[[Mapping[str, Raw]], None] | None = None) -> None:
        self._watch = watch
        self._names = BACK_HERE[provider.slug]
        self._here = {
            f"{address}/": f"{public_url}/native/{provider.slug}{f':{service}' if service else ''}/"
            for service, address in provider.services.items()
        }
        self._held = b""
        self._passes = False
        self.done = False
        self.usage = Usage()

    def feed(self, chunk: bytes) -> tuple[bytes, bytes]:
        if self._passes:
            return chunk, b""
        self._held += chunk
        if len(self._held) <= MOST_GATHERED:
            return b"", b""
        self._passes = True
        return self._held, b""

    def rest(self) -> bytes:
        self.done = True
        return b"" if self._passes else self._readdressed()

    def _readdressed(self) -> bytes:
        try:
            members = msgspec.json.decode(self._held, type=dict[str, Raw])
            if self._watch:
                self._watch(members)
            found = {name: self._here_for(msgspec.json.decode(members[name])) for name in self._names if name in members}
        except (msgspec.DecodeError, RecursionError):
            return self._held
        if not found:
            return self._held
        return msgspec.json.encode({**members, **{name: Raw(msgspec.json.encode(value)) for name, value in found.items()}})

    def _here_for(self, address: Any) -> Any:
        start = next((known for known in self._here if isinstance(address, str) and address.startswith(known)), None)
        return address if start is None else self._here[start] + address.removeprefix(start)
