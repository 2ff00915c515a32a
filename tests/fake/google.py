"""What AI Studio and Vertex have in common: Gemini's methods, and Google's errors."""

from typing import Any

from aiohttp import web

from tests.fake import replay
from tests.fake.floor import Answer, Play, Received
from tests.fake.google_rules import complaint

NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
MODELS = (
    "gemini-3.8-flash",
    "gemini-3.1-pro-preview",
    "gemini-3-flash-preview",
    "gemini-2.5-pro",
    "gemini-2.5-flash",
    "gemini-2.0-flash",
)
STREAM = replay.find("aistudio", "thinking-part-iter")
TROUBLE = "The model had trouble while it streamed."


class Google(Play):
    """`kind` of an error is the reason that its details give, if they give one."""

    models = MODELS
    headers = {"server": "scaffolding on HTTPServer2", "x-content-type-options": "nosniff"}
    stream_type = "text/event-stream"
    text = ("", "")  # folder and name of a recording
    call = ("", "")

    def error(self, status: int, kind: str, message: str) -> Any:
        details: list[Any] = []
        if kind.isupper():
            info = "type.googleapis.com/google.rpc.ErrorInfo"
            details.append({"@type": info, "reason": kind, "domain": "googleapis.com"})
        if status == 429:
            details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "12s"})
        error = {"code": status, "message": message, "status": NAMES[status]}
        return {"error": {**error, "details": details} if details else error}

    def says(self, status: int, kind: str, message: str) -> Answer:
        return Answer(status, replay.dump(self.error(status, kind, message)))

    async def gemini(self, request: web.Request, received: Received) -> web.StreamResponse:
        model, method = request.match_info["model"], request.match_info["method"]
        body = self.read_json(request, received)
        if model not in self.models:
            raise self.fails(404, "", f"models/{model} is not found for API version v1beta, or is not supported for {method}.")
        if wrong := complaint(body, vertex=self.slug == "vertex", counts=method == "countTokens"):
            raise self.fails(400, "", wrong)
        if method == "countTokens":
            return await self.tell(request, {"totalTokens": max(1, len(received.body) // 4)})
        if method == "streamGenerateContent":
            return await self.gemini_stream(request, received)
        folder, name = self.call if calls_forced(body) else self.text
        return await self.perform(request, name, folder)

    async def gemini_stream(self, request: web.Request, received: Received) -> web.StreamResponse:
        """As events when they are asked for, else as one array."""
        recording = replay.load("aistudio", STREAM)
        if received.query.get("alt") != "sse":
            return await self.tell(request, [replay.data(event) for event in replay.events(recording)])
        if received.behavior == "errs":
            error = b"data: " + replay.dump(self.error(503, "", TROUBLE)) + b"\r\n\r\n"
            return await self.pour(request, [*replay.events(recording)[:2], error])
        return await self.perform(request, STREAM, "aistudio")


def calls_forced(body: dict[str, Any]) -> bool:
    config = body.get("toolConfig") or body.get("tool_config") or {}
    calling = config.get("functionCallingConfig") or config.get("function_calling_config") or {}
    return calling.get("mode") == "ANY"
