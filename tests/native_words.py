"""What a recorded exchange says, read from the provider's own words without help of the gateway's code."""

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from botocore.eventstream import EventStreamBuffer

Json = dict[str, Any]


class Tokens(NamedTuple):
    """As docs/providers.md normalizes them: cached ones inside the input, reasoning inside the output."""

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0


class Said(NamedTuple):
    """`calls` are names with their arguments. `reason` is OpenAI's word for why the answer ended."""

    text: str = ""
    calls: tuple[tuple[str, Any], ...] = ()
    reason: str | None = None
    tokens: Tokens | None = None


def events_of(recording: Mapping[str, Any]) -> list[Json]:
    """The events of a recorded stream. Those of AWS are as its SDK shows them: {name: payload}."""
    response = recording["response"]
    if "chunks" in response:
        return list(response["chunks"])
    if "base64" in response:
        buffer = EventStreamBuffer()
        buffer.add_data(base64.b64decode(response["base64"]))
        return [{frame.headers[":event-type"]: json.loads(frame.payload)} for frame in buffer]
    lines = response["text"].replace("\r\n", "\n").split("\n")
    return [json.loads(line[5:]) for line in lines if line.startswith("data:") and line[5:].strip() != "[DONE]"]


# OpenAI's chat


def chat(native: Json) -> Said:
    (choice,) = native["choices"]
    calls = [(call["function"]["name"], call["function"]["arguments"]) for call in choice["message"].get("tool_calls") or []]
    return Said(choice["message"]["content"] or "", parsed(calls), choice["finish_reason"], chat_tokens(native["usage"]))


def chat_stream(events: Iterable[Json]) -> Said:
    text, reason, tokens = "", None, None
    calls: dict[int, tuple[str, str]] = {}
    for event in events:
        if event.get("usage"):
            tokens = chat_tokens(event["usage"])
        for choice in event.get("choices") or []:
            delta, reason = choice["delta"], choice.get("finish_reason") or reason
            text += delta.get("content") or ""
            for call in delta.get("tool_calls") or []:
                name, arguments = calls.get(call["index"], ("", ""))
                function = call["function"]
                calls[call["index"]] = (function.get("name") or name, arguments + (function.get("arguments") or ""))
    return Said(text, parsed(calls.values()), reason, tokens)


def chat_tokens(usage: Json) -> Tokens:
    """Grok counts reasoning beside the completion; its total shows it."""
    reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return Tokens(usage["prompt_tokens"], usage["total_tokens"] - usage["prompt_tokens"], cached, reasoning)


def parsed(calls: Iterable[tuple[str, str]]) -> tuple[tuple[str, Any], ...]:
    return tuple((name, json.loads(arguments or "{}")) for name, arguments in calls)


# Anthropic's Messages

STOPPED = {"end_turn": "stop", "stop_sequence": "stop", "pause_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls"}


def messages(native: Json) -> Said:
    calls = tuple((block["name"], block["input"]) for block in native["content"] if block["type"] == "tool_use")
    text = "".join(block["text"] for block in native["content"] if block["type"] == "text")
    return Said(text, calls, STOPPED[native["stop_reason"]], messages_tokens(native["usage"]))


def messages_stream(events: Iterable[Json]) -> Said:
    message: Json = {}
    for event in events:
        match event["type"]:
            case "message_start":
                message = {**event["message"], "content": []}
            case "content_block_start":
                message["content"].append({**event["content_block"], "pieces": ""})
            case "content_block_delta" if event["delta"]["type"] == "text_delta":
                message["content"][-1]["text"] += event["delta"]["text"]
            case "content_block_delta" if event["delta"]["type"] == "input_json_delta":
                message["content"][-1]["pieces"] += event["delta"]["partial_json"]
            case "message_delta":
                told = {name: value for name, value in event["usage"].items() if value is not None}
                message |= {"stop_reason": event["delta"]["stop_reason"], "usage": {**message["usage"], **told}}
    for block in message["content"]:
        if block["type"] == "tool_use":
            block["input"] = json.loads(block["pieces"] or "{}")
    return messages(message)


