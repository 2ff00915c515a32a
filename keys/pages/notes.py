"""The few words below a key's state in the list: why and since when. Whole sentences stand on the page of the key."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.utils.text import Truncator

from keys.models import ProviderKey
from keys.pages.listing import OFF, Row
from keys.providers.errors import ErrorClass
from orgs.models import AuditEvent, Organization

Status = ProviderKey.Status
CAUSES: dict[str, str] = {
    ErrorClass.REFUSED: "Refused",
    ErrorClass.OUT_OF_MONEY: "No credit",
    ErrorClass.TROUBLE: "Provider trouble",
}
MOMENT = timedelta(seconds=1)  # between the answer that took the key out and the note of it
NAME_SHOWN = 24  # characters


def of(organization: Organization, shown: Sequence[Row], now: datetime) -> dict[UUID, str]:
    """By key. One query if one of them is off."""
    zone = zone_of(organization)
    off = [str(row.key.pk) for row in shown if row.state == OFF]
    by = {key: f"{Truncator(who).chars(NAME_SHOWN)}, {said(at, zone, now)}" for key, who, at in turned_off(organization, off)}
    return {row.key.pk: note(row, zone, now) for row in shown} | by


def turned_off(organization: Organization, keys: Sequence[str]) -> Iterable[tuple[UUID, str, datetime]]:
    """Who did it, and when. The last time comes last."""
    if not keys:
        return ()
    events = AuditEvent.objects.filter(organization=organization, tag="provider_key:disable", target_id__in=keys)
    told = events.order_by("at", "pk").values_list("target_id", "actor_label", "at")
    return ((UUID(key), who, at) for key, who, at in told)


def note(row: Row, zone: ZoneInfo, now: datetime) -> str:
    key = row.key
    match row.state:
        case Status.FAILING if key.status_since:
            return f"{cause(key)} since {said(key.status_since, zone, now)}"
        case Status.FAILING:
            return cause(key)
        case Status.LIMITED if key.until:
            return f"{'Limited until' if key.until > now else 'Limit ended'} {said(key.until, zone, now)}"
    return "Last test unclear" if row.reason else ""


def cause(key: ProviderKey) -> str:
    """The status that the provider answered when this failure began or later, else what kind of failure it is."""
    status, at = key.last_error.get("status"), key.last_error.get("at")
    if status and at and key.status_since and datetime.fromisoformat(at) >= key.status_since - MOMENT:
        return str(status)
    return CAUSES.get(key.error_class, "Not working")


def said(at: datetime, zone: ZoneInfo, now: datetime) -> str:
    """13:01, with the day where it is not today's, with the year where it is not this one's."""
    there, today = at.astimezone(zone), now.astimezone(zone)
    if there.date() == today.date():
        return f"{there:%H:%M}"
    return f"{there:%-d %b}" + ("" if there.year == today.year else f" {there:%Y}")


def zone_of(organization: Organization) -> ZoneInfo:
    try:
        return ZoneInfo(organization.timezone)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")
