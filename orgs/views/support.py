"""Owners let support in, and send it away again."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from orgs.access import org_view
from orgs.actions import Actor, support
from orgs.models import Organization


@require_POST
@org_view("orgs.add_supportgrant")
def grant(request: HttpRequest, organization: Organization) -> HttpResponse:
    support.grant_support(organization=organization, by=Actor.of(request))
    messages.success(request, "Support may open this organization for 24 hours.")
    return redirect("settings", organization.slug)


@require_POST
@org_view("orgs.add_supportgrant")
def end(request: HttpRequest, organization: Organization) -> HttpResponse:
    support.end_grant(organization=organization, by=Actor.of(request))
    messages.success(request, "Support can no longer open this organization.")
    return redirect("settings", organization.slug)
