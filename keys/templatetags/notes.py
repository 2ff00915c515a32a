"""The few words below the state of each key in the list."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django import template
from django.utils import timezone

from keys.pages import notes
from keys.pages.listing import Row
from orgs.models import Organization

register = template.Library()


@dataclass(frozen=True, slots=True)
class Notes:
    of: dict[UUID, str] = field(repr=False)


@register.simple_tag
def notes_of_keys(organization: Organization, rows: Sequence[Row]) -> Notes:
    """One query if one of the keys is off."""
    return Notes(notes.of(organization, rows, timezone.now()))


@register.simple_tag
def notes_of_key(organization: Organization, row: Row) -> Notes:
    return notes_of_keys(organization, [row])


@register.filter
def note_in(all_notes: Notes, key: UUID) -> str:
    return all_notes.of.get(key, "")
