"""The choices of the usage page, each a link to the same page in another state."""

from dataclasses import dataclass

from keys.providers import PROVIDERS, Provider
from usage.queries import Query
from usage.reports import RESULTS, Item, Report

RANGES = {"24h": "24 h", "7d": "7 days", "30d": "30 days", "90d": "90 days"}
BY = {"provider": "Provider", "key": "Provider key", "model": "Model", "client": "Client key", "member": "Person"}
FILTERS = {**BY, "result": "Result"}
MEASURES = {"requests": "Requests", "tokens": "Tokens", "cost": "Cost", "errors": "Errors"}
COLUMNS = {
    "requests": "Requests",
    "in": "Tokens in",
    "out": "Tokens out",
    "errors": "Errors",
    "latency": "Latency",
    "cost": "Est. cost",
}
OFFERED = 100  # in one menu; the breakdown leads to the others


@dataclass(frozen=True, slots=True)
class Link:
    """A choice: its key, its words, where it leads and whether it holds now."""

    id: str
    text: str
    url: str
    on: bool = False
    tile: Provider | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter's menu, or, where `value` is set, what it is set to and the link that removes it."""

    id: str
    text: str
    value: str
    clear: str
    choices: list[Link]


def ranges(query: Query) -> list[Link]:
    return [Link(f"range-{name}", text, query.link(range=name), name == query.period.range) for name, text in RANGES.items()]


def measures(query: Query) -> list[Link]:
    return [Link(f"m-{name}", text, query.link(m=name), name == query.measure) for name, text in MEASURES.items()]


def breakdowns(query: Query) -> list[Link]:
    return [Link(f"by-{name}", text, query.link(by=name), name == query.by) for name, text in BY.items()]


def heads(query: Query) -> list[Link]:
    return [Link(f"sort-{name}", text, query.link(sort=name), name == query.sort) for name, text in COLUMNS.items()]


def filters(report: Report) -> list[Filter]:
    """Those that the organization has, as far as the viewer may know, whether used or not."""
    names = report.names
    used = {slug for slug, _ in names.keys.values()}
    offered: dict[str, list[Item]] = {
        "provider": [slug for slug in PROVIDERS if slug in used],
        "key": sorted(names.keys, key=lambda key: names.of("key", key).casefold()),
        "model": list(report.models),
        "client": sorted(names.clients, key=lambda key: names.clients[key].casefold()),
        "member": sorted(names.people, key=lambda person: names.people[person].casefold()),
        "result": list(RESULTS),
    }
    return [_filter(report, name, items) for name, items in offered.items()]


def _filter(report: Report, name: str, items: list[Item]) -> Filter:
    query = report.query
    chosen = query.filters.get(name)
    choices = [
        Link(f"{name}-{number}", report.names.of(name, item), query.link(**{name: str(item)}), tile=tile_of(report, name, item))
        for number, item in enumerate(items[:OFFERED])
    ]
    value = "" if chosen is None else report.names.of(name, chosen)
    return Filter(f"f-{name}", FILTERS[name], value, query.link(**{name: ""}), choices)


def tile_of(report: Report, by: str, item: Item) -> Provider | None:
    return PROVIDERS.get(report.names.provider_of(by, item))
