"""Vertex AI: Google's token endpoint, Gemini and Claude in a project and a location, and what models there are."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from tests.fake import anthropic, replay
from tests.fake.anthropic_rules import complaint
from tests.fake.floor import Act, Answer, Floor, Received, Refusal, Route
from tests.fake.google import MODELS, Google
from tests.fake.service_accounts import PROJECT, Account, BadGrant, read_grant

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFE = 3599  # seconds
CLAUDE = ("claude-opus-5-5", "claude-sonnet-4-5", "claude-sonnet-4-5@20250929")
BODY_VERSION = "vertex-2023-10-16"
TOKEN = replay.find("vertex-token", "token-once-200")
STRANGE = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
    "authentication credential."
)
NO_ACCESS = f"Permission 'aiplatform.endpoints.predict' denied on resource '//aiplatform.googleapis.com/projects/{PROJECT}'."
UNPAID = f"This API method requires billing to be enabled. Please enable billing on project #{PROJECT}."
WHERE = "/vertex/{version:v1|v1beta1}/projects/{project}/locations/{location}/publishers"


@dataclass(frozen=True)
class Token:
    account: Account
    ends_at: float


class Vertex(Google):
    slug = "vertex"
    query = frozenset({"alt", "pageSize", "pageToken", "$alt", "view", "listAllVersions"})
    refusals = {
        "refused": (401, "ACCESS_TOKEN_TYPE_UNSUPPORTED", STRANGE),
        "expired": (401, "ACCESS_TOKEN_EXPIRED", STRANGE),
        "payment": (403, "BILLING_DISABLED", UNPAID),
        "forbidden": (403, "IAM_PERMISSION_DENIED", NO_ACCESS),
        "limited": (429, "", "Resource exhausted. Please try again later."),
        "broken": (500, "", "Internal error encountered."),
        "overloaded": (503, "", "The service is currently unavailable."),
    }
    text = ("vertex", replay.find("vertex", "vertex-labels"))
    call = ("vertex", replay.find("vertex", "multiple-images"))

    def __init__(self, floor: Floor) -> None:
        super().__init__(floor)
        self.tokens: dict[str, Token] = {}
        self.numbers = count(1)

    def routes(self) -> Iterable[Route]:
        yield "POST", "/vertex-token/token", self.grant
        yield "POST", WHERE + "/google/models/{model}:{method:(?:stream)?[gG]enerateContent|countTokens}", self.gemini
        yield "POST", WHERE + "/anthropic/models/{model}:{method:rawPredict|streamRawPredict}", self.claude
        yield "GET", "/vertex/v1beta1/publishers/{publisher:google|anthropic}/models", self.list_models

    # Who knocks

    def key(self, behavior: str, number: int) -> str:
        return Account(behavior, number).text()

    def admit(self, request: web.Request, received: Received, act: Act) -> str:
        """The grant proves itself; everything else comes with a token that this fake gave out and that still lives."""
        if act == self.grant:
            return self.admit_grant(request, received)
        text = self.shown_key(request)
        token = self.tokens.get(text)
        if token is None or token.ends_at <= self.floor.clock():
            raise Refusal(self.refusal("expired" if token else "refused", text))
        received.behavior = token.account.behavior
        if request.match_info.get("project", PROJECT) != PROJECT:
            raise Refusal(self.refusal("forbidden", text))
        return text

    def admit_grant(self, request: web.Request, received: Received) -> str:
        form = request_form(request, received)
        try:
            if form.get("grant_type") != GRANT:
                raise BadGrant("unsupported_grant_type", "Invalid grant_type: " + form.get("grant_type", ""))
            account = read_grant(form.get("assertion", ""), self.floor.clock())
        except BadGrant as bad:
            told = {"error": bad.error, "error_description": str(bad)}
            raise Refusal(Answer(400, replay.dump(told), {"content-type": "application/json; charset=utf-8"})) from None
        received.behavior = account.behavior
        return account.email

    def refused(self, received: Received, key: str, act: Act) -> Answer | None:
        """Whoever has a good key gets a token; what it is good for shows when it is used."""
        return None if act == self.grant else super().refused(received, key, act)

    # What it does

    async def grant(self, request: web.Request, received: Received) -> web.StreamResponse:
        account = read_grant(request_form(request, received)["assertion"], self.floor.clock())
        text = f"ya29.fake-{account.behavior}-{account.number:04}-{next(self.numbers)}"
        self.tokens[text] = Token(account, self.floor.clock() + LIFE)
        return await self.tell(request, {**replay.load("vertex-token", TOKEN)["json"], "access_token": text})

    async def claude(self, request: web.Request, received: Received) -> web.StreamResponse:
        """The model is in the address, and a version of Vertex's own in the body."""
        model, streams = request.match_info["model"], request.match_info["method"] == "streamRawPredict"
        body = self.read_json(request, received)
        if model not in CLAUDE:
            raise self.fails(404, "", f"Publisher Model `publishers/anthropic/models/{model}` was not found.")
        if wrong := claude_complaint(body, model, streams):
            raise Refusal(Answer(400, replay.dump(claude_error(wrong))))
        if not streams:
            return await self.perform(request, anthropic.TEXT, "anthropic")
        if received.behavior == "errs":
            return await self.pour(request, anthropic.failing_events())
        return await self.perform(request, anthropic.TEXT_STREAM, "anthropic")

    async def list_models(self, request: web.Request, received: Received) -> web.StreamResponse:
        publisher = request.match_info["publisher"]
        names = MODELS if publisher == "google" else CLAUDE
        rows = [{"name": f"publishers/{publisher}/models/{name}", "versionId": "default"} for name in names]
        return await self.tell(request, {"publisherModels": rows})


def claude_complaint(body: dict[str, Any], model: str, streams: bool) -> str | None:
    if body.get("anthropic_version") != BODY_VERSION:
        return f"anthropic_version: Input should be '{BODY_VERSION}'"
    if bool(body.get("stream")) != streams:
        return "stream: does not fit the method that was called"
    return complaint(body, version="2023-06-01", model=model)


def claude_error(message: str) -> Any:
    return {"type": "error", "error": {"type": "invalid_request_error", "message": message}}


def request_form(request: web.Request, received: Received) -> dict[str, str]:
    if request.content_type != "application/x-www-form-urlencoded":
        return {}
    return dict(parse_qsl(received.body.decode(errors="replace")))
