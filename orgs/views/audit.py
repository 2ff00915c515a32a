"""The audit log of an organization, as a page and as CSV."""

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from orgs.access import org_view
from orgs.actions import Actor, record_export
from orgs.audit import log as audit_log
from orgs.audit.words import KINDS
from orgs.confirming import confirmed
from orgs.models import Organization
from orgs.spreadsheets import streamed

PARTS = {"log": "#log", "older": "#older"}


@require_safe
@vary_on_headers("HX-Request", "HX-Target")
@org_view("orgs.view_auditevent")
def audit(request: HttpRequest, organization: Organization) -> HttpResponse:
    """Scripts ask for a part of it: the list with other filters, or the entries that are older."""
    query = audit_log.read(request.GET.dict(), organization)
    restoring = request.htmx.history_restore_request  # type: ignore[attr-defined]
    part = "" if restoring else PARTS.get(request.htmx.target or "", "")  # type: ignore[attr-defined]
    log = audit_log.log(organization, query, timezone.now(), secrets=sees_secrets(request, organization))
    context = {
        "page": "audit",
        "query": query,
        "log": log,
        "older": query.link(before=log.last),
        "swapped": part == "#log",
        "continued": part == "#older",
    }
    if part != "#older":
        context |= {
            "count": audit_log.counted(organization, query),
            "people": audit_log.people(organization),
            "kinds": [(kind, label) for kind, (label, _) in KINDS.items()],
        }
    return render(request, f"orgs/audit.html{part}", context)


@require_safe
@org_view("orgs.view_auditevent")
@confirmed()
def audit_csv(request: HttpRequest, organization: Organization) -> StreamingHttpResponse:
    query = audit_log.read(request.GET.dict(), organization)
    lines = audit_log.csv_lines(organization, query, secrets=sees_secrets(request, organization))
    if request.method == "GET":
        record_export(organization=organization, what="audit", filters=query.filters, by=Actor.of(request))
    return streamed(request, lines, f"{organization.slug}-audit")


def sees_secrets(request: HttpRequest, organization: Organization) -> bool:
    """Hints and fingerprints, never the secrets themselves, which no event holds."""
    return request.user.has_perm("keys.view_hint", organization)
