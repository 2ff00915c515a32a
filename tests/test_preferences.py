"""What may be wished of routing, who decides each field, and what a wish never does."""

from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.preferences import (
    IN_REQUESTS,
    NONE,
    Move,
    PreferenceError,
    Preferences,
    Source,
    moves_on,
    read,
    settle,
    written,
)
from keys.providers import PROVIDERS
from keys.providers.errors import ErrorClass
from keys.routing import Asking, Plan, Policy, ProviderPolicy, RouteKey, plan, plan_native

REQUEST, CLIENT_KEY, ORGANIZATION = Source.REQUEST, Source.CLIENT_KEY, Source.ORGANIZATION


@pytest.mark.parametrize(
    ("request_says", "client_key_says", "organization_says", "decided", "by"),
    [
        (("openai",), ("groq",), ("xai",), ("openai",), "request"),
        (None, ("groq",), ("xai",), ("groq",), "client key"),
        (None, None, ("xai",), ("xai",), "organization"),
        (None, None, None, (), "default"),
    ],
)
def test_the_request_goes_before_the_client_key_before_the_organization(
    request_says: Any, client_key_says: Any, organization_says: Any, decided: Any, by: str
) -> None:
    settled = settle(
        (REQUEST, Preferences(order=request_says)),
        (CLIENT_KEY, Preferences(order=client_key_says)),
        (ORGANIZATION, Preferences(order=organization_says)),
    )
    assert settled["order"] == (decided, by)


def test_each_field_is_decided_for_itself() -> None:
    settled = settle(
        (REQUEST, Preferences(order=("openai",))),
        (CLIENT_KEY, Preferences(ignore=("groq",), allow_fallbacks=False)),
        (ORGANIZATION, Preferences(order=("xai",), allow_fallbacks=True, timeout_seconds=20)),
    )
    assert {name: str(by) for name, (_, by) in settled.items()} == {
        "order": "request",
        "only": "default",
        "ignore": "client key",
        "allow_fallbacks": "client key",
        "timeout_seconds": "organization",
        "move_on": "default",
    }


@pytest.mark.parametrize(
    ("told", "field", "says"),
    [
        ([], "provider", "must be an object"),
        ({"order": "openai"}, "provider.order", "must be a list of providers"),
        ({"order": ["openai", "nobody"]}, "provider.order[1]", "“nobody” is not a provider"),
        ({"order": [1]}, "provider.order[0]", "is not a provider"),
        ({"only": []}, "provider.only", "is empty, so no provider would be left"),
        ({"allow_fallbacks": "no"}, "provider.allow_fallbacks", "must be true or false"),
        ({"sort": "price"}, "provider.sort", "is not supported. `order`, `only`, `ignore`, `allow_fallbacks` are."),
        ({"timeout_seconds": 5}, "provider.timeout_seconds", "is not supported"),
        ({"data_collection": "deny"}, "provider.data_collection", "is not supported"),
    ],
)
def test_a_wish_that_cannot_be_read_names_its_field(told: object, field: str, says: str) -> None:
    with pytest.raises(PreferenceError, match="`") as raised:
        read(told, allowed=IN_REQUESTS, prefix="provider.")
    assert raised.value.field == field
    assert says in str(raised.value)


def test_other_routers_names_of_providers_are_understood() -> None:
    assert read({"order": ["Amazon-Bedrock", "google-vertex", "x-ai"]}).order == ("bedrock", "vertex", "xai")
    assert read({"order": [], "ignore": None}) == NONE


SLUGS = st.lists(st.sampled_from(list(PROVIDERS)), min_size=1, unique=True).map(tuple)
SAID = st.builds(
    Preferences,
    order=st.none() | SLUGS,
    only=st.none() | SLUGS,
    ignore=st.none() | SLUGS,
    allow_fallbacks=st.none() | st.booleans(),
    timeout_seconds=st.none() | st.integers(1, 600),
    move_on=st.none() | st.frozensets(st.sampled_from(Move)),
)


@given(SAID)
def test_what_is_written_is_read_again(said: Preferences) -> None:
    assert read(written(said)) == said


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_nonsense_is_refused_and_nothing_worse(told: object) -> None:
    with suppress(PreferenceError):
        read(told)


