"""What happens without being asked: scheduled tests, the tick that runs them, and the worker that runs the tick."""

import contextlib
import logging
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.core.mail import EmailMessage
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from byok_site import worker
from keys import actions, routes, tasks
from keys.actions.health import claim_tests
from keys.health import Standing
from keys.models import HealthMark, ProviderKey, RetiredCredential
from keys.providers import PROVIDERS
from keys.testing import TestResult, Verdict, test_credential
from orgs.actions import Actor
from orgs.models import AuditEvent, Notice, Organization
from tests.fake import FakeProvider
from tests.serving import free_port, launch, stop
from tests.test_ingest import missing

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 23, 12, 40, tzinfo=UTC)
BY = Actor(label="Alice")
KEYHOLD = Actor(label="Keyhold")
VALID = TestResult(Verdict.VALID, "OpenAI accepted the key.", 200, models=("gpt-a",))
INVALID = TestResult(Verdict.INVALID, "OpenAI refused this key (401).", 401)
UNKNOWN = TestResult(Verdict.UNKNOWN, "OpenAI did not answer in 10 seconds.")
BUSY = TestResult(Verdict.LIMITED, "OpenAI is limiting it now (429).", 429, error_class="limited")
EMPTY = TestResult(Verdict.LIMITED, "Its account has no credit left (429).", 429, error_class="out_of_money")
SHY = TestResult(Verdict.LIMITED, "It may not make this test (403).", 403, error_class="no_permission")

REFUSED = {"status": "failing", "error_class": "refused", "status_reason": "Refused.", "trips": 1, "until": None}
TROUBLED = REFUSED | {"error_class": "trouble", "status_reason": "Trouble.", "trips": 3, "until": NOW}
BROKE = REFUSED | {"error_class": "out_of_money", "status_reason": "No credit.", "until": NOW + timedelta(hours=1)}


def later(**times: float) -> datetime:
    return NOW + timedelta(**times)


@pytest.fixture(autouse=True)
def towards_the_fake(fake_provider: FakeProvider, settings: Any) -> None:
    settings.UPSTREAM_OVERRIDES = fake_provider.overrides()


@pytest.fixture
def lone(transactional_db: None) -> Organization:
    """An organization without people, for tests that commit: the roles do not outlive the first of them."""
    return Organization.objects.create(name="Lone", slug="lone")


@pytest.fixture
def database_queue(settings: Any) -> None:
    settings.TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}


def add(
    organization: Organization, fake: FakeProvider, behavior: str = "valid", name: str = "Main", **fields: Any
) -> ProviderKey:
    """A key that is due now, unless `fields` say otherwise, and that the provider answers with that behavior."""
    credential = fake.credential("openai", behavior)
    key = actions.add_key(organization=organization, provider="openai", name=name, credential=credential, test=None, by=BY)
    facts = {"status": "healthy", "needs_test": False, "status_since": later(hours=-5), "next_test_at": NOW}
    return put(key, **facts | fields)


def put(key: ProviderKey, **fields: Any) -> ProviderKey:
    ProviderKey.objects.filter(pk=key.pk).update(**fields)
    return ProviderKey.objects.get(pk=key.pk)


def record(key: ProviderKey, result: TestResult, *, scheduled: bool = True, at: datetime = NOW) -> ProviderKey:
    with time_machine.travel(at, tick=False):
        actions.record_test(key=key, result=result, by=KEYHOLD if scheduled else BY, scheduled=scheduled)
    return ProviderKey.objects.get(pk=key.pk)


def state(key: ProviderKey) -> tuple[Any, ...]:
    return key.status, key.error_class, key.until, key.trips


def recorded(organization: Organization) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(organization=organization, tag="provider_key:test").order_by("pk"))


# What a test makes of a key


@pytest.mark.parametrize("fields", [REFUSED, TROUBLED, TROUBLED | {"status": "limited", "error_class": "limited"}])
@pytest.mark.parametrize("scheduled", [True, False])
def test_a_passed_test_brings_a_key_back(
    acme: Organization, fake_provider: FakeProvider, fields: dict[str, Any], scheduled: bool
) -> None:
    """A scheduled one remembers how often the key fell out, so that it stays out longer the next time."""
    key = record(add(acme, fake_provider, **fields, failed_tests=4), VALID, scheduled=scheduled)
    assert state(key) == ("healthy", "", None, fields["trips"] if scheduled else 0)
    assert (key.status_reason, key.status_since, key.failed_tests) == ("", NOW, 0)
    assert key.health_changed_at
    assert timedelta(minutes=30) <= key.next_test_at - NOW <= timedelta(minutes=33)
    assert routes.health_of(key).standing(NOW.timestamp()) is Standing.READY


