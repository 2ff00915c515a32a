"""Writes a Reply as OpenAI's chat completion, whole or as a stream of chunks."""

import json
from collections.abc import Mapping
from typing import Any

from gateway.wires.values import FinishReason, Json, Reply, ToolCall, Usage


def completion(reply: Reply, *, id: str, model: str, created: int) -> Json:
    """The reply as OpenAI's chat completion."""
    message: Json = {"role": "assistant", "content": reply.text or None, "refusal": reply.refusal or None}
    if reply.reasoning:
        message["reasoning_content"] = reply.reasoning
    if reply.tool_calls:
        message["tool_calls"] = [_written(call) for call in reply.tool_calls]
    elif reply.text == "" and not reply.refusal:
        message["content"] = ""
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish_reason}
    return {
        "id": id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [choice],
        "usage": usage_body(reply.usage),
    }


def encoded(body: Json) -> bytes:
    """As JSON. Half of a character, as streams may cut it, goes on as the escape that JSON has for it."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode(errors="backslashreplace")


def usage_body(usage: Usage) -> Json:
    """Usage as OpenAI names it."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _written(call: ToolCall) -> Json:
    function = {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)}
    written: Json = {"id": call.id, "type": "function", "function": function}
    return {**written, "extra_content": dict(call.extra)} if call.extra else written


class ChunkWriter:
    """Writes an answer as OpenAI's stream: each method gives the bytes of one or no SSE event."""

    def __init__(self, *, id: str, model: str, created: int, include_usage: bool) -> None:
        self._head: Json = {"id": id, "object": "chat.completion.chunk", "created": created, "model": model}
        self._include_usage = include_usage
        self._begun = False
        self._calls = 0

    def text(self, piece: str) -> bytes:
        return self._delta({"content": piece}) if piece else b""

    def reasoning(self, piece: str) -> bytes:
        return self._delta({"reasoning_content": piece}) if piece else b""

    def refusal(self, piece: str) -> bytes:
        return self._delta({"refusal": piece}) if piece else b""

    def tool_call(self, id: str, name: str, arguments: str = "", extra: Mapping[str, Any] | None = None) -> bytes:
        """Begin the next call; `tool_arguments` with the number that `calls` then tells adds to it."""
        call: Json = {"index": self._calls, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
        if extra:
            call["extra_content"] = dict(extra)
        self._calls += 1
        return self._delta({"tool_calls": [call]})

    def tool_arguments(self, index: int, piece: str) -> bytes:
        return self._delta({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}) if piece else b""

    @property
    def calls(self) -> int:
        """How many calls have begun; the last one's index is one less."""
        return self._calls

    def end(self, reason: FinishReason, usage: Usage | None) -> bytes:
        """The finish reason, the usage where the client asked for it, and [DONE]."""
        written = self._delta({}, reason)
        if self._include_usage and usage is not None:
            written += self._event({**self._head, "choices": [], "usage": usage_body(usage)})
        return written + b"data: [DONE]\n\n"

    def _delta(self, delta: Json, reason: FinishReason | None = None) -> bytes:
        if not self._begun:
            self._begun = True
            delta = {"role": "assistant", "content": None if "tool_calls" in delta else "", **delta}
        chunk = {**self._head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]}
        if self._include_usage:
            chunk["usage"] = None
        return self._event(chunk)

    @staticmethod
    def _event(chunk: Json) -> bytes:
        return b"data: " + encoded(chunk) + b"\n\n"
