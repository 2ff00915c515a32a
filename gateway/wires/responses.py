"""OpenAI's Responses dialect, which Perplexity speaks too: what a Chat looks like there, and what its answers say."""

import json

from gateway.wires.values import (
    BrokenAnswer,
    Chat,
    FinishReason,
    Json,
    Media,
    Reply,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    Unsupported,
    Usage,
)

NEEDS_MEDIA_BYTES = False
"""Addresses of images go through as they are."""


# The request


def body(chat: Chat, *, native_model: str) -> Json:
    """The body of POST /v1/responses, but for `stream`. Raises Unsupported."""
    chat.refuse_sampling("The Responses API")
    if chat.stop:
        raise Unsupported("stop", "The Responses API has no stop sequences. Leave stop out.")
    written: Json = {"model": native_model, "input": [item for turn in chat.turns for item in _items(turn)]}
    if chat.system:
        written["instructions"] = "\n\n".join(chat.system)
    if chat.tools:
        written["tools"] = [
            {"type": "function", "name": t.name, "description": t.description, "parameters": t.parameters, "strict": t.strict}
            for t in chat.tools
        ]
        named = {"type": "function", "name": chat.forced_tool}
        written["tool_choice"] = named if chat.tool_choice == "named" else chat.tool_choice
        written["parallel_tool_calls"] = chat.parallel_tool_calls
    limits = {"max_output_tokens": chat.max_tokens, "temperature": chat.temperature, "top_p": chat.top_p}
    written |= {name: value for name, value in limits.items() if value is not None}
    if chat.effort:
        written["reasoning"] = {"effort": chat.effort}
    if chat.schema:
        written["text"] = {"format": _format(chat)}
    return written


def _items(turn: Turn) -> list[Json]:
    """A turn as items: calls and their results stand for themselves, what is said between them in messages."""
    items: list[Json] = []
    for part in turn.parts:
        match part:
            case ToolCall(id, name, arguments):
                written = json.dumps(arguments, ensure_ascii=False)
                items.append({"type": "function_call", "call_id": id, "name": name, "arguments": written})
            case ToolResult(id, _, inner):
                items.append({"type": "function_call_output", "call_id": id, "output": _output(inner)})
            case Text() | Media():
                if not items or items[-1]["type"] != "message":
                    items.append({"type": "message", "role": turn.role, "content": []})
                items[-1]["content"].append(_content(part, turn.role))
    return items


def _output(parts: tuple[Text | Media, ...]) -> str | list[Json]:
    if all(isinstance(part, Text) for part in parts):
        return "".join(part.text for part in parts if isinstance(part, Text))
    return [_content(part, "user") for part in parts]


def _content(part: Text | Media, role: str) -> Json:
    if isinstance(part, Text):
        return {"type": "output_text" if role == "assistant" else "input_text", "text": part.text}
    address = part.url or f"data:{part.media_type};base64,{part.data}"
    if part.kind == "image":
        return {"type": "input_image", "image_url": address}
    if part.kind == "document":
        return {"type": "input_file", "filename": part.name or "document", "file_data": address}
    raise Unsupported("messages", "The Responses API takes no audio in a message. Send text, images or documents.")


def _format(chat: Chat) -> Json:
    assert chat.schema is not None
    if chat.schema.schema is None:
        return {"type": "json_object"}
    return {"type": "json_schema", "name": chat.schema.name, "schema": chat.schema.schema, "strict": chat.schema.strict}


# The answer


def reply(native: Json) -> Reply:
    """The answer of POST /v1/responses. Raises BrokenAnswer, also for a 200 that says it failed."""
    if not isinstance(native.get("output"), list) or native.get("status") == "failed":
        raise BrokenAnswer(failure_of(native))
    contents = [content for item in native["output"] if item.get("type") == "message" for content in item["content"]]
    calls = [item for item in native["output"] if item.get("type") == "function_call"]
    thoughts = [part for item in native["output"] if item.get("type") == "reasoning" for part in item.get("summary") or []]
    return Reply(
        text="".join(content["text"] for content in contents if content["type"] == "output_text"),
        refusal="".join(content["refusal"] for content in contents if content["type"] == "refusal"),
        reasoning="".join(part.get("text", "") for part in thoughts),
        tool_calls=tuple(ToolCall(call["call_id"], call["name"], _arguments(call)) for call in calls),
        finish_reason=finish_reason(native, bool(calls)),
        usage=usage(native.get("usage") or {}),
    )


def _arguments(call: Json) -> Json:
    try:
        arguments = json.loads(call["arguments"] or "{}")
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        raise BrokenAnswer("the arguments of a call are no JSON object")
    return arguments


def failure_of(native: Json) -> str:
    error = native.get("error")
    return str(error.get("message") if isinstance(error, dict) else error or "not a response")


def finish_reason(native: Json, called: bool) -> FinishReason:
    if native.get("status") == "incomplete":
        cause = (native.get("incomplete_details") or {}).get("reason")
        return "content_filter" if cause == "content_filter" else "length"
    return "tool_calls" if called else "stop"


def usage(native: Json) -> Usage:
    """Perplexity tells its cost in dollars, Grok in ticks of which 10^10 are a dollar."""
    cost, ticks = (native.get("cost") or {}).get("total_cost"), native.get("cost_in_usd_ticks")
    reported = round(cost * 1_000_000) if cost is not None else None
    return Usage(
        input_tokens=native.get("input_tokens") or 0,
        output_tokens=native.get("output_tokens") or 0,
        cached_input_tokens=(native.get("input_tokens_details") or {}).get("cached_tokens") or 0,
        reasoning_tokens=(native.get("output_tokens_details") or {}).get("reasoning_tokens") or 0,
        reported_cost_microusd=round(ticks / 10_000) if ticks is not None else reported,
    )
