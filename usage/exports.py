"""Usage as CSV: one line for each day (or hour) and item of the breakdown, with the filters of the page."""

import csv
from collections.abc import Iterable, Iterator
from datetime import date, datetime

from orgs.models import Organization
from orgs.spreadsheets import Echo, guarded
from usage.figures import MICRO
from usage.queries import Query
from usage.reports import OTHERS, Item, Names, Totals, lines, names_of

HEADS = {
    "provider": ("provider_slug", "provider"),
    "key": ("provider_key_id", "provider_key"),
    "model": ("model_slug", "model"),
    "client": ("client_key_id", "client_key"),
    "member": ("person_id", "person"),
}
FIGURES = (
    "requests",
    "errors",
    "cancelled",
    "rescued_failures",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "reasoning_tokens",
    "estimated_requests",
    "unpriced_requests",
    "estimated_cost_usd",
    "median_latency_ms",
    "p95_latency_ms",
)


def csv_lines(organization: Organization, query: Query) -> Iterator[str]:
    """Lines as RFC 4180 has them, heads first, made while they are read."""
    write = csv.writer(Echo()).writerow
    names = names_of(organization, query.only)
    yield write(["hour" if query.period.hourly else "day", *HEADS[query.by], *FIGURES])
    for bucket, item, totals in lines(organization, query):
        yield write([_when(bucket, query), *_who(names, query.by, item), *_figures(totals)])


def _when(bucket: date, query: Query) -> str:
    return bucket.astimezone(query.period.zone).isoformat() if isinstance(bucket, datetime) else bucket.isoformat()


def _who(names: Names, by: str, item: Item) -> Iterable[str]:
    return "" if item == OTHERS.get(by) else guarded(str(item)), guarded(names.of(by, item))


def cost_usd(totals: Totals) -> str:
    """Dollars to the last figure; empty where no price is known."""
    unknown = totals.unpriced and not totals.cost_microusd
    return "" if unknown else f"{totals.cost_microusd // MICRO}.{totals.cost_microusd % MICRO:06}"


def _figures(totals: Totals) -> Iterable[object]:
    return (
        totals.requests,
        totals.errors,
        totals.cancelled,
        totals.absorbed,
        totals.input_tokens,
        totals.output_tokens,
        totals.cached_input_tokens,
        totals.reasoning_tokens,
        totals.estimated,
        totals.unpriced,
        cost_usd(totals),
        "" if totals.median is None else totals.median,
        "" if totals.p95 is None else totals.p95,
    )
