"""The audit log as it is read: filtered, the latest first, a stretch at a time."""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.db.models import Q, QuerySet
from django.utils.formats import date_format

from orgs.audit.words import KINDS, OPENED, Change, changes, sentence, without_secrets
from orgs.models import AuditEvent, Membership, Organization
from orgs.spreadsheets import Echo, guarded
from orgs.zones import zone

SHOWN = 50
LINES_READ = 1000
MOST_COUNTED = 10_000
LONGEST_SEARCH = 100
NOBODY = "system"  # acts of no person
HEADS = ("number", "at", "who", "address", "event", "target_id", "target", "before", "after")


@dataclass(frozen=True, slots=True)
class Query:
    """What the address asks for. first, last: days of the organization's time zone. before: the number of the last event seen."""

    zone: ZoneInfo
    who: str = ""
    what: str = ""
    q: str = ""
    first: date | None = None
    last: date | None = None
    before: int | None = None

    @property
    def filters(self) -> dict[str, str]:
        """As the address has them."""
        said = {"q": self.q, "who": self.who, "what": self.what, "from": self.first or "", "to": self.last or ""}
        return {name: str(value) for name, value in said.items() if value}

    def link(self, **more: object) -> str:
        return f"?{urlencode(self.filters | more)}"


def read(params: Mapping[str, str], organization: Organization) -> Query:
    """What makes no sense is left out."""
    who, what = params.get("who", ""), params.get("what", "")
    return Query(
        zone=zone(organization.timezone),
        who=who if who == NOBODY or is_number(who) else "",
        what=what if what in KINDS else "",
        q=params.get("q", "").replace("\0", "").strip()[:LONGEST_SEARCH],
        first=day(params.get("from", "")),
        last=day(params.get("to", "")),
        before=int(params["before"]) if is_number(params.get("before", "")) else None,
    )


def is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 16


def day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def matching(organization: Organization, query: Query) -> QuerySet[AuditEvent]:
    """All of it, the latest first."""
    events = AuditEvent.objects.filter(organization=organization).order_by("-at", "-number")
    if query.who:
        events = events.filter(actor=None if query.who == NOBODY else int(query.who))
    events = events.filter(of_kind(query.what) if query.what else ~of_kind(OPENED))
    if query.q:
        names = ("actor_label", "target_label", "target_id", "address", "tag")
        events = events.filter(any_of(*(Q(**{f"{name}__icontains": query.q}) for name in names)))
    if query.first:
        events = events.filter(at__gte=midnight(query.first, query.zone))
    if query.last and query.last < date.max:
        events = events.filter(at__lt=midnight(query.last + timedelta(days=1), query.zone))
    return events


def of_kind(kind: str) -> Q:
    """A tag belongs to the first kind that it fits."""
    fitting = {name: any_of(*(Q(tag__startswith=each) for each in tags)) for name, (_, tags) in KINDS.items()}
    earlier = list(fitting)[: list(fitting).index(kind)]
    return fitting[kind] & ~any_of(*(fitting[name] for name in earlier)) if earlier else fitting[kind]


def any_of(first: Q, *rest: Q) -> Q:
    return first | any_of(*rest) if rest else first


def midnight(start: date, local: ZoneInfo) -> datetime:
    try:
        return datetime.combine(start, time.min, local).astimezone(UTC)
    except OverflowError:
        return datetime.combine(start, time.min, UTC)


def older(events: QuerySet[AuditEvent], organization: Organization, number: int | None) -> QuerySet[AuditEvent]:
    """Those that come after the event of this number in the list; all of them if there is none."""
    at = number and AuditEvent.objects.filter(organization=organization, number=number).values_list("at", flat=True).first()
    return events.filter(Q(at__lt=at) | Q(number__lt=number), at__lte=at) if at else events  # `at__lte` is what the index finds


@dataclass(frozen=True, slots=True)
class Entry:
    """An event as a line of the page. `start` and `end` stand around what it was done to, which is empty if it goes without."""

    event: AuditEvent
    at: datetime
    start: str
    target: str
    end: str
    changes: list[Change]

    @property
    def time(self) -> str:
        return f"{self.at:%H:%M}"


@dataclass(frozen=True, slots=True)
class Log:
    """Days with their entries; `last` is the number from which older ones go on, None at the end."""

    days: list[tuple[str, list[Entry]]]
    last: int | None


def log(organization: Organization, query: Query, now: datetime, *, secrets: bool) -> Log:
    events = list(older(matching(organization, query), organization, query.before)[: SHOWN + 1])
    entries = [entry(event, query.zone, secrets=secrets) for event in events[:SHOWN]]
    today = now.astimezone(query.zone).date()
    days = [(heading(day, today), list(some)) for day, some in groupby(entries, lambda each: each.at.date())]
    return Log(days, events[SHOWN - 1].number if len(events) > SHOWN else None)


def entry(event: AuditEvent, local: ZoneInfo, *, secrets: bool) -> Entry:
    start, named, end = sentence(event.tag)
    target = event.target_label if named else ""
    return Entry(event, event.at.astimezone(local), start, target, end, list(changes(event.changes, secrets=secrets)))


def heading(day: date, today: date) -> str:
    match (today - day).days:
        case 0:
            return "Today"
        case 1:
            return "Yesterday"
    return date_format(day, "l j F" if day.year == today.year else "l j F Y")


def counted(organization: Organization, query: Query) -> str:
    count = matching(organization, query).order_by()[: MOST_COUNTED + 1].count()
    return f"More than {MOST_COUNTED:,} entries" if count > MOST_COUNTED else f"{count:,} entr{'y' if count == 1 else 'ies'}"


def people(organization: Organization) -> list[tuple[str, str]]:
    """Who may be chosen. Those who have left are found by their names."""
    members = Membership.objects.for_org(organization).select_related("user")
    return sorted(((str(each.user_id), str(each.user)) for each in members), key=lambda person: person[1].casefold())


def csv_lines(organization: Organization, query: Query, *, secrets: bool) -> Iterator[str]:
    """All that matches, read some at a time, so that nothing is held open meanwhile."""
    write = csv.writer(Echo()).writerow
    yield write(HEADS)
    events, number = matching(organization, query), query.before
    while some := list(older(events, organization, number)[:LINES_READ]):
        for event in some:
            yield write(cells(event, secrets=secrets))
        number = some[-1].number


def cells(event: AuditEvent, *, secrets: bool) -> Iterator[object]:
    paired = event.changes.keys() <= {"before", "after"}
    before, after = (event.changes.get("before"), event.changes.get("after")) if paired else (None, event.changes)
    yield event.number
    yield event.at.astimezone(UTC).isoformat()
    yield from map(guarded, (event.actor_label, event.address or "", event.tag, event.target_id, event.target_label))
    for said in (before, after):
        kept = (said or {}) if secrets else without_secrets(said or {})
        yield guarded(json.dumps(kept, ensure_ascii=False)) if kept else ""
