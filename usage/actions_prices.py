"""Writes about what the provider of a key charges, each with its audit event in the same transaction.

Neither changes what is booked: a price counts for what is booked later, and an invoice is only compared.
"""

from collections.abc import Iterable
from datetime import date
from typing import Any

from django.db import transaction
from django.utils import timezone

from keys.actions import lock
from keys.models import ProviderKey
from orgs.actions import Actor, record
from orgs.models import Organization
from usage.invoices import Billed
from usage.models import Invoice, KeyPrice


@transaction.atomic
def set_key_price(*, key: ProviderKey, from_day: date, thousandths: int, by: Actor) -> KeyPrice:
    """From that day of the organization's time zone the key pays so many thousandths of the list price."""
    lock(key.organization)
    where: dict[str, Any] = {"organization": key.organization, "provider_key_id": key.pk, "from_day": from_day}
    before = KeyPrice.objects.filter(**where).first()
    if before and before.thousandths == thousandths:
        return before
    said = {"thousandths": thousandths, "created_by": by.user, "created_at": timezone.now()}
    price, _ = KeyPrice.objects.update_or_create(said, **where)
    _tell(key, "set_price", by, before, price)
    return price


@transaction.atomic
def remove_key_price(*, price: KeyPrice, by: Actor) -> None:
    """The one before it counts on."""
    lock(price.organization)
    if KeyPrice.objects.filter(pk=price.pk).delete()[0]:
        _tell(ProviderKey.objects.get(pk=price.provider_key_id), "remove_price", by, price, None)


@transaction.atomic
def set_invoices(*, organization: Organization, billed: Iterable[Billed], by: Actor) -> int:
    """All of them or none, each in place of the one of its key and month. Returns how many are new or changed."""
    lock(organization)
    return sum(_set_invoice(organization, each, by) for each in billed)


def _set_invoice(organization: Organization, billed: Billed, by: Actor) -> bool:
    where: dict[str, Any] = {"organization": organization, "provider_key_id": billed.key.pk, "month": billed.month}
    before = Invoice.objects.filter(**where).first()
    if before and before.total_microusd == billed.total_microusd:
        return False
    said = {"total_microusd": billed.total_microusd, "created_by": by.user, "created_at": timezone.now()}
    invoice, _ = Invoice.objects.update_or_create(said, **where)
    _tell(billed.key, "set_invoice", by, before, invoice)
    return True


@transaction.atomic
def remove_invoice(*, invoice: Invoice, by: Actor) -> None:
    lock(invoice.organization)
    if Invoice.objects.filter(pk=invoice.pk).delete()[0]:
        _tell(ProviderKey.objects.get(pk=invoice.provider_key_id), "remove_invoice", by, invoice, None)


def _tell[T: (KeyPrice, Invoice)](key: ProviderKey, act: str, by: Actor, before: T | None, after: T | None) -> None:
    """The audit event names the key, so that it stands in the history of that."""
    changes = {"before": _said(before), "after": _said(after)}
    record(organization=key.organization, by=by, tag=f"provider_key:{act}", target=key, changes=changes)


def _said(row: KeyPrice | Invoice | None) -> dict[str, str | int]:
    match row:
        case KeyPrice():
            return {"from_day": row.from_day.isoformat(), "thousandths": row.thousandths}
        case Invoice():
            return {"month": f"{row.month:%Y-%m}", "total_microusd": row.total_microusd}
    return {}
