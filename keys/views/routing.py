"""The routing page: the order in which keys are tried, moved step by step and saved at once."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from keys import order, routes
from keys.actions import OrderConflict, reorder_keys
from keys.actions.ordering import live
from keys.models import ProviderKey
from keys.order import Place
from keys.pages import hops, listing
from keys.views.routing_policy import policy_forms
from keys.views.trying import tried
from orgs.access import org_view
from orgs.actions import Actor
from orgs.models import Organization

type Wanted = list[tuple[UUID, str]]


@require_safe
@never_cache
@org_view("keys.view_routingpreference")
def page(request: HttpRequest, organization: Organization) -> HttpResponse:
    return show(request, organization)


@require_POST
@never_cache
@org_view("keys.change_routingpreference")
def set_order(request: HttpRequest, organization: Organization) -> HttpResponse:
    """With `move`, the page with the order as it would be: it travels in the form, and is not saved before someone says so."""
    wanted, version = order.read(request.POST.getlist("order")), number(request.POST.get("version", ""))
    if move := request.POST.get("move"):
        return show(request, organization, wanted=wanted, version=version, move=move)
    try:
        reorder_keys(organization=organization, order=wanted, version=version, by=Actor.of(request))
    except OrderConflict as conflict:
        return show_conflict(request, organization, conflict, wanted)
    messages.success(request, "The order is saved. Requests follow it within 2 seconds.")
    return redirect("routing", organization.slug)


def show(
    request: HttpRequest, organization: Organization, *, wanted: Wanted | None = None, version: int = 0, move: str = ""
) -> HttpResponse:
    """wanted: the staged order, and version that of the order it was made from. Without them, the order as it is."""
    context = around(request, organization)
    keys = list(ProviderKey.objects.for_org(organization))
    listed, now = listing.rows(keys), live(keys)
    resting = hops.at_rest(listed, organization)
    before = order.grouped(now) if wanted is None else order.on_top_of(now, order.placed(wanted, now))
    staged = order.moved(before, move, drawn(resting))
    context |= {
        "tiers": hops.draw(staged, listed, context["routes"].policy),
        "resting": resting,
        "total": len(keys),
        "version": context["routing"].order_version if wanted is None else version,
        "changed": staged != now,
        "move": move,
        "arrived": next((place.key for place in staged if place not in before), None),
    }
    return render(request, "keys/routing/page.html", context)


def show_conflict(request: HttpRequest, organization: Organization, conflict: OrderConflict, wanted: Wanted) -> HttpResponse:
    """Both orders. Ours can be saved once more, on top of what the other one did."""
    context = around(request, organization)
    listed = listing.rows(ProviderKey.objects.for_org(organization))
    mine = order.on_top_of(conflict.theirs, order.placed(wanted, conflict.theirs))
    context |= {
        "conflict": conflict,
        "today": conflict.at and conflict.at.date() == timezone.now().date(),
        "mine": mine,
        "both": [
            ("The order now", hops.draw(conflict.theirs, listed, context["routes"].policy)),
            ("Your order", hops.draw(mine, listed, context["routes"].policy)),
        ],
    }
    return render(request, "keys/routing/page.html", context, status=409)


def around(request: HttpRequest, organization: Organization) -> dict[str, Any]:
    """What stands beside the order. The version is read before the keys, so that no change between the two goes unseen."""
    forms = policy_forms(request, organization)
    found = routes.of(organization)
    return {"page": "routing", "routes": found, **forms, **tried(request, organization, found)}


def drawn(resting: Sequence[hops.Resting]) -> Callable[[Place], bool]:
    waiting = {each.row.key.pk for each in resting}
    return lambda place: place.key not in waiting


def number(text: str) -> int:
    """What is none was the version of no order."""
    return int(text) if text.isdecimal() and len(text) < 10 else -1
