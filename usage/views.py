"""The overview of an organization, its usage page and the same as CSV."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from keys.models import ProviderKey
from keys.pages import listing
from keys.providers import PROVIDERS
from orgs.access import org_view
from orgs.actions import Actor, Export, record_export
from orgs.confirming import confirmed
from orgs.models import Membership, Organization
from orgs.spreadsheets import streamed
from usage import figures, links, overviews, privacy, queries, screens
from usage.exports import csv_lines
from usage.focus import focus_lines
from usage.periods import zone
from usage.queries import Query
from usage.recent import Recent, recent
from usage.reports import Report, report

COMMON = ("anthropic", "openai", "azure", "bedrock", "vertex", "groq")


@require_safe
@vary_on_headers("HX-Request")
@org_view("usage.view_usageevent")
def usage(request: HttpRequest, organization: Organization) -> HttpResponse:
    now = timezone.now()
    query = _query(request, organization, now)
    template = "usage/usage.html#report" if request.htmx and not request.htmx.history_restore_request else "usage/usage.html"
    shown = report(organization, query)
    return render(request, template, {"page": "usage", **_screen(shown, recent(organization, query, shown.names), now)})


@require_safe
@org_view("usage.view_usageevent")
@confirmed()
def usage_csv(request: HttpRequest, organization: Organization) -> HttpResponseBase:
    query = _query(request, organization, timezone.now())
    _told(request, organization, "usage", query)
    return streamed(request, csv_lines(organization, query), _named(f"{organization.slug}-usage", query))


@require_safe
@org_view("usage.view_usageevent")
@confirmed()
def usage_focus(request: HttpRequest, organization: Organization) -> HttpResponseBase:
    """Always by days, as hours are not kept in full: 24 hours are the two days that they touch."""
    query = _query(request, organization, timezone.now(), by="client")
    _told(request, organization, "costs", query)
    return streamed(request, focus_lines(organization, query), _named(f"{organization.slug}-costs", query))


def _told(request: HttpRequest, organization: Organization, what: Export, query: Query) -> None:
    if request.method == "GET":
        record_export(organization=organization, what=what, filters=query.params, by=Actor.of(request))


def _named(name: str, query: Query) -> str:
    return f"{name}-{query.period.first:%Y-%m-%d}-to-{query.period.last:%Y-%m-%d}"


@require_safe
@org_view("orgs.view_organization")
def overview(request: HttpRequest, organization: Organization) -> HttpResponse:
    listed = listing.rows(ProviderKey.objects.for_org(organization))
    if not listed:
        return _first_run(request, organization)
    now, local = timezone.now(), zone(organization.timezone)
    week = report(organization, queries.read({"range": "7d"}, local, now))
    waiting = overviews.attention(organization, listed, now)
    return render(
        request,
        "usage/overview.html",
        {
            "page": "overview",
            "today": figures.today(now.astimezone(local)),
            "attention": waiting[: overviews.LINES_SHOWN],
            "waiting": len(waiting),
            "more": len(waiting[overviews.LINES_SHOWN :]),
            "all_well": overviews.all_well(listed),
            "checked": listing.checked(listed),
            "stats": [*overviews.of_week(week, reverse("usage", args=[organization.slug])), overviews.working(listed)],
            "chart": screens.chart(week),
            "empty": screens.empty(week, now),
        },
    )


def _first_run(request: HttpRequest, organization: Organization) -> HttpResponse:
    """Owners get the three steps; members are told whom to ask."""
    if _may(request, organization, "keys.add_providerkey"):
        common = [PROVIDERS[slug] for slug in COMMON]
        context = {"page": "overview", "common": common, "count": len(PROVIDERS), "address": settings.PUBLIC_URL}
        return render(request, "usage/first_run.html", context)
    owners = [str(each.user) for each in Membership.objects.for_org(organization).owners().select_related("user")]
    return render(request, "usage/first_run_member.html", {"page": "overview", "whom": overviews.whom_to_ask(owners)})


def _may(request: HttpRequest, organization: Organization, permission: str) -> bool:
    return request.user.has_perm(permission, organization)


def _query(request: HttpRequest, organization: Organization, now: datetime, **instead: str) -> Query:
    """What the URL asks for, but for what is said `instead`."""
    only = privacy.only_of(request.user, organization)
    return queries.read(request.GET.dict() | instead, zone(organization.timezone), now, only=only)


def _screen(shown: Report, recents: Recent, now: datetime) -> dict[str, Any]:
    query = shown.query
    return {
        "query": query,
        "subtitle": screens.subtitle(shown, now),
        "csv": query.link(),
        "ranges": links.ranges(query),
        "first": f"{query.period.first:%Y-%m-%d}",
        "last": f"{query.period.last:%Y-%m-%d}",
        "kept": [(name, value) for name, value in query.params.items() if name not in ("range", "from", "to", "before")],
        "filters": links.filters(shown),
        "stats": screens.stats(shown),
        "chart": screens.chart(shown),
        "measures": links.measures(query),
        "breakdowns": links.breakdowns(query),
        "heads": links.heads(query),
        "item": links.BY[query.by],
        "caption": f"Usage by {links.BY[query.by].lower()}, sorted by {links.COLUMNS[query.sort].lower()}",
        "rows": screens.rows(shown),
        "foot": screens.foot(shown),
        "recent": recents,
        "alone": query.only is not None,
        "empty": screens.empty(shown, now),
        "clear": query.link(**dict.fromkeys(queries.FILTERS, "")),
    }
