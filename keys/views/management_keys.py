"""Management keys: list, create, revoke. A new key's text is in one answer and nowhere else."""

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from keys.actions import NameTaken, issue_management_key, revoke_management_key
from keys.forms.management_keys import ManagementKeyForm
from keys.models import ManagementKey
from orgs.access import org_view
from orgs.actions import Actor
from orgs.confirming import confirmed, refill
from orgs.models import Membership, Organization

PAGE = {"page": "settings"}


@require_safe
@never_cache
@org_view("keys.view_managementkey")
def key_list(request: HttpRequest, organization: Organization) -> HttpResponse:
    keys = ManagementKey.objects.for_org(organization).select_related("created_by")
    owners = set(Membership.objects.for_org(organization).owners().values_list("user", flat=True))
    context = {"keys": keys, "owners": owners, "address": f"{settings.PUBLIC_URL}/api/v1/"}
    return render(request, "keys/management_keys/list.html", PAGE | context)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view("keys.add_managementkey")
@confirmed(*ManagementKeyForm.base_fields)
def new(request: HttpRequest, organization: Organization) -> HttpResponse:
    """The answer to a good POST is the page with the text. Sent again, it is refused, as the name is taken."""
    form = ManagementKeyForm(request.POST if request.method == "POST" else None, organization=organization)
    refill(form, request)
    if form.is_bound and form.is_valid():
        try:
            return issued(request, organization, form)
        except NameTaken as taken:
            form.add_error("name", str(taken))
    return render(request, "keys/management_keys/new.html", PAGE | {"form": form}, status=422 if form.is_bound else 200)


@sensitive_variables()
def issued(request: HttpRequest, organization: Organization, form: ManagementKeyForm) -> HttpResponse:
    name, until = form.cleaned_data["name"], form.expires_at
    key, text = issue_management_key(organization=organization, name=name, expires_at=until, by=Actor.of(request))
    context = PAGE | {"key": key, "text": text, "address": f"{settings.PUBLIC_URL}/api/v1/provider-keys"}
    return render(request, "keys/management_keys/issued.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view("keys.delete_managementkey")
def revoke(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    live = ManagementKey.objects.for_org(organization).filter(revoked_at=None).select_related("organization")
    key = get_object_or_404(live, pk=pk)
    if request.method == "POST":
        revoke_management_key(key=key, by=Actor.of(request))
        messages.success(request, f"“{key.name}” is revoked. Requests with it are refused from now on.")
        return redirect("management_key_list", organization.slug)
    return render(request, "keys/management_keys/revoke.html", PAGE | {"key": key})
