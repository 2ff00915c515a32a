"""Sends what waits for webhooks, all at once, each by the rules of egress. Who is slow or down holds up nobody else."""

import asyncio
import logging
import secrets
from collections.abc import Coroutine, Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from keys import data_keys
from keys.addresses import AllowList
from keys.egress import Egress, EgressError, Patience
from keys.providers.base import Outbound
from keys.vault import VaultError
from orgs import webhooks
from orgs.models import Delivery

PATIENCE = Patience(connect=3.0, first_byte=10.0, total=10.0)
type Outcome = tuple[int | None, str]  # the status, where there was an answer, and the problem, where there is one

log = logging.getLogger(__name__)


def new_secret() -> str:
    """The text that the receiver's program gets; its bytes are the key of the signature."""
    return f"khwh_{secrets.token_urlsafe(32)}"


def deliver_due(now: datetime) -> int:
    """Returns how many were tried."""
    claimed = webhooks.claim(now)
    if claimed:
        deliver(claimed)
    return len(claimed)


@sensitive_variables()
def deliver(deliveries: Sequence[Delivery], egress: Egress | None = None) -> None:
    """Try each once, and note what came of it. `egress`: not started; by default, one as the operator's settings say."""
    egress = egress or Egress(AllowList.parse(settings.EGRESS_ALLOW))
    ready = [(delivery, outbound) for delivery in deliveries if (outbound := signed(delivery))]
    for (delivery, _), (status, problem) in zip(ready, run(post_all(ready, egress)), strict=True):
        webhooks.note(delivery, status, problem, timezone.now())


@sensitive_variables()
def signed(delivery: Delivery) -> Outbound | None:
    webhook, now = delivery.webhook, timezone.now()
    try:
        secret = data_keys.open_signing_secret(webhook, data_keys.of(webhook.organization))
    except VaultError:
        log.error("The secret of webhook %s does not open, so nothing is sent there.", webhook.pk)
        webhooks.note(delivery, None, "The secret of this webhook does not open. Add the webhook again.", now)
        return None
    headers = {
        "content-type": "application/json",
        "keyhold-delivery": str(delivery.pk),
        "keyhold-signature": webhooks.signature(secret, webhooks.body_of(delivery), int(now.timestamp())),
    }
    return Outbound("POST", webhook.url, headers)


def run[T](work: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, but that one waits at its end for every name server that has not answered yet."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


async def post_all(ready: Sequence[tuple[Delivery, Outbound]], egress: Egress) -> list[Outcome]:
    async with egress:
        return await asyncio.gather(*(post(egress, outbound, webhooks.body_of(delivery)) for delivery, outbound in ready))


async def post(egress: Egress, outbound: Outbound, body: bytes) -> Outcome:
    """Only the status is read: nothing that a receiver writes is kept or shown."""
    try:
        answer = await egress.send(outbound, body, PATIENCE)
    except EgressError as refusal:
        return None, str(refusal)
    except Exception as error:
        log.error("A delivery ended with %s.", type(error).__name__)
        return None, "It could not be sent."
    answer.close()
    return answer.status, problem_of(answer.status)


def problem_of(status: int) -> str:
    if 200 <= status < 300:
        return ""
    return f"It answered {status}." + (" Redirects are not followed." if 300 <= status < 400 else "")
