"""Writes about how provider keys are: what a test found, and which are tested next."""

import random
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from keys.actions.writing import lock, tell
from keys.health import Health, State, after
from keys.models import HealthMark, ProviderKey
from keys.providers import PROVIDERS
from keys.providers.errors import ErrorClass
from keys.providers.verdicts import in_general
from keys.routes import health_of, seconds
from keys.schedule import next_test
from keys.testing import TestResult, Verdict
from orgs.actions import Actor
from orgs.models import Organization

Status = ProviderKey.Status
REASON_LENGTH = ProviderKey._meta.get_field("status_reason").max_length
MOST_COUNTED = 1000
LIMITS = {"": ErrorClass.LIMITED, ErrorClass.LIMITED: ErrorClass.LIMITED, ErrorClass.OUT_OF_MONEY: ErrorClass.OUT_OF_MONEY}
REASONS = {  # of a key that has worked
    ErrorClass.REFUSED: (
        "{label} says this credential is not valid. It was probably deleted or rotated there. Replace it, or test it again."
    ),
    ErrorClass.OUT_OF_MONEY: "{label} says the account has no credit left. Add credit there; the key comes back by itself.",
    ErrorClass.LIMITED: "{label} is limiting this key. It is used again as soon as the limit ends.",
    ErrorClass.TROUBLE: "{label} failed or did not answer, again and again. The key is tried again by itself.",
}
MARKS = {Verdict.VALID: "passed", Verdict.LIMITED: "limited", Verdict.INVALID: "failed"}
HALF_HOUR = timedelta(minutes=30)
CLAIMED = timedelta(minutes=1)  # until a test that was begun counts as lost with its process
LOOKED_AT = 200  # due keys at a time; most are busy and only put off
HEALTH_FIELDS = ("status", "status_reason", "status_since", "error_class", "until", "trips", "health_changed_at")
TESTED_FIELDS = (*HEALTH_FIELDS, "needs_test", "tested_at", "next_test_at", "failed_tests", "discovered_models")


@transaction.atomic
def record_test(*, key: ProviderKey, result: TestResult, by: Actor, scheduled: bool = False) -> None:
    """Note what a test found, unless the credential was removed or replaced while the test ran.

    scheduled: nobody asked for it, so it is no event unless it takes the key out or brings it back.
    """
    organization = key.organization
    lock(organization)
    present = ProviderKey.objects.present().select_for_update(no_key=True)
    current = present.filter(pk=key.pk, secret_version=key.secret_version).first()
    if current is None:
        return
    current.organization = organization
    before = {"status": current.status, "status_reason": current.status_reason}
    routed, models = standing(current), current.discovered_models
    apply_test(current, result, scheduled=scheduled)
    current.save(update_fields=TESTED_FIELDS)
    if not scheduled or standing(current) != routed:
        found = {"status": current.status, "status_reason": current.status_reason, "verdict": result.verdict}
        tell(current, by, "provider_key:test", before=before, after=found)
    elif current.discovered_models != models:
        Organization.objects.filter(pk=organization.pk).bump_routing()
    transaction.on_commit(partial(mark, current, result))


def standing(key: ProviderKey) -> tuple[bool, bool]:
    """What must change to make a scheduled test an event. Limits come and go."""
    return key.status == Status.FAILING, key.needs_test


def apply_test(key: ProviderKey, result: TestResult, *, scheduled: bool = False) -> None:
    """Changes TESTED_FIELDS of the key, without saving. A test that could not tell leaves the status as it was."""
    now = timezone.now()
    worked = key.status != Status.UNTESTED and not key.needs_test
    key.tested_at = now
    if result.verdict is not Verdict.UNKNOWN:
        put_health(key, health_after(health_of(key), result, now.timestamp(), scheduled=scheduled))
    if not scheduled or result.verdict is not Verdict.UNKNOWN:
        key.status_reason = reason(key, result, worked)
    key.failed_tests = 0 if key.status == Status.HEALTHY else min(key.failed_tests + 1, MOST_COUNTED)
    if result.verdict in (Verdict.VALID, Verdict.LIMITED):
        key.needs_test = False
        key.discovered_models = list(result.models) or key.discovered_models
    key.next_test_at = due_at(key, random.random())  # noqa: S311


