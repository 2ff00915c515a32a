"""What a program can read and not change: members, usage, the audit log."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

import msgspec
from django.core.cache import cache
from django.utils import timezone
from msgspec import Meta

from byok_site.api.door import Answer, Call, Operation, Route
from byok_site.api.paging import ByNumber, page
from byok_site.api.problems import invalid
from orgs.actions import Export, record_export
from orgs.audit.words import without_secrets
from orgs.models import AuditEvent, Membership
from usage import queries
from usage.periods import LONGEST, zone
from usage.privacy import only_of
from usage.reports import Totals, report

LAST_YEAR = 9000
HOUR = 3600  # seconds
TOO_LONG = f"A period has at most {LONGEST} days."
BACKWARDS = "The last day comes before the first."


class MemberAnswer(msgspec.Struct):
    id: int
    email: str
    name: str
    role: str
    since: datetime


class MemberList(msgspec.Struct):
    items: list[MemberAnswer]
    next: int | None


class AuditAnswer(msgspec.Struct):
    id: int
    at: datetime
    actor: str
    address: str | None
    tag: str
    target_id: str
    target: str
    changes: dict[str, Any]


class AuditList(msgspec.Struct):
    """The latest first."""

    items: list[AuditAnswer]
    next: int | None


class UsageQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Days of the organization's time zone."""

    first: Annotated[date, Meta(description="The first day.")] = msgspec.field(name="from")
    last: Annotated[date, Meta(description="The last day, which is part of it.")] = msgspec.field(name="to")
    by: Literal["provider", "key", "model", "client", "member"] = "provider"


class Sums(msgspec.Struct):
    """An attempt that a later one rescued is no request."""

    requests: int
    errors: int
    cancelled: int
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    reasoning_tokens: int
    unpriced: int
    estimated_cost_microusd: int


class UsageItem(msgspec.Struct):
    item: str
    name: str
    sums: Sums


class UsageAnswer(msgspec.Struct):
    by: str
    total: Sums
    items: list[UsageItem]


def members(call: Call, query: ByNumber) -> Answer:
    rows = Membership.objects.for_org(call.organization).select_related("user", "role")
    return Answer(page(rows, query, shown_member))


def shown_member(row: Membership) -> MemberAnswer:
    return MemberAnswer(row.user.pk, row.user.email, row.user.name, row.role.name, row.created_at)


def audit(call: Call, query: ByNumber) -> Answer:
    events = AuditEvent.objects.filter(organization=call.organization)
    read = page(events, query, lambda event: shown_event(call, event), latest_first=True)
    tell(call, "audit", {})
    return Answer(read)


def shown_event(call: Call, event: AuditEvent) -> AuditAnswer:
    said = {name: getattr(event, name) for name in ("at", "address", "tag", "target_id")}
    changes = event.changes if call.may("keys.view_hint") else without_secrets(event.changes)
    return AuditAnswer(id=event.pk, actor=event.actor_label, target=event.target_label, changes=changes, **said)


def usage(call: Call, query: UsageQuery) -> Answer:
    if query.last < query.first:
        raise invalid("to", BACKWARDS)
    if (query.last - query.first).days >= LONGEST or not 1970 <= query.first.year <= query.last.year <= LAST_YEAR:
        raise invalid("from", TOO_LONG)
    asked = {"from": query.first.isoformat(), "to": query.last.isoformat(), "by": query.by}
    only = only_of(call.user, call.organization)
    read = queries.read(asked, zone(call.organization.timezone), timezone.now(), only=only)
    found = report(call.organization, read)
    tell(call, "usage", asked)
    items = [UsageItem(str(item), found.names.of(query.by, item), sums(totals)) for item, totals in found.items]
    return Answer(UsageAnswer(query.by, sums(found.total), items))


def tell(call: Call, what: Export, filters: dict[str, str]) -> None:
    """In the audit log, once an hour for each key and question: a program may ask every minute."""
    told = f"exports:{call.key.pk}:{what}:{'&'.join(filters.values())}"
    if cache.get(told) is None:
        record_export(organization=call.organization, what=what, filters=filters, by=call.by)
        cache.set(told, True, timeout=HOUR)


def sums(totals: Totals) -> Sums:
    same = {name: getattr(totals, name) for name in Sums.__struct_fields__ if name != "estimated_cost_microusd"}
    return Sums(**same, estimated_cost_microusd=totals.cost_microusd)


MEMBERS = Operation(summary="List members", permission="orgs.view_membership", run=members, answers=MemberList, query=ByNumber)
USAGE = Operation(
    summary="Read sums of usage",
    permission="usage.view_usageevent",
    run=usage,
    answers=UsageAnswer,
    query=UsageQuery,
    statuses=(200,),
)
AUDIT = Operation(summary="Read the audit log", permission="orgs.view_auditevent", run=audit, answers=AuditList, query=ByNumber)
ROUTES = (
    Route("members", "api_members", {"GET": MEMBERS}),
    Route("usage", "api_usage", {"GET": USAGE}),
    Route("audit", "api_audit", {"GET": AUDIT}),
)
