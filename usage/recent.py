"""Single requests below a report, the latest first, with its filters: each leads to its own page."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from django.db.models import Q, Sum

from keys.providers import PROVIDERS, Provider
from orgs.models import Organization
from usage import requests
from usage.figures import NONE, dollars, short
from usage.models import DailyRollup, Outcome, UsageEvent
from usage.periods import DAY, day_span
from usage.queries import Query
from usage.reports import NOBODY, Names, chosen

PAGE = 20

type Cursor = tuple[datetime, UUID]  # of the last line of the page before


@dataclass(frozen=True, slots=True)
class Line:
    """One request, by its last attempt. `state` is one of the five of the guide."""

    id: UUID
    at: str
    model: str
    tile: Provider | None
    state: str
    word: str
    key: str
    client: str
    person: str
    tokens: str
    latency: str
    cost: str


@dataclass(frozen=True, slots=True)
class Recent:
    """`older` and `latest` are links, empty where they lead nowhere. `note` says why there is no line."""

    title: str
    lines: list[Line]
    older: str = ""
    latest: str = ""
    note: str = ""


def recent(organization: Organization, query: Query, names: Names) -> Recent:
    """At most two queries. Where not everybody's usage is told apart, only the viewer's own requests."""
    events = _events(organization, query)
    page, more = events[:PAGE], len(events) > PAGE
    return Recent(
        title=_title(query),
        lines=[_line(event, query, names) for event in page],
        older=query.link(before=_written(page[-1])) if more else "",
        latest=query.link() if "before" in query.params else "",
        note="" if page else _note(query),
    )


def _title(query: Query) -> str:
    what = "rescued failures" if query.filters.get("result") == "rescued" else "requests"
    return f"Latest {what}" if query.only is None else f"Your latest {what}"


def _note(query: Query) -> str:
    if query.only is None:
        return "Single requests of this period are not kept any more, only their sums."
    return "None of these was made with a client key of yours. Who made the others is for owners to see."


def _events(organization: Organization, query: Query) -> list[UsageEvent]:
    """One more than a page."""
    cursor = _read(query.params.get("before", ""))
    begin, end = query.period.span()
    end = max(begin, min(end, cursor[0])) if cursor else end
    if query.filters or query.only is not None:
        begin, end = _narrowed(organization, query, begin, end, exact=cursor is None)
    upto = Q(started_at__lt=end)
    if cursor:
        upto |= Q(started_at=cursor[0], id__lt=cursor[1])
    found = UsageEvent.objects.filter(_wanted(_for_events(query)), upto, organization=organization, started_at__gte=begin)
    return list(found.filter(started_at__lte=end).defer("skipped").order_by("-started_at", "-id")[: PAGE + 1])


def _narrowed(
    organization: Organization, query: Query, begin: datetime, end: datetime, *, exact: bool
) -> tuple[datetime, datetime]:
    """The part of that time in which a page's lines are.

    Sums know where to look, so that what is rare is not searched for in every event of a long period. A day more on each
    side is looked at: days were another time zone's if the organization changed its own. Unless `exact`, the last day may
    have been shown in part.
    """
    zone = query.period.zone
    first, last = begin.astimezone(zone).date(), end.astimezone(zone).date()
    rows = DailyRollup.objects.filter(_wanted(query), organization=organization, day__range=(first - DAY, last + DAY))
    counted, days = 0, []
    for day, requests_of_day in rows.values_list("day").annotate(sum=Sum("requests")).order_by("-day"):
        days.append(day)
        counted += requests_of_day if exact or day < last else 0
        if counted > PAGE and day < last:
            break
    if not days:
        return begin, begin
    return max(begin, day_span(days[-1], zone)[0] - DAY), min(end, day_span(days[0], zone)[1] + DAY)


def _wanted(query: Query) -> Q:
    """A failure that a later attempt rescued is no request, and is shown where it is asked for."""
    wanted = chosen(query)
    if "result" not in query.filters:
        wanted &= ~Q(outcome=Outcome.ABSORBED)
    return wanted if query.only is None else wanted & Q(member_id=query.only)


def _for_events(query: Query) -> Query:
    """Sums write 0 where events have no person."""
    return replace(query, filters={**query.filters, "member": None}) if query.filters.get("member") == NOBODY else query


def _written(event: UsageEvent) -> str:
    return f"{event.started_at.isoformat()}~{event.pk}"


def _read(text: str) -> Cursor | None:
    at, _, id = text.partition("~")
    try:
        return datetime.fromisoformat(at).astimezone(UTC), UUID(id)
    except (ValueError, OverflowError, OSError):
        return None


def _line(event: UsageEvent, query: Query, names: Names) -> Line:
    state, word = requests.RESULTS[event.outcome]
    local = event.started_at.astimezone(query.period.zone)
    about = "about " if event.estimated else ""
    cost = event.estimated_cost_microusd
    return Line(
        id=event.request_id,
        at=f"{local.day} {local:%b}, {local:%H:%M:%S}",
        model=event.model,
        tile=PROVIDERS.get(event.provider),
        state=state,
        word=word,
        key=names.of("key", event.provider_key_id),
        client=names.of("client", event.client_key_id),
        person=names.of("member", event.member_id or NOBODY),
        tokens=f"{about}{short(event.input_tokens + event.output_tokens)}",
        latency=NONE if event.latency_ms is None else requests.took(event.latency_ms),
        cost="no price known" if cost is None else f"{about}{dollars(cost)}",
    )
