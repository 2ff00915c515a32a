"""Finds what does not fit in an audit log: events that were changed, deleted, moved, or cut off at the end."""

from collections.abc import Iterable, Iterator, Sequence

from orgs.audit.chain import mac
from orgs.audit.heads import Written
from orgs.models import AuditEvent, AuditHead, Organization

MOST_COMPARED = 50  # misfits among which those that only changed places are looked for


def problems(organization: Organization, written: Sequence[Written] = ()) -> Iterator[str]:
    """Sentences. written: heads of this organization that were kept outside the database."""
    head = AuditHead.objects.filter(organization=organization).first()  # before the events, as more may come meanwhile
    last, misfits = 0, []
    before = due = b""  # the mac of the event before: as it stands there, and as it should
    awaited = {each.number: each for each in written if each.number}
    for event in AuditEvent.objects.filter(organization=organization).order_by("number").iterator():
        if event.number > last + 1:
            yield missing(last + 1, event.number - 1)
        own, number = bytes(event.mac), event.number
        if number == last + 1 and own not in (mac(event, number, before), mac(event, number, due)):
            misfits.append((event, before))
        if (noted := awaited.pop(number, None)) and noted.mac != own:
            yield f"Event {number} is not the one that was written down on {noted.at}."
        if head and head.number == number and bytes(head.mac) != own:
            yield f"The head does not belong to event {number}, at which it stands."
        last, before, due = number, own, mac(event, number, before)
    yield from explained(misfits)
    yield from ends(last, head, awaited.values())


def missing(first: int, last: int) -> str:
    return f"Event {first} is missing." if first == last else f"Events {first} to {last} are missing."


def ends(last: int, head: AuditHead | None, awaited: Iterable[Written]) -> Iterator[str]:
    """Whether anything says that the log was longer."""
    if head is None:
        yield "The head is missing."
    elif head.number != last:
        yield f"The log ends with event {last}, and its head stands at event {head.number}."
    cut_off = [each for each in awaited if each.number > last]
    if cut_off:
        longest = max(cut_off)
        yield f"The log ends with event {last}, and had {longest.number} events on {longest.at}: the rest was cut off."


def explained(misfits: Sequence[tuple[AuditEvent, bytes]]) -> Iterator[str]:
    """Each with the mac that stands before it. What fits its own place behind another is there because others were moved."""
    compared = misfits[:MOST_COMPARED]
    macs = {before for _, before in compared} | {bytes(event.mac) for event, _ in compared}
    numbers = [event.number for event, _ in compared]
    for event, _ in misfits:
        place = next((number for number in numbers if fits_at(event, number, macs)), None)
        if place is None:
            yield f"Event {event.number} was changed."
        elif place != event.number:
            yield f"Event {event.number} was moved there: it was written as event {place}."


def fits_at(event: AuditEvent, number: int, macs: Iterable[bytes]) -> bool:
    return any(mac(event, number, before) == bytes(event.mac) for before in macs)
