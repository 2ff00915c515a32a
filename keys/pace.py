"""How often an organization may run a test, counted in the cache that all processes share."""

import time

from django.core.cache import cache

from orgs.models import Organization

TESTS_A_MINUTE = 10


def wait_for_test(organization: Organization) -> int:
    """0 admits one test now; otherwise the seconds until the next minute begins."""
    minute, passed = divmod(int(time.time()), 60)
    counter = f"tests:{organization.pk}:{minute}"
    cache.add(counter, 0, timeout=120)
    return 0 if cache.incr(counter) <= TESTS_A_MINUTE else 60 - passed


def too_many_tests(seconds: int) -> str:
    return f"This organization has run {TESTS_A_MINUTE} tests in this minute. Test again in {seconds} seconds."
