"""Limits and budgets of the organization, its members and its keys. One that is not set is not there."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

import msgspec
from django.db import transaction
from django.utils import timezone
from msgspec import Meta

from byok_site.api.door import Answer, Call, Operation, Route, etag
from byok_site.api.paging import ById, cut, page
from byok_site.api.problems import invalid, not_found
from keys.actions import lock
from usage import budgets, targets
from usage.actions import remove_budget, remove_limit, set_budget, set_limit
from usage.forms import MOST_A_MINUTE, MOST_ASSUMED, MOST_BUDGET
from usage.models import Budget, Limit, Period, Scope, Unpriced
from usage.periods import zone
from usage.views_limits import SCOPES, SLUGS

MICRO = 1_000_000
NOTHING = "Say at least one of them. To lift the limit, delete it."
NOT_ASSUMED = "Say what a request without a price is assumed to cost, in millionths of a dollar."

type Rate = Annotated[int, Meta(ge=1, le=MOST_A_MINUTE)]


class LimitBody(msgspec.Struct, forbid_unknown_fields=True):
    """Null limits nothing."""

    requests_per_minute: Rate | None = None
    tokens_per_minute: Rate | None = None
    concurrent: Rate | None = None


class LimitAnswer(msgspec.Struct):
    scope: str
    target: str
    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrent: int | None


class LimitList(msgspec.Struct):
    items: list[LimitAnswer]
    next: UUID | None


class BudgetBody(msgspec.Struct, forbid_unknown_fields=True):
    """Millionths of a dollar. What was spent in the present period stays counted."""

    amount_microusd: Annotated[int, Meta(ge=10_000, le=MOST_BUDGET * MICRO)]
    hard: Annotated[bool, Meta(description="Refuse requests beyond it; else owners are only told.")] = True
    unpriced: Annotated[Unpriced, Meta(description="What a request without a known price counts.")] = Unpriced.NOTHING
    assumed_microusd: Annotated[int, Meta(ge=0, le=MOST_ASSUMED * MICRO)] = 0


class BudgetAnswer(msgspec.Struct):
    scope: str
    target: str
    period: str
    amount_microusd: int
    hard: bool
    unpriced: str
    assumed_microusd: int
    spent_microusd: Annotated[int, Meta(description="In the present period, as far as it is booked.")]


class BudgetList(msgspec.Struct):
    items: list[BudgetAnswer]
    next: UUID | None


def shown_limit(limit: Limit) -> LimitAnswer:
    rates = {name: getattr(limit, name) for name in LimitBody.__struct_fields__}
    return LimitAnswer(slug_of(limit), limit.target_id, **rates)


def said_of(budget: Budget) -> dict[str, Any]:
    return {name: getattr(budget, name) for name in BudgetBody.__struct_fields__}


def shown_budgets(call: Call, rows: Sequence[Budget]) -> list[BudgetAnswer]:
    spent = budgets.spent(call.organization.pk, rows, timezone.now(), zone(call.organization.timezone))
    return [
        BudgetAnswer(slug_of(row), row.target_id, row.period, **said_of(row), spent_microusd=spent[row.pk].counted(row))
        for row in rows
    ]


def tag_of(budget: Budget) -> str:
    """Changes with what was set, and not with what is spent."""
    return etag(budget.pk, said_of(budget))


def slug_of(row: Limit | Budget) -> str:
    return SLUGS.get(Scope(row.scope), row.scope)


def place(call: Call, scope: str, target: str) -> dict[str, Any]:
    """Where the rows of this address are, which somebody or something there has."""
    try:
        found = targets.find(call.organization, SCOPES[scope] if scope else Scope.ORGANIZATION, target)
    except (KeyError, targets.NoSuchTarget):
        raise not_found("such member or key") from None
    return {"organization": call.organization, "scope": found.scope, "target_id": found.id}


def list_limits(call: Call, query: ById) -> Answer:
    return Answer(page(Limit.objects.filter(organization=call.organization), query, shown_limit))


def read_limit(call: Call, scope: str = "", target: str = "") -> Answer:
    limit = Limit.objects.filter(**place(call, scope, target)).first()
    if limit is None:
        raise not_found("limit")
    return Answer(shown_limit(limit), etag=etag(shown_limit(limit)))


def put_limit(call: Call, body: LimitBody, scope: str = "", target: str = "") -> Answer:
    said = msgspec.structs.asdict(body)
    if all(value is None for value in said.values()):
        raise invalid("requests_per_minute", NOTHING)
    with transaction.atomic():
        lock(call.organization)
        where = place(call, scope, target)
        limit = Limit.objects.filter(**where).first()
        if limit is None or any(getattr(limit, name) != value for name, value in said.items()):
            call.match(etag(shown_limit(limit)) if limit else None)
            set_limit(**where, **said, by=call.by)
    done = read_limit(call, scope, target)
    return Answer(done.body, 200 if limit else 201, done.etag)


def delete_limit(call: Call, scope: str = "", target: str = "") -> Answer:
    with transaction.atomic():
        lock(call.organization)
        limit = Limit.objects.filter(**place(call, scope, target)).select_related("organization").first()
        if limit is None:
            raise not_found("limit")
        call.match(etag(shown_limit(limit)))
        remove_limit(limit=limit, by=call.by)
    return Answer(status=204)


def list_budgets(call: Call, query: ById) -> Answer:
    rows, after = cut(Budget.objects.filter(organization=call.organization), query)
    return Answer(BudgetList(shown_budgets(call, rows), after))


def budget_at(call: Call, scope: str, target: str, period: str) -> tuple[dict[str, Any], Budget | None]:
    if period not in Period.values:
        raise not_found("such period")
    where = place(call, scope, target) | {"period": period}
    return where, Budget.objects.filter(**where).select_related("organization").first()


def read_budget(call: Call, period: str, scope: str = "", target: str = "") -> Answer:
    _, budget = budget_at(call, scope, target, period)
    if budget is None:
        raise not_found("budget")
    [shown] = shown_budgets(call, [budget])
    return Answer(shown, etag=tag_of(budget))


def put_budget(call: Call, body: BudgetBody, period: str, scope: str = "", target: str = "") -> Answer:
    if body.unpriced != Unpriced.ASSUME:
        body.assumed_microusd = 0
    elif not body.assumed_microusd:
        raise invalid("assumed_microusd", NOT_ASSUMED)
    said = msgspec.structs.asdict(body)
    with transaction.atomic():
        lock(call.organization)
        where, budget = budget_at(call, scope, target, period)
        if budget is None or any(getattr(budget, name) != value for name, value in said.items()):
            call.match(tag_of(budget) if budget else None)
            set_budget(**where, **said, by=call.by)
    done = read_budget(call, period, scope, target)
    return Answer(done.body, 200 if budget else 201, done.etag)


def delete_budget(call: Call, period: str, scope: str = "", target: str = "") -> Answer:
    with transaction.atomic():
        lock(call.organization)
        _, budget = budget_at(call, scope, target, period)
        if budget is None:
            raise not_found("budget")
        call.match(tag_of(budget))
        remove_budget(budget=budget, by=call.by)
    return Answer(status=204)


VIEW, CHANGE = "usage.view_limit", "usage.change_limit"
LIMIT = {
    "GET": Operation(summary="Read a limit", permission=VIEW, run=read_limit, answers=LimitAnswer),
    "PUT": Operation(
        summary="Set a limit",
        permission=CHANGE,
        run=put_limit,
        answers=LimitAnswer,
        body=LimitBody,
        conditional=True,
        statuses=(200, 201),
    ),
    "DELETE": Operation(summary="Lift a limit", permission=CHANGE, run=delete_limit, conditional=True, statuses=(204,)),
}
VIEW_BUDGET, CHANGE_BUDGET = "usage.view_budget", "usage.change_budget"
BUDGET = {
    "GET": Operation(summary="Read a budget", permission=VIEW_BUDGET, run=read_budget, answers=BudgetAnswer),
    "PUT": Operation(
        summary="Set a budget",
        permission=CHANGE_BUDGET,
        run=put_budget,
        answers=BudgetAnswer,
        body=BudgetBody,
        conditional=True,
        statuses=(200, 201),
    ),
    "DELETE": Operation(
        summary="Remove a budget", permission=CHANGE_BUDGET, run=delete_budget, conditional=True, statuses=(204,)
    ),
}
LIMITS = Operation(summary="List limits", permission=VIEW, run=list_limits, answers=LimitList, query=ById)
BUDGETS = Operation(summary="List budgets", permission=VIEW_BUDGET, run=list_budgets, answers=BudgetList, query=ById)
ROUTES = (
    Route("limits", "api_limits", {"GET": LIMITS}),
    Route("limits/organization", "api_organization_limit", LIMIT),
    Route("limits/{scope}/{target}", "api_limit", LIMIT),
    Route("budgets", "api_budgets", {"GET": BUDGETS}),
    Route("budgets/organization/{period}", "api_organization_budget", BUDGET),
    Route("budgets/{scope}/{target}/{period}", "api_budget", BUDGET),
)
