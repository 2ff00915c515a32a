"""Where anybody reports a client key that lies open, by a page or in JSON. Nobody learns whether there is such a key."""

import json

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods

from keys import pace
from keys.actions import report_leak
from keys.forms.client_keys import ReportForm
from orgs.actions import address_of

THANKS = "Thank you. If this is a client key of ours, it is stopped now, and those whose it is are told."
NO_KEY = 'Send the key that you found as {"key": "byok_live_…"}.'
PAGE = "keys/report.html"


@csrf_exempt  # it acts for nobody: who has the key may stop it, signed in or not
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_not_required
@sensitive_post_parameters("key")
@sensitive_variables()
def report(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return render(request, PAGE, {"form": ReportForm()})
    address = address_of(request)
    if seconds := pace.wait_for_report(address or ""):
        return too_many(request, seconds)
    form = ReportForm(sent(request))
    if not form.is_valid():
        return told(request, 422, NO_KEY, form)
    report_leak(text=form.cleaned_data["key"], address=address)
    return told(request, 200, THANKS, ReportForm())


def is_json(request: HttpRequest) -> bool:
    return request.content_type == "application/json"


@sensitive_variables()
def sent(request: HttpRequest) -> dict[str, str]:
    if not is_json(request):
        return {"key": request.POST.get("key", "")}
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        return {}
    key = body.get("key") if isinstance(body, dict) else None
    return {"key": key} if isinstance(key, str) else {}


def too_many(request: HttpRequest, seconds: int) -> HttpResponse:
    message = (
        f"There were {pace.REPORTS_A_MINUTE} reports from your address in this minute. Send this one again in {seconds} seconds."
    )
    answer = told(request, 429, message, ReportForm())
    answer.headers["Retry-After"] = str(seconds)
    return answer


def told(request: HttpRequest, status: int, message: str, form: ReportForm) -> HttpResponse:
    if is_json(request):
        return JsonResponse({"message": message}, status=status)
    return render(request, PAGE, {"form": form, "message": message, "done": status == 200}, status=status)
