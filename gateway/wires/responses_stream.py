"""The Responses API's stream of events, rewritten as OpenAI's chat chunks while it arrives."""

from gateway.sse import Splitter, data_of
from gateway.wires.chat_answer import ChunkWriter
from gateway.wires.responses import failure_of, finish_reason, usage
from gateway.wires.values import Json, Usage, json_object


class Stream:
    """`feed` gives what to relay; `usage`, `failure` and `finished` tell what the stream has said so far."""

    def __init__(self, writer: ChunkWriter) -> None:
        self._writer = writer
        self._splitter = Splitter()
        self._calls: dict[int, int] = {}
        self.usage: Usage | None = None
        self.failure: str | None = None
        self.finished = False

    def feed(self, data: bytes) -> bytes:
        found = (data_of(event) for event in self._splitter.feed(data))
        return b"".join(self._event(json_object(text)) for text in found if text and text != b"[DONE]")

    def finish(self) -> bytes:
        """Nothing is owed at the end: response.completed has said it all."""
        return b""

    def _event(self, event: Json) -> bytes:
        match event.get("type"):
            case "response.output_text.delta":
                return self._writer.text(event["delta"])
            case "response.refusal.delta":
                return self._writer.refusal(event["delta"])
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                return self._writer.reasoning(event["delta"])
            case "response.output_item.added" if event["item"]["type"] == "function_call":
                self._calls[event["output_index"]] = self._writer.calls
                return self._writer.tool_call(event["item"]["call_id"], event["item"]["name"])
            case "response.function_call_arguments.delta":
                return self._writer.tool_arguments(self._calls[event["output_index"]], event["delta"])
            case "response.completed" | "response.incomplete":
                return self._end(event["response"])
            case "response.failed":
                self.failure = failure_of(event["response"])
            case "error":
                self.failure = str(event.get("message") or failure_of(event))
        return b""

    def _end(self, response: Json) -> bytes:
        self.usage = usage(response.get("usage") or {})
        self.finished = True
        return self._writer.end(finish_reason(response, bool(self._calls)), self.usage)
