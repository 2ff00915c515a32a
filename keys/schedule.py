"""When a key is tested next although nobody asks. Pure: times are seconds, given by the caller.

Requests show as well as a test that a key works, so only one that is idle is tested, every half hour. A limited key is
tested when its limit ends, a failing one after a time that doubles with each failure, so that it comes back by itself.
"""

from keys.health import Health, State

IDLE_SECONDS = 1800.0
LIMITED_SECONDS = 300.0  # between two tests of a limited key, at least
FAILING_SECONDS = 60.0  # doubles
LONGEST_SECONDS = 1800.0
JITTER = 0.1  # tests come this part later at most, so that keys that were added together part ways


def next_test(health: Health, *, tested: float, failed_tests: int, last_used: float = 0.0, jitter: float = 0.0) -> float:
    """tested: when it was tested last. jitter: from 0 to 1, drawn by the caller."""
    later = 1 + JITTER * jitter
    match health.state:
        case State.HEALTHY:
            return max(tested, last_used) + IDLE_SECONDS * later
        case State.LIMITED:
            return max(tested + LIMITED_SECONDS * later, health.until or 0.0)
        case State.FAILING:
            return tested + pause(failed_tests, health.trips) * later


def pause(failed_tests: int, trips: int) -> float:
    """A key that fails again soon after each test that it passed waits as long as one that fails its tests."""
    return float(min(FAILING_SECONDS * 2.0 ** min(max(failed_tests, trips - 1), 20), LONGEST_SECONDS))
