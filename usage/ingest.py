"""Moves the journal into the database, exactly once.

How far a segment has been read, the events, both rollups, marks of health and times of last use move in one transaction.
What a crash repeats is recognized by the attempt's id. A segment is deleted once its writer has let go of it and all of it
is booked.
"""

import fcntl
import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from itertools import batched
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from django.db import connection, transaction
from msgspec.structs import astuple, replace

from keys.models import ClientKey, HealthMark, ProviderKey
from orgs.models import Organization
from usage import journal, latency, marks, sums
from usage.journal import Finished, Skipped
from usage.models import DailyRollup, HourlyRollup, JournalSegment, Outcome, UsageEvent
from usage.periods import zone
from usage.pricing import Prices

TICK_SECONDS = 0.25
PATIENCE_SECONDS = 5.0  # the longest pause after a failure
STOP_SECONDS = 10.0
READ_BYTES = 2 * 1024 * 1024  # about 2,500 attempts
BATCH = 2500
MOST_SKIPPED = 100  # keys that an event tells of; the rest is more of the same
MOST_TEXT = 300
MOST = 10**12  # no count is believed beyond this, so that sums never overflow

DAILY_KEY = ("organization", "day", "provider", "model", "client_key_id", "provider_key_id", "member_id", "outcome", "tier")
HOURLY_KEY = ("organization", "hour", "provider", "model", "outcome")
TOKENS = ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens")
MEASURES = ("requests", *TOKENS, "unpriced", "estimated", "estimated_cost_microusd", *latency.COLUMNS)
SLOT = {name: place for place, name in enumerate(MEASURES)}

log = logging.getLogger(__name__)


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A UsageEvent before it is written: a model instance takes ten times as long to make. Fields are those of the model."""

    id: UUID
    request_id: UUID
    organization: UUID
    client_key_id: UUID
    member_id: int | None
    provider_key_id: UUID
    provider: str
    model: str
    native_model: str
    tier: str
    number: int
    stream: bool
    started_at: datetime
    outcome: str
    status: int | None
    error_class: str
    first_byte_ms: int | None
    latency_ms: int | None
    mark: str
    skipped: str
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    reasoning_tokens: int
    estimated: bool
    estimated_cost_microusd: int | None


class Ingester:
    """Empties the journal directory, in a thread or alone in a process. On one host one works at a time, the others stand by."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._seen: dict[str, int] = {}  # size of each segment when it was last read to its end
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, args=[self.run_once], name="usage-ingest", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Books what lies ready, then returns; without it, if the database does not answer. It stays in the journal."""
        self._stopping.set()
        self._thread.join(STOP_SECONDS)

    def work_alone(self, until: threading.Event) -> None:
        """Work in this thread until told to stop, holding the lease throughout: threads beside a gateway cost it latency."""
        self._stopping = until
        with _lease(self._directory, wait=True):
            self._run(self._book_all)

    def run_once(self) -> int:
        """Book what is ready now, unless another process of this host is at it. Returns how many attempts were new."""
        with _lease(self._directory) as ours:
            return self._book_all() if ours else 0

    def _book_all(self) -> int:
        return sum(self._ingest(path) for path in journal.segments(self._directory))

    def _run(self, work: Callable[[], int]) -> None:
        pause = TICK_SECONDS
        stopping = False
        while not stopping:
            stopping = self._stopping.wait(pause)
            try:
                work()
                pause = TICK_SECONDS
            except Exception:
                pause = min(pause * 2, PATIENCE_SECONDS)
                log.exception("Usage was not booked. It stays in the journal; next try in %.1f s.", pause)
            finally:
                connection.close()

    def _ingest(self, path: Path) -> int:
        finished, size = journal.is_finished(path), path.stat().st_size
        if not finished and self._seen.get(path.name) == size:
            return 0
        booked = 0
        while (new := _advance(path)) is not None:
            booked += new
        self._seen[path.name] = size
        return booked + self._put_away(path) if finished else booked

    def _put_away(self, path: Path) -> int:
        """Book what a dead writer left open, then delete the segment and what is known of it."""
        left = journal.orphans(path) if journal.is_last(path) else []
        booked = sum(book(some) for some in batched(left, BATCH))
        path.unlink()
        JournalSegment.objects.filter(name=path.name).delete()
        self._seen.pop(path.name, None)
        return booked


@contextmanager
def _lease(directory: Path, *, wait: bool = False) -> Iterator[bool]:
    """Whether this process may ingest now. The system lets go of the lock when a process dies."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (directory / "ingest.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


