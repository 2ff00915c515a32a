"""The last seven days of provider keys and of what asks for them, for pages that know nothing of usage."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django import template
from django.utils import timezone

from orgs.models import Organization
from usage import weeks
from usage.figures import counted, whole

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
