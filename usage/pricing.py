"""The prices of one organization, and what an attempt costs by them: the same as ingest books."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self
from uuid import UUID

from keys.overrides import spelled
from keys.providers import PROVIDERS
from usage import prices
from usage.models import ModelPrice


@dataclass(frozen=True, slots=True)
class Prices:
    """own: rates for input and output by provider and model, where nothing else gives a price."""

    own: Mapping[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, organization: UUID) -> Self:
        rows = ModelPrice.objects.filter(organization=organization)
        fields = ("provider", "model", "input_microusd", "output_microusd")
        return cls({(provider, model): (paid_in, paid_out) for provider, model, paid_in, paid_out in rows.values_list(*fields)})

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
        )
        own = self.own.get((provider, spelled(model))) if cost is None else None
        return cost if own is None else prices.own_cost_microusd(*own, input_tokens=input_tokens, output_tokens=output_tokens)
