"""fal: a model called at once, through the queue with status, result and cancel, and what a model costs."""

import hashlib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.fake.behaviors import behavior_of, key
from tests.fake.floor import HEADERS, Act, Floor, Play, Received, Refusal, Route

QUEUE = "https://queue.fal.run"  # Addresses in answers name the real host.
LOCKED = "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing."
MALFORMED = "Invalid Authorization header. Expected '<key_id>:<key_secret>'"
ENDPOINTS = "fal-ai/flux/dev", "fal-ai/flux/schnell", "fal-ai/wizper", "fal-ai/kling-video/v2/master/text-to-video"
CURRENCIES = dict.fromkeys(ENDPOINTS, "USD") | {"acme/in-euros": "EUR"}
UNPRICED = {"acme/refused", "acme/stalls"}  # They run, and asking for their price is refused or never answered.
ENDPOINT = "{owner:[^/]+}/{alias:[^/]+}{path:(?:/.*)?}"
JOB = "{owner:[^/]+}/{alias:[^/]+}/requests/{id:[0-9a-f-]+}"
RESULT = {
    "images": [{"url": "https://v3.fal.media/files/acme/picture.png", "width": 1024, "height": 768, "content_type": "image/png"}],
    "seed": 42,
    "has_nsfw_concepts": [False],
}
STATES = ("IN_QUEUE", "IN_PROGRESS", "COMPLETED")
PRICE = 0.025


@dataclass
class Job:
    """One request in the queue; each question for its status moves it one state on."""

    id: str
    app: str
    owner: str
    asked: int = 0
    cancelled: bool = False

    @property
    def state(self) -> str:
        return STATES[min(self.asked, 2)]

    def urls(self) -> dict[str, str]:
        """By owner and alias only, whatever the path of the endpoint was."""
        base = f"{QUEUE}/{self.app}/requests/{self.id}"
        return {"status_url": f"{base}/status", "response_url": base, "cancel_url": f"{base}/cancel"}


