"""Anthropic's Messages dialect: what a Chat looks like there, and what its answers say. Facts: docs/providers.md."""

import re

from gateway.wires.values import (
    BrokenAnswer,
    Chat,
    FinishReason,
    Json,
    Media,
    Part,
    Reply,
    Text,
    ToolCall,
    ToolResult,
    Unsupported,
    Usage,
)

NEEDS_MEDIA_BYTES = False
"""Anthropic fetches remote images itself."""

DEFAULT_MAX_TOKENS = 16_384
"""Anthropic demands a limit where OpenAI has none."""

FINISH: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}

_FAMILY = re.compile(r"claude-(opus|sonnet|haiku|fable|mythos)-(\d+)(?:-(\d{1,2})(?!\d))?")
_FIXED_SAMPLING = {"opus": (4, 7), "sonnet": (5, 0), "haiku": (5, 5), "fable": (0, 0), "mythos": (0, 0)}
_ADAPTIVE_THINKING = (4, 6)
_EFFORT = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_BUDGET = {"low": 2_048, "medium": 8_192, "high": 24_576, "xhigh": 32_768, "max": 32_768}


# The request


def body(chat: Chat, *, native_model: str) -> Json:
    """The body of POST /v1/messages, but for `stream`. Raises Unsupported."""
    chat.refuse_sampling("Anthropic")
    written: Json = {
        "model": native_model,
        "max_tokens": chat.max_tokens or DEFAULT_MAX_TOKENS,
        "messages": [{"role": turn.role, "content": _blocks(turn.parts)} for turn in chat.turns],
    }
    if chat.system:
        written["system"] = [{"type": "text", "text": text} for text in chat.system]
    if chat.stop:
        written["stop_sequences"] = _stops(chat.stop)
    written |= _tools(chat) | sampling(chat, native_model)
    config = _format(chat) | _thinking(chat, native_model, written)
    if config:
        written["output_config"] = config
    return written


def hosted(body: Json, slug: str) -> Json:
    """The body as Bedrock and Vertex take it: the model stands in the address, and the version in the body."""
    version = {"bedrock": "bedrock-2023-05-31", "vertex": "vertex-2023-10-16"}.get(slug)
    if version is None:
        return body
    kept = {name: value for name, value in body.items() if name != "model" and not (slug == "bedrock" and name == "stream")}
    return {"anthropic_version": version, **kept}


def _blocks(parts: tuple[Part, ...]) -> list[Json]:
    blocks: list[Json] = []
    for part in parts:
        if isinstance(part, ToolCall):
            blocks = part.extra.get("anthropic", {}).get("thinking", []) + blocks
        blocks.append(_block(part))
    return blocks


def _block(part: Part) -> Json:
    match part:
        case Text(text):
            return {"type": "text", "text": text}
        case Media():
            return _media(part)
        case ToolCall(id, name, arguments):
            return {"type": "tool_use", "id": id, "name": name, "input": arguments}
        case ToolResult(id, _, inner):
            return {"type": "tool_result", "tool_use_id": id, "content": [_block(item) for item in inner]}


def _media(media: Media) -> Json:
    if media.kind == "audio":
        raise Unsupported("messages", "Claude models do not take audio. Send text, images or PDF documents.")
    source = (
        {"type": "url", "url": media.url} if media.url else {"type": "base64", "media_type": media.media_type, "data": media.data}
    )
    block: Json = {"type": media.kind, "source": source}
    return {**block, "title": media.name} if media.name else block


def _stops(stops: tuple[str, ...]) -> list[str]:
    if any(not stop.strip() for stop in stops):
        raise Unsupported("stop", "Anthropic refuses stop sequences that are only white space.")
    return list(stops)


