"""Pollo: a generation is made, asked for, and paid from a balance of credits."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.fake.floor import Play, Received, Route

CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    429: "TOO_MANY_REQUESTS",
    500: "INTERNAL_SERVER_ERROR",
    503: "SERVICE_UNAVAILABLE",
}
MODELS = ("pollo/pollo-v2-0", "kling-ai/kling-v1-6", "minimax/minimax-hailuo-02", "google/veo3")
INPUTS = frozenset(
    "prompt length resolution aspectRatio image imageTail mode seed negativePrompt strength generateAudio style".split()
)
STATES = ("waiting", "processing", "succeed")


@dataclass
class Task:
    """One generation; each question for its status moves it one state on."""

    id: str
    owner: str
    asked: int = 0


class Pollo(Play):
    slug = "pollo"
    prefix = "pollo_"
    models = MODELS
    credentials = frozenset({"x-api-key"})
    refusals = {
        "refused": (401, "UNAUTHORIZED", "Invalid API key"),
        "forbidden": (403, "FORBIDDEN", "You have no access to this resource"),
        "payment": (403, "FORBIDDEN", "Not enough credits"),
        "exhausted": (400, "BAD_REQUEST", "Insufficient credits, please top up"),
        "limited": (429, "TOO_MANY_REQUESTS", "Too many requests"),
        "broken": (500, "INTERNAL_SERVER_ERROR", "Internal server error"),
        "overloaded": (503, "SERVICE_UNAVAILABLE", "Service unavailable"),
    }

    def routes(self) -> Iterable[Route]:
        yield "GET", "/pollo/api/platform/credit/balance", self.balance
        yield "GET", "/pollo/api/platform/generation/{id}/status", self.status
        yield "POST", "/pollo/api/platform/generation/{vendor}/{model}", self.generate
        yield "GET", "/pollo/api/platform/generation/task/status/{id}", self.nowhere

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.tasks: dict[str, Task] = {}

    def error(self, status: int, kind: str, message: str) -> Any:
        return {"code": CODES.get(status, kind), "message": message}

    async def nowhere(self, request: web.Request, received: Received) -> web.StreamResponse:
        raise self.fails(404, "NOT_FOUND", "Not found")

    async def generate(self, request: web.Request, received: Received) -> web.StreamResponse:
        model = f"{request.match_info['vendor']}/{request.match_info['model']}"
        if model not in MODELS:
            raise self.fails(404, "NOT_FOUND", f"Model {model} not found")
        body = self.read_json(request, received)
        given = body.get("input")
        if not isinstance(given, dict) or not (given.get("prompt") or given.get("image")):
            raise self.fails(400, "BAD_REQUEST", "input.prompt: Required")
        if unknown := sorted((set(body) - {"input", "webhookUrl"}) | (set(given) - INPUTS)):
            raise self.fails(400, "BAD_REQUEST", f"Unrecognized key: {unknown[0]}")
        task = Task(f"c{len(self.tasks) + 1:024}", self.shown_key(request))
        self.tasks[task.id] = task
        return await self.answer(request, received, {"taskId": task.id, "status": "waiting"})

    async def status(self, request: web.Request, received: Received) -> web.StreamResponse:
        task = self.tasks.get(request.match_info["id"])
        if task is None or task.owner != self.shown_key(request):
            raise self.fails(404, "NOT_FOUND", "Task not found")
        state = STATES[min(task.asked, 2)]
        task.asked += 1
        made: dict[str, Any] = {"id": f"g{task.id}", "status": state, "mediaType": "video", "url": "", "failMsg": ""}
        if state == "succeed":
            failed = {"status": "failed", "failMsg": "The prompt was refused by the model."}
            made |= failed if received.behavior == "fails" else {"url": f"https://videocdn.pollo.ai/{task.id}.mp4"}
        return await self.answer(request, received, {"taskId": task.id, "generations": [made]})

    async def balance(self, request: web.Request, received: Received) -> web.StreamResponse:
        return await self.answer(request, received, {"availableCredits": 120, "totalCredits": 500})

    async def answer(self, request: web.Request, received: Received, data: Any) -> web.StreamResponse:
        """Bare, or in an envelope: both have been seen."""
        wrapped = {"code": "SUCCESS", "message": "success", "data": data}
        return await self.tell(request, wrapped if received.behavior == "wrapped" else data)