class Fal(Play):
    slug = "fal"
    models = ENDPOINTS
    query = frozenset({"logs", "endpoint_id", "fal_webhook", "fal_max_queue_length"})
    headers = {**HEADERS, "x-fal-request-id": "00000000-0000-0000-0000-00000000fake"}
    refusals = {
        "refused": (401, "", "No user found for Key ID and Secret"),
        "incorrect": (401, "", MALFORMED),
        "payment": (403, "user_locked", LOCKED),
        "forbidden": (403, "", "You are not authorized to access this endpoint."),
        "limited": (429, "concurrency_limit", "You have reached your limit of concurrent requests."),
        "broken": (500, "internal_error", "Internal server error"),
        "overloaded": (503, "runner_unavailable", "No runner is available."),
    }

    def __init__(self, floor: Floor) -> None:
        super().__init__(floor)
        self.jobs: dict[str, Job] = {}

    def routes(self) -> Iterable[Route]:
        yield "GET", f"/fal-queue/{JOB}/status", self.status
        yield "GET", f"/fal-queue/{JOB}", self.result
        yield "PUT", f"/fal-queue/{JOB}/cancel", self.cancel
        yield "POST", f"/fal-queue/{ENDPOINT}", self.submit
        yield "GET", "/fal-api/v1/models/pricing", self.pricing
        yield "POST", f"/fal/{ENDPOINT}", self.run

    # Who knocks

    def key(self, behavior: str, number: int) -> str:
        """The id, a colon, and a secret that belongs to it."""
        key_id = key("", self.slug, behavior, number)
        return f"{key_id}:{hashlib.sha256(key_id.encode()).hexdigest()[:32]}"

    def behavior(self, key: str) -> str | None:
        behavior = behavior_of(key.partition(":")[0], "", self.slug)
        number = key.partition(":")[0][-4:]
        return behavior if behavior and number.isdigit() and key == self.key(behavior, int(number)) else None

    def shown_key(self, request: web.Request) -> str:
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        if scheme != "Key" or ":" not in shown:
            raise self.fails(401, "", MALFORMED)
        return shown

    def error(self, status: int, kind: str, message: Any) -> Any:
        return {"detail": message, "error_type": kind} if kind else {"detail": message}

    def refused(self, received: Received, key: str, act: Act) -> Any:
        """A locked account may still ask for prices."""
        free = act == self.pricing and received.behavior in ("payment", "exhausted", "limited")
        return None if free else super().refused(received, key, act)

    # What it does

    async def run(self, request: web.Request, received: Received) -> web.StreamResponse:
        self.check(request, received)
        return await self.tell(request, RESULT, x_fal_billable_units="1")

    async def submit(self, request: web.Request, received: Received) -> web.StreamResponse:
        self.check(request, received)
        app = f"{request.match_info['owner']}/{request.match_info['alias']}"
        job = Job(str(uuid.uuid4()), app, self.shown_key(request))
        self.jobs[job.id] = job
        return await self.tell(request, {"status": job.state, "request_id": job.id, "queue_position": 0, **job.urls()})

    async def status(self, request: web.Request, received: Received) -> web.StreamResponse:
        job = self.job(request)
        told: dict[str, Any] = {"status": job.state, "request_id": job.id, **job.urls()}
        if job.state == "IN_QUEUE":
            told["queue_position"] = 0
        else:
            told["logs"] = [{"message": "Loading the model", "level": "INFO"}] if received.query.get("logs") == "1" else None
        if job.state == "COMPLETED":
            told["metrics"] = {"inference_time": 1.25}
            told |= {"error": "The runner failed.", "error_type": "internal_error"} if received.behavior == "fails" else {}
        job.asked += 1
        return await self.tell(request, told, 200 if told["status"] == "COMPLETED" else 202)

    async def result(self, request: web.Request, received: Received) -> web.StreamResponse:
        job = self.job(request)
        if job.cancelled:
            raise self.fails(400, "request_cancelled", "Request was cancelled")
        if job.asked <= 2:
            raise self.fails(400, "request_in_progress", "Request is still in progress")
        if received.behavior == "fails":
            raise self.fails(500, "internal_error", "The runner failed.")
        return await self.tell(request, RESULT, x_fal_billable_units="1")

    async def cancel(self, request: web.Request, received: Received) -> web.StreamResponse:
        job = self.job(request)
        if job.asked > 2:
            return await self.tell(request, {"status": "ALREADY_COMPLETED"}, 400)
        job.cancelled = True
        return await self.tell(request, {"status": "CANCELLATION_REQUESTED"}, 202)

    async def pricing(self, request: web.Request, received: Received) -> web.StreamResponse:
        asked = received.query.get("endpoint_id", "").split(",")
        if "acme/refused" in asked:
            raise Refusal(self.refusal("forbidden", ""))
        if "acme/stalls" in asked:
            await self.floor.stopping.wait()
        if unknown := [name for name in asked if name not in CURRENCIES]:
            raise self.fails(404, "not_found", f"Endpoint not found: {unknown[0]}")
        rows = [{"endpoint_id": name, "unit_price": PRICE, "unit": "image", "currency": CURRENCIES[name]} for name in asked]
        return await self.tell(request, {"prices": rows, "next_cursor": None, "has_more": False})

    # What it looks at

    def job(self, request: web.Request) -> Job:
        """The caller's own job. Raises Refusal."""
        job, where = self.jobs.get(request.match_info["id"]), request.match_info
        if job is None or job.owner != self.shown_key(request) or job.app != f"{where['owner']}/{where['alias']}":
            raise self.fails(404, "not_found", "Request not found")
        return job

    def check(self, request: web.Request, received: Received) -> None:
        endpoint = "{owner}/{alias}{path}".format(**request.match_info)
        if endpoint not in CURRENCIES.keys() | UNPRICED:
            raise self.fails(404, "not_found", f"Application '{endpoint}' not found")
        body = self.read_json(request, received)
        if not body.get("prompt") and not body.get("audio_url"):
            missing = {"loc": ["body", "prompt"], "msg": "field required", "type": "value_error.missing"}
            raise self.fails(422, "", [missing])
