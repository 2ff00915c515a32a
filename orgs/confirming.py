"""Acts that matter ask again who is there: once the sign-in is older than 15 minutes, or the last confirmation is."""

import time
from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from allauth.account.adapter import get_adapter
from allauth.account.authentication import get_authentication_records
from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django_htmx.http import HttpResponseClientRedirect

TYPED = "typed_before_confirming"  # in the session

type View = Callable[..., HttpResponseBase]


def confirmed(*kept: str) -> Callable[[View], View]:
    """Stands below `org_view`, on a view whose page answers GET. Somebody who signed in long ago confirms first.

    Then they come back to the page. Of a form that they had sent, the fields in `kept` come back too, for `refill`;
    nothing else is stored meanwhile, so name no field that takes a secret.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def enter(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not is_fresh(request):
                return ask_again(request, kept)
            if request.method == "GET":
                request.typed = typed_before(request)  # type: ignore[attr-defined]
            return view(request, *args, **kwargs)

        enter.asks_again = True  # type: ignore[attr-defined]  # so that a test can tell which do
        return enter

    return decorate


def is_fresh(request: HttpRequest) -> bool:
    """Whether the person signed in, or confirmed that it is them, in the last 15 minutes."""
    records = get_authentication_records(request, request.user)  # type: ignore[arg-type]
    return bool(records) and time.time() - records[-1]["at"] < settings.ACCOUNT_REAUTHENTICATION_TIMEOUT


def refill(form: forms.Form, request: HttpRequest) -> None:
    """Show in the form what was typed before the person confirmed."""
    typed: QueryDict | None = getattr(request, "typed", None)
    for name in typed or ():
        if name in form.fields:
            form.initial[name] = form.fields[name].widget.value_from_datadict(typed, {}, form.add_prefix(name))


def ask_again(request: HttpRequest, kept: tuple[str, ...] = (), back: str = "") -> HttpResponse:
    """To the page that asks, and from there back to this one, or to `back`. Who has nothing to confirm with signs in anew."""
    if request.method == "POST" and not back:
        said = {name: request.POST.getlist(name) for name in kept}
        request.session[TYPED] = {"path": request.path, "said": said}
    methods = get_adapter().get_reauthentication_methods(request.user)
    if not methods:
        logout(request)
    page = methods[0]["url"] if methods else reverse("account_login")
    address = f"{page}?{urlencode({'next': back or request.get_full_path()})}"
    return HttpResponseClientRedirect(address) if request.htmx else redirect(address)  # type: ignore[attr-defined]


def typed_before(request: HttpRequest) -> QueryDict | None:
    """What was sent to this page before it asked. It is told once."""
    if request.session.get(TYPED, {}).get("path") != request.path:
        return None
    typed = QueryDict(mutable=True)
    for name, values in request.session.pop(TYPED)["said"].items():
        typed.setlist(name, values or [""])  # a box that was not ticked was not sent
    messages.warning(request, "Nothing is saved yet. Check the form and send it again.")
    return typed
