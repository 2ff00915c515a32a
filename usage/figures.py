"""Numbers and times as people read them. Formatted here, once, so that templates only place them."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

MICRO = 1_000_000
NONE = "–"
ROUND = (1, 2, 3, 4, 5, 6, 8, 10)  # steps of an axis, times a power of ten
UNITS = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k"))


def whole(number: int) -> str:
    return f"{number:,}"


def short(number: int) -> str:
    """Three figures and a unit: 999, 36k, 1.04B."""
    for size, unit in UNITS:
        if number >= size:
            return f"{min(number / size, 999):.3g}{unit}"
    return str(number)


def dollars(microusd: int) -> str:
    """Cents for what costs cents; smaller sums as far as their first figures."""
    if microusd >= MICRO // 10 or microusd == 0:
        return f"${microusd / MICRO:,.2f}"
    return f"${microusd / MICRO:.4f}" if microusd >= 100 else f"${microusd / MICRO:.6f}"


def exact_dollars(microusd: int) -> str:
    """Every figure of a price, at least to the cent."""
    dollars, rest = divmod(microusd, MICRO)
    return f"${dollars:,}.{f'{rest:06}'.rstrip('0'):0<2}"


def percent(share: float) -> str:
    """One decimal; what is not nothing never reads as nothing."""
    if 0 < share < 0.0005:
        return "<0.1%"
    return f"{share * 100:.1f}".removesuffix(".0") + "%"


def seconds(milliseconds: int | None) -> str:
    if milliseconds is None:
        return NONE
    value = milliseconds / 1000
    return f"{value:.2f} s" if value < 10 else f"{value:.0f} s"


def counted(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def day(value: date, this_year: int) -> str:
    """25 October, with the year where it is another."""
    return f"{value.day} {value:%B}" + (f" {value.year}" if value.year != this_year else "")


def today(local: datetime) -> str:
    return f"{local:%A} {local.day} {local:%B}, so far."


def axis(bucket: date, zone: ZoneInfo) -> str:
    """The label below a column: 25 Oct or 14:00."""
    if isinstance(bucket, datetime):
        return f"{bucket.astimezone(zone):%H:%M}"
    return f"{bucket.day} {bucket:%b}"


def row(bucket: date, zone: ZoneInfo) -> str:
    """The label of a table's row: Mon 23 Nov or Mon 23 Nov, 14:00."""
    local = bucket.astimezone(zone) if isinstance(bucket, datetime) else bucket
    label = f"{local:%a} {local.day} {local:%b}"
    return f"{label}, {local:%H:%M}" if isinstance(bucket, datetime) else label


def since(moment: datetime, now: datetime, zone: ZoneInfo) -> str:
    """How long ago, up to 24 hours; then when."""
    ago = max(now - moment, timedelta())
    if ago < timedelta(minutes=1):
        return "just now"
    if ago < timedelta(hours=1):
        return f"{counted(ago // timedelta(minutes=1), 'minute')} ago"
    if ago < timedelta(hours=24):
        return f"{counted(ago // timedelta(hours=1), 'hour')} ago"
    return at(moment, now, zone)


def at(moment: datetime, now: datetime, zone: ZoneInfo) -> str:
    """On 20 November at 18:04."""
    local = moment.astimezone(zone)
    return f"on {day(local.date(), now.astimezone(zone).year)} at {local:%H:%M}"


def zone_name(zone: ZoneInfo) -> str:
    return "UTC" if zone.key in ("UTC", "Etc/UTC") else f"{zone.key.replace('_', ' ')} time"


def scale(largest: int) -> list[int]:
    """Five marks of a chart's axis from the top down, evenly spaced, round, the highest not below `largest`."""
    size = 1
    while 40 * size < largest:
        size *= 10
    step = size * next(round for round in ROUND if 4 * round * size >= largest)
    return [step * mark for mark in (4, 3, 2, 1, 0)]
