"""Alerts on their way to webhooks: what is sent, how it is signed, and when it is tried again. keys/webhooks.py sends."""

import hashlib
import hmac
import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Window
from django.db.models.functions import RowNumber

from orgs.models import Delivery, Notice, Webhook

MOST_NOTICES = 100
MOST_AT_ONCE = 50
MOST_EACH = 5  # for one webhook, so that one which is down leaves room for the others
MOST_TRIES = 14
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=4)  # doubles; the last try comes after a day
KEPT = timedelta(days=30)
TEST = "webhook:test"


@transaction.atomic
def hand_on(now: datetime) -> int:
    """Every notice becomes a delivery for each webhook that was there when it was written. Returns how many notices."""
    waiting = Notice.objects.filter(handed_on=False).select_related("organization").order_by("created_at")
    notices = list(waiting.select_for_update(skip_locked=True, of=("self",), no_key=True)[:MOST_NOTICES])
    if not notices:
        return 0
    webhooks = list(Webhook.objects.filter(enabled=True, organization__in={notice.organization_id for notice in notices}))
    Delivery.objects.bulk_create(
        Delivery(webhook=webhook, tag=notice.tag, payload=payload_of(notice), created_at=now, due_at=now)
        for notice in notices
        for webhook in webhooks
        if webhook.organization_id == notice.organization_id and webhook.created_at <= notice.created_at
    )
    return Notice.objects.filter(pk__in=[notice.pk for notice in notices]).update(handed_on=True)


def payload_of(notice: Notice) -> dict[str, Any]:
    """`id` is the same for every webhook and every try, so that a receiver knows what it has had."""
    organization = notice.organization
    return {
        "id": str(notice.pk),
        "type": notice.tag,
        "created_at": notice.created_at.isoformat(timespec="seconds"),
        "organization": {"id": str(organization.pk), "slug": organization.slug, "name": organization.name},
        "target_id": notice.target_id,
        "subject": notice.subject,
        "text": notice.body,
        "url": settings.PUBLIC_URL + notice.path,
    }


def body_of(delivery: Delivery) -> bytes:
    return json.dumps(delivery.payload, separators=(",", ":")).encode()


def signature(secret: bytes, body: bytes, at: int) -> str:
    """The header that tells who sent it and when: HMAC-SHA256 of the time in seconds, a dot, and the body."""
    digest = hmac.new(secret, b"%d." % at + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def claim(now: datetime) -> list[Delivery]:
    """Those that are due, a few of each webhook first. The try counts from here on, as with notices."""
    due = Delivery.objects.filter(due_at__lte=now, webhook__enabled=True)
    place = Window(RowNumber(), partition_by=F("webhook"), order_by=["due_at", "created_at"])
    first = due.annotate(place=place).filter(place__lte=MOST_EACH).order_by("place", "due_at")
    chosen = list(first.values_list("pk", flat=True)[:MOST_AT_ONCE])
    return claim_these(chosen, now) if chosen else []


@transaction.atomic
def claim_these(chosen: Iterable[Any], now: datetime) -> list[Delivery]:
    due = Delivery.objects.filter(pk__in=chosen, due_at__lte=now).select_related("webhook__organization")
    claimed = list(due.select_for_update(skip_locked=True, of=("self",), no_key=True))
    for delivery in claimed:
        delivery.due_at = None if delivery.tries + 1 >= MOST_TRIES else now + pause_after(delivery.tries)
        delivery.tries += 1
    Delivery.objects.bulk_update(claimed, ["due_at", "tries"])
    return claimed


def pause_after(tries: int) -> timedelta:
    return min(FIRST_PAUSE * (1 << tries), LONGEST_PAUSE)


def note(delivery: Delivery, status: int | None, problem: str, now: datetime) -> None:
    """What came of a try. Without a problem it is taken, and nothing is left to do."""
    delivery.status, delivery.problem = status, problem
    if not problem:
        delivery.taken_at, delivery.due_at = now, None
    found = {"status": status, "problem": problem, "taken_at": delivery.taken_at, "due_at": delivery.due_at}
    Delivery.objects.filter(pk=delivery.pk).update(**found)  # which the webhook may have taken with it


def forget_old_deliveries(now: datetime) -> None:
    """What was taken or given up long ago."""
    Delivery.objects.filter(created_at__lt=now - KEPT, due_at=None).delete()