def messages_tokens(usage: Json) -> Tokens:
    cached = usage.get("cache_read_input_tokens") or 0
    entered = usage["input_tokens"] + cached + (usage.get("cache_creation_input_tokens") or 0)
    reasoning = (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0
    return Tokens(entered, usage["output_tokens"], cached, reasoning)


# Bedrock's Converse


def converse(native: Json) -> Said:
    blocks = native["output"]["message"]["content"]
    calls = tuple((block["toolUse"]["name"], block["toolUse"]["input"]) for block in blocks if "toolUse" in block)
    text = "".join(block.get("text", "") for block in blocks)
    return Said(text, calls, STOPPED[native["stopReason"]], converse_tokens(native["usage"]))


def converse_stream(events: Iterable[Json]) -> Said:
    text, reason, tokens = "", None, None
    calls: dict[int, tuple[str, str]] = {}
    for event in events:
        ((name, payload),) = event.items()
        match name:
            case "contentBlockStart" if "toolUse" in payload.get("start", {}):
                calls[payload["contentBlockIndex"]] = (payload["start"]["toolUse"]["name"], "")
            case "contentBlockDelta" if "toolUse" in payload["delta"]:
                called, arguments = calls[payload["contentBlockIndex"]]
                calls[payload["contentBlockIndex"]] = (called, arguments + payload["delta"]["toolUse"]["input"])
            case "contentBlockDelta":
                text += payload["delta"].get("text", "")
            case "messageStop":
                reason = STOPPED[payload["stopReason"]]
            case "metadata":
                tokens = converse_tokens(payload["usage"])
    return Said(text, parsed(calls.values()), reason, tokens)


def converse_tokens(usage: Json) -> Tokens:
    cached = usage.get("cacheReadInputTokens", 0)
    return Tokens(usage["inputTokens"] + cached + usage.get("cacheWriteInputTokens", 0), usage["outputTokens"], cached)


# Google's generateContent


def google(native: Json) -> Said:
    return google_stream([native])


def google_stream(events: Iterable[Json]) -> Said:
    text, reason = "", None
    usage: Json = {}
    calls: list[tuple[str, Any]] = []
    for event in events:
        usage = event.get("usageMetadata", usage)
        blocked = event.get("promptFeedback", {}).get("blockReason")
        for candidate in event.get("candidates") or [{"finishReason": blocked}]:
            reason = candidate.get("finishReason") or reason
            for part in candidate.get("content", {}).get("parts", []):
                text += part.get("text", "") if not part.get("thought") else ""
                calls += [(part["functionCall"]["name"], part["functionCall"].get("args", {}))] if "functionCall" in part else []
    ended = {"STOP": "stop", "MAX_TOKENS": "length", None: None}.get(reason, "content_filter")
    return Said(text, tuple(calls), "tool_calls" if calls else ended, google_tokens(usage))


def google_tokens(usage: Json) -> Tokens:
    entered = usage.get("promptTokenCount", 0) + usage.get("toolUsePromptTokenCount", 0)
    thoughts = usage.get("thoughtsTokenCount", 0)
    return Tokens(entered, usage.get("candidatesTokenCount", 0) + thoughts, usage.get("cachedContentTokenCount", 0), thoughts)


# OpenAI's Responses


def responses(native: Json) -> Said:
    items = native["output"]
    calls = [(item["name"], item["arguments"]) for item in items if item["type"] == "function_call"]
    contents = [content for item in items if item["type"] == "message" for content in item["content"]]
    text = "".join(content.get("text", "") for content in contents)
    return Said(text, parsed(calls), native["status"], responses_tokens(native["usage"]))


def responses_stream(events: Iterable[Json]) -> Said:
    (last,) = (event["response"] for event in events if event["type"] == "response.completed")
    return responses(last)


def responses_tokens(usage: Json) -> Tokens:
    cached = (usage.get("input_tokens_details") or {}).get("cached_tokens", 0)
    reasoning = (usage.get("output_tokens_details") or {}).get("reasoning_tokens", 0)
    return Tokens(usage["input_tokens"], usage["output_tokens"], cached, reasoning)
