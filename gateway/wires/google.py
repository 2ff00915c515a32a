"""Google's generateContent dialect, of AI Studio and Vertex AI: what a Chat looks like there, and what its answers say."""

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
    Tool,
    ToolCall,
    ToolResult,
    Unsupported,
    Usage,
)

NEEDS_MEDIA_BYTES = True
"""Google takes addresses of its own storage only."""

FINISH: dict[str, FinishReason] = {"STOP": "stop", "MAX_TOKENS": "length"}
"""Anything else that ends an answer, such as SAFETY, RECITATION or MODEL_ARMOR, is a content filter."""

HONORED = ("seed", "frequency_penalty", "presence_penalty")
_NOT_FILTERED = {"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "OTHER", "FINISH_REASON_UNSPECIFIED"}
_UNSIGNED = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="
"""Google's own word for a call whose thought signature the client did not keep."""

_GENERATION = re.compile(r"gemini-(\d+)")
_BUDGET = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24_576}
_LEVEL = {"none": "minimal", "minimal": "minimal", "low": "low", "medium": "medium", "high": "high"}


# The request


def body(chat: Chat, *, native_model: str) -> Json:
    """The body of :generateContent and :streamGenerateContent. Raises Unsupported."""
    chat.refuse_sampling("Gemini", HONORED)
    written: Json = {"contents": [_content(turn.role, turn.parts, native_model) for turn in chat.turns]}
    if chat.system:
        written["systemInstruction"] = {"parts": [{"text": text} for text in chat.system]}
    if chat.tools:
        written["tools"] = [{"functionDeclarations": [_declaration(tool) for tool in chat.tools]}]
        written["toolConfig"] = {"functionCallingConfig": _calling(chat)}
    if config := _config(chat, native_model):
        written["generationConfig"] = config
    return written


def _content(role: str, parts: tuple[Part, ...], native_model: str) -> Json:
    written: list[Json] = []
    for part in parts:
        written += _written(part)
    calls = [part for part in written if "functionCall" in part]
    if calls and "thoughtSignature" not in calls[0] and _generation(native_model) >= 3:
        calls[0]["thoughtSignature"] = _UNSIGNED
    return {"role": "model" if role == "assistant" else "user", "parts": written}


def _written(part: Part) -> list[Json]:
    match part:
        case Text(text):
            return [{"text": text}]
        case Media():
            return [{"inlineData": {"mimeType": part.media_type, "data": part.data}}]
        case ToolCall(_, name, arguments, extra):
            signature = extra.get("google", {}).get("thought_signature")
            call: Json = {"functionCall": {"name": name, "args": arguments}}
            return [{**call, "thoughtSignature": signature} if signature else call]
        case ToolResult(_, name, inner):
            said = "".join(item.text for item in inner if isinstance(item, Text))
            shown = [written for item in inner if isinstance(item, Media) for written in _written(item)]
            return [{"functionResponse": {"name": name, "response": {"result": said}}}, *shown]


def _declaration(tool: Tool) -> Json:
    return {"name": tool.name, "description": tool.description, "parametersJsonSchema": tool.parameters}


def _calling(chat: Chat) -> Json:
    if not chat.parallel_tool_calls:
        raise Unsupported("parallel_tool_calls", "Gemini cannot be kept to one tool call at a time. Leave it out.")
    if chat.tool_choice == "named":
        return {"mode": "ANY", "allowedFunctionNames": [chat.forced_tool]}
    return {"mode": {"auto": "AUTO", "none": "NONE", "required": "ANY"}[chat.tool_choice]}


def _config(chat: Chat, native_model: str) -> Json:
    config = {
        "maxOutputTokens": chat.max_tokens,
        "temperature": chat.temperature,
        "topP": chat.top_p,
        "stopSequences": list(chat.stop) or None,
        "seed": chat.sampling.get("seed"),
        "frequencyPenalty": chat.sampling.get("frequency_penalty"),
        "presencePenalty": chat.sampling.get("presence_penalty"),
        "responseMimeType": "application/json" if chat.schema else None,
        "responseJsonSchema": chat.schema.schema if chat.schema else None,
        "thinkingConfig": _thinking(chat.effort, native_model) if chat.effort else None,
    }
    return {name: value for name, value in config.items() if value is not None}


def _thinking(effort: str, native_model: str) -> Json:
    """Gemini 3 takes a level, older ones a number of tokens."""
    if effort not in _BUDGET:
        raise Unsupported("reasoning_effort", f"reasoning_effort must be one of {', '.join(_BUDGET)} for Gemini.")
    if _generation(native_model) >= 3:
        return {"thinkingLevel": _LEVEL[effort], "includeThoughts": effort != "none"}
    return {"thinkingBudget": _BUDGET[effort], "includeThoughts": effort != "none"}


def _generation(native_model: str) -> int:
    found = _GENERATION.search(native_model)
    return int(found[1]) if found else 0


# The answer


def reply(native: Json) -> Reply:
    """The answer of :generateContent. Raises BrokenAnswer. A prompt that was blocked is an empty, filtered answer."""
    candidates = native.get("candidates") or []
    blocked = (native.get("promptFeedback") or {}).get("blockReason")
    if not candidates and not blocked:
        raise BrokenAnswer("an answer without candidates")
    candidate = candidates[0] if candidates else {"finishReason": blocked}
    parts = parts_of(candidate)
    calls = [part for part in parts if "functionCall" in part]
    return Reply(
        text="".join(text for part in parts if (text := said(part))),
        reasoning="".join(part["text"] for part in parts if part.get("thought") and "text" in part),
        tool_calls=tuple(call_of(part, native, number) for number, part in enumerate(calls)),
        finish_reason=finish_reason(candidate.get("finishReason") or "STOP", bool(calls)),
        usage=usage(native.get("usageMetadata") or {}),
    )


def parts_of(candidate: Json) -> list[Json]:
    parts: list[Json] = (candidate.get("content") or {}).get("parts") or []
    return parts


def said(part: Json) -> str:
    """The part's words, where they are no thoughts."""
    return "" if part.get("thought") else part.get("text", "")


def call_of(part: Json, native: Json, number: int) -> ToolCall:
    """A function call. Where Google gives it no id, one is made of the answer's own."""
    call = part["functionCall"]
    signature = part.get("thoughtSignature")
    return ToolCall(
        id=call.get("id") or f"call_{native.get('responseId', '')}_{number}",
        name=call["name"],
        arguments=call.get("args") or {},
        extra={"google": {"thought_signature": signature}} if signature else {},
    )


def finish_reason(native: str, called: bool) -> FinishReason:
    if called and (native == "STOP" or native in _NOT_FILTERED):
        return "tool_calls"
    return FINISH.get(native, "stop" if native in _NOT_FILTERED else "content_filter")


def usage(native: Json) -> Usage:
    """Google counts thoughts beside the candidates' tokens, and what tools brought in beside the prompt's."""
    thoughts = native.get("thoughtsTokenCount") or 0
    return Usage(
        input_tokens=(native.get("promptTokenCount") or 0) + (native.get("toolUsePromptTokenCount") or 0),
        output_tokens=(native.get("candidatesTokenCount") or 0) + thoughts,
        cached_input_tokens=native.get("cachedContentTokenCount") or 0,
        reasoning_tokens=thoughts,
    )