@transaction.atomic
def _advance(path: Path) -> int | None:
    """Book the next stretch of a segment. Returns how many attempts were new, or None at its end."""
    segment, _ = JournalSegment.objects.select_for_update().get_or_create(name=path.name)
    attempts, end = journal.read(path, segment.offset, READ_BYTES)
    if end == segment.offset:
        return None
    booked = book(attempts)
    segment.offset = end
    segment.save()
    return booked


@transaction.atomic
def book(attempts: Iterable[Finished]) -> int:
    """Write events, both rollups, marks of health and times of last use; attempts that are booked already count for nothing.

    Attempts of an organization that is gone are dropped. Returns how many were new. Two calls that book the same
    attempt at the same moment end with an IntegrityError in one of them; nothing of that one is kept.
    """
    events = _new_events(attempts)
    zones = _zones({event.organization for event in events})
    known = Prices.of_all(zones)
    events = [_priced(event, known[event.organization]) for event in events if event.organization in zones]
    sums.insert(UsageEvent, Event.__struct_fields__, map(astuple, events))
    daily, hourly = _summed(events, zones)
    sums.add(DailyRollup, DAILY_KEY, MEASURES, daily)
    sums.add(HourlyRollup, HOURLY_KEY, MEASURES, hourly)
    sums.add(HealthMark, marks.KEY, marks.KINDS, marks.rows(events, _present(events)))
    sums.raise_to(ClientKey, "last_used_at", _latest(events, "client_key_id"))
    sums.raise_to(ProviderKey, "last_used_at", _latest(events, "provider_key_id"))
    return len(events)


def _new_events(attempts: Iterable[Finished]) -> list[Event]:
    events: dict[UUID, Event] = {}
    for attempt in attempts:
        try:
            event = _event(attempt)
        except (ValueError, OverflowError, OSError):
            log.warning("Passed over an attempt whose ids or time make no sense.")
        else:
            events.setdefault(event.id, event)
    known = sums.known(UsageEvent, events)
    return [event for event in events.values() if event.id not in known]


def _zones(organizations: set[UUID]) -> dict[UUID, ZoneInfo]:
    rows = Organization.objects.filter(id__in=organizations).values_list("id", "timezone")
    return {organization: zone(name) for organization, name in rows}


def _present(events: Iterable[Event]) -> set[UUID]:
    """Provider keys that can be marked."""
    return sums.known(ProviderKey, {event.provider_key_id for event in events})


def _event(attempt: Finished) -> Event:
    """The event as columns can hold it: text cut to length and free of NUL, counts within what is believed.

    Its cost is what the provider reported, if it did, until prices are applied.
    """
    opened, closed = attempt.opened, attempt.closed
    return Event(
        id=UUID(opened.id),
        request_id=UUID(opened.request_id),
        organization=_id(opened.organization_id),
        client_key_id=_id(opened.client_key_id),
        member_id=opened.member_id,
        provider_key_id=_id(opened.provider_key_id),
        provider=_text(opened.provider, 20),
        model=_text(opened.model, 200),
        native_model=_text(opened.native_model, 200),
        tier=_text(opened.tier, 12),
        number=_count(opened.number, 32767),
        stream=opened.stream,
        started_at=datetime.fromtimestamp(opened.started_at, UTC),
        outcome=_text(closed.outcome, 10),
        status=_count(closed.status, 32767),
        error_class=_text(closed.error_class, 30),
        first_byte_ms=_count(closed.first_byte_ms, 2**31 - 1),
        latency_ms=_count(closed.latency_ms, 2**31 - 1),
        mark=_text(opened.mark, 12),
        skipped=_skipped(opened.skipped[:MOST_SKIPPED]),
        input_tokens=_count(closed.input_tokens),
        output_tokens=_count(closed.output_tokens),
        cached_input_tokens=_count(closed.cached_input_tokens),
        reasoning_tokens=_count(closed.reasoning_tokens),
        estimated=closed.estimated,
        estimated_cost_microusd=_count(closed.reported_cost_microusd),
    )


