"""Anthropic's stream of events, rewritten as OpenAI's chunks while it arrives."""

from gateway.sse import Splitter, data_of
from gateway.wires.anthropic import FINISH, merged, usage
from gateway.wires.chat_answer import ChunkWriter
from gateway.wires.values import FinishReason, Json, Usage, json_object


class Stream:
    """`feed` gives what to relay; `usage`, `failure` and `finished` tell what the stream has said so far."""

    def __init__(self, writer: ChunkWriter) -> None:
        self._writer = writer
        self._splitter = Splitter()
        self._counted: Json = {}
        self._reason: FinishReason = "stop"
        self._block: Json = {}
        self._thoughts: list[Json] = []
        self._argued = False
        self.failure: str | None = None
        self.finished = False

    @property
    def usage(self) -> Usage | None:
        return usage(self._counted) if self._counted else None

    def feed(self, data: bytes) -> bytes:
        found = (data_of(event) for event in self._splitter.feed(data))
        return b"".join(self._event(json_object(text)) for text in found if text)

    def _event(self, event: Json) -> bytes:
        match event.get("type"):
            case "message_start":
                self._counted = merged(self._counted, event["message"].get("usage") or {})
            case "content_block_start":
                return self._begin(event["content_block"])
            case "content_block_delta":
                return self._delta(event["delta"])
            case "content_block_stop":
                return self._end_block()
            case "message_delta":
                self._counted = merged(self._counted, event.get("usage") or {})
                self._reason = FINISH.get(event["delta"].get("stop_reason") or "", self._reason)
            case "message_stop":
                self.finished = True
                return self._writer.end(self._reason, self.usage)
            case "error":
                self.failure = str(event.get("error", {}).get("message") or "error")
        return b""

    def _begin(self, block: Json) -> bytes:
        self._block = dict(block)
        if block["type"] != "tool_use":
            return self._writer.text(block.get("text", "")) if block["type"] == "text" else b""
        self._argued = False
        first = self._writer.calls == 0
        extra = {"anthropic": {"thinking": self._thoughts}} if first and self._thoughts else None
        return self._writer.tool_call(block["id"], block["name"], extra=extra)

    def _delta(self, delta: Json) -> bytes:
        match delta.get("type"):
            case "text_delta":
                return self._writer.text(delta["text"])
            case "thinking_delta":
                self._block["thinking"] = self._block.get("thinking", "") + delta["thinking"]
                return self._writer.reasoning(delta["thinking"])
            case "signature_delta":
                self._block["signature"] = delta["signature"]
            case "input_json_delta" if self._block.get("type") == "tool_use":
                self._argued = self._argued or bool(delta["partial_json"])
                return self._writer.tool_arguments(self._writer.calls - 1, delta["partial_json"])
        return b""

    def _end_block(self) -> bytes:
        """Thoughts are kept; a call without arguments says so, since an empty string is no JSON."""
        block, self._block = self._block, {}
        if block.get("type") in ("thinking", "redacted_thinking"):
            self._thoughts.append(block)
        if block.get("type") == "tool_use" and not self._argued:
            return self._writer.tool_arguments(self._writer.calls - 1, "{}")
        return b""

    def finish(self) -> bytes:
        """Nothing is owed at the end: message_stop has said it all."""
        return b""
