"""Sends invitations by e-mail. What is not sent is marked so in the list of members, where it can be sent again."""

import logging
from collections.abc import Sequence

from django.conf import settings
from django.core.mail import EmailMessage
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from orgs.actions.invitations import LASTS, Letter
from orgs.models import Invitation

log = logging.getLogger(__name__)


def send(letters: Sequence[Letter]) -> int:
    """Returns how many were sent. Stops at the first that fails: a mail server in trouble is not asked fifty times."""
    for sent, letter in enumerate(letters):
        try:
            message(letter).send(using="default")
        except Exception as error:
            log.error("An invitation could not be sent: %s.", type(error).__name__)
            return sent
        Invitation.objects.filter(pk=letter.invitation.pk).update(sent_at=timezone.now())
    return len(letters)


@sensitive_variables()
def message(letter: Letter) -> EmailMessage:
    invitation, url = letter.invitation, settings.PUBLIC_URL
    subject = f"{invitation.invited_by} invites you to {invitation.organization}"
    body = (
        f"{invitation.invited_by} invites you to {invitation.organization} at Keyhold, as {invitation.role}. Join here:\n\n"
        f"{url}{reverse('invitation_open', args=[letter.token])}\n\n"
        f"The link works once, for {LASTS.days} days, and only for {invitation.email}. "
        f"If you do not expect it, do nothing.\n\nKeyhold, {url}/\n"
    )
    return EmailMessage("Keyhold: " + " ".join(subject.split()), body, to=[invitation.email])
