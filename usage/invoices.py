"""What providers billed: read from a CSV file, and compared with what was booked. Amounts are millionths of a dollar."""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import cached_property
from typing import NamedTuple
from uuid import UUID

from django.db.models import Sum

from keys.models import ProviderKey
from orgs.models import Organization
from usage.budgets import Spent
from usage.figures import MICRO
from usage.models import DailyRollup, Invoice

COLUMNS = ("key", "month", "total")
MOST_LINES = 500
MOST_TOLD = 10  # problems of one file; the rest is more of the same
MOST_DOLLARS = 100_000_000
AMOUNT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")
EARLIEST, LATEST = date(2000, 1, 1), date(9000, 1, 1)


class Billed(NamedTuple):
    """`month`: its first day."""

    key: ProviderKey
    month: date
    total_microusd: int


class Unreadable(ValueError):
    """A file of which nothing was taken. `problems`: a sentence for each line that is wrong."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__(" ".join(self.problems))


def month_of(text: str) -> date | None:
    """The first day of a month that is written as 2026-10."""
    try:
        month = date.fromisoformat(f"{text.strip()}-01")
    except ValueError:
        return None
    return month if EARLIEST <= month <= LATEST else None


def after(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1)


def before(month: date) -> date:
    return (month - timedelta(days=1)).replace(day=1)


def keys_of(organization: Organization) -> list[ProviderKey]:
    """Those that may have been billed: deleted ones too, after the others."""
    keys = ProviderKey.objects.filter(organization=organization).select_related("organization")
    return sorted(keys, key=lambda key: (key.removed_at is not None, str(key).casefold()))


def read(data: bytes, keys: Iterable[ProviderKey], latest: date) -> list[Billed]:
    """The lines of a file with the columns key, month and total. Raises Unreadable.

    A key is written as its id or its name, with or without that of its provider. No month lies after `latest`.
    """
    known = _named(keys)
    found: dict[tuple[UUID, date], Billed] = {}
    problems: list[str] = []
    for number, line in _lines(data):
        try:
            billed = _billed(line, known, latest)
            if (billed.key.pk, billed.month) in found:
                raise ValueError(f"“{billed.key}” has an amount for {billed.month:%Y-%m} already. Give the sum of both.")
        except ValueError as error:
            problems.append(f"Line {number}: {error}")
        else:
            found[billed.key.pk, billed.month] = billed
    if problems:
        more = len(problems) - MOST_TOLD
        raise Unreadable(problems[:MOST_TOLD] + ([f"And {more:,} more."] if more > 0 else []))
    if not found:
        raise Unreadable(["There is no line below the heads."])
    return list(found.values())


def _lines(data: bytes) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Each line that is not empty, with its number in the file. Raises Unreadable."""
    try:
        reader = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        heads = [head.strip().lower() for head in next(reader, [])]
        if missing := [name for name in COLUMNS if name not in heads]:
            raise Unreadable([f"The first line has no {' and no '.join(missing)}. It must name key, month and total."])
        lines = [(reader.line_num, line) for line in reader if any(cell.strip() for cell in line)]
    except UnicodeDecodeError:
        raise Unreadable(["This is not a text file in UTF-8. Export it as CSV."]) from None
    except csv.Error as error:
        raise Unreadable([f"This cannot be read as CSV: {error}."]) from None
    if len(lines) > MOST_LINES:
        raise Unreadable([f"This has {len(lines):,} lines. Import at most {MOST_LINES} at once."])
    for number, line in lines:
        yield number, dict(zip(heads, [*line, *[""] * len(heads)], strict=False))


def _named(keys: Iterable[ProviderKey]) -> Mapping[str, set[ProviderKey]]:
    named: defaultdict[str, set[ProviderKey]] = defaultdict(set)
    for key in keys:
        for name in (str(key.pk), str(key), key.name):
            named[name.casefold()].add(key)
    return named


def _billed(line: Mapping[str, str], known: Mapping[str, set[ProviderKey]], latest: date) -> Billed:
    """Raises ValueError with a sentence for people."""
    name, total = line["key"].strip(), _dollars(line["total"].strip())
    keys = known.get(name.casefold(), set())
    if not keys:
        raise ValueError(f"No provider key is called “{name[:80]}”." if name else "The key is missing.")
    if len(keys) > 1:
        raise ValueError(f"{len(keys)} provider keys are called “{name}”. Write the id, as in usage.csv by provider key.")
    month = month_of(line["month"])
    if month is None:
        raise ValueError(f"“{line['month'].strip()[:40]}” is no month. Write it as 2026-10.")
    if month > latest:
        raise ValueError(f"{month:%Y-%m} has not begun.")
    return Billed(next(iter(keys)), month, total)


def _dollars(text: str) -> int:
    """Raises ValueError."""
    if not AMOUNT.fullmatch(text) or Decimal(text) > MOST_DOLLARS:
        raise ValueError(f"“{text[:40]}” is no amount. Write dollars as a number, for example 1234.56.")
    return int(Decimal(text) * MICRO)


@dataclass(frozen=True)
class Line:
    """A key in a month: what was booked, and what its provider billed if anybody said so."""

    key: ProviderKey
    booked: Spent
    invoice: Invoice | None = None

    @property
    def known(self) -> bool:
        """Whether anything is known of its cost; without a price it stays unknown."""
        return bool(self.booked.cost_microusd or not self.booked.unpriced)

    @property
    def difference(self) -> int | None:
        """By how much more was billed than booked."""
        return self.invoice.total_microusd - self.booked.cost_microusd if self.invoice and self.known else None


@dataclass(frozen=True)
class Month:
    """All keys that were used or billed in it. Its days are local dates of the organization."""

    first: date
    lines: list[Line]

    @cached_property
    def compared(self) -> list[Line]:
        """Those of which both amounts are known. Only they are summed: anything else is no comparison."""
        return [line for line in self.lines if line.difference is not None]

    @property
    def booked(self) -> int:
        return sum(line.booked.cost_microusd for line in self.compared)

    @property
    def billed(self) -> int:
        return sum(line.invoice.total_microusd for line in self.compared if line.invoice)


def month(organization: Organization, first: date, keys: Iterable[ProviderKey]) -> Month:
    """Two queries. Shared keys are not among `keys`: their owner is billed for them."""
    rows = DailyRollup.objects.filter(organization=organization, day__gte=first, day__lt=after(first))
    sums = rows.values_list("provider_key_id").annotate(Sum("estimated_cost_microusd"), Sum("unpriced"))
    booked = {key: Spent(cost, unpriced) for key, cost, unpriced in sums}
    invoices = {each.provider_key_id: each for each in Invoice.objects.for_org(organization).of_month(first)}
    met = (key for key in keys if key.pk in booked or key.pk in invoices)
    return Month(first, [Line(key, booked.get(key.pk, Spent()), invoices.get(key.pk)) for key in met])


def latest_month(organization: Organization, today: date) -> date:
    """That of the newest invoice, or the last one that is over."""
    newest = Invoice.objects.for_org(organization).values_list("month", flat=True).first()
    return newest or before(today)