def test_a_scheduled_test_says_nothing_about_money_but_lets_a_request_find_out(
    acme: Organization, fake_provider: FakeProvider
) -> None:
    key = record(add(acme, fake_provider, **BROKE), VALID)
    assert state(key) == ("failing", "out_of_money", NOW, 1)
    assert (key.status_reason, key.failed_tests) == ("No credit.", 1)
    assert routes.health_of(key).standing(NOW.timestamp()) is Standing.PROBE
    assert not recorded(acme)
    assert state(record(key, VALID, scheduled=False)) == ("healthy", "", None, 0)


def test_a_refused_key_is_out_until_a_test_passes(acme: Organization, fake_provider: FakeProvider) -> None:
    key = record(add(acme, fake_provider), INVALID)
    assert state(key) == ("failing", "refused", None, 1)
    assert (key.status_reason, key.status_since, key.failed_tests) == (INVALID.reason, NOW, 1)
    again = record(key, INVALID, at=later(minutes=2))
    assert (again.status_since, again.failed_tests) == (NOW, 2)
    assert timedelta(minutes=4) <= again.next_test_at - later(minutes=2) <= timedelta(minutes=4.4)


PASTED = "Check that you copied all of it, then paste it again."
DELETED = "says this credential is not valid. It was probably deleted or rotated there. Replace it, or test it again."


@pytest.mark.parametrize(
    ("behavior", "at_first", "later_on"),
    [
        ("refused", f"OpenAI refused this key (401). {PASTED}", f"OpenAI {DELETED}"),
        (
            "limited",
            "OpenAI accepted the key and is limiting it now (429). Test again in a few minutes.",
            "OpenAI is limiting this key. It is used again as soon as the limit ends.",
        ),
    ],
)
def test_of_a_key_that_has_worked_a_test_says_what_became_of_it(
    acme: Organization, fake_provider: FakeProvider, behavior: str, at_first: str, later_on: str
) -> None:
    result = test_credential(PROVIDERS["openai"], fake_provider.credential("openai", behavior))
    waiting = add(acme, fake_provider, name="New", status="untested", needs_test=True)
    assert record(waiting, result, scheduled=False).status_reason == at_first
    assert record(add(acme, fake_provider), result).status_reason == later_on


def test_what_is_said_of_one_deployment_or_of_an_account_alone_is_kept(acme: Organization, fake_provider: FakeProvider) -> None:
    key = add(acme, fake_provider)
    blocked = replace(EMPTY, reason="Grok accepted the key but has blocked its team. See the xAI console.", status=200)
    assert record(key, blocked).status_reason == blocked.reason
    azure = put(add(acme, fake_provider, name="EU"), provider="azure")
    advice = "Check that it belongs to the resource in `endpoint_url`, then paste it again."
    refused = replace(INVALID, reason=f"openai/gpt-4o: Azure refused this key (401). {advice}")
    assert record(azure, refused).status_reason == f"openai/gpt-4o: Azure {DELETED}"


def test_a_limit_found_by_a_test_ends_by_itself(acme: Organization, fake_provider: FakeProvider) -> None:
    key = record(add(acme, fake_provider), BUSY)
    assert state(key) == ("limited", "limited", later(seconds=5), 1)
    assert key.next_test_at >= later(minutes=5)
    assert routes.health_of(key).standing(later(seconds=5).timestamp()) is Standing.READY
    assert not recorded(acme)


def test_an_empty_account_found_by_a_test_takes_the_key_out(acme: Organization, fake_provider: FakeProvider) -> None:
    assert state(record(add(acme, fake_provider), EMPTY)) == ("failing", "out_of_money", later(minutes=5), 1)


@pytest.mark.parametrize("fields", [{}, REFUSED, {"status": "untested", "needs_test": True}])
def test_a_key_that_may_only_not_make_the_test_is_well(
    acme: Organization, fake_provider: FakeProvider, fields: dict[str, Any]
) -> None:
    key = record(add(acme, fake_provider, **fields), SHY, scheduled=False)
    assert state(key) == ("healthy", "", None, 0)
    assert (key.needs_test, key.status_reason) == (False, SHY.reason)


