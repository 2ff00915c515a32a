"""What a usage page is asked for. The URL is the state: it is read here, and links to other states are made here."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from usage import periods
from usage.periods import Period

COLUMNS = {
    "provider": "provider",
    "key": "provider_key_id",
    "model": "model",
    "client": "client_key_id",
    "member": "member_id",
}  # what usage is broken down by
PERSONAL = {"client", "member"}  # which say whose usage it is
FILTERS = (*COLUMNS, "result")
HOURLY = {"provider", "model", "result"}  # what hourly figures are kept by
MEASURES = ("requests", "tokens", "cost", "errors")
SORTS = ("requests", "in", "out", "errors", "latency", "cost")
SORTED_BY = {"requests": "requests", "tokens": "in", "cost": "cost", "errors": "errors"}  # unless the URL says otherwise
NO_ID = UUID(int=2**128 - 1)
NO_PERSON = -1


@dataclass(frozen=True, slots=True)
class Query:
    """A checked URL. `filters` maps FILTERS to values; `notice` says where less is shown than was asked for.

    only: the person whose usage is told apart from that of all others, None where everybody's is. See usage/privacy.py.
    """

    params: Mapping[str, str]
    period: Period
    by: str
    measure: str
    sort: str
    filters: Mapping[str, str | int | UUID]
    notice: str = ""
    only: int | None = None

    def link(self, **changes: str) -> str:
        """The query string of this state with some parameters changed; an empty value takes one away.

        Every change leads back to the latest requests.
        """
        if changes.get("range"):
            changes |= {"from": "", "to": ""}
        wanted = {**self.params, "before": "", **changes}
        return "?" + urlencode({name: value for name, value in wanted.items() if value})


def read(params: Mapping[str, str], local: ZoneInfo, now: datetime, *, only: int | None = None) -> Query:
    """Read a URL's parameters. What makes no sense falls back to the default; an id that makes none matches nothing."""
    filters = {name: _value(name, params[name]) for name in FILTERS if params.get(name)}
    by = _choice(params.get("by"), tuple(COLUMNS))
    asked = periods.read_dates(params)
    name = params.get("range", "")
    name = name if name in periods.RANGES else periods.DEFAULT
    hourly = {by, *filters} <= HOURLY
    measure = _choice(params.get("m"), MEASURES)
    return Query(
        params={key: params[key] for key in ("range", "from", "to", "by", "m", "sort", "before", *FILTERS) if params.get(key)},
        period=periods.of_dates(*asked, local) if asked else periods.of_range(name, local, now, hourly=hourly),
        by=by,
        measure=measure,
        sort=params["sort"] if params.get("sort") in SORTS else SORTED_BY[measure],
        filters=filters,
        notice=_notice(asked, name, hourly),
        only=only,
    )


def _notice(asked: tuple[date, date] | None, name: str, hourly: bool) -> str:
    if asked and abs(asked[1] - asked[0]).days >= periods.LONGEST:
        return f"This period is too long to show at once. Showing the last {periods.LONGEST} days of it."
    if not asked and name == "24h" and not hourly:
        return "There are no hourly figures for single keys and people. Showing days."
    return ""


def _choice(value: str | None, choices: tuple[str, ...]) -> str:
    """One of the choices; the first stands in for anything else."""
    return value if value in choices else choices[0]


def _value(name: str, text: str) -> str | int | UUID:
    if name == "member":
        return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else NO_PERSON
    if name not in ("key", "client"):
        return text[:200].replace("\0", "")
    try:
        return UUID(text)
    except ValueError:
        return NO_ID
