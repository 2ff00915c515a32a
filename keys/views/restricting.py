"""Whom and what a key serves: its limits, and whether its requests may go to shared keys."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from keys import routes
from keys.actions import RestrictionError, set_always, set_restrictions
from keys.forms.restrictions import RestrictionForm
from keys.models import ModelOverride, ProviderKey, native_names
from keys.pages import portrait
from keys.views.provider_keys import find
from orgs.access import org_view
from orgs.actions import Actor
from orgs.models import Organization

SOON = "within 2 seconds"


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view("keys.change_providerkey")
def limits(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    key = find(organization, pk)
    form = RestrictionForm(request.POST if request.method == "POST" else None, key=key)
    if form.is_bound and form.is_valid():
        try:
            set_restrictions(key=key, by=Actor.of(request), **form.chosen)
        except RestrictionError as refusal:
            form.add_error(refusal.field, list(refusal.problems))
        else:
            announce(request, key)
            return redirect("provider_key", organization.slug, key.pk)
    context = {"page": "keys", "key": key, "row": key.row, "form": form}
    return render(request, "keys/limits.html", context, status=422 if form.is_bound else 200)


@require_POST
@never_cache
@org_view("keys.change_providerkey")
def always(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    key = find(organization, pk)
    set_always(key=key, always="always" in request.POST, by=Actor.of(request))
    if key.always:
        messages.success(request, f"Requests that “{key.name}” may serve never go to shared keys.")
    else:
        messages.success(request, f"“{key.name}” does not keep requests from shared keys.")
    return redirect("provider_key", organization.slug, key.pk)


def announce(request: HttpRequest, key: ProviderKey) -> None:
    """Patterns that match no model that is known leave the key without traffic, and are most likely misspelled."""
    names = native_names(ModelOverride.objects.that_concern([key.organization_id]))
    found, permitted = portrait.known_models(routes.route_of(key, names))
    if found and not permitted:
        words = f"The limits of “{key.name}” are saved, but none of its {found} known models matches them."
        messages.warning(request, f"{words} It serves no request for these. Look at the models again.")
    else:
        messages.success(request, f"The limits of “{key.name}” are saved. Requests follow them {SOON}.")
