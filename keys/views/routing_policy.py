"""What owners decide about routing beside the order: switches, fallback, preferences, and stopping. Members read it."""

from time import time
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from keys import actions, preferences, routes
from keys.actions.routing import BeingDeleted, provider_routing_of, routing_of
from keys.forms.preferences import FallbackForm, PreferencesForm, ProviderForm
from keys.models import ClientKey, ProviderKey, ProviderPreference, RoutingPreference
from keys.pages import consequences
from keys.preferences import FIELDS
from keys.providers import PROVIDERS, Provider
from orgs.access import org_view
from orgs.actions import Actor
from orgs.models import Organization

READ = "keys.view_routingpreference"
EDIT = "keys.change_routingpreference"
WITHOUT_MOVES = [name for name in FIELDS if name != "move_on"]  # these are in the fallback card
OTHERWISE = "your organization decides"
SOON = "within 2 seconds"


def policy_forms(request: HttpRequest, organization: Organization) -> dict[str, Any]:
    """What the switches and the fallback card of the routing page need. At most four queries."""
    routing = routing_of(organization)
    return {
        "routing": routing,
        "fallback": fallback_form(routing, editable=may_edit(request, organization)),
        "by_provider": providers_of(organization),
    }


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view(EDIT)
def own_keys_off(request: HttpRequest, organization: Organization) -> HttpResponse:
    """Asks first, and says what becomes of requests."""
    if request.method == "POST":
        actions.set_routing(organization=organization, by=Actor.of(request), use_own_keys=False)
        messages.success(request, f"Your keys are switched off. Requests stop using them {SOON}.")
        return redirect("routing", organization.slug)
    present = routes.of(organization)
    loss = consequences.of_own_keys(present, callers=consequences.callers(organization), now=time())
    context = {"page": "routing", "shared": present.shared and not present.policy.own_keys_only, "loss": loss}
    return render(request, "keys/routing/own_keys_off.html", context)


@require_POST
@org_view(EDIT)
def own_keys_on(request: HttpRequest, organization: Organization) -> HttpResponse:
    actions.set_routing(organization=organization, by=Actor.of(request), use_own_keys=True)
    messages.success(request, f"Your keys are switched on. Requests use them {SOON}.")
    return redirect("routing", organization.slug)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view(EDIT)
def pause(request: HttpRequest, organization: Organization) -> HttpResponse:
    if request.method == "POST":
        actions.pause_organization(organization=organization, by=Actor.of(request))
        messages.success(request, f"{organization.name} is paused. Requests are refused {SOON}.")
        return redirect("routing", organization.slug)
    client_keys = list(ClientKey.objects.for_org(organization).live().filter(paused_at=None))
    return render(request, "keys/routing/pause.html", {"page": "routing", "client_keys": client_keys})


@require_POST
@org_view(EDIT)
def resume(request: HttpRequest, organization: Organization) -> HttpResponse:
    try:
        actions.resume_organization(organization=organization, by=Actor.of(request))
    except BeingDeleted as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, f"Requests of {organization.name} are served again {SOON}.")
    return redirect("routing", organization.slug)


@require_POST
@never_cache
@org_view(EDIT)
def set_fallback(request: HttpRequest, organization: Organization) -> HttpResponse:
    """The card of the routing page. A mistake leads to a page with the card alone."""
    form = fallback_form(routing_of(organization), request.POST)
    if not form.is_valid():
        return render(request, "keys/routing/fallback.html", {"page": "routing", "fallback": form}, status=422)
    actions.set_routing(organization=organization, by=Actor.of(request), **form.changes)
    messages.success(request, f"What happens when a key fails is saved. Requests follow it {SOON}.")
    return redirect("routing", organization.slug)


@require_safe
@never_cache
@org_view(READ)
def preferences_page(request: HttpRequest, organization: Organization) -> HttpResponse:
    return show_preferences(request, preferences_form(organization, editable=may_edit(request, organization)))


@require_POST
@never_cache
@org_view(EDIT)
def set_preferences(request: HttpRequest, organization: Organization) -> HttpResponse:
    form = preferences_form(organization, request.POST)
    if not form.is_valid():
        return show_preferences(request, form)
    actions.set_routing(organization=organization, by=Actor.of(request), **form.chosen)
    messages.success(request, f"Preferences are saved. Requests follow them {SOON}.")
    return redirect("routing_preferences", organization.slug)


