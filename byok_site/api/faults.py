"""What is answered where no operation did: a problem to programs, a page to people."""

import re
from collections.abc import Callable
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt

from byok_site.api.problems import Refused

OURS = re.compile(r"/api(/|$)")
NOWHERE = "There is no such address. All are in /api/v1/openapi.json."

type Page = Callable[..., HttpResponse]


def handler(page: Page, status: int, code: str, detail: str) -> Page:
    def answer(request: HttpRequest, *about: Any, **more: Any) -> HttpResponse:
        if OURS.match(request.path):
            return Refused(status, code, detail).response
        return page(request, *about, **more)

    return answer


bad_request = handler(defaults.bad_request, 400, "malformed", "This is no request that can be read.")
permission_denied = handler(defaults.permission_denied, 403, "forbidden", "Whoever made this key may not do this.")
page_not_found = handler(defaults.page_not_found, 404, "not_found", NOWHERE)
server_error = handler(defaults.server_error, 500, "failed", "Something went wrong here, and the operator can read what.")


@csrf_exempt
@login_not_required
def unknown(request: HttpRequest) -> HttpResponse:
    return Refused(404, "not_found", NOWHERE).response
