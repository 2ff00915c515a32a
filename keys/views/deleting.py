"""Deleting an organization, and keeping it after all."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from keys.actions.deleting import WAIT, delete_organization, keep_organization
from keys.forms.credentials import TypedNameForm
from keys.models import ClientKey, ManagementKey, ProviderKey
from orgs.access import org_view
from orgs.actions import Actor
from orgs.confirming import confirmed
from orgs.models import Membership, Organization


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view("orgs.delete_organization")
@confirmed()
def delete(request: HttpRequest, organization: Organization) -> HttpResponse:
    """The address of the organization, typed, confirms it."""
    form = TypedNameForm(request.POST if request.method == "POST" else None, name=organization.slug)
    if form.is_bound and form.is_valid():
        delete_organization(organization=organization, by=Actor.of(request))
        messages.success(request, f"{organization} is paused and will be deleted. Until then you can keep it in its settings.")
        return redirect("org_list")
    context = {
        "page": "settings",
        "form": form,
        "days": WAIT.days,
        "provider_keys": ProviderKey.objects.for_org(organization).count(),
        "client_keys": ClientKey.objects.for_org(organization).live().count(),
        "management_keys": ManagementKey.objects.for_org(organization).filter(revoked_at=None).count(),
        "members": Membership.objects.for_org(organization).count(),
    }
    return render(request, "orgs/delete.html", context, status=422 if form.is_bound else 200)


@require_POST
@org_view("orgs.delete_organization")
def keep(request: HttpRequest, organization: Organization) -> HttpResponse:
    keep_organization(organization=organization, by=Actor.of(request))
    messages.success(request, f"{organization} is kept.")
    return redirect("settings", organization.slug)
