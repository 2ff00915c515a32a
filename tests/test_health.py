"""What answers make of a key's health, with a clock that the test moves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.health import (
    COOL_SECONDS,
    EMPTY_SECONDS,
    FEWEST_ANSWERS,
    LONGEST_OPEN,
    LONGEST_OUT,
    OPEN_SECONDS,
    PROBE_SECONDS,
    STEADY_SECONDS,
    WELL,
    Health,
    Standing,
    State,
    after,
    probed,
)
from keys.providers.errors import ErrorClass

NOW = 1_000_000.0


def told(health: Health, outcomes: list[ErrorClass | None], now: float = NOW) -> Health:
    for outcome in outcomes:
        health = after(health, outcome, now)
    return health


BROKEN = told(WELL, [ErrorClass.TROUBLE] * FEWEST_ANSWERS)


def test_a_limit_cools_until_the_provider_says_and_never_longer_than_an_hour() -> None:
    limited = after(WELL, ErrorClass.LIMITED, NOW, retry_after=7)
    assert (limited.state, limited.until) == (State.LIMITED, NOW + 7)
    assert limited.standing(NOW + 6.9) is Standing.COOLING
    assert limited.standing(NOW + 7) is Standing.READY
    assert after(WELL, ErrorClass.LIMITED, NOW, retry_after=86400).until == NOW + LONGEST_OUT


def test_limits_without_a_word_about_their_end_double_and_are_forgotten_in_time() -> None:
    first = after(WELL, ErrorClass.LIMITED, NOW)
    assert first.until == NOW + COOL_SECONDS
    again = after(first, ErrorClass.LIMITED, NOW + 6)
    assert again.until == NOW + 6 + 2 * COOL_SECONDS
    well = after(again, None, NOW + 17)
    assert after(well, ErrorClass.LIMITED, NOW + 18).until == NOW + 18 + 4 * COOL_SECONDS
    assert after(well, ErrorClass.LIMITED, NOW + 18 + STEADY_SECONDS).until == NOW + 18 + STEADY_SECONDS + COOL_SECONDS


@given(st.lists(st.tuples(st.sampled_from([ErrorClass.LIMITED, None]), st.floats(0, 400), st.floats(0, 100_000)), max_size=30))
def test_a_key_with_limits_is_never_taken_out(steps: list[tuple[ErrorClass | None, float, float]]) -> None:
    health, now = WELL, NOW
    for outcome, passed, retry_after in steps:
        now += passed
        health = after(health, outcome, now, retry_after=retry_after)
        assert health.state is not State.FAILING
        assert health.standing(now + LONGEST_OUT) is Standing.READY


@pytest.mark.parametrize(("refusals", "state"), [(1, State.HEALTHY), (2, State.HEALTHY), (3, State.FAILING)])
def test_three_refusals_in_a_row_take_a_key_out_until_a_test_passes(refusals: int, state: State) -> None:
    health = told(WELL, [ErrorClass.REFUSED] * refusals)
    assert (health.state, health.until) == (state, None)
    if state is State.FAILING:
        assert health.standing(NOW + 10_000_000) is Standing.FAILING
        assert after(health, None, NOW + 60) == health  # an older request that ends late


def test_one_definite_refusal_is_enough_and_a_good_answer_in_between_begins_the_count_anew() -> None:
    assert after(WELL, ErrorClass.REFUSED, NOW, definite=True).state is State.FAILING
    mixed = [ErrorClass.REFUSED, ErrorClass.REFUSED, None, ErrorClass.REFUSED, ErrorClass.REFUSED]
    assert told(WELL, mixed).state is State.HEALTHY


def test_an_empty_account_takes_a_key_out_and_later_one_request_asks_again() -> None:
    health = after(WELL, ErrorClass.OUT_OF_MONEY, NOW)
    assert health.standing(NOW + EMPTY_SECONDS - 1) is Standing.FAILING
    assert health.standing(NOW + EMPTY_SECONDS) is Standing.PROBE
    still = after(health, ErrorClass.OUT_OF_MONEY, NOW + EMPTY_SECONDS, probe=True)
    assert still.until == NOW + EMPTY_SECONDS + 2 * EMPTY_SECONDS
    assert after(still, None, NOW + 2000, probe=True).state is State.HEALTHY


def test_half_of_five_answers_open_the_breaker_and_four_do_not() -> None:
    assert told(WELL, [ErrorClass.TROUBLE] * 4).state is State.HEALTHY
    assert told(WELL, [None, ErrorClass.TROUBLE] * 2).state is State.HEALTHY
    assert told(WELL, [None, None, ErrorClass.TROUBLE, ErrorClass.TROUBLE, ErrorClass.TROUBLE]).state is State.FAILING
    assert told(WELL, [None] * 6 + [ErrorClass.TROUBLE] * 5).state is State.HEALTHY
    assert BROKEN.until == NOW + OPEN_SECONDS


def test_old_failures_leave_the_window() -> None:
    health = told(WELL, [ErrorClass.TROUBLE] * 4)
    assert after(health, ErrorClass.TROUBLE, NOW + 31).state is State.HEALTHY


def test_a_broken_key_is_probed_by_one_request_while_the_others_wait() -> None:
    then = NOW + OPEN_SECONDS
    assert BROKEN.standing(then - 0.1) is Standing.FAILING
    assert BROKEN.standing(then) is Standing.PROBE
    claimed = probed(BROKEN, then)
    assert claimed.standing(then) is Standing.FAILING
    assert claimed.standing(then + PROBE_SECONDS) is Standing.PROBE  # whoever tried it never said


def test_it_comes_back_with_the_probe_and_not_with_the_end_of_an_older_request() -> None:
    claimed = probed(BROKEN, NOW + OPEN_SECONDS)
    assert after(claimed, None, NOW + OPEN_SECONDS + 1) == claimed
    assert after(claimed, None, NOW + OPEN_SECONDS + 1, probe=True).state is State.HEALTHY


def test_each_failed_probe_doubles_the_wait_up_to_five_minutes() -> None:
    health, now, waits = BROKEN, NOW, []
    for _ in range(6):
        assert health.until is not None
        waits.append(health.until - now)
        now = health.until
        health = after(probed(health, now), ErrorClass.TROUBLE, now, probe=True)
    assert waits == [30, 60, 120, 240, 300, 300]
    assert waits[-1] == LONGEST_OPEN


def test_nothing_flaps() -> None:
    """A key that answers once and fails again stays out longer each time; only steady work makes that forgotten."""
    health, now, waits = BROKEN, NOW, []
    for _ in range(4):
        assert health.until is not None
        waits.append(health.until - now)
        now = health.until
        health = after(probed(health, now), None, now, probe=True)
        assert health.state is State.HEALTHY
        now += 60
        health = told(health, [ErrorClass.TROUBLE] * FEWEST_ANSWERS, now)
    assert waits == [30, 60, 120, 240]
    assert health.until is not None
    well = after(probed(health, health.until), None, health.until, probe=True)
    steady = after(well, None, health.until + STEADY_SECONDS + 1)
    assert steady.trips == 0


def test_failures_while_it_is_out_do_not_make_it_longer() -> None:
    assert told(BROKEN, [ErrorClass.TROUBLE] * 50, NOW + 1) == BROKEN


@pytest.mark.parametrize("outcome", [None, ErrorClass.CLIENT, ErrorClass.NO_PERMISSION, ErrorClass.MISCONFIGURED])
def test_what_is_not_about_the_key_does_not_touch_it(outcome: ErrorClass | None) -> None:
    assert after(WELL, outcome, NOW).lasting == WELL.lasting


OUTCOMES = st.sampled_from([None, *ErrorClass])


@given(st.lists(st.tuples(OUTCOMES, st.floats(0, 4000), st.booleans(), st.booleans()), max_size=40))
def test_every_key_but_a_refused_one_can_be_tried_again_within_an_hour_or_so(
    steps: list[tuple[ErrorClass | None, float, bool, bool]],
) -> None:
    health, now = WELL, NOW
    for outcome, passed, definite, probe in steps:
        now += passed
        health = after(health, outcome, now, definite=definite, probe=probe)
        refused = health.state is State.FAILING and health.until is None
        assert refused == (health.error_class == ErrorClass.REFUSED)
        assert refused or health.standing(now + LONGEST_OUT) in (Standing.READY, Standing.PROBE)
