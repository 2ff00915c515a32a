"""Pages of the staff console that are no lists of rows: finding an organization, opening it, and how it fares."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.decorators import permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from byok_site import diagnosis, finding
from keys.models import ProviderKey
from orgs.actions import support
from orgs.actions.support import GrantNeeded
from orgs.confirming import ask_again, confirmed, is_fresh, refill
from orgs.models import Organization, SupportVisit
from usage import requests
from usage.periods import zone

REFUSED_SHOWN = 25
opens = permission_required("orgs.add_supportvisit", raise_exception=True)


class SearchForm(forms.Form):
    text = forms.CharField(min_length=finding.SHORTEST, max_length=finding.LONGEST)


class VisitForm(forms.Form):
    reason = forms.CharField(
        label="Reason",
        max_length=300,
        help_text="The ticket and what they ask, for example 4711: requests fail since noon. Owners read it in their audit log.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "size": 80}),
        error_messages={"required": "Say why you open it."},
    )


def page(request: HttpRequest, template: str, title: str, status: int = 200, **context: Any) -> TemplateResponse:
    return TemplateResponse(request, template, {**admin.site.each_context(request), "title": title, **context}, status=status)


@require_POST
@opens
def search(request: HttpRequest) -> HttpResponse:
    """What was asked stands in no address and in no page, since people paste what they should not."""
    form = SearchForm(request.POST)
    found = finding.find(form.cleaned_data["text"]) if form.is_valid() else []
    return page(request, "admin/found.html", "Organizations found", found=found, most=finding.MOST)


@require_http_methods(["GET", "HEAD", "POST"])
@opens
@confirmed("reason")
def open_organization(request: HttpRequest, pk: UUID) -> HttpResponse:
    organization = get_object_or_404(Organization, pk=pk)
    form = VisitForm(request.POST if request.method == "POST" else None)
    refill(form, request)
    grant = support.open_grant(organization, timezone.now())
    closed = organization.support_needs_grant and grant is None
    if form.is_valid():
        try:
            support.begin_visit(organization=organization, reason=form.cleaned_data["reason"], by=support.actor(request))
            return redirect("admin:organization", pk)
        except GrantNeeded:
            closed = True
    status = 403 if closed else 422 if form.is_bound else 200
    return page(request, "admin/open.html", f"Open {organization}", status, organization=organization, form=form, closed=closed)


type Page = Callable[..., HttpResponse]


def visiting(view: Page) -> Page:
    """Gives the view the visit itself; whoever has none is asked for a reason first."""

    @wraps(view)
    def enter(request: HttpRequest, pk: UUID, **kwargs: Any) -> HttpResponse:
        mine = SupportVisit.objects.by(request.user).under_way(timezone.now()).filter(organization=pk)
        visit = mine.select_related("organization").order_by("-until").first()
        return view(request, visit, **kwargs) if visit else redirect("admin:open", pk)

    return enter


@require_safe
@opens
@visiting
def organization(request: HttpRequest, visit: SupportVisit) -> HttpResponse:
    """Its keys, what went wrong lately, and what it used."""
    visited, now = visit.organization, timezone.now()
    context = {
        "visit": visit,
        "organization": visited,
        "keys": ProviderKey.objects.for_org(visited),
        "attention": diagnosis.attention(visited, now),
        "errors": diagnosis.errors(visited, now)[:REFUSED_SHOWN],
        "usage": diagnosis.usage(visited, now),
    }
    return page(request, "admin/organization.html", str(visited), **context)


@require_safe
@opens
@visiting
def request_page(request: HttpRequest, visit: SupportVisit, request_id: UUID) -> HttpResponse:
    visited = visit.organization
    events = requests.find(visited, request_id)
    if not events:
        raise Http404
    walk = requests.walk(visited, events, zone(visited.timezone))
    return page(request, "admin/request.html", f"Request {request_id}", walk=walk, organization=visited)


@require_POST
@opens
@visiting
def leave(request: HttpRequest, visit: SupportVisit) -> HttpResponse:
    """Whoever is done closes the organization again, before the hour is over."""
    support.end_visits(organization=visit.organization, by=support.actor(request))
    messages.success(request, f"Your visit to {visit.organization} is over.")
    return redirect("admin:index")


@require_POST
@opens
@visiting
def diagnostics(request: HttpRequest, visit: SupportVisit) -> HttpResponse:
    """A zip of JSON, to attach to the ticket. That it was made stands in the audit of the organization."""
    organization, now = visit.organization, timezone.now()
    if not is_fresh(request):
        return ask_again(request, back=reverse("admin:organization", args=[organization.pk]))
    support.record_diagnostics(organization=organization, by=support.actor(request))
    name = f"keyhold-{organization.slug}-{now:%Y%m%d-%H%M}.zip"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(diagnosis.bundle(organization, now), content_type="application/zip", headers=headers)
