"""Perplexity: the Agent API in the Responses dialect, models, and the chat routes that are no more."""

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from tests.fake import replay
from tests.fake.floor import Play, Received, Route

PRESETS = ("fast", "low", "medium", "high", "xhigh")
GONE = "Chat completions are no longer available. Use the Agent API at /v1/responses."
TYPES = frozenset("message function_call function_call_output reasoning".split())
NAMES = frozenset(
    "model models input instructions tools tool_choice stream max_output_tokens temperature top_p reasoning text preset "
    "parallel_tool_calls metadata store include language_preference max_steps max_tool_calls background previous_response_id "
    "prompt_cache_key stream_options".split()
)
COST = {"input_cost": 0.00021, "output_cost": 0.00105, "tool_calls_cost": 0.005, "total_cost": 0.00626, "currency": "USD"}
ERROR = {"code": "server_error", "message": "The search did not come back."}
TEXT = replay.find("openai", "r1-t3-native-search")
CALL = replay.find("openai", "capability-load-and-recovery")
STREAM = replay.find("openai", "logprobs-streaming")


class Perplexity(Play):
    """No exchange with today's API is on record: it plays OpenAI's, with its own model, cost and errors."""

    slug = "perplexity"
    prefix = "pplx-"
    models = ("perplexity/sonar", "openai/gpt-6.1-sol", "anthropic/claude-opus-5-5", "google/gemini-3.8-flash", "xai/grok-4.7")
    folder = "openai"
    refusals = {
        "refused": (401, "invalid_api_key", "Invalid API key provided."),
        "payment": (402, "insufficient_credits", "Your account has no credit left."),
        "forbidden": (403, "permission_denied", "You do not have access to this resource."),
        "limited": (429, "rate_limit_exceeded", "Rate limit exceeded."),
        "exhausted": (401, "insufficient_quota", "You exceeded your current quota."),
        "broken": (500, "internal_server_error", "Something went wrong."),
        "overloaded": (503, "service_unavailable", "The service is overloaded."),
    }

    def routes(self) -> Iterable[Route]:
        for path in ("responses", "agent"):
            yield "POST", f"/perplexity/v1/{path}", self.respond
        yield "GET", "/perplexity/v1/models", self.list_models
        for path in ("chat/completions", "v1/chat/completions", "v1/sonar"):
            yield "POST", f"/perplexity/{path}", self.gone

    def error(self, status: int, kind: str, message: str) -> Any:
        return {"error": {"message": message, "type": kind, "code": status}}

    async def gone(self, request: web.Request, received: Received) -> web.StreamResponse:
        raise self.fails(403, "chat_completions_not_available", GONE)

    async def list_models(self, request: web.Request, received: Received) -> web.StreamResponse:
        rows = [{"id": model, "object": "model", "created": 1759436815, "owned_by": model.split("/")[0]} for model in self.models]
        return await self.tell(request, {"object": "list", "data": rows})

    async def respond(self, request: web.Request, received: Received) -> web.StreamResponse:
        body = self.read_json(request, received)
        if wrong := self.complaint(body):
            raise self.fails(400, "invalid_request", wrong)
        model = body.get("model") or "perplexity/sonar"
        if self.slug in self.floor.chosen:
            return await self.perform(request, "")
        if not body.get("stream"):
            call = body.get("tool_choice") == "required"
            return await self.tell(request, own(replay.load("openai", CALL if call else TEXT)["json"], model, received.behavior))
        events = [self.own_event(event, model, received.behavior) for event in replay.events(replay.load("openai", STREAM))]
        return await self.pour(request, events)

    def complaint(self, body: dict[str, Any]) -> str | None:
        if unknown := sorted(set(body) - NAMES):
            return f"Unknown parameter: '{unknown[0]}'."
        if not body.get("model") and body.get("preset") not in PRESETS:
            return "Either 'model' or 'preset' is required."
        if body.get("model") not in (None, *self.models):
            return f"Invalid model '{body['model']}'."
        items = body.get("input")
        if not items or not isinstance(items, str | list):
            return "Missing required parameter: 'input'."
        if isinstance(items, list) and any(item.get("type") not in TYPES for item in items):
            return "Every item of 'input' needs a 'type'."
        return None

    def own_event(self, event: bytes, model: str, behavior: str) -> bytes:
        chunk = replay.data(event)
        if "response" not in chunk:
            return event
        last = chunk["type"] == "response.completed"
        if last and behavior in ("errs", "fails"):
            chunk = {**chunk, "type": "response.failed"}
        return replay.event({**chunk, "response": own(chunk["response"], model, behavior if last else "")})


def own(response: dict[str, Any], model: str, behavior: str) -> dict[str, Any]:
    """OpenAI's response in Perplexity's words: the model, what it cost, and, where asked for, that it failed."""
    if behavior in ("errs", "fails"):
        return {**response, "model": model, "status": "failed", "error": ERROR, "output": []}
    usage = {**response["usage"], "cost": COST} if response.get("usage") else None
    return {**response, "model": model, "usage": usage}
