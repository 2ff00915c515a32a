"""The last seven days of provider keys and of what asks for them, for pages that know nothing of usage."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django import template
from django.utils import timezone

from orgs.models import Organization, User
from usage import weeks
from usage.figures import counted, whole
from usage.privacy import only_of

register = template.Library()


@dataclass(frozen=True, slots=True)
class Week:
    """`days` is empty where nothing was asked."""

    days: Sequence[int] = ()
    requests: str = "0"
    label: str = ""


@dataclass(frozen=True, slots=True)
class Weeks:
    of: dict[UUID, Week] = field(repr=False)


@register.simple_tag
def weeks_of_keys(organization: Organization) -> Weeks:
    """Of all provider keys in one query."""
    found = weeks.of_keys(organization, timezone.now())
    return Weeks({key: Week(days, whole(sum(days)), f"{counted(sum(days), 'request')} in 7 days") for key, days in found.items()})


@register.filter
def week_in(all_weeks: Weeks, key: UUID) -> Week:
    return all_weeks.of.get(key, Week())


@register.simple_tag
def requests_in_week(organization: Organization, column: str = "", value: str | UUID = "") -> str:
    """In words: all requests, or those with this value in a column of DailyRollup. One query."""
    which = {column: value} if column else {}
    return counted(weeks.requests(organization, timezone.now(), **which), "request")


@register.simple_tag
def requests_of_client_key(organization: Organization, key: UUID, user: User) -> str:
    """As far as `user` may know: of a key that was another's before, those since it is theirs. One query."""
    only = only_of(user, organization)
    which = {"client_key_id": key} if only is None else {"client_key_id": key, "member_id": only}
    return counted(weeks.requests(organization, timezone.now(), **which), "request")
