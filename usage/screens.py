"""A report as the usage page shows it: every figure already in words, every link already made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime

from keys.providers import Provider
from usage import figures
from usage.figures import counted, dollars, percent, seconds, short, whole
from usage.links import BY, MEASURES, tile_of
from usage.periods import Period
from usage.queries import Query
from usage.reports import MEASURE, NO_KEY, OTHER, OTHERS, Item, Report, Totals

ROWS_SHOWN = 100
FEW = 7  # columns of a chart
REQUESTS = "#requests"  # where single requests are listed


@dataclass(frozen=True, slots=True)
class Stat:
    """One of the five numbers. `tone` is up or dn where the change is good or bad; `unpriced`: an own price would help.

    url: to what is behind the number, from the usage page.
    """

    name: str
    value: str
    change: str
    words: str
    tone: str = ""
    unpriced: bool = False
    url: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the breakdown. `notes` say what its cost leaves open; the links lead to what is behind each number."""

    name: str
    requests: str
    tokens_in: str
    tokens_out: str
    errors: str
    rescued: str
    latency: str
    cost: str
    notes: str = ""
    url: str = ""
    requests_url: str = ""
    tokens_url: str = ""
    errors_url: str = ""
    cost_url: str = ""
    tile: Provider | None = None
    share: float = 0.0
    share_text: str = ""
    series: int = 7
    worse: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """A number or a label in the chart's table, and the link to what is behind it, if there is one."""

    text: str
    url: str = ""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Chart:
    """Columns for the `bars` tag, with the words around them and the same numbers as a table."""

    title: str
    days: list[tuple[str, list[int]]]
    top: int
    y: list[str]
    x: list[str]
    legend: list[tuple[int, str]]
    table: list[tuple[Cell, list[Cell], Cell]]
    bucket: str

    @property
    def last(self) -> str:
        label, _, total = self.table[-1]
        return f"{label}, {total}"

    @property
    def few(self) -> bool:
        """Whether every column has its own label."""
        return len(self.days) <= FEW

    @property
    def few_marks(self) -> list[str]:
        """Top, middle and bottom, for a low chart."""
        return self.y[::2]


def subtitle(report: Report, now: datetime) -> str:
    """The period in words, its time zone, and how old the last request is."""
    period, year = report.query.period, now.astimezone(report.query.period.zone).year
    where = figures.zone_name(period.zone)
    if period.hourly:
        words = f"The last 24 hours, in {where}."
    elif period.first == period.last:
        words = f"{figures.day(period.last, year)}, in {where}."
    else:
        words = f"{figures.day(period.first, year)} to {figures.day(period.last, year)}, in {where}."
    last = report.last_request
    return f"{words} Last request {figures.since(last, now, period.zone)}." if last else words


def stats(report: Report) -> list[Stat]:
    now, before, link = report.total, report.before, report.query.link
    requests = _change("Requests", whole(now.requests), now.requests, before.requests, _span(report.query.period))
    latency = f"{seconds(now.p95)} at the 95th percentile" if now.p95 else "No answers"
    return [
        replace(requests, url=REQUESTS),
        Stat("Tokens", short(now.tokens), "", _token_words(now), url=link(m="tokens", sort="")),
        Stat("Estimated cost", _cost(now), "", _cost_words(now), unpriced=bool(now.unpriced), url=link(m="cost", sort="")),
        replace(_errors(now, before), url=link(result="failed") + REQUESTS if now.errors else ""),
        Stat("Median latency", seconds(now.median), "", latency, url=link(sort="latency")),
    ]


def _span(period: Period) -> str:
    if period.hourly:
        return "the 24 hours before"
    return f"the {period.length} days before" if period.length > 1 else "the day before"


def _change(name: str, value: str, now: int, before: int, span: str) -> Stat:
    if not before:
        return Stat(name, value, "", f"None in {span}")
    if now == before:
        return Stat(name, value, "", f"As many as in {span}")
    change = abs(now - before) / before
    return Stat(name, value, percent(change) if change < 10 else f"{now / before:.0f} times", _than(now > before, change, span))


def _than(more: bool, change: float, span: str) -> str:
    return f"as many as in {span}" if change >= 10 else f"{'more' if more else 'fewer'} than in {span}"


