"""Google's stream of answers in pieces, rewritten as OpenAI's chunks while it arrives."""

import json

from gateway.sse import Splitter, data_of
from gateway.wires.chat_answer import ChunkWriter
from gateway.wires.google import call_of, finish_reason, parts_of, said, usage
from gateway.wires.values import FinishReason, Json, Usage, json_object


class Stream:
    """`feed` gives what to relay; `usage`, `failure` and `finished` tell what the stream has said so far.

    Each piece tells the usage so far; the last one counts. The stream has no closing event but its end.
    """

    def __init__(self, writer: ChunkWriter) -> None:
        self._writer = writer
        self._splitter = Splitter()
        self._reason: FinishReason | None = None
        self.usage: Usage | None = None
        self.failure: str | None = None
        self.finished = False

    def feed(self, data: bytes) -> bytes:
        found = (data_of(event) for event in self._splitter.feed(data))
        return b"".join(self._piece(json_object(text)) for text in found if text)

    def finish(self) -> bytes:
        """The end, once the provider's stream has ended. An answer without a finish reason was cut off."""
        if self.finished or self._reason is None:
            return b""
        self.finished = True
        return self._writer.end(self._reason, self.usage)

    def _piece(self, native: Json) -> bytes:
        if "error" in native:
            self.failure = str(native["error"].get("message") or "error")
            return b""
        if native.get("usageMetadata"):
            self.usage = usage(native["usageMetadata"])
        blocked = (native.get("promptFeedback") or {}).get("blockReason")
        candidate = (native.get("candidates") or [{"finishReason": blocked}])[0]
        relayed = b"".join(self._part(part, native) for part in parts_of(candidate))
        if candidate.get("finishReason"):
            self._reason = finish_reason(candidate["finishReason"], self._writer.calls > 0)
        return relayed

    def _part(self, part: Json, native: Json) -> bytes:
        if "functionCall" in part:
            call = call_of(part, native, self._writer.calls)
            return self._writer.tool_call(call.id, call.name, json.dumps(call.arguments, ensure_ascii=False), call.extra)
        return self._writer.reasoning(part.get("text", "")) if part.get("thought") else self._writer.text(said(part))
