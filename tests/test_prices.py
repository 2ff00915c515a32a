"""What an attempt costs, and latency read from a histogram."""

from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given
from hypothesis import strategies as some

from keys.providers import PROVIDERS
from usage import latency
from usage.models import UsageRollup
from usage.prices import cost_microusd

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PRICED = {provider.id: provider for provider in get_snapshot().providers}
MODELS = [(row, model.id) for row in PROVIDERS.values() if row.prices for model in PRICED[row.prices].models]


def cost(provider: str, native_model: str, **usage: Any) -> int | None:
    return cost_microusd(PROVIDERS[provider], native_model, **({"input_tokens": 1000, "output_tokens": 100, "at": NOW} | usage))


def test_tokens_are_priced_by_the_provider_of_the_key() -> None:
    assert cost("openai", "gpt-4o") == 3500
    assert cost("openai", "gpt-4o", cached_input_tokens=1000) == 2250
    assert cost("openai", "gpt-4o", cached_input_tokens=5000) == 2250


@pytest.mark.parametrize(
    ("provider", "model"),
    [("openai", "gpt-99"), ("deepinfra", "gpt-4o"), ("fal", "x"), ("pollo", "x"), ("openai", "whisper-1"), ("openai", "")],
)
def test_what_no_table_prices_is_unknown(provider: str, model: str) -> None:
    assert cost(provider, model) is None


def test_an_azure_deployment_is_priced_by_its_slug() -> None:
    assert cost("azure", "our-own-name") is None
    assert cost("azure", "our-own-name", model="openai/gpt-4o") == cost("openai", "gpt-4o")
    assert cost("azure", "gpt-4o-mini", model="openai/gpt-4o") == cost("openai", "gpt-4o")


def test_a_price_holds_from_its_date() -> None:
    before, after = (cost("openai", "o3", at=datetime(2025, 6, day, tzinfo=UTC)) for day in (9, 10))
    assert before != after


def test_half_a_millionth_is_rounded_up() -> None:
    assert cost("openai", "text-embedding-3-small", input_tokens=25, output_tokens=0) == 1
    assert cost("openai", "text-embedding-3-small", input_tokens=24, output_tokens=0) == 0


@given(
    some.sampled_from(MODELS),
    some.integers(0, 500_000),
    some.integers(0, 50_000),
    some.floats(0, 1),
)
def test_every_price_is_the_tables_own(chosen: tuple[Any, str], input_tokens: int, output_tokens: int, part: float) -> None:
    row, name = chosen
    counts = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    cached, reasoning = int(input_tokens * part), int(output_tokens * part)
    ours = cost_microusd(row, name, model=f"any/{name}", cached_input_tokens=cached, reasoning_tokens=reasoning, at=NOW, **counts)
    usage = Usage(**counts, cache_read_tokens=cached, output_reasoning_tokens=reasoning)
    try:
        theirs = calc_price(usage, name, provider_id=row.prices, genai_request_timestamp=NOW).total_price * 10**6
    except LookupError:
        assert ours is None
    else:
        known = theirs and (input_tokens or output_tokens)
        assert ours == (int(theirs.quantize(Decimal(1), ROUND_HALF_UP)) if known else None)


def test_the_columns_of_the_histogram_are_those_of_the_table() -> None:
    fields = [field.name for field in UsageRollup._meta.get_fields()]
    assert [name for name in fields if name.startswith("latency_")] == list(latency.COLUMNS)


@pytest.mark.parametrize(
    ("milliseconds", "column"), [(0, "100"), (100, "100"), (101, "200"), (40_000, "40000"), (40_001, "more")]
)
def test_a_latency_is_counted_in_its_step(milliseconds: int, column: str) -> None:
    assert latency.column(milliseconds) == f"latency_{column}"


@given(some.lists(some.integers(0, 40_000), min_size=1), some.sampled_from([0.5, 0.95, 0.99]))
def test_a_percentile_lies_in_the_step_of_the_true_one(values: list[int], q: float) -> None:
    counts = [sum(latency.column(value) == column for value in values) for column in latency.COLUMNS]
    true = sorted(values)[max(-(-round(q * 100) * len(values) // 100) - 1, 0)]
    found = latency.percentile(counts, q)
    assert found is not None
    step = latency.COLUMNS.index(latency.column(true))
    assert (0, *latency.BOUNDS)[step] <= found <= latency.BOUNDS[step]


def test_without_answers_there_is_no_percentile() -> None:
    assert latency.percentile([0] * 14, 0.5) is None
    assert latency.percentile([0] * 13 + [3], 0.5) == 40_000