def _token_words(totals: Totals) -> str:
    words = f"{short(totals.output_tokens)} of them output"
    return f"{words}, {counted(totals.estimated, 'request')} estimated" if totals.estimated else words


def _cost(totals: Totals) -> str:
    """Unknown stays unknown: a sum of nothing but unpriced attempts is no $0.00."""
    unknown = totals.unpriced and not totals.cost_microusd
    return figures.NONE if unknown else dollars(totals.cost_microusd)


def _cost_words(totals: Totals) -> str:
    if not totals.unpriced:
        return "From list prices and your own. Your invoices decide."
    if not totals.cost_microusd:
        return "No price known."
    return f"No price known for {counted(totals.unpriced, 'request')}. Your invoices decide."


def _notes(totals: Totals) -> str:
    """What the cost leaves open, in a few words."""
    unpriced = f"{whole(totals.unpriced)} without price" if totals.unpriced else ""
    return ", ".join(note for note in (unpriced, f"{whole(totals.estimated)} estimated" if totals.estimated else "") if note)


def _errors(now: Totals, before: Totals) -> Stat:
    value = percent(now.error_share)
    rescued = f"{counted(now.absorbed, 'more failure')} rescued by another key." if now.absorbed else ""
    points = round((now.error_share - before.error_share) * 100, 1)
    if not before.requests or not points:
        return Stat("Errors", value, "", rescued or counted(now.errors, "failed request"))
    tone, words = ("dn", "worse") if points > 0 else ("up", "better")
    return Stat("Errors", value, f"{abs(points)} points", f"{words}. {rescued}".strip(), tone)


def chart(report: Report) -> Chart:
    query, zone = report.query, report.query.period.zone
    write: Callable[[int], str] = dollars if query.measure == "cost" else whole
    top, *rest = figures.scale(max((sum(values) for _, values in report.buckets), default=0))
    labels = [figures.axis(bucket, zone) for bucket, _ in report.buckets]
    linked = _linked(report)
    per = "hour" if query.period.hourly else "day"
    return Chart(
        title=f"{MEASURES[query.measure]} per {per} by {BY[query.by].lower()}",
        days=[(label, values) for label, (_, values) in zip(labels, report.buckets, strict=True)],
        top=top,
        y=[dollars(mark) if query.measure == "cost" else short(mark) for mark in (top, *rest)],
        x=_spread(labels),
        legend=[(number, _series_name(report, item)) for number, item in enumerate(report.series, 1)],
        table=[_table_row(report, linked, write, bucket, values) for bucket, values in report.buckets],
        bucket=per.capitalize(),
    )


def _table_row(
    report: Report, linked: Callable[[date, Item], str], write: Callable[[int], str], bucket: date, values: list[int]
) -> tuple[Cell, list[Cell], Cell]:
    cells = [Cell(write(value), linked(bucket, item) if value else "") for item, value in zip(report.series, values, strict=True)]
    day = linked(bucket, OTHER)
    return Cell(figures.row(bucket, report.query.period.zone), day), cells, Cell(write(sum(values)), day if any(values) else "")


def _linked(report: Report) -> Callable[[date, Item], str]:
    """Makes the link to one item on one day; with OTHER, to that day. Hours and what has no filter lead nowhere."""
    query = report.query
    of_items = {item: _before_dates(query, {query.by: str(item)}) for item in report.series if _has_filter(query.by, item)}
    of_items[OTHER] = _before_dates(query, {})

    def linked(bucket: date, item: Item) -> str:
        if isinstance(bucket, datetime) or item not in of_items:
            return ""
        return f"{of_items[item]}from={bucket}&to={bucket}"

    return linked


def _before_dates(query: Query, chosen: Mapping[str, str]) -> str:
    """A link that wants two dates yet. To make each whole link anew takes most of a long chart's time."""
    link = query.link(range="", **{"from": "", "to": ""}, **chosen)
    return link if link == "?" else f"{link}&"


def _has_filter(by: str, item: Item) -> bool:
    """A provider without a name is none, and what the viewer may not tell apart cannot be asked for."""
    return item not in ("", OTHER, OTHERS.get(by))


def _spread(labels: list[str]) -> list[str]:
    """Those of a few columns; three to five of many, evenly spread, the first and the last among them."""
    if len(labels) <= FEW:
        return labels
    last = len(labels) - 1
    steps = next((steps for steps in (4, 3, 2) if last % steps == 0), 4)
    return [labels[round(step * last / steps)] for step in range(steps + 1)]


