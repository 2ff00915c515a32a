"""Bedrock's Converse dialect: what a Chat looks like there, and what its answers say. Facts: docs/providers.md."""

import json
import re

from gateway.wires import anthropic
from gateway.wires.values import (
    BrokenAnswer,
    Chat,
    FinishReason,
    Json,
    Media,
    Part,
    Reply,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Unsupported,
    Usage,
)

NEEDS_MEDIA_BYTES = True
"""Bedrock fetches nothing from the web."""

FINISH: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
"""Anything else, such as malformed_tool_use, ends the answer as `stop`."""

IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
DOCUMENTS = {"application/pdf": "pdf", "text/csv": "csv", "text/html": "html", "text/plain": "txt", "text/markdown": "md"}
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9 \-()\[\]]+")


# The request


def body(chat: Chat, *, native_model: str) -> Json:
    """The body of POST /model/{id}/converse and converse-stream. Raises Unsupported."""
    chat.refuse_sampling("Bedrock")
    written: Json = {"messages": [{"role": turn.role, "content": _blocks(turn.parts)} for turn in chat.turns]}
    if chat.system:
        written["system"] = [{"text": text} for text in chat.system]
    if config := _inference(chat, native_model):
        written["inferenceConfig"] = config
    if tools := _tools(chat):
        written["toolConfig"] = tools
    if config := _output(chat, native_model):
        written["outputConfig"] = config
    return written


def _blocks(parts: tuple[Part, ...]) -> list[Json]:
    blocks: list[Json] = []
    for part in parts:
        if isinstance(part, ToolCall):
            blocks = [{"reasoningContent": thought} for thought in part.extra.get("bedrock", {}).get("reasoning", [])] + blocks
        blocks.append(_block(part))
    return blocks


def _block(part: Part) -> Json:
    match part:
        case Text(text):
            return {"text": text}
        case Media():
            return _media(part)
        case ToolCall(id, name, arguments):
            return {"toolUse": {"toolUseId": id, "name": name, "input": arguments}}
        case ToolResult(id, _, inner):
            return {"toolResult": {"toolUseId": id, "content": [_block(item) for item in inner]}}


def _media(media: Media) -> Json:
    formats = {"image": IMAGES, "document": DOCUMENTS}.get(media.kind, {})
    if media.media_type not in formats:
        raise Unsupported("messages", f"Bedrock does not take {media.media_type or media.kind}. Send one of {', '.join(IMAGES)}.")
    block: Json = {"format": formats[media.media_type], "source": {"bytes": media.data}}
    if media.kind == "document":
        block["name"] = _NOT_IN_A_NAME.sub(" ", media.name).strip() or "document"
    return {media.kind: block}


def _inference(chat: Chat, native_model: str) -> Json:
    if "claude" in native_model:
        sampling = anthropic.sampling(chat, native_model)
    else:
        sampling = {"temperature": chat.temperature, "top_p": chat.top_p}
        if (chat.temperature or 0) > 1:
            raise Unsupported("temperature", "Bedrock's temperature goes from 0 to 1.")
    config = {
        "maxTokens": chat.max_tokens,
        "temperature": sampling.get("temperature"),
        "topP": sampling.get("top_p"),
        "stopSequences": list(chat.stop) or None,
    }
    return {name: value for name, value in config.items() if value is not None}


def _tools(chat: Chat) -> Json:
    """Converse has no word for "call nothing", but tools that are not sent are not called."""
    if not chat.tools:
        return {}
    if chat.tool_choice == "none":
        if any(isinstance(part, ToolCall) for turn in chat.turns for part in turn.parts):
            raise Unsupported("tool_choice", "Bedrock has no tool_choice none once a tool was called. Use auto.")
        return {}
    if not chat.parallel_tool_calls:
        raise Unsupported("parallel_tool_calls", "Bedrock cannot be kept to one tool call at a time. Leave it out.")
    choices: dict[str, Json] = {"auto": {"auto": {}}, "required": {"any": {}}, "named": {"tool": {"name": chat.forced_tool}}}
    return {"tools": [{"toolSpec": _spec(tool)} for tool in chat.tools], "toolChoice": choices[chat.tool_choice]}


def _spec(tool: Tool) -> Json:
    spec: Json = {"name": tool.name, "inputSchema": {"json": tool.parameters}}
    if tool.description:
        spec["description"] = tool.description
    return {**spec, "strict": True} if tool.strict else spec


def _output(chat: Chat, native_model: str) -> Json:
    config: Json = {}
    if chat.schema is not None:
        if chat.schema.schema is None:
            raise Unsupported("response_format", "Bedrock has no json_object mode. Use json_schema with a schema.")
        schema = {"name": chat.schema.name, "schema": json.dumps(chat.schema.schema)}
        config["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": schema}}
    if chat.effort not in (None, "none"):
        if "claude" in native_model and not anthropic.thinks_adaptively(native_model):
            raise Unsupported("reasoning_effort", f"{native_model} takes no effort on Bedrock. Leave reasoning_effort out.")
        config["effort"] = chat.effort
    return config


# The answer


def reply(native: Json) -> Reply:
    """The answer of POST /model/{id}/converse. Raises BrokenAnswer."""
    try:
        blocks = native["output"]["message"]["content"]
    except (KeyError, TypeError):
        raise BrokenAnswer("not a Converse answer") from None
    thoughts = [block["reasoningContent"] for block in blocks if "reasoningContent" in block]
    calls = [block["toolUse"] for block in blocks if "toolUse" in block]
    return Reply(
        text="".join(block["text"] for block in blocks if "text" in block),
        reasoning="".join(thought.get("reasoningText", {}).get("text", "") for thought in thoughts),
        tool_calls=tuple(
            ToolCall(call["toolUseId"], call["name"], call["input"], {} if number else kept(thoughts))
            for number, call in enumerate(calls)
        ),
        finish_reason=FINISH.get(native.get("stopReason") or "", "stop"),
        usage=usage(native.get("usage") or {}),
    )


def kept(thoughts: list[Json]) -> Json:
    """Thoughts ride on the first tool call, so that a client that sends its messages back returns them too."""
    return {"bedrock": {"reasoning": thoughts}} if thoughts else {}


def usage(native: Json) -> Usage:
    """Converse counts cached input beside `inputTokens`, not inside, and reasoning inside the output, unsplit."""
    cached = native.get("cacheReadInputTokens") or 0
    return Usage(
        input_tokens=(native.get("inputTokens") or 0) + cached + (native.get("cacheWriteInputTokens") or 0),
        output_tokens=native.get("outputTokens") or 0,
        cached_input_tokens=cached,
    )
