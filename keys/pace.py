"""How often somebody may do what costs work, counted in the cache that all processes share."""

import time
from ipaddress import IPv6Address, IPv6Network
from uuid import UUID

from django.core.cache import cache

from keys.networks import read_address
from orgs.models import Organization

TESTS_A_MINUTE = 10
REPORTS_A_MINUTE = 10
SIGN_ONS_A_MINUTE = 30
CALLS_A_MINUTE = 300  # of one management key
STRANGERS_A_MINUTE = 300  # calls of the management API without a good key


def wait_for_test(organization: Organization) -> int:
    """0 admits one test now; otherwise the seconds until the next minute begins."""
    return wait(f"tests:{organization.pk}", TESTS_A_MINUTE)


def wait_for_report(address: str) -> int:
    """As wait_for_test, for a report of a leaked key."""
    return wait(f"reports:{place(address)}", REPORTS_A_MINUTE)


def wait_for_sign_on(address: str) -> int:
    """As wait_for_test, for a sign-in that asks an organization's identity provider."""
    return wait(f"sign-ons:{place(address)}", SIGN_ONS_A_MINUTE)


def wait_for_call(key: UUID) -> int:
    """As wait_for_test, for a call of the management API."""
    return wait(f"calls:{key}", CALLS_A_MINUTE)


def wait_for_stranger(address: str) -> int:
    """As wait_for_call, for one whose key is not good."""
    return wait(f"strangers:{place(address)}", STRANGERS_A_MINUTE)


def place(address: str) -> str:
    """Of IPv6 a whole network counts as one, as a person has one."""
    found = read_address(address)
    network = IPv6Network((found, 64), strict=False) if isinstance(found, IPv6Address) else found
    return str(network or "unknown")


def wait(what: str, most: int) -> int:
    minute, passed = divmod(int(time.time()), 60)
    counter = f"{what}:{minute}"
    cache.add(counter, 0, timeout=120)
    return 0 if cache.incr(counter) <= most else 60 - passed


def too_many_tests(seconds: int) -> str:
    return f"This organization has run {TESTS_A_MINUTE} tests in this minute. Test again in {seconds} seconds."
