"""Google AI Studio: Gemini with a key in its own header, never in the address."""

from collections.abc import Iterable

from aiohttp import web

from tests.fake import replay
from tests.fake.behaviors import behavior_of, key
from tests.fake.floor import Act, Answer, Received, Route
from tests.fake.google import Google

OLD, NEW = "AIza", "AQ."
INVALID = "API key not valid. Please pass a valid API key."
STRANGE = "Request had invalid authentication credentials. Expected a valid authentication credential."
EXHAUSTED = "You exceeded your current quota, please check your plan and billing details."
NO_ACCESS = "The caller does not have permission"


class AIStudio(Google):
    slug = "aistudio"
    credentials = frozenset({"x-goog-api-key"})
    query = frozenset({"alt", "pageSize", "pageToken", "$alt"})
    refusals = {
        "refused": (401, "ACCESS_TOKEN_TYPE_UNSUPPORTED", STRANGE),
        "incorrect": (400, "API_KEY_INVALID", INVALID),
        "expired": (400, "API_KEY_INVALID", "API key expired. Please renew the API key."),
        "payment": (402, "", "Your prepayment credits are depleted."),
        "forbidden": (403, "", NO_ACCESS),
        "limited": (429, "RATE_LIMIT_EXCEEDED", "Quota exceeded for requests per minute. Please retry in 12s."),
        "exhausted": (429, "", EXHAUSTED),
        "broken": (500, "", "An internal error has occurred. Please retry."),
        "overloaded": (503, "", "The model is overloaded. Please try again later."),
        "suspended": (403, "CONSUMER_SUSPENDED", "Permission denied: Consumer has been suspended."),
        "listonly": (403, "", NO_ACCESS),
    }
    text = ("aistudio", replay.find("aistudio", "test-stop-settings"))
    call = ("aistudio", replay.find("aistudio", "tool-search-eval-google-yaml-0"))

    def routes(self) -> Iterable[Route]:
        yield "GET", "/aistudio/v1beta/models", self.list_models
        yield "POST", "/aistudio/v1beta/models/{model}:{method:(?:stream)?[gG]enerateContent|countTokens}", self.gemini

    def key(self, behavior: str, number: int) -> str:
        """Today's keys start with AQ.; the one that is called incorrect is an old one."""
        return key(OLD if behavior == "incorrect" else NEW, self.slug, behavior, number)

    def behavior(self, key: str) -> str | None:
        return behavior_of(key, OLD, self.slug) or behavior_of(key, NEW, self.slug)

    def refused(self, received: Received, key: str, act: Act) -> Answer | None:
        if received.behavior == "listonly" and act != self.list_models:
            return self.refusal("listonly", key)
        return super().refused(received, key, act)

    def refusal(self, behavior: str, key: str) -> Answer:
        """An old key that nobody gave out is a bad request, a new one is unauthenticated."""
        return super().refusal("incorrect" if behavior == "refused" and key.startswith(OLD) else behavior, key)

    async def list_models(self, request: web.Request, received: Received) -> web.StreamResponse:
        size = int(received.query.get("pageSize", 50))
        begin = int(received.query.get("pageToken", 0))
        methods = ["generateContent", "countTokens"]
        rows = [{"name": f"models/{model}", "supportedGenerationMethods": methods} for model in self.models[begin : begin + size]]
        more = {"nextPageToken": str(begin + size)} if begin + size < len(self.models) else {}
        return await self.tell(request, {"models": rows, **more})
