"""One request, found by the id that its program was given: what was tried, what came of it, what was passed over and why."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from keys.models import ClientKey, ProviderKey
from keys.providers import PROVIDERS, Provider
from keys.providers.errors import ErrorClass
from keys.routing import FALLBACK, Mark
from orgs.models import Organization, User
from usage import figures
from usage.figures import NONE, counted, dollars, seconds, whole
from usage.models import Outcome, UsageEvent

EARLY = timedelta(seconds=5)  # by which the clock may have been set back after the id was given
LATE = timedelta(minutes=40)  # until the last attempt begins: a slow body, and two that take the longest timeout before it

RESULTS: dict[str, tuple[str, str]] = {  # state of the guide and word
    Outcome.OK: ("healthy", "Answered"),
    Outcome.ERROR: ("failing", "Failed"),
    Outcome.ABSORBED: ("failing", "Failed"),
    Outcome.CANCELLED: ("off", "Program left"),
    Outcome.REFUSED: ("failing", "Refused"),
}
UNDER_WAY = ("limited", "Under way")
SENTENCES: dict[str, str] = {  # what an attempt's class means; completes a sentence that begins with the provider
    ErrorClass.CLIENT: "said that the request itself is wrong",
    ErrorClass.REFUSED: "refused the credential",
    ErrorClass.OUT_OF_MONEY: "said that the account has no credit left",
    ErrorClass.LIMITED: "limited this key",
    ErrorClass.NO_PERMISSION: "does not allow this key to do that",
    ErrorClass.MISCONFIGURED: "does not have what this key’s entry names",
}
MARKS: dict[str, str] = {
    Mark.PROBE: "It had been out, and this request tried whether it works again.",
    Mark.LAST_RESORT: "It was out, but no other key was left.",
}
FAILURES = {  # of a provider, by its status; completes a sentence that begins with the provider
    500: "had an error of its own",
    502: "could not reach its own servers",
    503: "was overloaded or down",
    504: "took too long to answer",
    529: "was overloaded",
}


@dataclass(frozen=True, slots=True)
class Key:
    """What a key is called, and its page if it still has one for this organization."""

    title: str
    tile: Provider | None
    page: UUID | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt. `state` is one of the five of the guide; `code` is the provider's status if it failed."""

    key: Key
    state: str
    result: str
    sentence: str
    figures: str
    code: str


@dataclass(frozen=True, slots=True)
class PassedOver:
    key: Key
    reason: str


@dataclass(frozen=True, slots=True)
class End:
    """What the program was told at last."""

    icon: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Walk:
    """All that the request page shows."""

    id: UUID
    model: str
    state: str
    word: str
    tried: list[Tried]
    passed_over: list[PassedOver]
    end: End
    facts: list[tuple[str, str]]


def find(organization: Organization, request_id: UUID, *, member_id: int | None = None) -> list[UsageEvent]:
    """Its attempts in order, none if there is no such request. With `member_id`, only requests of that person's client keys.

    The id is no index: it holds the time at which it was given, and the events of an organization are read by time.
    """
    begun = begun_at(request_id)
    if begun is None:
        return []
    events = UsageEvent.objects.filter(
        organization=organization, started_at__range=(begun - EARLY, begun + LATE), request_id=request_id
    )
    if member_id is not None:
        events = events.filter(member_id=member_id)
    return list(events.order_by("number", "started_at"))


