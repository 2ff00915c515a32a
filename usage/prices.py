"""What an attempt cost: at the organization's own price, or at list price, by the tables that genai-prices carries.

Nothing is fetched; unknown stays unknown.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache

from genai_prices import Usage
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice, TieredPrices

from keys.providers import Provider, Shape
from usage.models.prices import LIST

MICRO = 1_000_000
CURVED = ("requests_kcount", "output_reasoning_mtok")  # prices that are no plain rate for each token


@dataclass(frozen=True, slots=True)
class Rates:
    """Dollars for a million tokens, which are millionths of a dollar for one."""

    fresh: Decimal
    cached: Decimal
    output: Decimal

    def cost(self, input_tokens: int, cached: int, output: int) -> Decimal:
        return (input_tokens - cached) * self.fresh + cached * self.cached + output * self.output


@dataclass(frozen=True, slots=True)
class OwnPrice:
    """An organization's own: millionths of a dollar for a million tokens. Without one for cached input, that is as input."""

    input: int
    cached_input: int | None
    output: int

    def cost_microusd(self, *, input_tokens: int, cached_input_tokens: int, output_tokens: int) -> int | None:
        """Millionths of a dollar, rounded half up. What was not counted in tokens stays unknown."""
        if not input_tokens and not output_tokens:
            return None
        cached = min(cached_input_tokens, input_tokens)
        of_cached = cached * (self.input if self.cached_input is None else self.cached_input)
        cost = (input_tokens - cached) * self.input + of_cached + output_tokens * self.output
        return (cost + MICRO // 2) // MICRO


def cost_microusd(
    provider: Provider,
    native_model: str,
    *,
    model: str = "",
    input_tokens: int,
    output_tokens: int,
    cached_input_tokens: int = 0,
    reasoning_tokens: int = 0,
    at: datetime,
    thousandths: int = LIST,
) -> int | None:
    """By the list, of which `thousandths` are paid: millionths of a dollar, rounded half up; None where no price is known.

    A price of nothing for something counts as unknown: the tables hold models that are billed by the second or the image.
    """
    if not input_tokens and not output_tokens:
        return None
    name = priced_name(provider, native_model, model)
    found = _price(provider.prices, name.lower(), at.astimezone(UTC).date()) if provider.prices else None
    if found is None:
        return None
    price, rates = found
    cached = min(cached_input_tokens, input_tokens)
    if rates:
        cost = rates.cost(input_tokens, cached, output_tokens)
    else:
        reasoning = min(reasoning_tokens, output_tokens)
        usage = Usage(
            input_tokens=input_tokens, cache_read_tokens=cached, output_tokens=output_tokens, output_reasoning_tokens=reasoning
        )
        cost = price.calc_price(usage)["total_price"] * MICRO
    return int((cost * thousandths / LIST).quantize(Decimal(1), ROUND_HALF_UP)) if cost else None


def priced_name(provider: Provider, native_model: str, model: str) -> str:
    """An Azure deployment may be called anything; there the slug that the owner wrote says which model it is."""
    return model.rpartition("/")[2] or native_model if provider.shape is Shape.AZURE else native_model


@lru_cache(maxsize=4096)
def _price(provider_id: str, name: str, day: date) -> tuple[ModelPrice, Rates | None] | None:
    """The price that held on that day. Looking one up takes 50 microseconds, so a day's answer is kept."""
    snapshot = get_snapshot()
    provider = snapshot.find_provider(None, provider_id, None)
    model = provider.find_model(name, all_providers=snapshot.providers)
    if model is None:
        return None
    price = model.get_prices(datetime.combine(day, time.max, UTC))
    return price, _rates(price)


def _rates(price: ModelPrice) -> Rates | None:
    """Its plain rates, or None where the price depends on size or on more than tokens."""
    fresh, cached, output = price.input_mtok, price.cache_read_mtok, price.output_mtok
    if any(getattr(price, unit) is not None for unit in CURVED):
        return None
    if isinstance(fresh, TieredPrices) or isinstance(cached, TieredPrices) or isinstance(output, TieredPrices):
        return None
    fresh = fresh or Decimal(0)
    return Rates(fresh, fresh if cached is None else cached, output or Decimal(0))
