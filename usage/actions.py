"""Writes about prices, limits and budgets, each with its audit event in the same transaction."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from django.db import models, transaction
from django.utils import timezone

from keys.actions import lock
from keys.models import ProviderKey
from orgs.actions import Actor, record
from orgs.models import Organization
from usage import targets
from usage.models import Budget, Limit, ModelPrice, Unpriced

RATES = ("input_microusd", "cached_input_microusd", "output_microusd")
LIMITED = ("requests_per_minute", "tokens_per_minute", "concurrent")
BUDGETED = ("amount_microusd", "hard", "unpriced", "assumed_microusd")


@transaction.atomic
def set_model_price(
    *,
    organization: Organization,
    provider: str,
    model: str,
    key: ProviderKey | None = None,
    from_day: date,
    input_microusd: int,
    cached_input_microusd: int | None = None,
    output_microusd: int,
    by: Actor,
) -> ModelPrice:
    """From that day of the organization's time zone this is the price of the model, with one key or with every key.

    In place of one from the same day. What is booked already keeps its cost.
    """
    lock(organization)
    thing: dict[str, Any] = {"provider": provider, "model": model, "provider_key_id": key.pk if key else None}
    where = thing | {"organization": organization, "from_day": from_day}
    rates = dict(zip(RATES, (input_microusd, cached_input_microusd, output_microusd), strict=True))
    before = ModelPrice.objects.filter(**where).first()
    if before and _said(before, RATES) == rates:
        return before
    price, _ = ModelPrice.objects.update_or_create(rates | {"created_by": by.user, "created_at": timezone.now()}, **where)
    changes = {"before": _of_price(before) if before else {}, "after": _of_price(price)}
    record(organization=organization, by=by, tag="model_price:set", target=price, changes=changes)
    return price


@transaction.atomic
def remove_model_price(*, price: ModelPrice, by: Actor) -> None:
    """The one before it counts on."""
    lock(price.organization)
    deleted, _ = ModelPrice.objects.filter(pk=price.pk).delete()
    if deleted:
        changes = {"before": _of_price(price), "after": {}}
        record(organization=price.organization, by=by, tag="model_price:remove", target=price, changes=changes)


def _of_price(price: ModelPrice) -> dict[str, Any]:
    key_id = str(price.provider_key_id) if price.provider_key_id else None
    return {"provider_key_id": key_id, "from_day": price.from_day.isoformat(), **_said(price, RATES)}


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


def _said(row: ModelPrice | Limit | Budget | None, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names} if row else {}


def _tell_of(
    target: models.Model, organization: Organization, tag: str, by: Actor, before: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    """The audit event names whom it is for, so that it stands in the history of a key. Gateways read what changed."""
    changes = {"before": dict(before), "after": dict(after)}
    record(organization=organization, by=by, tag=tag, target=target, changes=changes)
    Organization.objects.filter(pk=organization.pk).bump_routing()
