"""Anthropic: Messages with its stream, counting tokens, and models."""

import json
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from tests.fake import replay
from tests.fake.anthropic_rules import VERSIONS, complaint
from tests.fake.floor import HEADERS, Play, Received, Route

CREDIT = (
    "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."
)
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
MODELS = (
    "claude-opus-5-5",
    "claude-sonnet-5-5",
    "claude-haiku-5-5",
    "claude-opus-4-5",
    "claude-sonnet-4-5",
    "claude-sonnet-4-5-20250929",
    "claude-sonnet-4-6",
    "claude-haiku-4-5",
)


class Anthropic(Play):
    slug = "anthropic"
    prefix = "sk-ant-api03-"
    models = MODELS
    credentials = frozenset({"x-api-key", "authorization"})
    query = frozenset({"beta", "limit", "after_id", "before_id"})
    headers = {
        **{name: value for name, value in HEADERS.items() if name != "x-request-id"},
        "request-id": "req_fake",
        "anthropic-organization-id": "00000000-0000-0000-0000-00000000acme",
        "anthropic-ratelimit-requests-remaining": "99",
    }
    refusals = {
        "refused": (401, "authentication_error", "invalid x-api-key"),
        "payment": (402, "billing_error", "There is an issue with your billing."),
        "forbidden": (403, "permission_error", "Your API key does not have permission to use the specified resource."),
        "limited": (429, "rate_limit_error", "This request would exceed your organization's rate limit."),
        "exhausted": (400, "invalid_request_error", CREDIT),
        "broken": (500, "api_error", "Internal server error"),
        "overloaded": (529, "overloaded_error", "Overloaded"),
    }

    def routes(self) -> Iterable[Route]:
        yield "POST", "/anthropic/v1/messages", self.messages
        yield "POST", "/anthropic/v1/messages/count_tokens", self.count_tokens
        yield "GET", "/anthropic/v1/models", self.list_models

    def error(self, status: int, kind: str, message: str) -> Any:
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_fake"}

    async def messages(self, request: web.Request, received: Received) -> web.StreamResponse:
        body = self.read(request, received)
        if wrong := complaint(body, version=request.headers["anthropic-version"]):
            raise self.fails(400, "invalid_request_error", wrong)
        if received.behavior == "errs" and body.get("stream"):
            return await self.pour(request, failing_events())
        if self.slug not in self.floor.chosen and (forced := forced_tool(body)):
            message = calling(forced)
            return await (self.pour(request, message_events(message)) if body.get("stream") else self.tell(request, message))
        return await self.perform(request, TEXT_STREAM if body.get("stream") else TEXT)

    async def count_tokens(self, request: web.Request, received: Received) -> web.StreamResponse:
        body = self.read(request, received)
        if wrong := complaint(body, version=request.headers["anthropic-version"], counts=True):
            raise self.fails(400, "invalid_request_error", wrong)
        return await self.tell(request, {"input_tokens": max(1, len(received.body) // 4)})

    async def list_models(self, request: web.Request, received: Received) -> web.StreamResponse:
        self.check_version(request)
        shown = self.models[: int(received.query.get("limit", 20))]
        rows = [
            {"type": "model", "id": model, "display_name": model.title(), "created_at": "2026-02-01T00:00:00Z"} for model in shown
        ]
        more = len(shown) < len(self.models)
        return await self.tell(request, {"data": rows, "has_more": more, "first_id": shown[0], "last_id": shown[-1]})

    def read(self, request: web.Request, received: Received) -> dict[str, Any]:
        self.check_version(request)
        body = self.read_json(request, received)
        if "model" in body and body["model"] not in self.models:
            raise self.fails(404, "not_found_error", f"model: {body['model']}")
        return body

    def check_version(self, request: web.Request) -> None:
        version = request.headers.get("anthropic-version")
        if version not in VERSIONS:
            wrong = "header is required" if version is None else f'"{version}" is not a valid version'
            raise self.fails(400, "invalid_request_error", f"anthropic-version: {wrong}")


TEXT = replay.find("anthropic", "test-stop-settings")
TEXT_STREAM = replay.find("anthropic", "fallback-for-high-max-tokens")


def failing_events() -> list[bytes]:
    """The start of an answer, and then an error event inside the 200."""
    return [
        *replay.events(replay.load("anthropic", TEXT_STREAM))[:3],
        b"event: error\ndata: " + replay.dump(OVERLOADED) + b"\n\n",
    ]


def forced_tool(body: dict[str, Any]) -> str | None:
    """The tool that the answer must call. No recording has a call of the client's own tools."""
    choice = body.get("tool_choice") or {}
    if choice.get("type") == "any":
        return body["tools"][0]["name"]
    return choice.get("name")


def calling(tool: str) -> dict[str, Any]:
    block = {"type": "tool_use", "id": "toolu_01FakeCall", "name": tool, "input": {"city": "Paris"}}
    recorded = replay.load("anthropic", TEXT)["json"]
    return {**recorded, "content": [block], "stop_reason": "tool_use", "stop_sequence": None}


def message_events(message: dict[str, Any]) -> list[bytes]:
    """A message with one tool call as a stream."""
    block = message["content"][0]
    pieces = [{"type": "input_json_delta", "partial_json": text} for text in ("", *halves(json.dumps(block["input"])))]
    ends = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    chunks = [
        {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": {**block, "input": {}}},
        *({"type": "content_block_delta", "index": 0, "delta": piece} for piece in pieces),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": ends, "usage": {"output_tokens": message["usage"]["output_tokens"]}},
        {"type": "message_stop"},
    ]
    return [replay.event(chunk) for chunk in chunks]


def halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]
