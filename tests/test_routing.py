"""Which keys are tried for a request, in which order, and why the others are not."""

import time
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.providers import PROVIDERS
from keys.providers.paths import OPERATIONS
from keys.routing import Plan, RouteKey, plan

AZURE = ({"model_slug": "openai/gpt-4o", "endpoint_url": "https://a.openai.azure.com", "model_id": "prod-4o"},)


def key(number: int, provider: str = "openai", **changes: Any) -> RouteKey:
    row = RouteKey(UUID(int=number), provider, f"Key {number}", number, "prioritized", True, True, frozenset({"gpt-4o"}), ())
    return replace(row, **changes)


def tried(result: Plan) -> list[int]:
    return [candidate.key.id.int for candidate in result.candidates]


def reasons(result: Plan) -> dict[int, str]:
    return {left.key.id.int: left.reason for left in result.left_out}


def test_prioritized_keys_come_by_priority_and_fallback_keys_after_them() -> None:
    keys = [key(1, tier="fallback"), key(4), key(2, tier="fallback"), key(3)]
    assert tried(plan(keys, "gpt-4o")) == [3, 4, 1, 2]


def test_keys_of_different_providers_follow_each_other_under_their_own_names() -> None:
    keys = [
        key(3, "azure", deployments=AZURE, discovered=frozenset()),
        key(1, "groq", discovered=frozenset({"openai/gpt-4o"})),
        key(2, "openai"),
    ]
    result = plan(keys, "openai/gpt-4o")
    assert [(c.native_model, c.deployment) for c in result.candidates] == [
        ("openai/gpt-4o", None),
        ("gpt-4o", None),
        ("prod-4o", 0),
    ]
    assert all(candidate.certain for candidate in result.candidates)


def test_a_key_on_trust_says_so() -> None:
    (candidate,) = plan([key(1, discovered=frozenset())], "gpt-4o").candidates
    assert not candidate.certain


@pytest.mark.parametrize(
    ("changes", "model", "reason"),
    [
        ({"enabled": False}, "gpt-4o", "is off"),
        ({"tested": False}, "gpt-4o", "waits for a test"),
        ({"enabled": False, "tested": False}, "gpt-4o", "is off"),
        ({}, "groq:gpt-4o", "is not of the provider that the request names"),
        ({}, "openai/gpt-9", "does not serve this model"),
        ({"provider": "xai"}, "gpt-4o", "does not serve this model"),
        ({"provider": "azure"}, "gpt-4o", "does not serve this model"),
        ({"provider": "bedrock"}, "gpt-4o", "does not serve this model"),
        ({"provider": "fal"}, "gpt-4o", "does not serve this model"),
        ({"provider": "fal"}, "fal:flux", "does not offer chat completions"),
        ({"provider": "gone"}, "gpt-4o", "is of a provider that is not served any more"),
    ],
)
def test_a_key_that_is_left_out_says_why(changes: dict[str, Any], model: str, reason: str) -> None:
    result = plan([key(1, **changes)], model)
    assert result.candidates == ()
    assert reasons(result) == {1: reason}


def test_no_key_is_tried_for_an_operation_that_nobody_serves() -> None:
    assert reasons(plan([key(1)], "gpt-4o", operation="telepathy")) == {1: "does not offer telepathy"}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_each_provider_is_tried_for_a_chat_exactly_when_its_wire_is_served(provider: str) -> None:
    result = plan([key(1, provider, deployments=AZURE if provider == "azure" else ())], f"{provider}:prod-4o")
    assert bool(result.candidates) == ("chat" in PROVIDERS[provider].operations)
    assert bool(result.candidates) == ("chat" in PROVIDERS[provider].operations)


def test_only_those_who_offer_an_operation_for_the_model_are_tried_for_it() -> None:
    on_trust = frozenset[str]()
    keys = [key(number, slug, discovered=on_trust) for number, slug in enumerate(["anthropic", "bedrock", "vertex", "openai"])]
    claude = plan(keys, "anthropic/claude-opus-5.5", operation="messages")
    assert [(row.key.provider, row.native_model) for row in claude.candidates] == [
        ("anthropic", "claude-opus-5-5"),
        ("bedrock", "global.anthropic.claude-opus-5-5"),
        ("vertex", "claude-opus-5-5"),
    ]
    assert reasons(claude) == {3: "does not serve this model"}
    assert reasons(plan(keys, "google/gemini-2.5-pro", operation="messages"))[2] == (
        "offers Anthropic's Messages for Claude models only"
    )
    assert reasons(plan(keys, "gpt-4o", operation="messages"))[3] == "does not offer Anthropic's Messages"
    assert tried(plan(keys, "openai/gpt-oss-120b", operation="responses")) == [1, 3]


def test_the_region_and_the_overrides_of_a_key_count() -> None:
    european = key(1, "bedrock", discovered=frozenset(), region="eu-west-1")
    (candidate,) = plan([european], "anthropic/claude-opus-5.5").candidates
    assert candidate.native_model == "eu.anthropic.claude-opus-5-5"
    arn = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc"
    own = replace(european, overrides={"anthropic/claude-opus-5.5": arn})
    for operation in ("chat", "messages"):
        (candidate,) = plan([own], "anthropic/claude-opus-5.5", operation=operation).candidates
        assert (candidate.native_model, candidate.certain) == (arn, True)


KEYS = st.builds(
    RouteKey,
    id=st.uuids(),
    provider=st.sampled_from([*PROVIDERS, "gone", ""]),
    name=st.text(max_size=5),
    priority=st.integers(-3, 3),
    tier=st.sampled_from(["prioritized", "fallback", "other"]),
    enabled=st.booleans(),
    tested=st.booleans(),
    discovered=st.frozensets(st.text(max_size=8) | st.just("gpt-4o"), max_size=3),
    deployments=st.sampled_from([(), AZURE]),
)
MODELS = st.text(max_size=30) | st.sampled_from(
    ["gpt-4o", "openai/gpt-4o", "groq:x", ":", "bedrock:.", "azure:", "groq:/", "a" * 10_000]
)


@given(st.lists(KEYS, max_size=6, unique_by=lambda row: row.id), MODELS, st.sampled_from([*OPERATIONS, ""]), st.randoms())
def test_every_key_has_its_place_whatever_comes_in_and_in_any_order(
    keys: list[RouteKey], model: str, operation: str, random: Any
) -> None:
    result = plan(keys, model, operation=operation)
    assert {c.key.id for c in result.candidates} | {left.key.id for left in result.left_out} == {row.id for row in keys}
    assert len(result.candidates) + len(result.left_out) == len(keys)
    places = [c.key.place for c in result.candidates]
    assert places == sorted(places)
    shuffled = list(keys)
    random.shuffle(shuffled)
    assert plan(shuffled, model, operation=operation) == result


def test_a_thousand_keys_are_planned_in_milliseconds() -> None:
    found = frozenset(f"author/model-{number}" for number in range(200)) | {"gpt-4o"}
    keys = [key(number, "openai" if number % 2 else "groq", discovered=found) for number in range(1000)]
    plan(keys, "gpt-4o")
    spent = min(timed(keys) for _ in range(5))
    assert spent < 0.02  # about 2 ms; the rest is for busy machines


def timed(keys: list[RouteKey]) -> float:
    started = time.perf_counter()
    plan(keys, "gpt-4o")
    return time.perf_counter() - started
