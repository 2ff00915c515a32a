"""What is answered where no operation did: a problem to programs, a page to people."""

import re
import sys
from collections.abc import Callable
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt

from byok_site.api.problems import Refused

OURS = re.compile(r"/api(/|$)")
NOWHERE = "There is no such address. All are in /api/v1/openapi.json."

type Page = Callable[..., HttpResponse]


def no_database(request: HttpRequest) -> HttpResponse:
    return HttpResponse(render_to_string("503.html"), status=503)


def handler(page: Page, status: int, code: str, detail: str) -> Page:
    def answer(request: HttpRequest, *about: Any, **more: Any) -> HttpResponse:
        if OURS.match(request.path):
            return Refused(status, code, detail).response
        return page(request, *about, **more)

    return answer


bad_request = handler(defaults.bad_request, 400, "malformed", "This is no request that can be read.")
permission_denied = handler(defaults.permission_denied, 403, "forbidden", "Whoever made this key may not do this.")
page_not_found = handler(defaults.page_not_found, 404, "not_found", NOWHERE)
broken = handler(defaults.server_error, 500, "failed", "Something went wrong here, and the operator can read what.")
unavailable = handler(
    no_database, 503, "unavailable", "The database does not answer. Read whether the change is there, then try again."
)


def server_error(request: HttpRequest) -> HttpResponse:
    """A database that does not answer is nothing that broke: it passes."""
    if not isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        return broken(request)
    answer = unavailable(request)
    answer["Retry-After"] = "10"
    return answer


@csrf_exempt
@login_not_required
def unknown(request: HttpRequest) -> HttpResponse:
    return Refused(404, "not_found", NOWHERE).response
