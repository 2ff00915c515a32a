"""What the management API answers when it does not do what was asked: a problem document (RFC 9457) that names the field."""

from collections.abc import Iterable, Mapping

import msgspec
from django.http import HttpResponse


class FieldError(msgspec.Struct, frozen=True):
    """field: dotted, as `credential.api_key` or `models`."""

    field: str
    message: str


class Problem(msgspec.Struct, frozen=True):
    """code: for programs, stays what it is. detail: for people."""

    status: int
    code: str
    title: str
    detail: str
    errors: list[FieldError] = []
    type: str = "about:blank"


TITLES = {
    400: "Bad request",
    401: "No valid management key",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Being deleted",
    412: "Changed meanwhile",
    413: "Too large",
    415: "Not JSON",
    422: "Not saved",
    428: "If-Match is missing",
    429: "Too many requests",
    500: "Failed",
    503: "Not available now",
}


class Refused(Exception):
    """Nothing was changed."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        errors: Iterable[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.problem = Problem(status, code, TITLES[status], detail, list(errors))
        self.headers = dict(headers or {})

    @property
    def response(self) -> HttpResponse:
        body = msgspec.json.encode(self.problem)
        return HttpResponse(body, status=self.problem.status, content_type="application/problem+json", headers=self.headers)


def not_found(what: str) -> Refused:
    return Refused(404, "not_found", f"There is no {what} here.")


def invalid(field: str, *messages: str, code: str = "invalid") -> Refused:
    errors = [FieldError(field, message) for message in messages]
    return Refused(422, code, " ".join(messages), errors)


def wait_for(seconds: int, detail: str) -> Refused:
    return Refused(429, "too_many_requests", detail, headers={"Retry-After": str(seconds)})
