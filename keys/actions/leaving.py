"""Somebody's membership ends, and with it everything they held."""

from django.db import transaction

from keys.actions.client_keys import revoke_of_member
from keys.actions.management_keys import revoke_management_keys_of
from keys.actions.writing import lock
from orgs.actions import Actor
from orgs.actions.members import remove_member
from orgs.models import Organization, User


@transaction.atomic
def end_membership(*, organization: Organization, user: User, by: Actor, to: User | None = None) -> int:
    """An owner removes them, or they leave. Their client keys are revoked, or handed over. Returns how many there were.

    The management keys that they made are revoked.

    Raises LastOwner, RestrictionError, and Membership.DoesNotExist for somebody who is no member any more.
    """
    lock(organization)
    remove_member(organization=organization, user=user, by=by)
    revoke_management_keys_of(organization=organization, maker=user, by=by)
    return revoke_of_member(organization=organization, user=user, by=by, to=to)