@pytest.mark.parametrize("fields", [{}, REFUSED, TROUBLED, BROKE])
def test_a_scheduled_test_that_could_not_tell_changes_nothing_but_when_the_next_one_is(
    acme: Organization, fake_provider: FakeProvider, fields: dict[str, Any]
) -> None:
    before = add(acme, fake_provider, **fields)
    key = record(before, UNKNOWN)
    assert state(key) == state(before)
    assert (key.status_reason, key.health_changed_at) == (before.status_reason, None)
    assert key.next_test_at > NOW
    assert not recorded(acme)


def test_only_scheduled_tests_that_take_a_key_out_or_bring_it_back_are_events(
    acme: Organization, fake_provider: FakeProvider
) -> None:
    key = add(acme, fake_provider)
    for result in (VALID, UNKNOWN, BUSY, VALID, INVALID, INVALID, VALID, VALID):
        key = record(key, result)
    assert [(event.actor_label, event.changes["after"]["status"]) for event in recorded(acme)] == [
        ("Keyhold", "failing"),
        ("Keyhold", "healthy"),
    ]


def test_gateways_read_anew_when_other_models_are_found_and_not_otherwise(
    acme: Organization, fake_provider: FakeProvider
) -> None:
    key = record(add(acme, fake_provider), VALID)
    versions = []
    for models in (("gpt-a",), ("gpt-a", "gpt-b"), ("gpt-a", "gpt-b")):
        key = record(key, TestResult(Verdict.VALID, "", 200, models=models))
        versions.append(Organization.objects.get(pk=acme.pk).routing_version)
    assert versions[0] + 1 == versions[1] == versions[2]
    assert key.discovered_models == ["gpt-a", "gpt-b"]


def test_what_a_gateway_reported_while_the_test_ran_is_judged_by_the_test(
    acme: Organization, fake_provider: FakeProvider
) -> None:
    read_before = add(acme, fake_provider)
    put(read_before, **REFUSED)
    assert state(record(read_before, VALID)) == ("healthy", "", None, 1)


def test_tests_count_in_the_half_hour_they_ran_in(
    acme: Organization, fake_provider: FakeProvider, django_capture_on_commit_callbacks: Any
) -> None:
    key = add(acme, fake_provider)
    with time_machine.travel(NOW, tick=False), django_capture_on_commit_callbacks(execute=True):
        for result in (VALID, VALID, UNKNOWN, SHY, BUSY, INVALID, EMPTY):
            actions.record_test(key=key, result=result, by=KEYHOLD, scheduled=True)
    mark = HealthMark.objects.get()
    assert (mark.slot, mark.passed, mark.limited, mark.failed) == (later(minutes=-10), 2, 2, 2)


# Which keys are tested


@pytest.mark.parametrize(
    "fields",
    [
        {"next_test_at": later(seconds=1)},
        {"enabled": False},
        {"removed_at": NOW},
        {"status": "untested", "next_test_at": None},
        {"last_used_at": later(minutes=-29)},
        {"tested_at": later(minutes=-29), "next_test_at": None},
        {"status": "limited", "tested_at": later(minutes=-4)},
        REFUSED | {"tested_at": later(seconds=-59)},
        REFUSED | {"tested_at": later(minutes=-7), "trips": 4},
    ],
    ids=str,
)
def test_a_key_is_not_tested(acme: Organization, fake_provider: FakeProvider, fields: dict[str, Any]) -> None:
    add(acme, fake_provider, **fields)
    assert claim_tests(NOW, 20) == []


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"next_test_at": None},
        {"last_used_at": later(minutes=-31), "tested_at": later(hours=-1)},
        {"status": "limited", "tested_at": later(minutes=-5), "until": NOW},
        {"status": "limited", "until": None},
        REFUSED,
        REFUSED | {"tested_at": later(minutes=-2), "last_used_at": NOW},
    ],
    ids=str,
)
def test_a_key_is_tested(acme: Organization, fake_provider: FakeProvider, fields: dict[str, Any]) -> None:
    key = add(acme, fake_provider, **fields)
    assert claim_tests(NOW, 20) == [key]


def test_a_busy_key_is_put_off_until_half_an_hour_after_its_last_request(acme: Organization, fake_provider: FakeProvider) -> None:
    key = add(acme, fake_provider, last_used_at=later(minutes=-10))
    claim_tests(NOW, 20)
    key.refresh_from_db()
    assert key.next_test_at == later(minutes=20)


