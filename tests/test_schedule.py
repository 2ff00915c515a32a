"""When a key is tested next although nobody asks."""

import pytest

from keys.health import Health, State
from keys.schedule import next_test

HOUR = 3600.0
NOW = 1_800_000_000.0
HEALTHY, FAILING = Health(), Health(State.FAILING, NOW)


def limited(seconds: float) -> Health:
    return Health(State.LIMITED, NOW, NOW + seconds)


@pytest.mark.parametrize(
    ("last_used", "expected"), [(0.0, 1800), (NOW - HOUR, 1800), (NOW + 60, 1860), (NOW + 1700, 3500)], ids=str
)
def test_a_healthy_key_is_tested_half_an_hour_after_its_last_sign_of_life(last_used: float, expected: float) -> None:
    assert next_test(HEALTHY, tested=NOW, failed_tests=0, last_used=last_used) == NOW + expected


@pytest.mark.parametrize(("seconds", "expected"), [(-5, 300), (20, 300), (299, 300), (900, 900)])
def test_a_limited_key_is_tested_when_its_limit_ends_but_every_five_minutes_at_most(seconds: float, expected: float) -> None:
    assert next_test(limited(seconds), tested=NOW, failed_tests=0) == NOW + expected


@pytest.mark.parametrize(("failed", "minutes"), [(0, 1), (1, 2), (2, 4), (3, 8), (4, 16), (5, 30), (6, 30), (30_000, 30)])
def test_a_failing_key_waits_twice_as_long_after_each_failure_up_to_half_an_hour(failed: int, minutes: int) -> None:
    assert next_test(FAILING, tested=NOW, failed_tests=failed) == NOW + minutes * 60


@pytest.mark.parametrize(("trips", "minutes"), [(1, 1), (2, 2), (4, 8), (1000, 30)])
def test_a_key_that_fails_again_after_every_good_test_waits_longer_each_time(trips: int, minutes: int) -> None:
    assert next_test(Health(State.FAILING, NOW, trips=trips), tested=NOW, failed_tests=0) == NOW + minutes * 60


@pytest.mark.parametrize(
    ("health", "pause"), [(HEALTHY, 1800), (FAILING, 120), (limited(0), 300)], ids=["well", "out", "limited"]
)
def test_jitter_makes_it_a_tenth_later_at_most_and_never_earlier(health: Health, pause: float) -> None:
    for jitter in (0.0, 0.5, 1.0):
        after = next_test(health, tested=NOW, failed_tests=1, jitter=jitter) - NOW
        assert after == pytest.approx(pause * (1 + jitter / 10))


def test_requests_do_not_put_off_the_test_of_a_failing_key() -> None:
    assert next_test(FAILING, tested=NOW, failed_tests=0, last_used=NOW + HOUR) == NOW + 60


def test_a_key_that_was_never_tested_is_due_at_once() -> None:
    assert next_test(HEALTHY, tested=0.0, failed_tests=0) < NOW
