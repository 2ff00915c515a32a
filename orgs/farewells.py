"""Tells somebody by e-mail that they were removed: notices go to members, and they are none any more."""

import logging

from django.conf import settings
from django.core.mail import EmailMessage

log = logging.getLogger(__name__)


def send(*, email: str, organization: str, by: str) -> None:
    """Call it once they are gone. What cannot be sent is not tried again, and brings nobody back."""
    url = settings.PUBLIC_URL
    body = (
        f"{by} removed you from {organization} at Keyhold. You cannot open it any more, and client keys that you had there "
        f"are no longer yours. Only an invitation brings you back.\n\nKeyhold, {url}/\n"
    )
    subject = " ".join(f"Keyhold: You were removed from {organization}".split())
    try:
        EmailMessage(subject, body, to=[email]).send(using="default")
    except Exception as error:
        log.error("Somebody who was removed could not be told: %s.", type(error).__name__)