def test_a_claimed_test_comes_back_in_a_minute_if_its_process_died(acme: Organization, fake_provider: FakeProvider) -> None:
    key = add(acme, fake_provider)
    assert [claim_tests(NOW, 20), claim_tests(later(seconds=59), 20), claim_tests(later(seconds=60), 20)] == [[key], [], [key]]


def test_busy_keys_take_no_place_from_those_that_need_a_test(acme: Organization, fake_provider: FakeProvider) -> None:
    for number in range(30):
        add(acme, fake_provider, name=f"Busy {number}", last_used_at=NOW, next_test_at=later(hours=-1))
    idle = {add(acme, fake_provider, name=f"Idle {number}").pk for number in range(5)}
    first, second = claim_tests(NOW, 3), claim_tests(NOW, 3)
    assert (len(first), len(second)) == (3, 2)
    assert {key.pk for key in first + second} == idle


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_two_processes_never_claim_the_same_key(postgres_only: None, lone: Organization, fake_provider: FakeProvider) -> None:
    due = {add(lone, fake_provider, name=f"Key {number}").pk for number in range(12)}
    together = threading.Barrier(3)

    def claim(_: int) -> list[ProviderKey]:
        together.wait(20)
        try:
            return claim_tests(NOW, 4)
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as threads:
        claimed = [key.pk for keys in threads.map(claim, range(3)) for key in keys]
    assert len(claimed) == len(set(claimed))
    while rest := claim_tests(NOW, 20):
        claimed += [key.pk for key in rest]
    assert sorted(claimed) == sorted(due)


# A tick


def test_a_tick_finds_failures_and_recoveries_and_tells_owners(
    acme: Organization, fake_provider: FakeProvider, mailoutbox: list[EmailMessage]
) -> None:
    bad, good = add(acme, fake_provider, "refused"), add(acme, fake_provider, name="Healed", **REFUSED, told_failing_at=NOW)
    tasks.tick.enqueue()
    assert [ProviderKey.objects.get(pk=key.pk).status for key in (bad, good)] == ["failing", "healthy"]
    assert sorted(mail.subject for mail in mailoutbox) == [
        "Keyhold: OpenAI Healed works again",
        "Keyhold: OpenAI Main is failing",
    ]
    tasks.tick.enqueue()
    assert len(mailoutbox) == 2
    secrets = [value for key in ("valid", "refused") for value in fake_provider.credential("openai", key).secret.values()]
    assert not any(secret in mail.body + mail.subject for secret in secrets for mail in mailoutbox)


def test_many_keys_are_tested_at_once(acme: Organization, fake_provider: FakeProvider) -> None:
    for number in range(25):
        add(acme, fake_provider, name=f"Key {number}")
    assert [tasks.test_due_keys(NOW), tasks.test_due_keys(NOW), tasks.test_due_keys(NOW)] == [20, 5, 0]
    assert ProviderKey.objects.filter(tested_at=None).count() == 0


