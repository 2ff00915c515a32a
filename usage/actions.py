"""Writes about an organization's own prices, each with its audit event in the same transaction."""

from django.db import transaction
from django.utils import timezone

from keys.actions import lock
from orgs.actions import Actor, record
from orgs.models import Organization
from usage.models import ModelPrice


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
