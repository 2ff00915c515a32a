"""The one-time link by which the operator becomes the first owner."""

from django.core import signing

from orgs.models import User

PURPOSE = "orgs.setup"
DAYS = 7


def link_token() -> str | None:
    """What stands in the address of the set-up page; None once there is anybody who can sign in."""
    return None if User.objects.exists() else signing.TimestampSigner(salt=PURPOSE).sign("first-owner")


def is_valid(token: str) -> bool:
    try:
        return signing.TimestampSigner(salt=PURPOSE).unsign(token, max_age=DAYS * 24 * 60 * 60) == "first-owner"
    except signing.BadSignature:
        return False
