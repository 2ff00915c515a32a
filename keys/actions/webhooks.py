"""Writes about webhooks. Their addresses are told by the host alone: what follows it is often a secret."""

from datetime import datetime

from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from keys import data_keys
from keys.actions.writing import lock
from keys.webhooks import new_secret
from orgs import webhooks
from orgs.actions import Actor, record
from orgs.models import Delivery, Notice, Organization, Webhook

MOST = 10


class TooManyWebhooks(ValueError):
    """The organization has as many as it may have."""


@transaction.atomic
@sensitive_variables()
def add_webhook(*, organization: Organization, url: str, by: Actor) -> tuple[Webhook, str]:
    """The new webhook and the secret that signs what it gets, which cannot be had a second time."""
    lock(organization)
    if Webhook.objects.for_org(organization).count() >= MOST:
        raise TooManyWebhooks(f"An organization has at most {MOST} webhooks. Delete one first.")
    webhook, secret = Webhook(organization=organization, url=url), new_secret()
    webhook.sealed = data_keys.seal_signing_secret(webhook, secret.encode(), data_keys.of(organization))
    webhook.save()
    tell(webhook, by, "webhook:add", {}, {"host": webhook.host})
    return webhook, secret


@transaction.atomic
def set_webhook_enabled(*, webhook: Webhook, enabled: bool, by: Actor) -> None:
    """While it is off nothing is sent, and no alert is kept for it; what waits already goes out when it is on again."""
    lock(webhook.organization)
    if Webhook.objects.filter(pk=webhook.pk, enabled=not enabled).update(enabled=enabled):
        tell(webhook, by, "webhook:on" if enabled else "webhook:off", {"enabled": not enabled}, {"enabled": enabled})


@transaction.atomic
def remove_webhook(*, webhook: Webhook, by: Actor) -> None:
    """With all that waits for it, and its log."""
    lock(webhook.organization)
    deleted, _ = Webhook.objects.filter(pk=webhook.pk).delete()
    if deleted:
        tell(webhook, by, "webhook:remove", {"host": webhook.host}, {})


@transaction.atomic
def test_webhook(*, webhook: Webhook, by: Actor) -> Delivery:
    """A delivery that is tried once, by the caller, as soon as this is written."""
    now = timezone.now()
    alert = Notice(
        organization=webhook.organization,
        tag=webhooks.TEST,
        target_id=str(webhook.pk),
        subject="A test of this webhook",
        body=f"{by.label} sent this to see whether it arrives. Nothing else happened.",
        path=reverse("webhook", args=[webhook.organization.slug, webhook.pk]),
        created_at=now,
    )
    tell(webhook, by, "webhook:test", {}, {})
    return begun(webhook, webhooks.TEST, webhooks.payload_of(alert), now, again_at=None)


test_webhook.__test__ = False  # type: ignore[attr-defined]  # pytest would take it for one of its own


@transaction.atomic
def replay_delivery(*, delivery: Delivery, by: Actor) -> Delivery:
    """The same alert anew, with its old id. The caller tries it at once; if that fails it is tried again as any other."""
    tell(delivery.webhook, by, "webhook:replay", {}, {"alert": delivery.tag, "id": delivery.payload["id"]})
    now = timezone.now()
    return begun(delivery.webhook, delivery.tag, delivery.payload, now, again_at=now + webhooks.pause_after(0))


def begun(webhook: Webhook, tag: str, payload: object, now: datetime, again_at: datetime | None) -> Delivery:
    """Its first try counts already."""
    return Delivery.objects.create(webhook=webhook, tag=tag, payload=payload, created_at=now, due_at=again_at, tries=1)


def tell(webhook: Webhook, by: Actor, tag: str, before: dict[str, object], after: dict[str, object]) -> None:
    """Nothing that gateways need to know."""
    changes = {"before": before, "after": after}
    record(organization=webhook.organization, by=by, tag=tag, target=webhook, changes=changes)
