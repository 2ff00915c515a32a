"""Converse's stream of frames, rewritten as OpenAI's chunks while it arrives."""

from gateway.wires.chat_answer import ChunkWriter
from gateway.wires.converse import FINISH, kept, usage
from gateway.wires.eventstream import Frames
from gateway.wires.values import FinishReason, Json, Usage


class Stream:
    """`feed` gives what to relay; `usage`, `failure` and `finished` tell what the stream has said so far."""

    def __init__(self, writer: ChunkWriter) -> None:
        self._writer = writer
        self._frames = Frames()
        self._reason: FinishReason | None = None
        self._thoughts: list[Json] = []
        self._thought: Json = {}
        self._arguing = False
        self._argued = False
        self.usage: Usage | None = None
        self.failure: str | None = None
        self.finished = False

    def feed(self, data: bytes) -> bytes:
        return b"".join(
            self._failed(name, event) if failed else self._event(name, event) for name, event, failed in self._frames.feed(data)
        )

    def finish(self) -> bytes:
        """The end of an answer whose last frame, the one with the usage, never came."""
        if self.finished or self._reason is None:
            return b""
        self.finished = True
        return self._writer.end(self._reason, self.usage)

    def _failed(self, name: str, event: Json) -> bytes:
        self.failure = str(event.get("message") or name)
        return b""

    def _event(self, name: str, event: Json) -> bytes:
        match name:
            case "contentBlockStart":
                return self._begin(event.get("start") or {})
            case "contentBlockDelta":
                return self._delta(event["delta"])
            case "contentBlockStop":
                return self._end_block()
            case "messageStop":
                self._reason = FINISH.get(event["stopReason"], "stop")
            case "metadata":
                self.usage = usage(event.get("usage") or {})
        return self.finish() if self.usage else b""

    def _begin(self, start: Json) -> bytes:
        call = start.get("toolUse")
        if not call:
            return b""
        self._arguing, self._argued = True, False
        extra = kept(self._thoughts) if self._writer.calls == 0 else None
        return self._writer.tool_call(call["toolUseId"], call["name"], extra=extra)

    def _delta(self, delta: Json) -> bytes:
        if "text" in delta:
            return self._writer.text(delta["text"])
        if "toolUse" in delta:
            piece = delta["toolUse"].get("input") or ""
            self._argued = self._argued or bool(piece)
            return self._writer.tool_arguments(self._writer.calls - 1, piece)
        thought = delta.get("reasoningContent") or {}
        for part in ("text", "signature", "redactedContent"):
            if part in thought:
                self._thought[part] = self._thought.get(part, "") + thought[part]
        return self._writer.reasoning(thought.get("text", ""))

    def _end_block(self) -> bytes:
        """Thoughts are kept; a call without arguments says so, since an empty string is no JSON."""
        if self._thought:
            redacted = self._thought.get("redactedContent")
            self._thoughts.append({"redactedContent": redacted} if redacted else {"reasoningText": self._thought})
            self._thought = {}
        silent, self._arguing = self._arguing and not self._argued, False
        return self._writer.tool_arguments(self._writer.calls - 1, "{}") if silent else b""
