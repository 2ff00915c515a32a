"""Whose usage a person may tell apart. Totals are for everybody; who used what is one's own, unless owners decide otherwise."""

from orgs.models import Organization, User


def only_of(user: User, organization: Organization) -> int | None:
    """The id of the one person whose usage `user` sees by name; None where it is everybody's."""
    if organization.members_see_all or user.has_perm("usage.view_everybody", organization):
        return None
    return user.pk
