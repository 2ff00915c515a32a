"""What the navigation says about provider keys, on every page."""

from django import template

from keys.models import ProviderKey
from orgs.models import Organization

register = template.Library()


@register.simple_tag
def failing_keys(organization: Organization) -> int:
    """How many keys that are on are failing. One query."""
    return ProviderKey.objects.present().filter(organization=organization, enabled=True, status="failing").count()