@lru_cache(maxsize=10_000)
def _id(text: str) -> UUID:
    """Of something that many attempts name."""
    return UUID(text)


def _skipped(keys: Iterable[Skipped]) -> str:
    """As JSON, the same for both databases."""
    texts = [[_text(text, MOST_TEXT) for text in astuple(key)] for key in keys]
    return msgspec.json.encode([Skipped(*each) for each in texts]).decode()


def _text(value: str, length: int) -> str:
    return value[:length].replace("\0", "")


def _count[T: (int, int | None)](value: T, most: int = MOST) -> T:
    return value if value is None else min(max(value, 0), most)


def _priced(event: Event, prices: Prices) -> Event:
    """With what it cost in place of what the provider reported."""
    cost = prices.cost_microusd(
        provider=event.provider,
        native_model=event.native_model,
        model=event.model,
        key_id=event.provider_key_id,
        answered=event.outcome == Outcome.OK,
        input_tokens=event.input_tokens,
        output_tokens=event.output_tokens,
        cached_input_tokens=event.cached_input_tokens,
        reasoning_tokens=event.reasoning_tokens,
        reported_cost_microusd=event.estimated_cost_microusd,
        at=event.started_at,
    )
    return replace(event, estimated_cost_microusd=_count(cost))


def _summed(events: Iterable[Event], zones: dict[UUID, ZoneInfo]) -> tuple[list[sums.Row], list[sums.Row]]:
    """Rows for the daily and the hourly rollup, in the order in which every ingester takes them."""
    daily: defaultdict[sums.Row, list[int]] = defaultdict(lambda: [0] * len(MEASURES))
    hourly: defaultdict[sums.Row, list[int]] = defaultdict(lambda: [0] * len(MEASURES))
    for event in events:
        e, organization = event, event.organization
        day = e.started_at.astimezone(zones[organization]).date()
        hour = e.started_at.replace(minute=0, second=0, microsecond=0)
        keys = (e.client_key_id, e.provider_key_id, e.member_id or 0)
        _tally(event, daily[organization, day, e.provider, e.model, *keys, e.outcome, e.tier])
        _tally(event, hourly[organization, hour, e.provider, e.model, e.outcome])
    return [(*key, *daily[key]) for key in sorted(daily)], [(*key, *hourly[key]) for key in sorted(hourly)]


def _tally(event: Event, row: list[int]) -> None:
    row[SLOT["requests"]] += 1
    for name in TOKENS:
        row[SLOT[name]] += getattr(event, name)
    row[SLOT["unpriced"]] += event.estimated_cost_microusd is None
    row[SLOT["estimated"]] += event.estimated
    row[SLOT["estimated_cost_microusd"]] += event.estimated_cost_microusd or 0
    if event.latency_ms is not None:
        row[SLOT[latency.column(event.latency_ms)]] += 1


def _latest(events: Sequence[Event], name: str) -> list[tuple[UUID, datetime]]:
    latest: dict[UUID, datetime] = {}
    for event in sorted(events, key=lambda event: event.started_at):
        latest[getattr(event, name)] = event.started_at
    return sorted(latest.items())
