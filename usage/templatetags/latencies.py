"""How fast provider keys answered lately, for pages that know nothing of usage."""

from uuid import UUID

from django import template
from django.utils import timezone

from orgs.models import Organization
from usage import weeks

register = template.Library()


@register.simple_tag
def latencies_of_keys(organization: Organization) -> dict[UUID, int]:
    """Of the last seven days, of all keys in one query."""
    return weeks.medians(organization, timezone.now())


@register.filter
def latency_in(latencies: dict[UUID, int], key: UUID) -> str:
    """In seconds with one decimal; nothing where the key answered nothing."""
    return f"{latencies[key] / 1000:.1f} s" if key in latencies else ""
