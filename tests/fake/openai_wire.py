"""The providers of the OpenAI wire: chat, models, an account page, and what some of them do beside chat."""

import base64
import struct
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from tests.fake import replay
from tests.fake.floor import HEADERS, Act, Answer, Floor, Play, Received, Route
from tests.fake.multipart import BrokenForm, read_form
from tests.fake.stages import CODES, STAGES, Stage

UNRECOGNIZED = ("provider", "route", "models", "transforms")  # words of a router, which no provider knows
FILTERED = b'data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0}]}\n\n'
SPEECH = b"ID3\x04\x00\x00\x00\x00\x00\x00" + bytes(range(256)) * 16
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
SPOKEN = "Hello from the recording."
OPERATION_MODELS = {
    "embeddings": ("text-embedding-3-small", "BAAI/bge-m3"),
    "images": ("gpt-image-1", "grok-2-image", "black-forest-labs/FLUX-1-dev"),
    "transcriptions": ("whisper-1", "gpt-4o-transcribe", "whisper-large-v3", "whisper-large-v3-turbo", "openai/whisper-large-v3"),
    "translations": ("whisper-1", "whisper-large-v3", "openai/whisper-large-v3"),
    "speech": ("tts-1", "gpt-4o-mini-tts", "canopylabs/orpheus-v1-english", "hexgrad/Kokoro-82M"),
}
PATHS = {
    "responses": "responses",
    "embeddings": "embeddings",
    "images": "images/generations",
    "transcriptions": "audio/transcriptions",
    "translations": "audio/translations",
    "speech": "audio/speech",
}
RESPONSES = {
    "openai": ("openai", ("r1-t3-native-search",), ("logprobs-streaming",)),
    "groq": ("openai", ("r1-t3-native-search",), ("logprobs-streaming",)),
    "xai": ("xai", ("code-execution",), ()),
    "azure": ("azure", ("gpt-5-4",), ("azure-text-1",)),
}