def reason(key: ProviderKey, result: TestResult, worked: bool) -> str:
    """A key that is out although it passed its test keeps the reason that it is out for.

    worked: before this test. Advice for somebody who has just pasted a key is of no use then.
    """
    if result.verdict is Verdict.VALID:
        return key.status_reason if key.status == Status.FAILING else ""
    found = ErrorClass.REFUSED if result.verdict is Verdict.INVALID else LIMITS.get(result.error_class)
    if not worked or found is None or result.status is None:
        return result.reason[:REASON_LENGTH]
    said = REASONS[found].format(label=key.row.label)
    return result.reason.replace(in_general(key.row, result.status, found), said)[:REASON_LENGTH]


def health_after(health: Health, result: TestResult, now: float, *, scheduled: bool) -> Health:
    """What a verdict other than UNKNOWN makes of the health."""
    if result.verdict is Verdict.INVALID:
        return after(health, ErrorClass.REFUSED, now, definite=True)
    limit = LIMITS.get(result.error_class) if result.verdict is Verdict.LIMITED else None
    return after(health, limit, now, probe=True) if limit else passed(health, now, scheduled=scheduled)


def passed(health: Health, now: float, *, scheduled: bool) -> Health:
    """Well again. A test spends nothing, so it does not show that there is money: only the next request will.

    Nor does it show that requests succeed, so unless an owner asked for it, it does not forget how often they failed.
    """
    if health.state is State.HEALTHY:
        return health
    if scheduled and health.error_class == ErrorClass.OUT_OF_MONEY:
        return replace(health, until=min(now, health.until or now))
    return Health(since=now, trips=health.trips if scheduled else 0)


def put_health(key: ProviderKey, health: Health) -> None:
    if key.status == Status.UNTESTED or health != health_of(key):
        key.status = Status(health.state)
        key.status_since = time(health.since) if health.since else timezone.now()
        key.error_class = health.error_class
        key.until = None if health.until is None else time(health.until)
        key.trips = min(health.trips, MOST_COUNTED)
        key.health_changed_at = Now()


def due_at(key: ProviderKey, jitter: float = 0.0) -> datetime | None:
    """When the key is tested next; None for one that an owner tests first."""
    if key.status == Status.UNTESTED:
        return None
    tested, used = seconds(key.tested_at) or 0.0, seconds(key.last_used_at) or 0.0
    return time(next_test(health_of(key), tested=tested, failed_tests=key.failed_tests, last_used=used, jitter=jitter))


def time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def mark(key: ProviderKey, result: TestResult) -> None:
    """Count the test among what the key did in this half hour; one that could not tell counts for nothing.

    After the commit, as usage is booked into the same rows while it holds others.
    """
    if result.verdict not in MARKS:
        return
    name = "failed" if key.status == Status.FAILING else MARKS[result.verdict]
    now = timezone.now()
    slot = now - (now - time(0)) % HALF_HOUR
    HealthMark.objects.get_or_create(key=key, slot=slot)
    HealthMark.objects.filter(key=key, slot=slot).update(**{name: F(name) + 1})


@transaction.atomic
def claim_tests(now: datetime, most: int) -> list[ProviderKey]:
    """Keys to be tested now. They are due again in a minute, for whoever is there if this process is not.

    Those that need no test yet, as requests tell how they are, are put off.
    """
    waiting = Q(next_test_at__lte=now) | Q(next_test_at=None)
    due = ProviderKey.objects.present().filter(waiting, enabled=True, provider__in=PROVIDERS).exclude(status=Status.UNTESTED)
    rows = due.select_for_update(skip_locked=True, no_key=True).order_by(F("next_test_at").asc(nulls_first=True), "pk")[
        :LOOKED_AT
    ]
    claimed: list[ProviderKey] = []
    written: list[ProviderKey] = []
    for key in rows:
        at = due_at(key)
        if at and at > now:
            key.next_test_at = at
        elif len(claimed) < most:
            key.next_test_at = now + CLAIMED
            claimed.append(key)
        else:
            continue
        written.append(key)
    ProviderKey.objects.bulk_update(written, ["next_test_at"])
    return with_data_keys(claimed)


def with_data_keys(keys: Iterable[ProviderKey]) -> list[ProviderKey]:
    found = ProviderKey.objects.filter(pk__in=[key.pk for key in keys])
    return list(found.select_related("organization").prefetch_related("organization__data_keys"))