def test_a_credential_that_does_not_open_is_passed_over(
    acme: Organization, fake_provider: FakeProvider, caplog: pytest.LogCaptureFixture
) -> None:
    broken, other = add(acme, fake_provider), add(acme, fake_provider, name="Other")
    put(broken, sealed=b"nonsense")
    assert tasks.test_due_keys(NOW) == 1
    assert f"The credential of key {broken.pk} does not open" in caplog.text
    broken.refresh_from_db()
    other.refresh_from_db()
    assert (broken.status, other.discovered_models != []) == ("healthy", True)
    assert broken.next_test_at > later(minutes=1)


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_what_goes_wrong_in_one_part_of_a_tick_does_not_stop_the_others(
    lone: Organization, fake_provider: FakeProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """The table of replaced credentials is missing."""
    key = add(lone, fake_provider, "refused")
    with missing(RetiredCredential):
        call_command("tick")
    assert "destroy_retired did not get through. It is tried again at the next tick." in caplog.messages
    assert Notice.objects.get().target_id == str(key.pk)
    assert Notice.objects.get().tries == 1


# The worker


def ticks(status: str) -> int:
    return DBTaskResult.objects.filter(status=status).count()


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
@pytest.mark.usefixtures("database_queue")
def test_there_is_one_tick_every_ten_seconds_and_never_a_second_one() -> None:
    now = timezone.now()
    assert [worker.put_tick(now), worker.put_tick(now), worker.put_tick(now + timedelta(hours=1))] == [True, False, False]
    worker.work(threading.Event())
    assert (ticks("READY"), ticks("SUCCESSFUL")) == (0, 1)
    times = [now + timedelta(seconds=seconds) for seconds in (9, 11)]
    assert [worker.put_tick(each) for each in times] == [False, True]


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
@pytest.mark.usefixtures("database_queue")
def test_the_worker_does_what_the_tick_is_for(lone: Organization, fake_provider: FakeProvider) -> None:
    key = add(lone, fake_provider, "refused")
    worker.put_tick(timezone.now())
    worker.work(threading.Event())
    key.refresh_from_db()
    assert (key.status, Notice.objects.get().tries) == ("failing", 1)


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
@pytest.mark.usefixtures("database_queue")
def test_a_tick_whose_worker_died_is_given_up_and_what_it_had_begun_is_done_by_the_next(
    lone: Organization, fake_provider: FakeProvider, caplog: pytest.LogCaptureFixture
) -> None:
    key, now = add(lone, fake_provider, "refused"), timezone.now()
    worker.put_tick(now)
    DBTaskResult.objects.get().claim("dead")
    claim_tests(now, 20)
    assert not worker.put_tick(now + timedelta(seconds=119))
    with time_machine.travel(now + timedelta(seconds=121)):
        assert worker.put_tick(timezone.now())
        worker.work(threading.Event())
    assert (ticks("FAILED"), ticks("SUCCESSFUL")) == (1, 1)
    assert "A process ended in the middle of its work. It is done again." in caplog.messages
    key.refresh_from_db()
    assert key.status == "failing"


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
@pytest.mark.usefixtures("database_queue")
def test_what_became_of_tasks_is_kept_for_an_hour() -> None:
    start = timezone.now()
    for minutes in range(0, 180, 15):
        with time_machine.travel(start + timedelta(minutes=minutes)):
            worker.put_tick(timezone.now())
            worker.work(threading.Event())
    assert DBTaskResult.objects.count() == 5


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
@pytest.mark.usefixtures("database_queue")
def test_a_worker_that_is_told_to_end_leaves_the_rest_for_later() -> None:
    for _ in range(3):
        tasks.tick.enqueue()
    ended = threading.Event()
    ended.set()
    worker.work(ended)
    assert (ticks("READY"), ticks("SUCCESSFUL")) == (2, 1)


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
@pytest.mark.usefixtures("database_queue")
def test_of_several_processes_one_puts_the_next_tick(postgres_only: None) -> None:
    now = timezone.now()
    worker.put_tick(now)
    worker.work(threading.Event())
    together = threading.Barrier(4)

    def put(_: int) -> bool:
        together.wait(20)
        try:
            return worker.put_tick(now + timedelta(seconds=11))
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(put, range(4))) == [False, False, False, True]
    assert ticks("READY") == 1


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
@pytest.mark.usefixtures("database_queue")
def test_the_thread_goes_on_after_trouble_with_the_database(caplog: pytest.LogCaptureFixture) -> None:
    failed, done, ended = threading.Event(), threading.Event(), threading.Event()
    handler = logging.Handler()
    handler.emit = lambda record: failed.set()  # type: ignore[method-assign]
    logging.getLogger("byok_site.worker").addHandler(handler)
    background = worker.Background(ended)
    with missing(DBTaskResult):
        background.start()
        assert failed.wait(20)
    for _ in range(200):
        if ticks("SUCCESSFUL") or done.wait(0.1):
            break
    ended.set()
    background.join()
    logging.getLogger("byok_site.worker").removeHandler(handler)
    assert ticks("SUCCESSFUL") >= 1
    assert "Tasks are not being done. Next try in 2 s." in caplog.messages


def test_serving_does_the_tasks_too_and_ends_with_the_server(tmp_path: Path) -> None:
    """In a process of its own, on SQLite, as `make run` starts it."""
    process = launch(tmp_path, free_port())
    try:
        assert process.stdout
        assert process.stdout.readline().startswith("Keyhold is ready.")
        waited = threading.Event()
        with contextlib.closing(sqlite3.connect(tmp_path / "keyhold.sqlite3", timeout=20)) as database:
            query = "SELECT status FROM django_tasks_database_dbtaskresult"
            while ("SUCCESSFUL",) not in database.execute(query).fetchall() and process.poll() is None:
                waited.wait(0.2)
    finally:
        _, errors = stop(process)
    assert errors == ""
