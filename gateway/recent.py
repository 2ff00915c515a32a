"""What was asked in the last minute, for a process that has just begun to count in memory: a restart resets no limit."""

import logging
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from django.db import Error
from django.db.models import Count, F, Q, Sum
from django.db.models.functions import TruncSecond

from gateway.counters import MINUTE, Memory
from gateway.limits import REQUESTS, TOKENS, place
from usage import unbooked
from usage.journal import Finished
from usage.models import Limit, Outcome, Scope, UsageEvent

log = logging.getLogger(__name__)


class Past(NamedTuple):
    """What one program did on one key in one second. `at`: seconds since the epoch. Refused requests are not among it."""

    organization: str
    client_key: str
    member: int | None
    provider_key: str
    at: float
    requests: int
    attempts: int
    tokens: int


def recall(memory: Memory, folder: Path) -> None:
    """From the books, and from the journal what is not booked yet. Without the database nothing is known, and the log says so.

    Takes two queries, and a look into the journal where anything is limited. Of a key that is lent to other organizations,
    what these did with it is not found.
    """
    try:
        limits = list(Limit.objects.all())
        past = [*read({limit.organization_id for limit in limits}, folder)] if limits else []
    except Error as error:
        log.error("What was asked in the last minute cannot be read (%s). Limits begin anew.", type(error).__name__)
        return
    remember(memory, limits, sorted(past, key=lambda each: each.at), time.time())


def read(organizations: Collection[UUID], folder: Path) -> Iterator[Past]:
    """The journal first: what is booked meanwhile is then left out by its id."""
    since = datetime.now(UTC) - timedelta(seconds=MINUTE)
    left = [
        attempt
        for attempt in unbooked.attempts(folder, set(map(str, organizations)))
        if attempt.opened.started_at >= since.timestamp() and attempt.closed.outcome != Outcome.REFUSED
    ]
    yield from map(of_journal, left)
    booked = UsageEvent.objects.filter(organization_id__in=organizations, started_at__gte=since)
    rows = (
        booked.exclude(outcome=Outcome.REFUSED)
        .exclude(id__in=[attempt.opened.id for attempt in left])
        .annotate(second=TruncSecond("started_at"))
        .values_list("organization_id", "client_key_id", "member_id", "provider_key_id", "second")
        .annotate(
            requests=Count("pk", filter=Q(number=1)), attempts=Count("pk"), tokens=Sum(F("input_tokens") + F("output_tokens"))
        )
    )
    for organization, client_key, member, key, second, requests, attempts, tokens in rows:
        yield Past(str(organization), str(client_key), member, str(key), second.timestamp() + 1, requests, attempts, int(tokens))


def of_journal(attempt: Finished) -> Past:
    opened, closed = attempt.opened, attempt.closed
    return Past(
        opened.organization_id,
        opened.client_key_id,
        opened.member_id,
        opened.provider_key_id,
        opened.started_at,
        requests=int(opened.number == 1),
        attempts=1,
        tokens=closed.input_tokens + closed.output_tokens,
    )


def remember(memory: Memory, limits: Iterable[Limit], past: Sequence[Past], now: float) -> None:
    """past: the oldest first."""
    for limit in limits:
        at = place(str(limit.organization_id), limit.scope, limit.target_id)
        for each in past:
            if concerns(limit, each):
                age = min(max(now - each.at, 0.0), MINUTE)
                asked = each.attempts if limit.scope == Scope.PROVIDER_KEY else each.requests
                memory.remember(REQUESTS.claim(at, asked, 0), age)
                memory.remember(TOKENS.claim(at, each.tokens, 0), age)


def concerns(limit: Limit, past: Past) -> bool:
    if str(limit.organization_id) != past.organization:
        return False
    match limit.scope:
        case Scope.MEMBER:
            return limit.target_id == str(past.member)
        case Scope.CLIENT_KEY:
            return limit.target_id == past.client_key
        case Scope.PROVIDER_KEY:
            return limit.target_id == past.provider_key
    return True
