"""Stretches of time that usage is shown for. Days are the organization's local dates, hours are UTC."""

from datetime import timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
RANGES = {"24h": "24 h", "7d": "7 days", "30d": "30 days", "90d": "90 days"}
LONGEST = 366  # days


def zone(name: str) -> ZoneInfo:
    """The time zone of that name; UTC if this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")