def _tools(chat: Chat) -> Json:
    if not chat.tools:
        return {}
    choices: dict[str, Json] = {
        "auto": {"type": "auto"},
        "none": {"type": "none"},
        "required": {"type": "any"},
        "named": {"type": "tool", "name": chat.forced_tool},
    }
    choice = choices[chat.tool_choice]
    if not chat.parallel_tool_calls and chat.tool_choice != "none":
        choice["disable_parallel_tool_use"] = True
    tools = [
        {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
        | ({"strict": True} if tool.strict else {})
        for tool in chat.tools
    ]
    return {"tools": tools, "tool_choice": choice}


def _version(native_model: str) -> tuple[str, tuple[int, int]]:
    """(family, version) of a Claude model; a name of another form counts as an old one."""
    found = _FAMILY.search(native_model)
    return (found[1], (int(found[2]), int(found[3] or 0))) if found else ("", (0, 0))


def sampling(chat: Chat, native_model: str) -> Json:
    """Temperature and top_p as this Claude model takes them. Raises Unsupported."""
    family, version = _version(native_model)
    asked = {name: value for name, value in (("temperature", chat.temperature), ("top_p", chat.top_p)) if value is not None}
    if family and version >= _FIXED_SAMPLING[family]:
        for name, value in asked.items():
            if value != 1:
                raise Unsupported(name, f"{native_model} takes no {name} but 1. Leave it out.")
        return {}
    if asked.get("temperature", 0) > 1:
        raise Unsupported("temperature", "Anthropic's temperature goes from 0 to 1.")
    if len(asked) == 2:
        if asked["top_p"] != 1:
            raise Unsupported("top_p", "Anthropic takes temperature or top_p, not both. Leave one out.")
        del asked["top_p"]
    return asked


def _format(chat: Chat) -> Json:
    if chat.schema is None:
        return {}
    if chat.schema.schema is None:
        raise Unsupported("response_format", "Anthropic has no json_object mode. Use json_schema with a schema.")
    return {"format": {"type": "json_schema", "schema": chat.schema.schema}}


def _thinking(chat: Chat, native_model: str, written: Json) -> Json:
    """Ask for thinking where the client asked for effort. Older models want their earlier thoughts back beside tool
    results; where the client did not keep them, such a request goes without thinking."""
    if chat.effort is None or chat.effort == "none":
        return {}
    effort = _EFFORT.get(chat.effort)
    if effort is None:
        raise Unsupported("reasoning_effort", "reasoning_effort must be none, minimal, low, medium, high, xhigh or max.")
    if thinks_adaptively(native_model):
        written["thinking"] = {"type": "adaptive"}
        return {"effort": effort}
    budget = min(_BUDGET[effort], written["max_tokens"] - 1)
    if budget >= 1024 and not _lacks_thoughts(chat):
        written["thinking"] = {"type": "enabled", "budget_tokens": budget}
    return {}


def thinks_adaptively(native_model: str) -> bool:
    """Whether this Claude model decides itself how long to think, given an effort."""
    return _version(native_model)[1] >= _ADAPTIVE_THINKING


def _lacks_thoughts(chat: Chat) -> bool:
    calls = [part for turn in chat.turns for part in turn.parts if isinstance(part, ToolCall)]
    return any("anthropic" not in call.extra for call in calls)


# The answer


def reply(native: Json) -> Reply:
    """The answer of POST /v1/messages. Raises BrokenAnswer."""
    if native.get("type") != "message" or not isinstance(native.get("content"), list):
        raise BrokenAnswer("not an Anthropic message")
    blocks = native["content"]
    thoughts = [block for block in blocks if block.get("type") in ("thinking", "redacted_thinking")]
    calls = [block for block in blocks if block.get("type") == "tool_use"]
    return Reply(
        text="".join(block["text"] for block in blocks if block.get("type") == "text"),
        reasoning="".join(block.get("thinking", "") for block in thoughts),
        tool_calls=tuple(
            ToolCall(call["id"], call["name"], call["input"], _kept(thoughts) if n == 0 else {}) for n, call in enumerate(calls)
        ),
        finish_reason=FINISH.get(native.get("stop_reason") or "", "stop"),
        usage=usage(native.get("usage") or {}),
    )


def _kept(thoughts: list[Json]) -> Json:
    """Thoughts ride on the first tool call, so that a client that sends its messages back returns them too."""
    return {"anthropic": {"thinking": thoughts}} if thoughts else {}


def usage(native: Json) -> Usage:
    """Anthropic counts cached input beside `input_tokens`, not inside."""
    cached = native.get("cache_read_input_tokens") or 0
    return Usage(
        input_tokens=(native.get("input_tokens") or 0) + cached + (native.get("cache_creation_input_tokens") or 0),
        output_tokens=native.get("output_tokens") or 0,
        cached_input_tokens=cached,
        reasoning_tokens=(native.get("output_tokens_details") or {}).get("thinking_tokens") or 0,
    )


def merged(seen: Json, update: Json) -> Json:
    """Usage so far with an update of message_delta, whose numbers are totals; absent and null ones say nothing."""
    return seen | {name: value for name, value in update.items() if value is not None}
