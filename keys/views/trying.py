"""Try a model: what would happen to a request, by the very plan that the gateway follows. Nothing is sent anywhere."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from keys import catalog, routes
from keys.models import ClientKey
from keys.pages.explaining import Explanation, explain, stopped_by
from keys.providers import PROVIDERS
from keys.providers.paths import OPERATIONS
from keys.routes import Routes
from keys.routing import IN_ORDER, Asking, RouteKey
from keys.views.client_keys import OTHER_THAN_CHAT
from orgs.access import org_view
from orgs.models import Membership, Organization, User

CHAT = "chat"
YOU = ""  # who asks, where nobody else was chosen
MOST_SUGGESTED = 500


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who may be chosen. `value` as the form sends it."""

    value: str
    label: str
    asking: Asking
    stopped: str = ""


@dataclass(frozen=True, slots=True)
class Tried:
    """What was chosen, what else may be, and what would happen; nothing where no model is known."""

    model: str
    operation: str
    who: str
    suggested: list[str]
    callers: list[tuple[str, list[Caller]]]
    explanation: Explanation | None
    operations = tuple(OPERATIONS.items())


@require_safe
@never_cache
@vary_on_headers("HX-Request")
@org_view("keys.view_routingpreference")
def try_model(request: HttpRequest, organization: Organization) -> HttpResponse:
    """What htmx puts into the card. Without it, the routing page says the same."""
    if not request.htmx:
        return redirect(f"{reverse('routing', args=[organization.slug])}?{request.GET.urlencode()}")
    context = tried(request, organization, routes.of(organization))
    return render(request, "keys/routing/_try.html#chain", context)


def tried(request: HttpRequest, organization: Organization, found: Routes) -> dict[str, Any]:
    """For the card of the routing page: `?model=`, `?operation=`, and `?who=`, which owners may choose. Two queries at most."""
    asked = request.GET.get("operation", CHAT)
    operation = asked if asked in OPERATIONS else CHAT
    model = request.GET.get("model", "").strip()[: catalog.MAX_MODEL] or a_model(found)
    callers = callers_for(request, organization)
    every = {caller.value: caller for _, group in callers for caller in group}
    caller = every.get(request.GET.get("who", YOU)) or you(request)
    explanation = explained(found, model, operation, caller) if model else None
    return {"tried": Tried(model, operation, caller.value, suggestions(found), callers, explanation)}


def explained(found: Routes, model: str, operation: str, caller: Caller) -> Explanation:
    plan = found.plan(model, now=time.time(), operation=operation, asking=caller.asking)
    return explain(found, plan, caller.asking, stopped=caller.stopped)


def callers_for(request: HttpRequest, organization: Organization) -> list[tuple[str, list[Caller]]]:
    """Client keys and other members are for those who may see client keys."""
    if not request.user.has_perm("keys.view_clientkey", organization):
        return []
    keys = ClientKey.objects.for_org(organization).live()
    people = Membership.objects.for_org(organization).select_related("user").order_by("user__name", "pk")
    return [
        ("Client keys", [of_client_key(key) for key in keys]),
        ("Members", [of_member(each.user) for each in people if each.user != request.user]),
    ]


def you(request: HttpRequest) -> Caller:
    assert isinstance(request.user, User)
    return Caller(YOU, "You", routes.asking(member=request.user))


def of_client_key(key: ClientKey) -> Caller:
    return Caller(f"client:{key.pk}", key.name, routes.asking(key), stopped_by(key))


def of_member(user: User) -> Caller:
    return Caller(f"member:{user.pk}", str(user), routes.asking(member=user))


def a_model(found: Routes) -> str:
    """One that the first key which knows its models can chat with, as far as the name tells."""
    keys = (key for key in sorted(in_use(found.keys), key=IN_ORDER) if CHAT in PROVIDERS[key.provider].operations)
    return next((slug for key in keys for slug in slugs_of(key) if not OTHER_THAN_CHAT.search(slug)), "")


def suggestions(found: Routes) -> list[str]:
    """Models that some key is known to serve. Keys that know the same are looked at once."""
    different = {
        (key.provider, key.discovered, tuple(each["model_slug"] for each in key.deployments)): key for key in in_use(found.keys)
    }
    return sorted({slug for key in different.values() for slug in slugs_of(key)})[:MOST_SUGGESTED]


def in_use(keys: Iterable[RouteKey]) -> list[RouteKey]:
    return [key for key in keys if key.enabled and key.tested]


def slugs_of(key: RouteKey) -> list[str]:
    row = PROVIDERS[key.provider]
    return catalog.slugs(row, discovered=key.discovered, deployments=key.deployments, overrides=key.overrides)
