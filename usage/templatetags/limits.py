"""What pages of other apps show of limits and budgets."""

from collections.abc import Mapping
from uuid import UUID

from django import template
from django.utils import timezone

from orgs.models import Organization, User
from usage import ceilings
from usage.ceilings import NOTHING, Ceiling, Meter
from usage.privacy import only_of
from usage.targets import Target

register = template.Library()


@register.simple_tag
def limits_of(organization: Organization, scope: str, target_id: UUID | int | str = "") -> Ceiling:
    """Two queries, and one more where there are budgets."""
    return ceilings.of_one(organization, scope, str(target_id), timezone.now())


@register.simple_tag
def limits_of_all(organization: Organization, scope: str) -> Mapping[str, Ceiling]:
    """Of all client keys, say, for the filter `limits_in`; in as many queries as of one."""
    return ceilings.of_scope(organization, scope, timezone.now())


@register.simple_tag
def nearest_limits(organization: Organization, user: User) -> list[tuple[Target, Meter]]:
    """Those client keys of which the person may know. Two queries, and two more where there are budgets."""
    return ceilings.nearest(organization, only_of(user, organization), timezone.now())


@register.filter
def limits_in(found: Mapping[str, Ceiling], target_id: UUID | int | str) -> Ceiling:
    return found.get(str(target_id), NOTHING)
