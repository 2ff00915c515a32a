"""Attempts that lie in this host's journal and are not in the sums yet, as after a kill."""

from collections.abc import Container, Iterable, Iterator
from datetime import UTC, datetime
from itertools import batched
from pathlib import Path
from uuid import UUID

from usage import journal
from usage.budgets import Counted, Spent, Window
from usage.journal import Finished
from usage.models import JournalSegment, Outcome, Scope, UsageEvent
from usage.pricing import Prices

READ_BYTES = 2 * 1024 * 1024
ASKED_AT_ONCE = 5000


def attempts(folder: Path, organizations: Container[str], keys: Container[str] = ()) -> list[Finished]:
    """Those of these organizations, or by these provider keys, that ended, and what writers that are gone left open.

    Read the sums first: what is booked meanwhile is then missed here, and nothing is found twice.
    """
    offsets = dict(JournalSegment.objects.values_list("name", "offset"))
    found = {
        attempt.opened.id: attempt
        for path in journal.segments(folder)
        for attempt in _of_segment(path, offsets.get(path.name, 0))
        if attempt.opened.organization_id in organizations or attempt.opened.provider_key_id in keys
    }
    for some in batched(list(found), ASKED_AT_ONCE):
        for id in UsageEvent.objects.filter(id__in=some).values_list("id", flat=True):
            del found[str(id)]
    return list(found.values())


def _of_segment(path: Path, offset: int) -> Iterator[Finished]:
    """Nothing of a segment that was booked and deleted meanwhile."""
    try:
        finished = journal.is_finished(path)
        while True:
            some, end = journal.read(path, offset, READ_BYTES)
            if end == offset:
                break
            yield from some
            offset = end
        if finished and journal.is_last(path):
            yield from journal.orphans(path)
    except FileNotFoundError:
        return


def counted(found: Iterable[Finished], organization: UUID, budget: Counted, window: Window, prices: Prices) -> int:
    """What they come to for a budget of the organization in its period."""
    mine = (attempt for attempt in found if _concerns(attempt, organization, budget, window))
    costs = [cost(attempt, prices) for attempt in mine]
    return Spent(sum(each or 0 for each in costs), costs.count(None)).counted(budget)


def cost(attempt: Finished, prices: Prices) -> int | None:
    opened, closed = attempt.opened, attempt.closed
    return prices.cost_microusd(
        provider=opened.provider,
        native_model=opened.native_model,
        model=opened.model,
        key_id=UUID(opened.provider_key_id),
        answered=closed.outcome == Outcome.OK,
        input_tokens=closed.input_tokens,
        output_tokens=closed.output_tokens,
        cached_input_tokens=closed.cached_input_tokens,
        reasoning_tokens=closed.reasoning_tokens,
        reported_cost_microusd=closed.reported_cost_microusd,
        at=datetime.fromtimestamp(opened.started_at, UTC),
    )


def _concerns(attempt: Finished, organization: UUID, budget: Counted, window: Window) -> bool:
    opened = attempt.opened
    day = datetime.fromtimestamp(opened.started_at, window.zone).date()
    if window.first and window.after and not window.first <= day < window.after:
        return False
    if budget.scope == Scope.PROVIDER_KEY:
        return opened.provider_key_id == budget.target_id
    if opened.organization_id != str(organization):
        return False
    match budget.scope:
        case Scope.MEMBER:
            return str(opened.member_id) == budget.target_id
        case Scope.CLIENT_KEY:
            return opened.client_key_id == budget.target_id
    return True
