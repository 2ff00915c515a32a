"""Limits and budgets: the page with all of them, and the one of each member, key or the organization, where owners set them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from orgs.access import org_view
from orgs.actions import Actor
from orgs.models import Organization
from usage import ceilings, targets
from usage.actions import remove_budget, set_budget, set_limit
from usage.ceilings import CAP, NOTHING, Ceiling
from usage.figures import zone_name
from usage.forms import NEW, BudgetForm, LimitForm
from usage.models import Period, Scope
from usage.periods import zone
from usage.privacy import only_of
from usage.targets import Target

SLUGS = {Scope.MEMBER: "members", Scope.CLIENT_KEY: "client-keys", Scope.PROVIDER_KEY: "provider-keys"}  # in addresses
SCOPES = {slug: scope for scope, slug in SLUGS.items()}
TITLES = {
    Scope.ORGANIZATION: "Organization",
    Scope.MEMBER: "Members",
    Scope.CLIENT_KEY: "Client keys",
    Scope.PROVIDER_KEY: "Provider keys",
}
LIMIT = "limit"
REMOVE = "remove"
SOON = "within 2 seconds"


@dataclass(frozen=True, slots=True)
class Row:
    target: Target
    ceiling: Ceiling
    url: str


@dataclass(frozen=True, slots=True)
class Section:
    """`free`: those that nothing limits."""

    title: str
    limited: list[Row]
    free: list[Row]


@require_safe
@never_cache
@org_view("usage.view_limit")
def limits(request: HttpRequest, organization: Organization) -> HttpResponse:
    found = ceilings.of(organization, timezone.now())
    seen = targets.everything(organization, only=only_of(request.user, organization))
    sections = [section(organization, scope, some, found) for scope, some in seen.items()]
    context = {"page": "limits", "sections": sections, "zone": zone_name(zone(organization.timezone))}
    return render(request, "usage/limits/list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view("usage.change_limit")
def edit(request: HttpRequest, organization: Organization, scope: str = "", pk: str = "") -> HttpResponse:
    """Each card saves for itself: `do` says which."""
    target = found(organization, scope, pk)
    ceiling = ceilings.of_one(organization, target.scope, target.id, timezone.now())
    sent = request.POST if request.method == "POST" else QueryDict()
    forms = forms_of(target, ceiling, sent)
    try:
        said = act(organization, target, ceiling, forms, sent.get("do", ""), Actor.of(request))
    except targets.NoSuchTarget:  # it went while this was sent
        raise Http404 from None
    if said:
        messages.success(request, said)
        return redirect(address(organization, target))
    context = {"page": "limits", "target": target, "ceiling": ceiling, **cards(ceiling, forms)}
    return render(request, "usage/limits/edit.html", context, status=422 if request.method == "POST" else 200)


def section(organization: Organization, scope: Scope, some: list[Target], found: Mapping[ceilings.Key, Ceiling]) -> Section:
    rows = [Row(each, found.get((scope, each.id), NOTHING), address(organization, each)) for each in some]
    limited: list[Row] = []
    free: list[Row] = []
    for row in rows:
        (limited if row.ceiling or scope is Scope.ORGANIZATION else free).append(row)
    return Section(TITLES[scope], limited, free)


def address(organization: Organization, target: Target) -> str:
    if target.scope is Scope.ORGANIZATION:
        return reverse("organization_limits", args=[organization.slug])
    return reverse("limits_of", args=[organization.slug, SLUGS[target.scope], target.id])


def found(organization: Organization, scope: str, pk: str) -> Target:
    """Without a scope the organization itself."""
    try:
        return targets.find(organization, SCOPES[scope] if scope else Scope.ORGANIZATION, pk)
    except (KeyError, targets.NoSuchTarget):
        raise Http404 from None


def forms_of(target: Target, ceiling: Ceiling, sent: QueryDict) -> dict[str, LimitForm | BudgetForm]:
    """By what `do` says; only that one is bound to what was sent."""

    def data(name: str) -> QueryDict | None:
        return sent if sent.get("do") == name else None

    present = {meter.budget.period: meter.budget for meter in ceiling.meters}
    free = [period for period in Period if period not in present]
    forms: dict[str, LimitForm | BudgetForm] = {LIMIT: LimitForm(data(LIMIT), ceiling.limit)}
    forms |= {period: BudgetForm(data(period), target.scope, budget) for period, budget in present.items()}
    return forms | ({NEW: BudgetForm(data(NEW), target.scope, free=free)} if free else {})


def act(organization: Organization, target: Target, ceiling: Ceiling, forms: Mapping[str, Any], do: str, by: Actor) -> str:
    """What was done, in words; nothing where nothing was."""
    verb, _, period = do.partition(" ")
    if verb == REMOVE and period in CAP:
        for meter in ceiling.meters:
            if meter.budget.period == period:
                remove_budget(budget=meter.budget, by=by)
        return f"The {CAP[Period(period)].lower()} budget of “{target}” is removed."
    form = forms.get(do)
    if form is None or not form.is_valid():
        return ""
    where: dict[str, Any] = {"organization": organization, "scope": target.scope, "target_id": target.id, "by": by}
    if do == LIMIT:
        set_limit(**where, **form.cleaned_data)
        return f"The limits of “{target}” are saved. Requests follow them {SOON}."
    budget = set_budget(**where, **form.chosen)
    return f"The {CAP[Period(budget.period)].lower()} budget of “{target}” is saved. Requests follow it {SOON}."


def cards(ceiling: Ceiling, forms: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "limit": forms[LIMIT],
        "budgets": [(meter, forms[meter.budget.period]) for meter in ceiling.meters],
        "new": forms.get(NEW),
        "refused": next((form for form in forms.values() if form.errors), None),
    }
