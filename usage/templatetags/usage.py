"""What pages of other apps show of usage."""

from dataclasses import dataclass

from django import template
from django.utils import timezone

from keys.models import ProviderKey
from usage import figures, periods, queries, reports
from usage.reports import Totals

register = template.Library()

WEEK = "7d"


@dataclass(frozen=True, slots=True)
class Week:
    """The last 7 days of one key. `days`: its requests on each, today's so far. `link` leads to them on the usage page."""

    total: Totals
    days: list[int]
    link: str

    @property
    def requests(self) -> str:
        return figures.whole(self.total.requests)

    @property
    def errors(self) -> str:
        return figures.whole(self.total.errors)

    @property
    def error_share(self) -> str:
        return figures.percent(self.total.error_share)

    @property
    def rescued(self) -> str:
        """Failures on this key that a later key made good. They are no requests of this one."""
        return figures.whole(self.total.absorbed)

    @property
    def cost(self) -> str:
        unknown = self.total.unpriced and not self.total.cost_microusd
        return "No price known" if unknown else figures.dollars(self.total.cost_microusd)

    @property
    def latency(self) -> str:
        return figures.seconds(self.total.median)

    @property
    def trend(self) -> str:
        return f"{figures.counted(self.total.requests, 'request')} in 7 days, {figures.whole(self.days[-1])} of them today"


@register.simple_tag
def week_of(key: ProviderKey) -> Week:
    """One query."""
    zone = periods.zone(key.organization.timezone)
    query = queries.read({"range": WEEK, "by": "key", "key": str(key.pk)}, zone, timezone.now())
    by_day = {day: totals for day, _, totals in reports.lines(key.organization, query)}
    total = Totals()
    for totals in by_day.values():
        total.add(totals)
    days = [by_day[day].requests if day in by_day else 0 for day in query.period.buckets()]
    return Week(total, days, query.link(by="model"))