def begun_at(id: UUID) -> datetime | None:
    """The time in a UUIDv7; None for other ids and for times that no calendar has, or nothing after."""
    if id.version != 7:
        return None
    try:
        begun = datetime.fromtimestamp((id.int >> 80) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return begun if begun.year < MAXYEAR else None


def walk(organization: Organization, events: Sequence[UsageEvent], zone: ZoneInfo) -> Walk:
    """The page of a request, from its attempts (at least one); three queries."""
    first, last = events[0], events[-1]
    passed = [each for event in events for each in event.skipped]
    tried = [event for event in events if event.outcome != Outcome.REFUSED]
    keys = keys_of(organization, [*(str(event.provider_key_id) for event in tried), *(each["key_id"] for each in passed)])
    state, word = UNDER_WAY if last.outcome == Outcome.ABSORBED else RESULTS[last.outcome]
    return Walk(
        id=first.request_id,
        model=first.model,
        state=state,
        word=word,
        tried=[attempt_of(event, keys) for event in tried],
        passed_over=[PassedOver(key_called(keys, each["key_id"], each["provider"]), each["reason"]) for each in passed],
        end=end_of(last, len(tried)),
        facts=facts_of(organization, events, tried, zone),
    )


def keys_of(organization: Organization, ids: Iterable[str]) -> dict[str, ProviderKey]:
    return {str(key.pk): key for key in ProviderKey.objects.filter(organization=organization, pk__in=set(ids))}


def key_called(keys: dict[str, ProviderKey], id: str, provider: str) -> Key:
    """Keys that the organization never had are the operator's; how those are called is not told."""
    row = PROVIDERS.get(provider)
    if id not in keys:
        return Key(f"Shared {row.label if row else provider} key", row)
    return Key(str(keys[id]), row, keys[id].pk if keys[id].removed_at is None else None)


def attempt_of(event: UsageEvent, keys: dict[str, ProviderKey]) -> Tried:
    state, word = RESULTS[event.outcome]
    notes = ["Fallback key." if event.tier == FALLBACK else "", MARKS.get(event.mark, ""), happened(event)]
    return Tried(
        key=key_called(keys, str(event.provider_key_id), event.provider),
        state=state,
        result=word,
        sentence=" ".join(note for note in notes if note),
        figures=figures_of(event),
        code="" if event.outcome == Outcome.OK or event.status is None else str(event.status),
    )


def happened(event: UsageEvent) -> str:
    """Nothing is said of a good answer, nor of a failure of which the status is all that is known."""
    who = PROVIDERS[event.provider].label if event.provider in PROVIDERS else event.provider
    if event.outcome == Outcome.OK:
        return ""
    if event.outcome == Outcome.CANCELLED:
        return "The program went away before the answer was whole."
    if event.error_class in SENTENCES:
        return f"{who} {SENTENCES[event.error_class]}."
    if event.error_class == "interrupted":
        return "Keyhold stopped before the end was known."
    if event.first_byte_ms is not None:
        return f"{who} broke off in the middle of its answer."
    if event.status is None:
        return f"{who} did not answer."
    return f"{who} {FAILURES[event.status]}." if event.status in FAILURES else ""


def figures_of(event: UsageEvent) -> str:
    """Times, tokens and cost of an attempt, as far as there are any."""
    parts = []
    if event.first_byte_ms is not None:
        parts.append(f"first byte after {took(event.first_byte_ms)}")
    if event.latency_ms is not None:
        parts.append(f"{took(event.latency_ms)} in all")
    if event.input_tokens or event.output_tokens:
        about = "about " if event.estimated else ""
        parts.append(f"{about}{whole(event.input_tokens)} tokens in and {whole(event.output_tokens)} out")
        parts.append(cost_of([event]))
    return ", ".join(parts)


def took(milliseconds: int) -> str:
    return f"{milliseconds} ms" if milliseconds < 1000 else seconds(milliseconds)


def cost_of(events: Iterable[UsageEvent]) -> str:
    costs = [event.estimated_cost_microusd for event in events]
    return "no price known" if None in costs else dollars(sum(cost for cost in costs if cost is not None))


def end_of(last: UsageEvent, tried: int) -> End:
    if last.outcome == Outcome.OK:
        rescued = f"After {counted(tried - 1, 'failure')}, which it did not notice." if tried > 1 else ""
        return End("check", "The answer went to the program", rescued)
    if last.outcome == Outcome.ABSORBED:
        return End("refresh", "The next attempt is under way", "Reload this page to see how it ended.")
    if last.outcome == Outcome.CANCELLED:
        return End("x", "The program went away", "Its connection closed before the answer was whole.")
    if last.outcome == Outcome.REFUSED:
        return End("x", "Keyhold refused the request", f"With `{last.error_class}`. No provider was asked.")
    return End("x", "The error went to the program", "No other key was tried after that.")


def facts_of(
    organization: Organization, events: Sequence[UsageEvent], tried: Sequence[UsageEvent], zone: ZoneInfo
) -> list[tuple[str, str]]:
    first = events[0]
    local = first.started_at.astimezone(zone)
    client = ClientKey.objects.filter(organization=organization, pk=first.client_key_id).first()
    person = User.objects.filter(pk=first.member_id or 0).first()
    tokens = [sum(event.input_tokens for event in tried), sum(event.output_tokens for event in tried)]
    return [
        ("Begun", f"{local.day} {local:%b %Y, %H:%M:%S} {figures.zone_name(zone)}"),
        ("Client key", client.name if client else NONE),
        ("Person", str(person) if person else NONE),
        ("Answer", "Streamed" if first.stream else "All at once"),
        ("Attempts", whole(len(tried))),
        ("Tokens", f"{whole(tokens[0])} in, {whole(tokens[1])} out"),
        ("Estimated cost", cost_of(events).capitalize()),
    ]
