"""What every answer of the dashboard has in common."""

from collections.abc import Callable

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import resolve_url
from django_htmx.http import HttpResponseClientRedirect

type Respond = Callable[[HttpRequest], HttpResponse]


def keep_private(get_response: Respond) -> Respond:
    """No browser or proxy keeps a page, and a signed-out htmx request moves the whole window to the sign-in page."""

    def respond(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if request.htmx and response.headers.get("Location", "").startswith(resolve_url(settings.LOGIN_URL)):  # type: ignore[attr-defined]
            back = request.htmx.current_url_abs_path or "/"  # type: ignore[attr-defined]
            response = HttpResponseClientRedirect(redirect_to_login(back).url)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return respond
