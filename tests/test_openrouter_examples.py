"""What users of OpenRouter know, as its documentation works it out, and the order-first choice that it lacks.

Source: openrouter.ai/docs/guides/overview/auth/byok, as of 2026-08-22.
"""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from keys.preferences import Preferences
from keys.restrictions import Restrictions
from keys.routing import FALLBACK, PLATFORM, PRIORITIZED, Asking, Plan, Policy, RouteKey, plan

CLAUDE = "anthropic/claude-sonnet-4-5"
LENDING = Policy(own_keys_only=False)
ORDER_FIRST = replace(LENDING, order_first=True)


def own(number: int, provider: str, name: str = "", tier: str = PRIORITIZED, **changes: Any) -> RouteKey:
    key = RouteKey(UUID(int=number), provider, name or f"{provider} own", number, tier, True, True, frozenset(), ())
    return replace(key, **changes)


def shared(number: int, provider: str) -> RouteKey:
    return own(number, provider, f"{provider} shared", PLATFORM)


def asks(*order: str) -> Asking:
    return Asking(of_request=Preferences(order=order))


def names(result: Plan) -> list[str]:
    return [candidate.key.name for candidate in result.candidates]


def test_first_key_second_key_then_shared_then_backup_key() -> None:
    keys = [own(1, "openai", "Backup key", FALLBACK), own(2, "openai", "First key"), own(3, "openai", "Second key")]
    result = plan(keys, "openai/gpt-4o", policy=LENDING, shared=[shared(9, "openai")])
    assert names(result) == ["First key", "Second key", "openai shared", "Backup key"]


KEY_A = own(1, "openai", "Key A", always=True, restrictions=Restrictions(models=("openai/gpt-4o",)))
KEY_B = own(2, "openai", "Key B")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("openai/gpt-4o", ["Key A", "Key B"]),
        ("openai/gpt-4o-mini", ["Key B", "openai shared"]),
    ],
)
def test_one_matching_key_that_is_always_used_keeps_shared_capacity_out(model: str, expected: list[str]) -> None:
    assert names(plan([KEY_A, KEY_B], model, policy=LENDING, shared=[shared(9, "openai")])) == expected


ALL_SHARED = [shared(7, "bedrock"), shared(8, "vertex"), shared(9, "anthropic")]


@pytest.mark.parametrize(
    ("keys", "order", "ours_first", "order_first"),
    [
        (
            ["bedrock", "vertex", "anthropic"],
            ["bedrock", "vertex", "anthropic"],
            ["bedrock own", "vertex own", "anthropic own", "bedrock shared", "vertex shared", "anthropic shared"],
            ["bedrock own", "bedrock shared", "vertex own", "vertex shared", "anthropic own", "anthropic shared"],
        ),
        (
            ["vertex"],
            ["bedrock", "vertex"],
            ["vertex own", "bedrock shared", "vertex shared", "anthropic shared"],
            ["bedrock shared", "vertex own", "vertex shared", "anthropic shared"],
        ),
    ],
)
def test_with_an_order_of_providers(keys: list[str], order: list[str], ours_first: list[str], order_first: list[str]) -> None:
    """OpenRouter always puts own keys first, "regardless of where that provider appears"; here the owner may choose."""
    mine = [own(number, provider) for number, provider in enumerate(keys, 1)]
    assert names(plan(mine, CLAUDE, asking=asks(*order), policy=LENDING, shared=ALL_SHARED)) == ours_first
    assert names(plan(mine, CLAUDE, asking=asks(*order), policy=ORDER_FIRST, shared=ALL_SHARED)) == order_first


def test_without_a_wish_order_first_follows_the_organizations_own_order() -> None:
    mine = [own(1, "vertex"), own(2, "anthropic"), own(3, "vertex", "vertex backup", FALLBACK)]
    assert names(plan(mine, CLAUDE, policy=ORDER_FIRST, shared=ALL_SHARED)) == [
        "vertex own", "vertex shared", "vertex backup", "anthropic own", "anthropic shared", "bedrock shared",
    ]  # fmt: skip


def test_filters_are_applied_before_and_a_valid_key_does_not_help() -> None:
    """As with OpenRouter's data policies: a request fails if nothing that complies remains."""
    ignoring = Policy(own_keys_only=False, preferences=Preferences(ignore=("openai",)))
    result = plan([own(1, "openai")], "openai/gpt-4o", policy=ignoring, shared=[shared(9, "openai")])
    assert names(result) == []
    assert {left.reason for left in result.left_out} == {"is of a provider that the organization ignores"}


def test_a_key_is_only_used_when_all_of_its_filters_match() -> None:
    program, other = UUID(int=50), UUID(int=51)
    limits = Restrictions(models=("openai/gpt-4*",), members=frozenset({1}), client_keys=frozenset({program}))
    keys = [own(1, "openai", restrictions=limits)]

    def served(model: str, member: int, client_key: UUID) -> bool:
        return bool(plan(keys, model, asking=Asking(client_key, member)).candidates)

    assert served("openai/gpt-4o", 1, program)
    assert not served("openai/o3-mini", 1, program)
    assert not served("openai/gpt-4o", 2, program)
    assert not served("openai/gpt-4o", 1, other)


def test_by_default_nothing_is_ever_shared() -> None:
    result = plan([own(1, "openai")], "openai/gpt-4o", shared=[shared(9, "openai")])
    assert names(result) == ["openai own"]
    assert result.closed_by == "The organization's policy is “own keys only”."
