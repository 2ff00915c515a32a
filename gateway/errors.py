"""What a program is told when it gets no answer: OpenAI's error shape, our own words, never a key."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

MESSAGE_LENGTH = 600
KEY_LIKE = re.compile(
    r"""
      \bBearer\s+\S+
    | \b(?:sk|rk|pk|gsk|xai|pplx|pollo|byok|bedrock-api-key)[-_][^\s"',;]{4,}
    | \b(?:AKIA|ASIA|ABIA|ACCA|ABSK|AIza|AQ\.)[^\s"',;]{4,}
    | [^\s"':,;]*\*{3,}[^\s"',;]*
    | (?=[A-Za-z+_=]*[0-9])[A-Za-z0-9+_=]{28,}
    """,
    re.VERBOSE,
)
ANTHROPIC_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "invalid_request_error",
    413: "request_too_large",
    415: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
GOOGLE_KINDS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
DIALECTS = {
    "/v1/messages": "anthropic",
    "/native/anthropic": "anthropic",
    "/native/bedrock": "aws",
    "/native/fal": "fal",
    "/native/aistudio": "google",
    "/native/vertex": "google",
    "/native/pollo": "pollo",
}
"""Whose error shape a path's clients know, by its beginning; OpenAI's on all others."""
WORD = re.compile(r"[A-Za-z0-9_.\[\]-]{1,80}")


class Refusal(Exception):
    """An answer of ours in place of a provider's. `headers` go out with it."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        kind: str = "",
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.kind = kind or kind_of(status)
        self.param = param
        self.headers = dict(headers or {})

    def body(self, dialect: str = "openai") -> bytes:
        """In the error shape of the client's dialect, one of DIALECTS or openai."""
        return msgspec.json.encode(self._shaped(dialect))

    def _shaped(self, dialect: str) -> dict[str, Any]:
        match dialect:
            case "anthropic":
                error = {"type": ANTHROPIC_KINDS.get(self.status, "api_error"), "message": self.message}
                return {"type": "error", "error": error}
            case "aws":
                return {"message": self.message, "code": self.code}
            case "google":
                kind = GOOGLE_KINDS.get(self.status, "INTERNAL")
                return {"error": {"code": self.status, "message": self.message, "status": kind}}
            case "fal":
                return {"detail": self.message, "error_type": self.code}
            case "pollo":
                return {"code": self.code.upper(), "message": self.message}
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


def dialect_of(path: str) -> str:
    return next((dialect for start, dialect in DIALECTS.items() if path.startswith(start)), "openai")


def kind_of(status: int) -> str:
    """The `type` that OpenAI's clients know for a status."""
    if status == 429:
        return "rate_limit_error"
    return "invalid_request_error" if status < 500 else "server_error"


def bad_request(message: str, *, param: str | None = None) -> Refusal:
    return Refusal(400, "bad_request", message, param=param)


def unauthorized(message: str) -> Refusal:
    return Refusal(401, "invalid_api_key", message, headers={"www-authenticate": "Bearer"})


def unavailable(code: str, message: str) -> Refusal:
    return Refusal(503, code, message, headers={"retry-after": "5"})


def scrub(text: str, secrets: Sequence[str] = ()) -> str:
    """A provider's words without anything that is or looks like a key, on one line and of bearable length."""
    for secret in secrets:
        text = text.replace(secret, "[removed]")
    text = KEY_LIKE.sub("[removed]", " ".join(text.split()))
    return text if len(text) <= MESSAGE_LENGTH else text[:MESSAGE_LENGTH] + "…"


def word(value: object) -> str | None:
    """A provider's `code`, `type` or `param`, if it is the plain word it should be."""
    return value if isinstance(value, str) and WORD.fullmatch(value) and not KEY_LIKE.search(value) else None
