"""What is said of a plan: each key with its place or its reason, and who decided what."""

from dataclasses import replace
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.health import Health, State
from keys.pages.explaining import Explanation, Setting, explain
from keys.preferences import Move, Preferences
from keys.restrictions import Restrictions
from keys.routes import Routes
from keys.routing import MOST_ATTEMPTS, Asking, Policy, ProviderPolicy, RouteKey

NOW = 1_790_000_000.0
REFUSED = Health(State.FAILING, NOW - 60, None, "refused", 1)
TROUBLED = Health(State.FAILING, NOW - 60, NOW + 60, "trouble", 1)
OPEN = Policy(own_keys_only=False)
CLAUDE = "anthropic/claude-opus-5.5"


def key(number: int, provider: str = "anthropic", **changes: Any) -> RouteKey:
    """On trust: it serves whatever its provider may serve."""
    row = RouteKey(UUID(int=number), provider, f"Key {number}", number, "prioritized", True, True, frozenset(), ())
    return replace(row, **changes)


def told(
    keys: list[RouteKey],
    *,
    policy: Policy = Policy(),  # noqa: B008 - frozen
    shared: list[RouteKey] | None = None,
    health: dict[int, Health] | None = None,
    asking: Asking = Asking(),  # noqa: B008 - frozen
    stopped: str = "",
) -> Explanation:
    states = {UUID(int=number): state for number, state in (health or {}).items()}
    routes = Routes(tuple(keys), tuple(shared or ()), policy, states)
    return explain(routes, routes.plan(CLAUDE, now=NOW, asking=asking), asking, stopped=stopped)


def walk(found: Explanation) -> list[tuple[int, str]]:
    return [(step.key.id.int, step.note) for step in found.steps]


def rest(found: Explanation) -> dict[int, str]:
    return {step.key.id.int: step.note for step in found.rest}


def decided(found: Explanation, name: str) -> Setting:
    return next(setting for setting in found.settings if setting.name == name)


def test_the_walk_of_the_routing_page() -> None:
    found = told([key(1), key(2), key(3, "bedrock", region="us-east-1"), key(4, "vertex")], health={1: REFUSED})
    assert walk(found) == [
        (1, "Skipped, failing since 14:12"),
        (2, "Tried first"),
        (3, "If Anthropic refuses or times out"),
        (4, "Last of your keys"),
    ]
    assert [step.native_model for step in found.steps][1:3] == ["claude-opus-5-5", "us.anthropic.claude-opus-5-5"]
    assert (found.end, found.end_note) == ("Return the error", "Shared keys are off")
    assert found.rest == ()


def test_two_keys_of_one_provider_are_told_apart_by_name() -> None:
    assert walk(told([key(1), key(2), key(3)]))[1:] == [(2, "If “Key 1” refuses or times out"), (3, "Last of your keys")]


@pytest.mark.parametrize(
    ("moves", "note"),
    [
        ({Move.LIMITED}, "Last of your keys, only if Anthropic limits it"),
        ({Move.TROUBLE, Move.REFUSED}, "Last of your keys, only if Anthropic refuses the key or fails or times out"),
        (set(), "Last of your keys, only if Anthropic does not have the model"),
    ],
)
def test_a_key_that_follows_some_failures_only_says_which(moves: set[Move], note: str) -> None:
    policy = Policy(preferences=Preferences(move_on=frozenset(moves)))
    assert walk(told([key(1), key(2, "vertex")], policy=policy))[1] == (2, note)


def test_the_gateway_tries_as_many_keys_as_the_explainer_says() -> None:
    found = told([key(number) for number in range(1, 6)])
    assert [number for number, _ in walk(found)] == [1, 2, 3]
    assert rest(found) == dict.fromkeys([4, 5], "Not tried, beyond the 3 keys that one request may try")


def test_keys_that_are_not_asked_for_stand_apart() -> None:
    keys = [key(1), key(2, "xai"), key(3, enabled=False), key(4, tested=False), key(5, restrictions=Restrictions(models=("x",)))]
    found = told(keys)
    assert walk(found) == [(1, "Tried first"), (5, "Skipped, limited to other models")]
    assert rest(found) == {2: "Skipped, does not serve this model", 3: "Skipped, off", 4: "Skipped, waits for a test"}


def test_marked_keys_say_why_they_are_tried() -> None:
    due = replace(TROUBLED, until=NOW - 1)
    assert walk(told([key(1), key(2)], health={1: due}))[0] == (1, "Tried first, to see whether it works again")
    alone = told([key(1), key(2)], health={1: REFUSED, 2: TROUBLED})
    assert walk(alone)[1] == (2, "Tried although it is out, as no other key is left")


