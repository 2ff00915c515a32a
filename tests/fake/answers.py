"""The bytes that the fake sends: recorded exchanges, and the errors of each provider."""

import json
from collections.abc import Mapping
from typing import Any

from tests.fake.stages import BEHAVIORS, CODES, Stage

UNRECOGNIZED = ("provider", "route", "models", "transforms")  # words of a router, which no provider knows
MESSAGES = {
    "payment": "Your account has no credit left.",
    "forbidden": "This key has no permission for this.",
    "limited": "Rate limit reached. Try again in 7s.",
    "exhausted": "You exceeded your current quota, please check your plan and billing details.",
    "broken": "The server had an error while processing your request.",
    "suspended": "This account is suspended.",
}
HEADERS = {
    "server": "cloudflare",
    "set-cookie": "__cf_bm=tracking; path=/; HttpOnly",
    "x-request-id": "req_fake",
    "openai-organization": "org-of-the-account",
    "x-ratelimit-remaining-requests": "99",
}
FILTERED = b'data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0}]}\n\n'


def dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def chat(stage: Stage) -> bytes:
    return dump(stage.recording("chat")["json"])


def chat_events(stage: Stage, include_usage: bool | None) -> list[bytes]:
    """A recorded stream as one bytes object an event. The usage chunk stands in it only where the real one sends it."""
    wanted = stage.usage_by_default if include_usage is None else include_usage
    events = [event for event in recorded_events(stage, "chat-stream") if wanted or not is_usage(event)]
    if wanted and not any(map(is_usage, events)):
        events.insert(-1, usage_event(events[-2]))
    if not wanted:
        events = [event.replace(b',"usage":null', b"") for event in events]
    return [FILTERED, *events] if stage.slug == "azure" else events


def failing_events(stage: Stage) -> list[bytes]:
    """The start of an answer, and then an error event inside the 200."""
    events = recorded_events(stage, "chat-stream")[:2]
    error = next(event for event in recorded_events(stage, "chat-stream-error", "groq") if event.startswith(b"event: error"))
    return [*events, error]


def recorded_events(stage: Stage, name: str, folder: str = "") -> list[bytes]:
    recorded = stage.recording(name, folder)
    if "text" in recorded:
        return [f"{event}\n\n".encode() for event in recorded["text"].split("\n\n") if event.strip()]
    return [b"data: " + dump(chunk) + b"\n\n" for chunk in recorded["chunks"]] + [b"data: [DONE]\n\n"]


def is_usage(event: bytes) -> bool:
    return b'"choices":[]' in event and b'"usage":{' in event


def usage_event(last: bytes) -> bytes:
    """Groq: the usage of the last chunk again, in a chunk of its own."""
    chunk = json.loads(last.removeprefix(b"data: "))
    return b"data: " + dump({**chunk, "choices": []}) + b"\n\n"


def models(stage: Stage) -> bytes:
    rows = [{"id": model, "object": "model", "created": 1759436815, "owned_by": stage.slug} for model in stage.models]
    return dump({"object": "list", "data": rows})


def refusal(stage: Stage, behavior: str, key: str) -> tuple[int, bytes, Mapping[str, str]] | None:
    """Status, body and headers of a key that is refused, or None for one that is not."""
    status = 403 if behavior == "suspended" else BEHAVIORS[behavior]
    if status < 400:
        return None
    code = "credit_balance_exhausted" if behavior == "exhausted" else CODES[status]
    shown = key if behavior == "echoes" else f"{key[:6]}****{key[-4:]}"
    message = MESSAGES.get(behavior, f"Incorrect API key provided: {shown}.")
    headers = {"retry-after": "7"} if behavior == "limited" else {}
    return status, dump(stage.error(status, code, message)), headers


def complaint(stage: Stage, body: Any, deployment: str) -> tuple[int, str] | None:
    """Status and message of what is wrong with the body of a chat request."""
    if not isinstance(body, dict):
        return 400, "We could not parse the JSON body of your request."
    if unknown := [name for name in UNRECOGNIZED if name in body]:
        return 400, f"Unrecognized request argument supplied: {unknown[0]}"
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        return 400, "Missing required parameter: 'messages'."
    if "stream_options" in body and body.get("stream") is not True:
        return 400, "The 'stream_options' parameter is only allowed when 'stream' is enabled."
    if (model := deployment or body.get("model")) not in stage.models:
        return 404, f"The model `{model}` does not exist or you do not have access to it."
    return None
