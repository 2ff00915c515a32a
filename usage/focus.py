"""Cost as CSV with the columns of FOCUS, the FinOps Open Cost and Usage Specification: focus.finops.org.

What it cannot be is an invoice: costs are our estimates. Where no price is known they are empty, and x_UnpricedRequests says
for how many requests. Columns that begin with x_ are our own, as the specification wants them named.
"""

import csv
import json
from collections.abc import Iterator
from datetime import date, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from orgs.models import Organization
from orgs.spreadsheets import Echo, guarded
from usage.exports import cost_usd
from usage.periods import day_span, month_span
from usage.queries import Query
from usage.reports import NOBODY, OTHERS, Item, Names, Totals, full_lines, names_of

HEADS = (
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ProviderName",
    "PublisherName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "SkuId",
    "SubAccountId",
    "SubAccountName",
    "Tags",
    "x_Requests",
    "x_InputTokens",
    "x_OutputTokens",
    "x_EstimatedRequests",
    "x_UnpricedRequests",
)


def focus_lines(organization: Organization, query: Query) -> Iterator[str]:
    """One line for each day and all that it can be told by; heads first, made while they are read.

    The query must be one of days. Its filters hold, its breakdown does not matter.
    """
    write = csv.writer(Echo()).writerow
    names = names_of(organization, query.only)
    yield write(HEADS)
    for key, totals in full_lines(organization, query):
        line = _line(organization, query.period.zone, names, key, totals)
        yield write([line.get(head, "") for head in HEADS])


def _line(organization: Organization, zone: ZoneInfo, names: Names, key: tuple[Any, ...], totals: Totals) -> dict[str, object]:
    day, provider, model, provider_key, tier, client, person = key
    cost, label = cost_usd(totals), guarded(names.of("provider", provider))
    return {
        **_periods(day, zone),
        "BilledCost": cost,
        "EffectiveCost": cost,
        "BillingAccountId": organization.pk,
        "BillingAccountName": guarded(organization.name),
        "BillingCurrency": "USD",
        "ChargeCategory": "Usage",
        "ChargeDescription": guarded(f"{model}, {names.of('key', provider_key)}"),
        "ChargeFrequency": "Usage-Based",
        "ConsumedQuantity": totals.tokens,
        "ConsumedUnit": "Tokens",
        "InvoiceIssuerName": label,
        "ProviderName": label,
        "PublisherName": label,
        "ResourceId": provider_key,
        "ResourceName": guarded(names.of("key", provider_key)),
        "ResourceType": "Provider key",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": label,
        "SkuId": guarded(model),
        "SubAccountId": "" if client == OTHERS["client"] else client,
        "SubAccountName": guarded(names.of("client", client)),
        "Tags": json.dumps(_tags(names, tier, person), ensure_ascii=False),
        "x_Requests": totals.requests,
        "x_InputTokens": totals.input_tokens,
        "x_OutputTokens": totals.output_tokens,
        "x_EstimatedRequests": totals.estimated,
        "x_UnpricedRequests": totals.unpriced,
    }


def _tags(names: Names, tier: str, person: Item) -> dict[str, str]:
    tags = {"tier": tier} if tier else {}
    return tags if person in (NOBODY, OTHERS["member"]) else {**tags, "person": names.of("member", person)}


@lru_cache(maxsize=1024)
def _periods(day: date, zone: ZoneInfo) -> dict[str, str]:
    """The day, and its month, as moments: on two days of a year they are not a multiple of 24 hours apart."""
    begin, end = day_span(day, zone)
    month_begin, month_end = month_span(day, zone)
    return {
        "ChargePeriodStart": _moment(begin),
        "ChargePeriodEnd": _moment(end),
        "BillingPeriodStart": _moment(month_begin),
        "BillingPeriodEnd": _moment(month_end),
    }


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