def test_shared_keys_come_between_the_tiers_or_the_end_says_why_not() -> None:
    own, shared = [key(1), key(2, tier="fallback")], [key(9, "bedrock", name="Shared", tier="platform", region="us-east-1")]
    found = told(own, policy=OPEN, shared=shared)
    assert [(number, step.tag) for (number, _), step in zip(walk(found), found.steps, strict=True)] == [
        (1, ""),
        (9, "Shared"),
        (2, "Fallback"),
    ]
    assert found.end_note == "Nothing comes after your keys and the shared ones"
    assert told(own, policy=OPEN).end_note == "No shared key may serve it"
    assert told([key(1, always=True)], policy=OPEN, shared=shared).end_note == (
        "Shared keys are not used: Anthropic key “Key 1” is set to be used always"
    )


def test_where_nothing_may_serve_the_end_says_so() -> None:
    found = told([key(1)], health={1: REFUSED})
    assert (found.end, found.end_note) == ("Return an error", "No key may serve this. Shared keys are off")


@pytest.mark.parametrize(
    ("policy", "stopped", "note"),
    [
        (Policy(paused=True), "", "The organization is paused"),
        (Policy(), "The client key is paused", "The client key is paused"),
    ],
)
def test_what_is_paused_tries_nothing(policy: Policy, stopped: str, note: str) -> None:
    found = told([key(1)], policy=policy, stopped=stopped)
    assert (found.steps, found.rest, found.end, found.end_note) == ((), (), "Return an error", note)


def test_each_setting_says_who_decided_it_and_whom_that_overruled() -> None:
    asking = Asking(of_client_key=Preferences(order=("vertex",), timeout_seconds=1), of_request=Preferences(order=("bedrock",)))
    found = told([key(1)], policy=Policy(preferences=Preferences(order=("anthropic", "groq"))), asking=asking)
    overruled = (("Client key", "Google Vertex AI"), ("Organization", "Anthropic, Groq"))
    assert decided(found, "Order") == Setting("Order", "AWS Bedrock", "Request", overruled)
    assert decided(found, "Timeout") == Setting("Timeout", "1 second", "Client key")
    assert decided(found, "Next key after") == Setting(
        "Next key after", "Rate limit, server error or timeout, refused credential", "Default"
    )
    assert decided(found, "Only") == Setting("Only", "All providers", "Default")


def test_what_providers_do_differently_has_a_line_for_each() -> None:
    of_vertex = ProviderPolicy(preferences=Preferences(timeout_seconds=20))
    policy = Policy(preferences=Preferences(timeout_seconds=60), providers=MappingProxyType({"vertex": of_vertex}))
    found = told([key(1), key(2, "vertex")], policy=policy)
    lines = [line for line in found.settings if line.name.startswith("Timeout")]
    assert lines == [
        Setting("Timeout, Anthropic", "60 seconds", "Organization"),
        Setting("Timeout, Google Vertex AI", "20 seconds", "Organization, for the provider", (("Organization", "60 seconds"),)),
    ]


SLUGS = st.lists(st.sampled_from(["anthropic", "bedrock", "vertex", "groq"]), min_size=1, max_size=2, unique=True).map(tuple)
WISHES = st.builds(
    Preferences,
    order=st.none() | SLUGS,
    ignore=st.none() | SLUGS,
    allow_fallbacks=st.none() | st.booleans(),
    move_on=st.none() | st.frozensets(st.sampled_from(Move)),
)
STATES = st.sampled_from([Health(), REFUSED, TROUBLED, Health(State.LIMITED, NOW, NOW + 9, "limited", 1)])
FIELDS = {
    "provider": st.sampled_from(["anthropic", "bedrock", "vertex", "groq"]),
    "tier": st.sampled_from(["prioritized", "fallback"]),
    "enabled": st.booleans(),
    "tested": st.booleans(),
    "always": st.booleans(),
}
CHANGES = st.lists(st.fixed_dictionaries(FIELDS), max_size=6)


@given(CHANGES, CHANGES, st.lists(STATES, min_size=12, max_size=12), st.builds(Policy, order_first=st.booleans()), WISHES, WISHES)
def test_every_key_is_told_once_and_candidates_keep_their_order(
    own: list[Any], lent: list[Any], states: list[Health], policy: Policy, ours: Preferences, theirs: Preferences
) -> None:
    keys = [key(number, **changes) for number, changes in enumerate(own)]
    shared = [key(6 + number, **changes | {"tier": "platform", "always": False}) for number, changes in enumerate(lent)]
    policy = replace(policy, own_keys_only=not lent, preferences=ours)
    asking, health = Asking(of_request=theirs), {UUID(int=number): state for number, state in enumerate(states)}
    routes = Routes(tuple(keys), tuple(shared), policy, health)
    plan = routes.plan(CLAUDE, now=NOW, asking=asking)
    found = explain(routes, plan, asking)
    named = [step.key.id for step in (*found.steps, *found.rest)]
    planned = [each.key.id for each in plan.candidates] + [each.key.id for each in plan.left_out]
    assert sorted(named) == sorted(planned)
    assert [step.key for step in found.steps if step.tried] == [each.key for each in plan.candidates[:MOST_ATTEMPTS]]
