"""Finds what does not fit in an audit log: events that were changed, deleted, moved, put in, or cut off at the end."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from orgs.audit.chain import mac, secrets
from orgs.audit.heads import Written
from orgs.models import AuditEvent, AuditHead, Organization

READ_AT_ONCE = 2000
MOST_COMPARED = 50  # misfits among which those that only changed places are looked for


class Misfit(NamedTuple):
    """An event that does not fit where it stands. before: the mac that stands before it. by: what could have signed it there."""

    event: AuditEvent
    before: bytes
    by: Sequence[str]


class Reading:
    """An organization's chain, read from its first event on."""

    def __init__(self, organization: Organization, written: Iterable[Written] = ()) -> None:
        self.count = self.last = 0
        self._events = AuditEvent.objects.filter(organization=organization).order_by("number")
        self._heads = AuditHead.objects.filter(organization=organization)
        self._awaited = {each.number: each for each in written if each.number}
        self._secrets = secrets()  # those that may still come: from a former one to the present, never back
        self._mac = b""
        self._behind = {b""}  # what the next event may be chained to: the mac that stands there, and the one that should
        self._misfits: list[Misfit] = []
        self._more: list[int] = []

    def problems(self) -> Iterator[str]:
        """Sentences. The head is read after the events, and what has come meanwhile after the head."""
        yield from self._read()
        head = self._heads.first()
        if head:
            yield from self._read(head.number)
        yield from explained(self._misfits)
        yield from (f"{named(first, last)} changed." for first, last in stretches(self._more))
        yield from self._ends(head)

    def _read(self, until: int | None = None) -> Iterator[str]:
        """Some at a time: no statement takes long, and nothing is held in memory."""
        events = self._events if until is None else self._events.filter(number__lte=until)
        after = self.last if self.count else -1
        while some := list(events.filter(number__gt=after)[:READ_AT_ONCE]):
            for event in some:
                yield from self._next(event)
            after = some[-1].number

    def _next(self, event: AuditEvent) -> Iterator[str]:
        own, number = bytes(event.mac), event.number
        self.count += 1
        if number < 1:
            yield f"Event {number} was put in."
            return
        if number > self.last + 1:
            yield missing(self.last + 1, number - 1)
            self._behind = set()
        elif not self._fits(event, own):
            self._note(event)
        else:
            self._behind = set()
        if (noted := self._awaited.pop(number, None)) and noted.mac != own:
            yield (
                f"Event {number} is not the one that was written down on {noted.at}. "
                "The log was cut off before it and grew again, as it also does after a restore from a backup."
            )
        self.last, self._mac = number, own
        self._behind.add(own)

    def _fits(self, event: AuditEvent, own: bytes) -> bool:
        """A former secret signs nothing any more once a later one has."""
        for place, secret in enumerate(self._secrets):
            if any(mac(event, event.number, before, secret) == own for before in self._behind):
                self._secrets = self._secrets[: place + 1]
                return True
        return False

    def _note(self, event: AuditEvent) -> None:
        if len(self._misfits) < MOST_COMPARED:
            self._misfits.append(Misfit(event, self._mac, self._secrets))
        else:
            self._more.append(event.number)
        self._behind = {mac(event, event.number, self._mac, secret) for secret in self._secrets}

    def _ends(self, head: AuditHead | None) -> Iterator[str]:
        """Whether anything says that the log was longer."""
        if not self.count:
            yield "The log is empty, and begins with how the organization was created."
        if head is None:
            yield "The head is missing."
        elif head.number != self.last:
            yield f"The log ends with event {self.last}, and its head stands at event {head.number}."
        elif bytes(head.mac) != self._mac:
            yield f"The head does not belong to event {head.number}, at which it stands."
        if self._events.filter(number__lte=self.last).count() != self.count:
            yield "Some events have the same number."
        cut_off = [each for each in self._awaited.values() if each.number > self.last]
        if cut_off:
            longest = max(cut_off)
            yield (
                f"The log ends with event {self.last}, and had {longest.number} events on {longest.at}. "
                "The rest was cut off, or is not in the backup that was restored."
            )


def missing(first: int, last: int) -> str:
    return f"Event {first} is missing." if first == last else f"Events {first} to {last} are missing."


def named(first: int, last: int) -> str:
    return f"Event {first} was" if first == last else f"Events {first} to {last} were"


def stretches(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Of numbers that follow each other, the first and the last."""
    first = last = None
    for number in numbers:
        if last is not None and first is not None and number != last + 1:
            yield first, last
            first = None
        first, last = number if first is None else first, number
    if first is not None and last is not None:
        yield first, last


def explained(misfits: Sequence[Misfit]) -> Iterator[str]:
    """What fits its own place behind another is there because others were moved."""
    macs = {misfit.before for misfit in misfits} | {bytes(misfit.event.mac) for misfit in misfits}
    numbers = [misfit.event.number for misfit in misfits]
    for event, _, by in misfits:
        if fits_at(event, event.number, macs, by):
            continue
        place = next((number for number in numbers if fits_at(event, number, macs, secrets())), None)
        if place is None:
            yield f"Event {event.number} was changed."
        elif place == event.number:
            yield f"Event {event.number} was signed with a former AUDIT_KEY, after another had taken its place."
        else:
            yield f"Event {event.number} was moved there: it was written as event {place}."


def fits_at(event: AuditEvent, number: int, macs: Iterable[bytes], by: Sequence[str]) -> bool:
    return any(mac(event, number, before, secret) == bytes(event.mac) for before in macs for secret in by)