def _series_name(report: Report, item: Item) -> str:
    return "Other" if item == OTHER else _name(report, item)


def _name(report: Report, item: Item) -> str:
    """Requests that no provider was asked for have neither a provider nor a key."""
    by = report.query.by
    refused = (by == "provider" and not item) or (by == "key" and item == NO_KEY)
    return "Refused" if refused else report.names.of(by, item)


def rows(report: Report) -> list[Row]:
    """The breakdown; what is beyond the rows that are shown stands in one last row, so that the sum stays the total."""
    shown = [_item_row(report, item, totals) for item, totals in report.items[:ROWS_SHOWN]]
    rest = [totals for _, totals in report.items[ROWS_SHOWN:]]
    if not rest:
        return shown
    others = Totals()
    for totals in rest:
        others.add(totals)
    return [*shown, _row(f"{len(rest):,} others, in the CSV", others, share=_share(report, others))]


def foot(report: Report) -> Row:
    return _row("Everybody" if report.query.by == "member" else f"All {BY[report.query.by].lower()}s", report.total)


def _item_row(report: Report, item: Item, totals: Totals) -> Row:
    by = report.query.by
    series = report.series.index(item) + 1 if item in report.series else 7
    row = _row(_name(report, item), totals, share=_share(report, totals), series=series)
    row = replace(row, tile=tile_of(report, by, item), worse=_is_worse(totals, report.total))
    return _with_links(row, report, item, totals) if _has_filter(by, item) else row


def _with_links(row: Row, report: Report, item: Item, totals: Totals) -> Row:
    link, chosen = report.query.link, {report.query.by: str(item)}
    return replace(
        row,
        url=link(**chosen),
        requests_url=link(**chosen) + REQUESTS if totals.requests else "",
        tokens_url=link(**chosen, m="tokens", sort="") if totals.tokens else "",
        errors_url=link(**chosen, result="failed") + REQUESTS if totals.errors else "",
        cost_url=link(**chosen, m="cost", sort="") if totals.cost_microusd else "",
    )


def _row(name: str, totals: Totals, *, share: float = 0.0, series: int = 7) -> Row:
    return Row(
        name=name,
        requests=whole(totals.requests),
        tokens_in=short(totals.input_tokens),
        tokens_out=short(totals.output_tokens),
        errors=percent(totals.error_share),
        rescued=f"{whole(totals.absorbed)} rescued" if totals.absorbed else "",
        latency=seconds(totals.median),
        cost=_cost(totals),
        notes=_notes(totals),
        share=share * 100,
        share_text=percent(share),
        series=series,
    )


def _share(report: Report, totals: Totals) -> float:
    """Of the measure that the chart shows."""
    measure = MEASURE[report.query.measure].of
    whole_sum = measure(report.total)
    return measure(totals) / whole_sum if whole_sum else 0.0


def _is_worse(totals: Totals, total: Totals) -> bool:
    """Worth a second look: at least ten failures, at twice the share of all."""
    return totals.errors >= 10 and totals.error_share >= 2 * total.error_share


@dataclass(frozen=True, slots=True)
class Empty:
    """Why there is nothing to show, and the one way on."""

    title: str
    text: str
    url: str = ""
    action: str = ""


def empty(report: Report, now: datetime) -> Empty | None:
    """Told apart: nothing yet, nothing that matches, nothing in this period. None where there is something."""
    query, last, zone = report.query, report.last_request, report.query.period.zone
    if report.total.requests or report.total.absorbed:
        return None
    if last is None:
        return Empty(
            "No requests yet", "Point an app at Keyhold with a client key. Its first request shows up here within a second."
        )
    if query.filters:
        clear = query.link(**dict.fromkeys(query.filters, ""))
        return Empty("No request matches these filters", "Clear them to see the whole period.", clear, "Clear the filters")
    day = last.astimezone(zone).date().isoformat()
    when = f"The last one was {figures.at(last, now, zone)} {figures.zone_name(zone)}."
    return Empty(
        f"No requests in {_this(query.period)}", when, query.link(**{"range": "", "from": day, "to": day}), "Show that day"
    )


def _this(period: Period) -> str:
    if period.hourly:
        return "these 24 hours"
    return f"these {period.length} days" if period.length > 1 else "this day"