class OpenAIWire(Play):
    """One of the six."""

    refusals = {
        "refused": (401, "invalid_api_key", "Incorrect API key provided: sk-pr****0001."),
        "incorrect": (400, "invalid_request_error", "Incorrect API key provided: xa****01."),
        "payment": (402, "billing_error", "Your account has no credit left."),
        "forbidden": (403, "permission_denied", "This key has no permission for this."),
        "limited": (429, "rate_limit_exceeded", "Rate limit reached. Try again in 7s."),
        "exhausted": (
            429,
            "credit_balance_exhausted",
            "You exceeded your current quota, please check your plan and billing details.",
        ),
        "broken": (500, "server_error", "The server had an error while processing your request."),
        "overloaded": (503, "server_is_overloaded", "The server is overloaded."),
        "suspended": (403, "permission_denied", "This account is suspended."),
    }
    headers = {**HEADERS, "openai-organization": "org-of-the-account", "x-ratelimit-remaining-requests": "99"}
    query = frozenset({"api-version", "checklist"})

    def __init__(self, floor: Floor, stage: Stage) -> None:
        super().__init__(floor)
        self.stage = stage
        self.slug, self.prefix, self.models = stage.slug, stage.key_prefix, stage.models
        self.folder, self.credentials = stage.recordings, frozenset({stage.auth})

    def routes(self) -> Iterable[Route]:
        yield "POST", f"{self.stage.base}/chat/completions", self.chat
        yield "GET", f"{self.stage.base}/models", self.list_models
        if self.stage.account:
            yield "GET", self.stage.account, self.profile
        for operation in sorted(self.stage.operations):
            yield "POST", f"{self.stage.base}/{PATHS[operation]}", getattr(self, operation)
        if self.slug == "azure":
            yield from self.classic_routes()

    def classic_routes(self) -> Iterable[Route]:
        """Azure's older addresses beside the v1 ones."""
        yield "GET", "/openai/models", self.list_models
        yield "POST", "/models/chat/completions", self.chat
        yield "POST", "/openai/deployments/{deployment}/chat/completions", self.chat
        for operation in sorted(self.stage.operations - {"responses"}):
            yield "POST", f"/openai/deployments/{{deployment}}/{PATHS[operation]}", getattr(self, operation)

    def error(self, status: int, kind: str, message: str) -> Any:
        return self.stage.error(status, kind, message)

    def admit(self, request: web.Request, received: Received, act: Act) -> str:
        if self.stage.open_models and act == self.list_models:
            return ""
        return super().admit(request, received, act)

    def refused(self, received: Received, key: str, act: Act) -> Answer | None:
        if act == self.profile and received.behavior == "suspended":
            return None
        return super().refused(received, key, act)

    # What it does

    async def list_models(self, request: web.Request, received: Received) -> web.StreamResponse:
        rows = [{"id": model, "object": "model", "created": 1759436815, "owned_by": self.slug} for model in self.models]
        return await self.tell(request, {"object": "list", "data": rows})

    async def profile(self, request: web.Request, received: Received) -> web.StreamResponse:
        """DeepInfra shows its checklist only to those who ask."""
        shown = self.stage.suspension if received.behavior == "suspended" else self.stage.profile
        return await self.tell(
            request, {name: value for name, value in shown.items() if name != "checklist" or "checklist" in received.query}
        )

    async def chat(self, request: web.Request, received: Received) -> web.StreamResponse:
        body = self.read_json(request, received)
        self.check_names(body)
        if not isinstance(body.get("messages"), list) or not body["messages"]:
            raise self.fails(400, CODES[400], "Missing required parameter: 'messages'.")
        if "stream_options" in body and body.get("stream") is not True:
            raise self.fails(400, CODES[400], "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
        self.check_model(request, body, self.models)
        if self.slug in self.floor.chosen or not body.get("stream"):
            return await self.perform(request, "chat")
        if received.behavior == "errs":
            return await self.pour(request, self.failing_events())
        asked = (body.get("stream_options") or {}).get("include_usage")
        return await self.pour(request, self.chat_events(asked))

    async def responses(self, request: web.Request, received: Received) -> web.StreamResponse:
        body = self.read_json(request, received)
        self.check_names(body)
        if "messages" in body:
            raise self.fails(400, CODES[400], "Unsupported parameter: 'messages'. It has moved to 'input'.")
        if not body.get("input"):
            raise self.fails(400, CODES[400], "Missing required parameter: 'input'.")
        self.check_model(request, body, self.models)
        folder, once, stream = RESPONSES[self.slug]
        if not body.get("stream"):
            return await self.perform(request, replay.find(folder, *once), folder)
        if not stream:
            folder, stream = "openai", RESPONSES["openai"][2]
        if received.behavior == "errs":
            return await self.pour(request, failing_responses(folder, replay.find(folder, *stream)))
        return await self.perform(request, replay.find(folder, *stream), folder)

    async def embeddings(self, request: web.Request, received: Received) -> web.StreamResponse:
        body = self.read_json(request, received)
        self.check_model(request, body, OPERATION_MODELS["embeddings"])
        texts = [body.get("input")] if isinstance(body.get("input"), str) else body.get("input")
        if not isinstance(texts, list) or not texts:
            raise self.fails(400, CODES[400], "Missing required parameter: 'input'.")
        vector: Any = [0.25, -0.5, 0.125, 1.0]
        if body.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack("<4f", *vector)).decode()
        rows = [{"object": "embedding", "index": index, "embedding": vector} for index, _ in enumerate(texts)]
        usage = {"prompt_tokens": 4 * len(texts), "total_tokens": 4 * len(texts)}
        return await self.tell(request, {"object": "list", "data": rows, "model": body.get("model"), "usage": usage})

    async def images(self, request: web.Request, received: Received) -> web.StreamResponse:
        body = self.read_json(request, received)
        self.check_model(request, body, OPERATION_MODELS["images"])
        if not body.get("prompt"):
            raise self.fails(400, CODES[400], "Missing required parameter: 'prompt'.")
        details = {"text_tokens": 9, "image_tokens": 0}
        usage = {"input_tokens": 9, "output_tokens": 1056, "total_tokens": 1065, "input_tokens_details": details}
        return await self.tell(request, {"created": 1759436815, "data": [{"b64_json": PIXEL}], "usage": usage})

    async def transcriptions(self, request: web.Request, received: Received) -> web.StreamResponse:
        return await self.listen(request, received, "transcriptions")

    async def translations(self, request: web.Request, received: Received) -> web.StreamResponse:
        return await self.listen(request, received, "translations")

    async def listen(self, request: web.Request, received: Received, operation: str) -> web.StreamResponse:
        """Audio in a form, which must have arrived whole."""
        try:
            form = read_form(request.headers.get("content-type", ""), received.body)
        except BrokenForm as problem:
            raise self.fails(400, CODES[400], f"Could not parse multipart form: {problem}") from None
        self.check_model(request, {"model": form.get("model", b"").decode()}, OPERATION_MODELS[operation])
        if not form.get("file"):
            raise self.fails(400, CODES[400], "Missing required parameter: 'file'.")
        if form.get("response_format") == b"text":
            answer = Answer(200, f"{SPOKEN}\n".encode(), {**self.headers, "content-type": "text/plain; charset=utf-8"})
            return await self.floor.whole(request, answer)
        return await self.tell(request, {"text": SPOKEN, "usage": {"type": "duration", "seconds": 3}})

    async def speech(self, request: web.Request, received: Received) -> web.StreamResponse:
        body = self.read_json(request, received)
        self.check_model(request, body, OPERATION_MODELS["speech"])
        if not body.get("input") or not body.get("voice"):
            raise self.fails(400, CODES[400], "Missing required parameter: 'input' or 'voice'.")
        return await self.floor.whole(request, Answer(200, SPEECH, {**self.headers, "content-type": "audio/mpeg"}))

    # What it looks at, and what it plays

    def check_names(self, body: dict[str, Any]) -> None:
        if unknown := [name for name in UNRECOGNIZED if name in body]:
            raise self.fails(400, CODES[400], f"Unrecognized request argument supplied: {unknown[0]}")

    def check_model(self, request: web.Request, body: dict[str, Any], models: tuple[str, ...]) -> None:
        if (model := request.match_info.get("deployment") or body.get("model")) not in models:
            message = f"The model `{model}` does not exist or you do not have access to it."
            raise self.fails(404, "model_not_found", message)

    def chat_events(self, include_usage: bool | None) -> list[bytes]:
        """A recorded stream. The usage chunk stands in it only where the real one sends it."""
        wanted = self.stage.usage_by_default if include_usage is None else include_usage
        recorded = self.events(replay.load(self.folder, "chat-stream"))
        events = [event for event in recorded if wanted or not is_usage(event)]
        if wanted and not any(map(is_usage, events)):
            events.insert(-1, usage_event(events[-2]))
        if not wanted:
            events = [event.replace(b',"usage":null', b"") for event in events]
        return [FILTERED, *events] if self.slug == "azure" else events

    def failing_events(self) -> list[bytes]:
        """The start of an answer, and then an error event inside the 200."""
        errors = replay.events(replay.load("groq", "chat-stream-error"))
        error = next(event for event in errors if event.startswith(b"event: error"))
        return [*self.events(replay.load(self.folder, "chat-stream"))[:2], error]

    def events(self, recording: replay.Recording) -> list[bytes]:
        ends = "chunks" in recording and "type" not in recording["chunks"][0]
        return super().events(recording) + [b"data: [DONE]\n\n"] * ends


def failing_responses(folder: str, name: str) -> list[bytes]:
    """The start of a response, and then that it failed."""
    begun = replay.events(replay.load(folder, name))[:3]
    error = {"code": "server_error", "message": "The model had trouble."}
    response = {**replay.data(begun[0])["response"], "status": "failed", "error": error}
    return [*begun, replay.event({"type": "response.failed", "sequence_number": len(begun), "response": response})]


def is_usage(event: bytes) -> bool:
    return b'"choices":[]' in event and b'"usage":{' in event


def usage_event(last: bytes) -> bytes:
    """Groq: the usage of the last chunk again, in a chunk of its own."""
    return replay.event({**replay.data(last), "choices": []})


def plays(floor: Floor) -> list[OpenAIWire]:
    return [OpenAIWire(floor, stage) for stage in STAGES.values()]
