"""Stretches of time that usage is shown for. Days are the organization's local dates, hours are UTC."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from orgs.zones import zone as zone

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
RANGES = {"24h": 1, "7d": 7, "30d": 30, "90d": 90}  # days
DEFAULT = "30d"
LONGEST = 366  # days


@dataclass(frozen=True, slots=True)
class Period:
    """From the first bucket to the last, both included. Buckets are dates, or the UTC starts of hours where `hourly`.

    `range` is a key of RANGES, or empty for dates that the person chose.
    """

    range: str
    zone: ZoneInfo
    first: date
    last: date
    hourly: bool = False

    @property
    def step(self) -> timedelta:
        return HOUR if self.hourly else DAY

    @property
    def length(self) -> int:
        return (self.last - self.first) // self.step + 1

    def buckets(self) -> Iterator[date]:
        return (self.first + number * self.step for number in range(self.length))

    def span(self) -> tuple[datetime, datetime]:
        """The moments at which it begins and ends, in UTC; the end is not part of it."""
        if isinstance(self.first, datetime) and isinstance(self.last, datetime):
            return self.first, self.last + HOUR
        return day_span(self.first, self.zone)[0], day_span(self.last, self.zone)[1]

    def before(self) -> "Period":
        """The period of the same length that ends where this one starts."""
        return replace(self, first=self.first - self.length * self.step, last=self.first - self.step)


def day_span(day: date, local: ZoneInfo) -> tuple[datetime, datetime]:
    """The moments, in UTC, at which a local day begins and ends."""
    return _midnight(day, local), _midnight(day + DAY, local)


def month_span(day: date, local: ZoneInfo) -> tuple[datetime, datetime]:
    """The same of the month around a day."""
    first = day.replace(day=1)
    return _midnight(first, local), _midnight((first + 31 * DAY).replace(day=1), local)


def _midnight(day: date, local: ZoneInfo) -> datetime:
    return datetime.combine(day, time.min, local).astimezone(UTC)


def of_range(name: str, local: ZoneInfo, now: datetime, *, hourly: bool) -> Period:
    """The period that ends now. Without `hourly`, 24 hours are the two dates they touch."""
    if name == "24h" and hourly:
        last = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        return Period(name, local, last - 23 * HOUR, last, hourly=True)
    today = now.astimezone(local).date()
    first = (now - 23 * HOUR).astimezone(local).date() if name == "24h" else today - (RANGES[name] - 1) * DAY
    return Period(name, local, first, today)


def of_dates(first: date, last: date, local: ZoneInfo) -> Period:
    """The dates a person chose, in either order, cut to the longest that is shown."""
    first, last = min(first, last), max(first, last)
    return Period("", local, max(first, last - (LONGEST - 1) * DAY), last)


def read_dates(params: Mapping[str, str]) -> tuple[date, date] | None:
    """`from` and `to`; one alone means that day. None if neither is a date."""
    found = [day for day in (_date(params.get("from", "")), _date(params.get("to", ""))) if day]
    return (found[0], found[-1]) if found else None


def _date(text: str) -> date | None:
    """Dates that leave room for the period before."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if 1970 <= day.year <= 9000 else None
