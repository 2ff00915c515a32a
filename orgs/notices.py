"""Sends owners what they are to be told, and members what is theirs, by e-mail.

What cannot be sent is tried again, later and later, then given up.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from orgs.models import OWNER, Membership, Notice

MOST_AT_ONCE = 20
MOST_TRIES = 10
FIRST_PAUSE = timedelta(minutes=1)  # doubles; the last try comes eight hours after the first

log = logging.getLogger(__name__)


def send_due(now: datetime) -> int:
    """Returns how many were sent. Stops at the first that fails: a mail server in trouble is not asked twenty times."""
    for sent in range(MOST_AT_ONCE):
        notice = claim(now)
        if notice is None or not deliver(notice):
            return sent
    return MOST_AT_ONCE


@transaction.atomic
def claim(now: datetime) -> Notice | None:
    """The next one that is due. The try counts from here on, so that a process that dies of it does not try for ever."""
    due = Notice.objects.filter(due_at__lte=now).order_by("due_at", "created_at")
    notice = due.select_for_update(skip_locked=True, of=("self",), no_key=True).select_related("organization").first()
    if notice:
        notice.due_at = None if notice.tries + 1 >= MOST_TRIES else now + FIRST_PAUSE * 2**notice.tries
        notice.tries += 1
        notice.save(update_fields=["due_at", "tries"])
    return notice


def deliver(notice: Notice) -> bool:
    """Whether there is nothing left to do about it."""
    members = Membership.objects.for_org(notice.organization).filter(user__is_active=True).order_by("pk")
    told = members.filter(Q(role__name=OWNER) | Q(user=notice.person_id))
    addresses = list(told.values_list("user__email", flat=True))
    try:
        if addresses:
            message(notice, addresses).send(using="default")
    except Exception as error:
        given_up = "It is given up." if notice.due_at is None else "It is tried again."
        log.error("A notice (%s) could not be sent: %s. %s", notice.tag, type(error).__name__, given_up)
        return False
    notice.due_at, notice.sent_at = None, timezone.now() if addresses else None
    notice.save(update_fields=["due_at", "sent_at"])
    return True


def message(notice: Notice, addresses: Sequence[str]) -> EmailMessage:
    """To all owners at once, so that no failure in between makes some of them get it twice.

    Always with the same Message-ID: if this process dies before it notes that it was sent, mailboxes know the second one.
    """
    url = settings.PUBLIC_URL
    place = "You belong to" if notice.person_id else "You own"
    body = f"{notice.body}\n\n{url}{notice.path}\n\nKeyhold, {url}/\n{place} {notice.organization.name} there.\n"
    domain = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].strip("<> ")
    headers = {"Message-ID": f"<notice-{notice.pk}@{domain}>", "Auto-Submitted": "auto-generated"}
    return EmailMessage("Keyhold: " + " ".join(notice.subject.split()), body, to=list(addresses), headers=headers)