@require_safe
@never_cache
@org_view(READ)
def provider_page(request: HttpRequest, organization: Organization, provider: str) -> HttpResponse:
    routing = provider_routing_of(organization, find(provider).slug)
    return show_provider(request, organization, routing, provider_form(routing, editable=may_edit(request, organization)))


@require_POST
@never_cache
@org_view(EDIT)
def set_provider(request: HttpRequest, organization: Organization, provider: str) -> HttpResponse:
    row = find(provider)
    routing = provider_routing_of(organization, row.slug)
    form = provider_form(routing, request.POST)
    if not form.is_valid():
        return show_provider(request, organization, routing, form)
    actions.set_provider_routing(organization=organization, provider=row.slug, by=Actor.of(request), **form.changes)
    messages.success(request, f"Routing of {row.label} is saved. Requests follow it {SOON}.")
    return redirect("provider_routing", organization.slug, row.slug)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view(EDIT)
def pause_provider(request: HttpRequest, organization: Organization, provider: str) -> HttpResponse:
    row = find(provider)
    if request.method == "POST":
        actions.pause_provider(organization=organization, provider=row.slug, by=Actor.of(request))
        messages.success(request, f"{row.label} is paused. No request goes there {SOON}.")
        return redirect("provider_routing", organization.slug, row.slug)
    context = {"page": "routing", "row": row, "loss": loss_of(organization, row.slug)}
    return render(request, "keys/routing/pause.html", context)


@require_POST
@org_view(EDIT)
def resume_provider(request: HttpRequest, organization: Organization, provider: str) -> HttpResponse:
    row = find(provider)
    actions.resume_provider(organization=organization, provider=row.slug, by=Actor.of(request))
    messages.success(request, f"Requests go to {row.label} again {SOON}.")
    return redirect("provider_routing", organization.slug, row.slug)


def find(provider: str) -> Provider:
    if provider not in PROVIDERS:
        raise Http404
    return PROVIDERS[provider]


def may_edit(request: HttpRequest, organization: Organization) -> bool:
    return request.user.has_perm(EDIT, organization)


def fallback_form(routing: RoutingPreference, data: QueryDict | None = None, *, editable: bool = True) -> FallbackForm:
    """Shared keys are a choice only where there are some, or where the organization chose them before."""
    shared = not routing.own_keys_only or ProviderKey.objects.lent().exists()
    return FallbackForm(data, routing=routing, shared=shared, editable=editable)


def preferences_form(organization: Organization, data: QueryDict | None = None, *, editable: bool = True) -> PreferencesForm:
    kept = preferences.read(routing_of(organization).preferences)
    return PreferencesForm(data, kept=kept, fields=WITHOUT_MOVES, editable=editable)


def provider_form(routing: ProviderPreference, data: QueryDict | None = None, *, editable: bool = True) -> ProviderForm:
    return ProviderForm(data, routing=routing, otherwise=OTHERWISE, editable=editable)


def show_preferences(request: HttpRequest, form: PreferencesForm) -> HttpResponse:
    context = {"page": "routing", "form": form, "known": PROVIDERS.values()}
    return render(request, "keys/routing/preferences.html", context, status=422 if form.is_bound else 200)


def show_provider(
    request: HttpRequest, organization: Organization, routing: ProviderPreference, form: ProviderForm
) -> HttpResponse:
    context = {
        "page": "routing",
        "row": PROVIDERS[routing.provider],
        "routing": routing,
        "keys": ProviderKey.objects.for_org(organization).filter(provider=routing.provider),
        "form": form,
        "loss": loss_of(organization, routing.provider),
    }
    return render(request, "keys/routing/provider.html", context, status=422 if form.is_bound else 200)


def loss_of(organization: Organization, provider: str) -> consequences.Loss:
    """What is not served any more once the provider is paused."""
    callers = consequences.callers(organization)
    return consequences.of_provider(routes.of(organization), provider, callers=callers, now=time())


def providers_of(organization: Organization) -> list[tuple[Provider, ProviderPreference | None]]:
    """Providers that the organization has a key of, or has decided something about, each with that."""
    decided = {each.provider: each for each in ProviderPreference.objects.filter(organization=organization)}
    used = set(ProviderKey.objects.for_org(organization).values_list("provider", flat=True))
    return [(row, decided.get(row.slug)) for row in PROVIDERS.values() if row.slug in used | decided.keys()]
