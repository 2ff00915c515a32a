"""One request on a page of its own, and the way to it from the id that a program was given."""

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from orgs.access import org_view
from orgs.models import Organization
from usage import privacy, requests
from usage.models import UsageEvent
from usage.periods import zone


@require_safe
@never_cache
@org_view("usage.view_usageevent")
def request_page(request: HttpRequest, organization: Organization, request_id: UUID) -> HttpResponse:
    events = visible(request, organization, request_id)
    if not events:
        raise Http404
    walk = requests.walk(organization, events, zone(organization.timezone))
    return render(request, "usage/request.html", {"page": "usage", "walk": walk})


@require_safe
@never_cache
@org_view("usage.view_usageevent")
def find(request: HttpRequest, organization: Organization) -> HttpResponse:
    """What is asked for may be pasted with spaces around it."""
    asked = request.GET.get("id", "").strip()[:100]
    request_id = read(asked)
    if request_id and visible(request, organization, request_id):
        return redirect("request_page", organization.slug, request_id)
    context = {
        "asked": asked,
        "readable": request_id is not None,
        "sees_all": privacy.only_of(request.user, organization) is None,
    }
    return render(request, "usage/find_request.html", {"page": "usage", **context})


def visible(request: HttpRequest, organization: Organization, request_id: UUID) -> list[UsageEvent]:
    """Those who may not tell everybody's usage apart see the requests of their own client keys."""
    return requests.find(organization, request_id, member_id=privacy.only_of(request.user, organization))


def read(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
