"""What the card "Replace credential" of a key needs."""

from collections.abc import Iterable

from django import template
from django.utils import timezone

from keys.forms.credentials import FORMS, KeyForm, mode_of
from keys.models import ProviderKey, RetiredCredential

register = template.Library()


@register.simple_tag
def replacement_form(key: ProviderKey) -> KeyForm:
    """An empty one, in the provider's first mode."""
    return FORMS[key.row.shape][mode_of(key.row, "")](provider=key.row, replaces=key.public)


@register.simple_tag
def restorable(key: ProviderKey) -> Iterable[RetiredCredential]:
    """One query."""
    return key.retired.restorable(timezone.now())