@pytest.mark.parametrize(
    ("error_class", "chosen", "goes_on"),
    [
        (ErrorClass.LIMITED, {Move.LIMITED}, True),
        (ErrorClass.LIMITED, {Move.TROUBLE, Move.REFUSED}, False),
        (ErrorClass.TROUBLE, {Move.TROUBLE}, True),
        (ErrorClass.OUT_OF_MONEY, {Move.REFUSED}, True),
        (ErrorClass.NO_PERMISSION, set(), False),
        (ErrorClass.MISCONFIGURED, set(), True),
    ],
)
def test_owners_choose_after_which_failures_the_next_key_is_tried(
    error_class: ErrorClass, chosen: set[Move], goes_on: bool
) -> None:
    assert moves_on(error_class, frozenset(chosen)) is goes_on


# In a plan


def key(number: int, provider: str, **changes: Any) -> RouteKey:
    row = RouteKey(UUID(int=number), provider, f"{provider} {number}", number, "prioritized", True, True, frozenset(), ())
    return replace(row, **changes)


KEYS = [key(1, "openai", enabled=False), key(2, "deepinfra"), key(3, "groq"), key(4, "deepinfra")]
MODEL = "openai/gpt-oss-120b"


def order(result: Plan) -> list[int]:
    return [candidate.key.id.int for candidate in result.candidates]


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ({}, [2, 3, 4]),
        ({"order": ["groq"]}, [3, 2, 4]),
        ({"order": ["groq", "deepinfra"], "allow_fallbacks": False}, [3, 2, 4]),
        ({"order": ["groq"], "allow_fallbacks": False}, [3]),
        ({"allow_fallbacks": False}, [2, 4]),
        ({"only": ["groq"]}, [3]),
        ({"ignore": ["deepinfra"]}, [3]),
        ({"only": ["groq"], "ignore": ["groq"]}, []),
        ({"order": ["xai"], "allow_fallbacks": False}, []),
    ],
)
def test_wishes_of_a_request_change_its_plan(wish: dict[str, Any], expected: list[int]) -> None:
    result = plan(KEYS, MODEL, asking=Asking(of_request=read(wish, allowed=IN_REQUESTS)))
    assert order(result) == expected
    assert len(result.candidates) + len(result.left_out) == len(KEYS)


def test_a_left_out_key_says_whose_wish_it_was() -> None:
    policy = Policy(preferences=Preferences(ignore=("deepinfra",)))
    asking = Asking(of_client_key=Preferences(only=("deepinfra", "groq")), of_request=Preferences(allow_fallbacks=False))
    reasons = {left.key.id.int: left.reason for left in plan(KEYS, MODEL, asking=asking, policy=policy).left_out}
    assert reasons[2] == reasons[4] == "is of a provider that the organization ignores"


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (Policy(use_own_keys=False), "is not used: the organization's own keys are switched off"),
        (
            Policy(providers={"groq": ProviderPolicy(use_own_keys=False)}),
            "is not used: own keys are switched off for this provider",
        ),
        (Policy(providers={"groq": ProviderPolicy(paused=True)}), "is paused with its provider"),
    ],
)
def test_no_wish_overrides_what_an_owner_switched_off(policy: Policy, reason: str) -> None:
    wish = Asking(of_request=Preferences(only=("groq",), order=("groq",)))
    for result in (plan(KEYS, MODEL, asking=wish, policy=policy), plan_native(KEYS, "groq", "", asking=wish, policy=policy)):
        assert order(result) == []
        assert reason in {left.reason for left in result.left_out}


def test_timeouts_and_moves_may_differ_by_provider() -> None:
    policy = Policy(
        preferences=Preferences(timeout_seconds=60, move_on=frozenset({Move.LIMITED})),
        providers={"groq": ProviderPolicy(preferences=Preferences(timeout_seconds=5))},
    )
    patience = plan(KEYS, MODEL, policy=policy).patience
    assert (patience["groq"].timeout_seconds, patience["deepinfra"].timeout_seconds) == (5, 60)
    assert patience["groq"].move_on == {Move.LIMITED}
    asking = Asking(of_client_key=Preferences(timeout_seconds=2))
    assert plan(KEYS, MODEL, policy=policy, asking=asking).patience["groq"].timeout_seconds == 2
