"""Writes about prices, limits and budgets, each with its audit event in the same transaction."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import models, transaction
from django.utils import timezone

from keys.actions import lock
from orgs.actions import Actor, record
from orgs.models import Organization
from usage import targets
from usage.models import Budget, Limit, ModelPrice, Unpriced

LIMITED = ("requests_per_minute", "tokens_per_minute", "concurrent")
BUDGETED = ("amount_microusd", "hard", "unpriced", "assumed_microusd")


@transaction.atomic
def set_model_price(
    *, organization: Organization, provider: str, model: str, input_microusd: int, output_microusd: int, by: Actor
) -> ModelPrice:
    """From now on this is the price of the model; what is booked already keeps its cost."""
    lock(organization)
    before = ModelPrice.objects.for_org(organization).filter(provider=provider, model=model).first()
    said = {"input_microusd": input_microusd, "output_microusd": output_microusd}
    price, _ = ModelPrice.objects.update_or_create(
        organization=organization,
        provider=provider,
        model=model,
        defaults=said | {"created_by": by.user, "created_at": timezone.now()},
    )
    changes = {"before": _rates(before) if before else {}, "after": _rates(price)}
    record(organization=organization, by=by, tag="model_price:set", target=price, changes=changes)
    return price


@transaction.atomic
def remove_model_price(*, price: ModelPrice, by: Actor) -> None:
    lock(price.organization)
    deleted, _ = ModelPrice.objects.filter(pk=price.pk).delete()
    if deleted:
        changes = {"before": _rates(price), "after": {}}
        record(organization=price.organization, by=by, tag="model_price:remove", target=price, changes=changes)


def _rates(price: ModelPrice) -> dict[str, int]:
    return {"input_microusd": price.input_microusd, "output_microusd": price.output_microusd}


@transaction.atomic
def set_limit(
    *,
    organization: Organization,
    scope: str,
    target_id: str = "",
    requests_per_minute: int | None = None,
    tokens_per_minute: int | None = None,
    concurrent: int | None = None,
    by: Actor,
) -> None:
    """All three in place of what was there; None limits nothing. Raises NoSuchTarget."""
    lock(organization)
    after = {"requests_per_minute": requests_per_minute, "tokens_per_minute": tokens_per_minute, "concurrent": concurrent}
    current = Limit.objects.filter(organization=organization, scope=scope, target_id=target_id).first()
    if all(value is None for value in after.values()):
        _remove(current, "limit", LIMITED, by)
    elif current is None or _said(current, LIMITED) != after:
        target = targets.find(organization, scope, target_id)
        fields = after | {"created_by": by.user}
        Limit.objects.update_or_create(fields, organization=organization, scope=scope, target_id=target_id)
        _tell_of(target.row, organization, f"{scope}:set_limit", by, _said(current, LIMITED), after)


@transaction.atomic
def remove_limit(*, limit: Limit, by: Actor) -> None:
    lock(limit.organization)
    _remove(Limit.objects.filter(pk=limit.pk).first(), "limit", LIMITED, by)


@transaction.atomic
def set_budget(
    *,
    organization: Organization,
    scope: str,
    target_id: str = "",
    period: str,
    amount_microusd: int,
    hard: bool = True,
    unpriced: str = Unpriced.NOTHING,
    assumed_microusd: int = 0,
    by: Actor,
) -> Budget:
    """One for each period. What was spent in the present one counts, whatever the amount was. Raises NoSuchTarget."""
    lock(organization)
    target = targets.find(organization, scope, target_id)
    where: dict[str, Any] = {"organization": organization, "scope": scope, "target_id": target_id, "period": period}
    after = {"amount_microusd": amount_microusd, "hard": hard, "unpriced": unpriced, "assumed_microusd": assumed_microusd}
    current = Budget.objects.filter(**where).first()
    if current and _said(current, BUDGETED) == after:
        return current
    budget, _ = Budget.objects.update_or_create(after | {"created_by": by.user}, **where)
    said = {"period": period}
    _tell_of(target.row, organization, f"{scope}:set_budget", by, said | _said(current, BUDGETED), said | after)
    return budget


@transaction.atomic
def remove_budget(*, budget: Budget, by: Actor) -> None:
    lock(budget.organization)
    _remove(Budget.objects.filter(pk=budget.pk).first(), "budget", ("period", *BUDGETED), by)


def _remove(row: Limit | Budget | None, what: str, names: Iterable[str], by: Actor) -> None:
    """Also where whom it was for has gone meanwhile."""
    if row is None:
        return
    try:
        target: models.Model = targets.find(row.organization, row.scope, row.target_id).row
    except targets.NoSuchTarget:
        target = row
    _tell_of(target, row.organization, f"{row.scope}:remove_{what}", by, _said(row, names), {})
    row.delete()


def _said(row: Limit | Budget | None, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names} if row else {}


def _tell_of(
    target: models.Model, organization: Organization, tag: str, by: Actor, before: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    """The audit event names whom it is for, so that it stands in the history of a key. Gateways read what changed."""
    changes = {"before": dict(before), "after": dict(after)}
    record(organization=organization, by=by, tag=tag, target=target, changes=changes)
    Organization.objects.filter(pk=organization.pk).bump_routing()
