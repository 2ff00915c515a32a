"""Reads OpenAI's chat request into a Chat. What cannot be carried over is refused by name, never dropped in silence."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from gateway.wires.values import Chat, Json, Media, Part, Schema, Text, Tool, ToolCall, ToolResult, Turn, Unsupported

IGNORED = frozenset(
    "metadata prediction prompt_cache_key prompt_cache_retention provider safety_identifier service_tier store user "
    "verbosity".split()
)
"""Fields that do not change what is answered; a foreign wire has no place for them."""

SAMPLING: dict[str, Any] = {
    "seed": None,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "logprobs": False,
    "top_logprobs": 0,
    "logit_bias": {},
}
"""Fields that a wire honors or refuses, each with the value that asks for nothing."""

READ = frozenset(
    "model messages max_tokens max_completion_tokens temperature top_p stop stream stream_options tools tool_choice "
    "parallel_tool_calls response_format reasoning_effort n modalities audio".split()
)
"""Fields that mean something here."""


def read(body: Mapping[str, Any]) -> Chat:
    """The chat that a request body asks for. Raises Unsupported naming the field."""
    _refuse_unknown(body)
    system, turns = _turns(_list(body.get("messages"), "messages"))
    choice, forced = _tool_choice(body.get("tool_choice"))
    return Chat(
        system=system,
        turns=turns,
        tools=tuple(_tool(item, f"tools[{n}]") for n, item in enumerate(_list(body.get("tools") or [], "tools"))),
        tool_choice=choice,
        forced_tool=forced,
        parallel_tool_calls=body.get("parallel_tool_calls") is not False,
        max_tokens=_number(body, "max_completion_tokens", int) or _number(body, "max_tokens", int),
        temperature=_number(body, "temperature", float),
        top_p=_number(body, "top_p", float),
        stop=_stop(body.get("stop")),
        schema=_schema(body.get("response_format")),
        effort=_string(body.get("reasoning_effort"), "reasoning_effort") or None,
        sampling={name: body[name] for name, none in SAMPLING.items() if body.get(name) not in (None, none)},
    )


def _refuse_unknown(body: Mapping[str, Any]) -> None:
    for name in ("functions", "function_call"):
        if body.get(name):
            raise Unsupported(name, f"{name} is OpenAI's old form. Use tools and tool_choice.")
    for name in body:
        if name not in READ and name not in IGNORED and name not in SAMPLING and body[name] is not None:
            raise Unsupported(name, f"{name} cannot be carried over to this provider. Leave it out.")
    if body.get("n") not in (None, 1):
        raise Unsupported("n", "This provider gives one answer to a request: leave n at 1.")
    if body.get("modalities") not in (None, ["text"]) or body.get("audio"):
        raise Unsupported("modalities", 'This provider answers in text here: leave modalities at ["text"].')


def _turns(messages: Sequence[Any]) -> tuple[tuple[str, ...], tuple[Turn, ...]]:
    if not messages:
        raise Unsupported("messages", "messages is empty. Send at least one message.")
    system: list[str] = []
    turns: list[Turn] = []
    names: dict[str, str] = {}
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        if not isinstance(message, dict):
            raise Unsupported(where, f"{where} must be an object with role and content.")
        role = message.get("role")
        if role in ("system", "developer"):
            system += [part.text for part in _content(message.get("content"), where) if isinstance(part, Text)]
        elif role == "user":
            _append(turns, "user", _content(message.get("content"), where))
        elif role == "assistant":
            _append(turns, "assistant", _assistant(message, where, names))
        elif role == "tool":
            _append(turns, "user", [_tool_result(message, where, names)])
        else:
            raise Unsupported(f"{where}.role", f"{where}.role must be system, developer, user, assistant or tool.")
    return tuple(system), tuple(turns)


def _append(turns: list[Turn], role: Literal["user", "assistant"], parts: Sequence[Part]) -> None:
    """Add parts as a turn, or to the last one where the role is the same. Turns without parts do not exist."""
    if not parts:
        return
    if turns and turns[-1].role == role:
        turns[-1] = Turn(role, (*turns[-1].parts, *parts))
    else:
        turns.append(Turn(role, tuple(parts)))


def _content(content: Any, where: str) -> list[Text | Media]:
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(content)] if content else []
    parts = [_part(item, f"{where}.content[{n}]") for n, item in enumerate(_list(content, f"{where}.content"))]
    return [part for part in parts if part != Text("")]


def _part(item: Any, where: str) -> Text | Media:
    kind = item.get("type") if isinstance(item, dict) else None
    if kind in ("text", "refusal"):
        return Text(_string(item.get(kind), f"{where}.{kind}"))
    if kind == "image_url":
        image = item.get("image_url")
        url = image.get("url") if isinstance(image, dict) else image
        return _media("image", _string(url, f"{where}.image_url.url"), f"{where}.image_url.url")
    if kind == "input_audio" and isinstance(item.get("input_audio"), dict):
        audio = item["input_audio"]
        return Media("audio", f"audio/{_string(audio.get('format'), where)}", _base64(_string(audio.get("data"), where), where))
    if kind == "file" and isinstance(item.get("file"), dict) and item["file"].get("file_data"):
        file = item["file"]
        return _media("document", _string(file["file_data"], where), f"{where}.file", name=_string(file.get("filename"), where))
    raise Unsupported(
        where, f"{where} is of type {kind!r}. This provider takes text, image_url, input_audio and file with file_data."
    )


def _media(kind: Literal["image", "document"], url: str, where: str, *, name: str = "") -> Media:
    if url.startswith(("https://", "http://")):
        return Media(kind, url=url, name=name, where=where)
    head, comma, data = url.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        raise Unsupported(where, f"{where} must be an https address or a data: URI in base64.")
    media_type = head[len("data:") : -len(";base64")].partition(";")[0]
    return Media(kind, media_type, _base64(data, where), name=name)


def _base64(data: str, where: str) -> str:
    try:
        base64.b64decode(data, validate=True)
    except binascii.Error:
        raise Unsupported(where, f"{where} is not valid base64.") from None
    return data


def _assistant(message: Mapping[str, Any], where: str, names: dict[str, str]) -> list[Part]:
    parts: list[Part] = list(_content(message.get("content") or message.get("refusal"), where))
    for number, call in enumerate(_list(message.get("tool_calls") or [], f"{where}.tool_calls")):
        place = f"{where}.tool_calls[{number}]"
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            raise Unsupported(place, f"{place} must be a call of a function.")
        name = _string(function.get("name"), f"{place}.function.name")
        extra = call.get("extra_content")
        made = ToolCall(
            id=_string(call.get("id"), f"{place}.id"),
            name=name,
            arguments=_arguments(function.get("arguments"), f"{place}.function.arguments"),
            extra=extra if isinstance(extra, dict) else {},
        )
        names[made.id] = name
        parts.append(made)
    return parts


def _arguments(raw: Any, where: str) -> Json:
    try:
        value = msgspec.json.decode(raw or "{}")
    except (TypeError, ValueError, RecursionError, msgspec.DecodeError):
        value = None
    if not isinstance(value, dict):
        raise Unsupported(where, f"{where} must be a JSON object in a string.")
    return value


def _tool_result(message: Mapping[str, Any], where: str, names: Mapping[str, str]) -> ToolResult:
    call_id = _string(message.get("tool_call_id"), f"{where}.tool_call_id")
    if call_id not in names:
        raise Unsupported(
            f"{where}.tool_call_id", f"{where} answers {call_id!r}, but no earlier assistant message made that call."
        )
    return ToolResult(call_id, names[call_id], tuple(_content(message.get("content"), where)))


def _tool(item: Any, where: str) -> Tool:
    function = item.get("function") if isinstance(item, dict) and item.get("type", "function") == "function" else None
    if not isinstance(function, dict):
        raise Unsupported(where, f"{where} must be of type function.")
    return Tool(
        name=_string(function.get("name"), f"{where}.function.name"),
        description=_string(function.get("description") or "", f"{where}.function.description"),
        parameters=function.get("parameters") or {"type": "object", "properties": {}},
        strict=function.get("strict") is True,
    )


def _tool_choice(choice: Any) -> tuple[str, str]:
    """What must be called: (auto | none | required | named, the tool's name)."""
    if choice is None:
        return "auto", ""
    if choice in ("auto", "none", "required"):
        return choice, ""
    if isinstance(choice, dict) and isinstance(choice.get("function"), dict):
        return "named", _string(choice["function"].get("name"), "tool_choice.function.name")
    raise Unsupported("tool_choice", "tool_choice must be auto, none, required or name one function.")


def _schema(value: Any) -> Schema | None:
    kind = value.get("type") if isinstance(value, dict) else value
    if kind in (None, "text"):
        return None
    if kind == "json_object":
        return Schema("answer", None, False)
    inner = value.get("json_schema") if kind == "json_schema" and isinstance(value, dict) else None
    if not isinstance(inner, dict) or not isinstance(inner.get("schema"), dict):
        raise Unsupported("response_format", "response_format must be text, json_object or json_schema with a schema.")
    return Schema(
        _string(inner.get("name") or "answer", "response_format.json_schema.name"), inner["schema"], inner.get("strict") is True
    )


def _stop(value: Any) -> tuple[str, ...]:
    stops = [value] if isinstance(value, str) else _list(value or [], "stop")
    return tuple(_string(stop, "stop") for stop in stops)


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise Unsupported(where, f"{where} must be a list.")
    return value


def _string(value: Any, where: str) -> str:
    if not isinstance(value, str | None):
        raise Unsupported(where, f"{where} must be a string.")
    return value or ""


def _number[N: (int, float)](body: Mapping[str, Any], name: str, kind: type[N]) -> N | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or (kind is int and value != int(value)):
        raise Unsupported(name, f"{name} must be a number.")
    return kind(value)
