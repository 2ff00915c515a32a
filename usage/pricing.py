"""The prices of organizations, and what an attempt costs by them: ingest books it so, and budgets count it so."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Self
from uuid import UUID
from zoneinfo import ZoneInfo

from keys.overrides import spelled
from keys.providers import PROVIDERS
from usage import prices
from usage.models import KeyPrice, ModelPrice
from usage.models.prices import LIST
from usage.periods import zone

UTC_ZONE = ZoneInfo("UTC")
MODEL_PRICE = ("organization", "provider", "model", "input_microusd", "output_microusd")
KEY_PRICE = ("organization", "provider_key_id", "from_day", "thousandths", "organization__timezone")


@dataclass(frozen=True, slots=True)
class Prices:
    """Of one organization.

    own: rates for input and output by provider and model, where nothing else gives a price.
    negotiated: for a provider key, from which day it pays how many thousandths of the list, the latest first.
    Days are those of `zone`.
    """

    own: Mapping[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    negotiated: Mapping[UUID, Iterable[tuple[date, int]]] = field(default_factory=dict)
    zone: ZoneInfo = UTC_ZONE

    @classmethod
    def of(cls, organization: UUID) -> Self:
        return cls.of_all([organization])[organization]

    @classmethod
    def of_all(cls, organizations: Iterable[UUID]) -> dict[UUID, Self]:
        """Two queries, however many there are."""
        chosen = set(organizations)
        own: defaultdict[UUID, dict[tuple[str, str], tuple[int, int]]] = defaultdict(dict)
        negotiated: defaultdict[UUID, defaultdict[UUID, list[tuple[date, int]]]] = defaultdict(lambda: defaultdict(list))
        zones: dict[UUID, ZoneInfo] = {}
        rows = ModelPrice.objects.filter(organization__in=chosen)
        for organization, provider, model, *rates in rows.values_list(*MODEL_PRICE):
            own[organization][provider, model] = (rates[0], rates[1])
        steps = KeyPrice.objects.filter(organization__in=chosen).order_by("-from_day")
        for organization, key_id, first, thousandths, name in steps.values_list(*KEY_PRICE):
            negotiated[organization][key_id].append((first, thousandths))
            zones[organization] = zone(name)
        return {each: cls(own[each], negotiated[each], zones.get(each, UTC_ZONE)) for each in chosen}

    def cost_microusd(
        self,
        *,
        provider: str,
        native_model: str,
        model: str,
        key_id: UUID,
        answered: bool,
        input_tokens: int,
        output_tokens: int,
        cached_input_tokens: int = 0,
        reasoning_tokens: int = 0,
        reported_cost_microusd: int | None = None,
        at: datetime,
    ) -> int | None:
        """None where no price is known. A failure that used no tokens cost nothing, whatever the model."""
        if reported_cost_microusd is None and not answered and not (input_tokens or output_tokens):
            return 0
        if provider not in PROVIDERS:
            return reported_cost_microusd
        cost = prices.cost_microusd(
            PROVIDERS[provider],
            native_model,
            model=model,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cached_input_tokens=cached_input_tokens,
            reasoning_tokens=reasoning_tokens,
            reported_cost_microusd=reported_cost_microusd,
            at=at,
            thousandths=self.thousandths(key_id, at),
        )
        own = self.own.get((provider, spelled(model))) if cost is None else None
        return cost if own is None else prices.own_cost_microusd(*own, input_tokens=input_tokens, output_tokens=output_tokens)

    def thousandths(self, key_id: UUID, at: datetime) -> int:
        """Of the list price that the key pays at that time."""
        steps = self.negotiated.get(key_id)
        if not steps:
            return LIST
        day = at.astimezone(self.zone).date()
        return next((thousandths for first, thousandths in steps if first <= day), LIST)
