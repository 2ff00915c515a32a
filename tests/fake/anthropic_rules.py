"""What Anthropic's Messages refuses, wherever it is served: at home, on Bedrock and on Vertex."""

import re
from collections.abc import Mapping
from itertools import groupby
from typing import Any

VERSIONS = ("2023-06-01", "2026-10-21")
NAMES = frozenset(
    "model messages max_tokens system stop_sequences stream temperature top_p top_k tools tool_choice metadata thinking "
    "service_tier container context_management mcp_servers output_config cache_control inference_geo speed diagnostics "
    "compaction fallbacks thread billing_policy".split()
)
BLOCKS = frozenset(
    "text image document tool_use tool_result thinking redacted_thinking server_tool_use web_search_tool_result "
    "web_fetch_tool_result code_execution_tool_result bash_code_execution_tool_result text_editor_code_execution_tool_result "
    "mcp_tool_use mcp_tool_result search_result container_upload tool_search_tool_result advisor_tool_result".split()
)
MEDIA = ("image/jpeg", "image/png", "image/gif", "image/webp")
FAMILY = re.compile(r"claude-(opus|sonnet|haiku|fable|mythos)-(\d+)(?:-(\d)(?!\d))?")
NO_SAMPLING_FROM = {"opus": (4, 7), "sonnet": (5, 0), "haiku": (5, 5), "fable": (0, 0), "mythos": (0, 0)}


def complaint(body: Mapping[str, Any], *, version: str, model: str = "", counts: bool = False) -> str | None:
    """What is wrong with a request, in Anthropic's words. model: where it stands in the address instead of the body."""
    known = NAMES - {"model"} | {"anthropic_version", "anthropic_beta"} if model else NAMES
    if unknown := sorted(set(body) - known):
        return f"{unknown[0]}: Extra inputs are not permitted"
    if not model and not body.get("model"):
        return "model: Field required"
    if not counts and (type(body.get("max_tokens")) is not int or body["max_tokens"] < 1):
        return "max_tokens: Field required"
    return (
        sampling(body, version, model or body["model"])
        or thinking(body)
        or tools(body)
        or turns(body.get("messages"))
        or empty_texts("system", body.get("system"))
    )


def sampling(body: Mapping[str, Any], version: str, model: str) -> str | None:
    set_here = [name for name in ("temperature", "top_p", "top_k") if body.get(name) is not None]
    if version == "2026-10-21" and set_here:
        return f"{set_here[0]}: this parameter is not supported in this version"
    if family := FAMILY.search(model):
        since = (int(family[2]), int(family[3] or 0))
        harmless = {"temperature"} if body.get("temperature") == 1 else set()
        if since >= NO_SAMPLING_FROM[family[1]] and (refused := sorted(set(set_here) - harmless)):
            return f"`{refused[0]}` is not supported for this model."
    if {"temperature", "top_p"} <= set(set_here):
        return "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
    if not 0 <= body.get("temperature", 1) <= 1:
        return "temperature: range: 0..1"
    if any(not str(text).strip() for text in body.get("stop_sequences") or []):
        return "stop_sequences: each stop sequence must contain non-whitespace"
    return None


def thinking(body: Mapping[str, Any]) -> str | None:
    budget = (body.get("thinking") or {}).get("budget_tokens")
    if budget is not None and budget < 1024:
        return "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"
    if budget is not None and budget >= body.get("max_tokens", budget + 1):
        return "`max_tokens` must be greater than `thinking.budget_tokens`."
    if budget is not None and body.get("temperature", 1) != 1:
        return "`temperature` may only be set to 1 when thinking is enabled."
    return None


def tools(body: Mapping[str, Any]) -> str | None:
    known = [tool.get("name") for tool in body.get("tools") or []]
    choice = body.get("tool_choice") or {}
    if choice and not known:
        return "tool_choice: may only be specified while providing `tools`."
    if choice.get("type") == "tool" and choice.get("name") not in known:
        return f"tool_choice: Tool '{choice.get('name')}' not found in provided tools"
    if len(known) != len(set(known)):
        return "tools: Tool names must be unique."
    for number, tool in enumerate(body.get("tools") or []):
        if tool.get("type", "custom") == "custom" and (tool.get("input_schema") or {}).get("type") != "object":
            return f"tools.{number}.custom.input_schema.type: Field required"
    return None


def turns(messages: Any) -> str | None:
    if not isinstance(messages, list) or not messages:
        return "messages: at least one message is required"
    for number, message in enumerate(messages):
        if message.get("role") not in ("user", "assistant"):
            return f'messages: Unexpected role "{message.get("role")}". Allowed roles are "user" or "assistant".'
        wrong = empty_texts(f"messages.{number}", message.get("content")) or unknown_block(number, blocks_of(message))
        if wrong:
            return wrong
    return unpaired(messages)


def blocks_of(message: Mapping[str, Any]) -> list[Any]:
    content = message["content"]
    return content if isinstance(content, list) else [{"type": "text", "text": content}]


def unpaired(messages: list[Any]) -> str | None:
    """Calls without results and results without calls. Turns of one role in a row count as one."""
    calls: set[str] = set()
    for number, (role, group) in enumerate(groupby(messages, key=lambda message: message["role"])):
        blocks = [block for message in group for block in blocks_of(message)]
        if wrong := results(number, blocks, calls):
            return wrong
        calls = {block["id"] for block in blocks if block["type"] == "tool_use"} if role == "assistant" else set()
    return f"messages: `tool_use` ids were found without `tool_result` blocks: {', '.join(sorted(calls))}." if calls else None


def empty_texts(where: str, content: Any) -> str | None:
    texts = [content] if isinstance(content, str) else [b.get("text") for b in content or [] if b.get("type") == "text"]
    if content is None and where.startswith("messages"):
        return f"{where}.content: Field required"
    return f"{where}: text content blocks must be non-empty" if not all(texts) else None


def unknown_block(number: int, blocks: list[Any]) -> str | None:
    for place, block in enumerate(blocks):
        if block.get("type") not in BLOCKS:
            return f"messages.{number}.content.{place}: Input tag '{block.get('type')}' does not match any of the expected tags"
        source = block.get("source") or {}
        if block["type"] == "image" and source.get("type") == "base64" and source.get("media_type") not in MEDIA:
            return f"messages.{number}.content.{place}.image.source.base64.media_type: Input should be one of {MEDIA}"
    return None


def results(number: int, blocks: list[Any], calls: set[str]) -> str | None:
    """Each call of the turn before has its result here, and no other result is here."""
    given = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
    if strange := [name for name in given if name not in calls]:
        return (
            f"messages.{number}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: {strange[0]}. Each "
            "`tool_result` block must have a corresponding `tool_use` block in the previous message."
        )
    if missing := sorted(calls - set(given)):
        return (
            f"messages.{number - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the next message."
        )
    return None
