"""From the journal into the database, exactly once."""

import fcntl
import logging
import random
import shutil
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db import DatabaseError, IntegrityError, connection
from django.db.models import Sum

from keys.models import HealthMark
from orgs.models import Organization
from tests.attempts import NOON, attempt, id_given, make_keys
from tests.test_journal import kill_after
from usage import journal
from usage.ingest import Event, Ingester, book
from usage.journal import NO_KEY, Finished, Journal, Skipped
from usage.models import DailyRollup, HourlyRollup, JournalSegment, UsageEvent

pytestmark = pytest.mark.django_db


@pytest.fixture
def lone(transactional_db: None) -> Organization:
    """An organization without people, for tests that commit: the roles do not outlive the first of them."""
    return Organization.objects.create(name="Lone", slug="lone")


@pytest.fixture
def ingester(tmp_path: Path) -> Ingester:
    return Ingester(tmp_path)


def write(directory: Path, attempts: Iterable[Finished], **options: Any) -> Journal:
    """A journal that is still being written, holding these attempts."""
    writer = Journal(directory, **options)
    for each in attempts:
        writer.open(each.opened)
        writer.close(each.closed)
    return writer


def sums() -> tuple[int, int, int]:
    """Attempts as events, daily and hourly rollups count them."""
    daily = DailyRollup.objects.aggregate(all=Sum("requests"))["all"]
    hourly = HourlyRollup.objects.aggregate(all=Sum("requests"))["all"]
    return UsageEvent.objects.count(), int(daily or 0), int(hourly or 0)


def test_an_attempt_becomes_an_event_two_sums_and_last_uses(acme: Organization, ingester: Ingester, tmp_path: Path) -> None:
    keys = make_keys(acme)
    facts: dict[str, Any] = {"key": keys.provider.id, "client": keys.client.id, "member_id": 7, "cached_input_tokens": 40}
    done = attempt(acme, at=NOON + timedelta(minutes=59), input_tokens=1000, latency_ms=1001, **facts)
    writer = write(tmp_path, [done])
    assert ingester.run_once() == 1
    event = UsageEvent.objects.get()
    assert (event.id, event.organization, event.provider_key_id) == (UUID(done.opened.id), acme, keys.provider.id)
    assert (event.input_tokens, event.estimated_cost_microusd, event.outcome) == (1000, 2650, "ok")
    day, hour = DailyRollup.objects.get(), HourlyRollup.objects.get()
    assert (day.day, day.client_key_id, day.member_id, day.tier) == (date(2026, 11, 23), keys.client.id, 7, "prioritized")
    assert hour.hour == NOON
    for rollup in (day, hour):
        assert (rollup.requests, rollup.input_tokens, rollup.cached_input_tokens, rollup.output_tokens) == (1, 1000, 40, 20)
        assert (rollup.estimated_cost_microusd, rollup.unpriced, rollup.latency_1500, rollup.latency_1000) == (2650, 0, 1, 0)
    for key in (keys.provider, keys.client):
        key.refresh_from_db()
        assert key.last_used_at == NOON + timedelta(minutes=59)
    writer.stop()


def test_a_late_attempt_is_added_to_its_own_day_and_moves_no_last_use_back(acme: Organization) -> None:
    keys = make_keys(acme)
    book([attempt(acme, key=keys.provider.id)])
    book([attempt(acme, key=keys.provider.id, at=NOON - timedelta(days=3)), attempt(acme, key=keys.provider.id)])
    assert dict(DailyRollup.objects.values_list("day", "requests")) == {date(2026, 11, 20): 1, date(2026, 11, 23): 2}
    keys.provider.refresh_from_db()
    assert keys.provider.last_used_at == NOON


def test_what_is_written_later_is_read_later(acme: Organization, ingester: Ingester, tmp_path: Path) -> None:
    writer = write(tmp_path, [attempt(acme)])
    assert [ingester.run_once(), ingester.run_once()] == [1, 0]
    another = attempt(acme)
    writer.open(another.opened)
    assert ingester.run_once() == 0
    writer.close(another.closed)
    assert ingester.run_once() == 1
    writer.stop()


def test_a_finished_segment_is_deleted_and_forgotten(acme: Organization, ingester: Ingester, tmp_path: Path) -> None:
    writer = write(tmp_path, [attempt(acme) for _ in range(30)], segment_bytes=5000)
    assert len(journal.segments(tmp_path)) > 2
    assert ingester.run_once() == 30
    assert len(journal.segments(tmp_path)) == JournalSegment.objects.count() == 1
    writer.stop()
    assert ingester.run_once() == 0
    assert not journal.segments(tmp_path)
    assert not JournalSegment.objects.exists()


def test_a_file_that_comes_back_counts_for_nothing(acme: Organization, ingester: Ingester, tmp_path: Path) -> None:
    writer = write(tmp_path, [attempt(acme) for _ in range(10)])
    writer.open(attempt(acme).opened)
    writer.stop()
    [path] = journal.segments(tmp_path)
    shutil.copy(path, tmp_path / "copy")
    assert ingester.run_once() == 11
    shutil.copy(tmp_path / "copy", path)
    shutil.copy(tmp_path / "copy", path.with_name("other-000001.journal"))
    assert ingester.run_once() == 0
    assert sums() == (11, 11, 11)


def test_a_line_that_stands_twice_counts_once(acme: Organization, ingester: Ingester, tmp_path: Path) -> None:
    write(tmp_path, [attempt(acme) for _ in range(3)]).stop()
    [path] = journal.segments(tmp_path)
    path.write_bytes(path.read_bytes() * 2)
    assert ingester.run_once() == 3
    assert sums() == (3, 3, 3)


def test_a_failure_keeps_the_offset_where_the_sums_are(acme: Organization, ingester: Ingester, tmp_path: Path) -> None:
    """The hourly rollup is missing, so the last step of the transaction fails."""
    writer = write(tmp_path, [attempt(acme) for _ in range(3)])
    with missing(HourlyRollup), pytest.raises(DatabaseError, match="hourly"):
        ingester.run_once()
    assert sums() == (0, 0, 0)
    assert ingester.run_once() == 3
    assert sums() == (3, 3, 3)
    writer.stop()


def test_orphans_of_a_killed_writer_are_booked_once_as_estimated(acme: Organization, ingester: Ingester, tmp_path: Path) -> None:
    done = [attempt(acme, outcome="error" if number % 5 == 0 else "ok") for number in range(200)]
    opened, closed = kill_after(tmp_path, 111, 6000, done)
    ingester.run_once()
    booked = set(map(str, UsageEvent.objects.values_list("id", flat=True)))
    lost = set(map(str, UsageEvent.objects.filter(estimated=True).values_list("id", flat=True)))
    assert opened <= booked
    assert not closed & lost
    assert sums() == (len(booked),) * 3
    assert DailyRollup.objects.aggregate(all=Sum("estimated"))["all"] == len(lost) >= len(opened - closed) > 0
    assert UsageEvent.objects.filter(estimated=True).values_list("outcome", "error_class", "output_tokens").distinct().get() == (
        "error",
        "interrupted",
        500,
    )
    assert ingester.run_once() == 0
    assert not journal.segments(tmp_path)


def test_an_attempt_that_is_still_open_in_a_later_segment_is_no_orphan(
    acme: Organization, ingester: Ingester, tmp_path: Path
) -> None:
    writer = Journal(tmp_path, segment_bytes=4000)
    long = attempt(acme, input_tokens=77)
    writer.open(long.opened)
    for each in [attempt(acme) for _ in range(10)]:
        writer.open(each.opened)
        writer.close(each.closed)
    assert ingester.run_once() == 10
    writer.close(long.closed)
    assert ingester.run_once() == 1
    assert UsageEvent.objects.filter(input_tokens=77, estimated=False).count() == 1
    writer.stop()


def test_one_ingester_works_at_a_time_on_a_host(acme: Organization, ingester: Ingester, tmp_path: Path) -> None:
    writer = write(tmp_path, [attempt(acme)])
    with (tmp_path / "ingest.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert ingester.run_once() == 0
    assert ingester.run_once() == 1
    writer.stop()


def test_hostile_text_and_absurd_numbers_stop_nothing(acme: Organization) -> None:
    odd: dict[str, Any] = {"model": "m\0" * 300, "native_model": "ü" * 999, "error_class": "x" * 99, "provider": "p" * 99}
    numbers = {"input_tokens": 10**40, "output_tokens": -5, "latency_ms": 10**12, "status": 10**9, "number": 10**9}
    assert book([attempt(acme, **odd, **numbers), attempt(acme, id="no id"), attempt(acme, started_at=1e30), attempt(acme)]) == 2
    event = UsageEvent.objects.get(output_tokens=0)
    assert (event.input_tokens, event.latency_ms, event.status) == (10**12, 2**31 - 1, 32767)
    assert event.model == "m" * 100


def test_attempts_of_an_organization_that_is_gone_are_dropped(acme: Organization) -> None:
    assert book([attempt(Organization()), attempt(acme)]) == 1


def test_a_failure_without_tokens_costs_nothing_and_an_answer_without_price_is_unpriced(acme: Organization) -> None:
    nothing = {"input_tokens": 0, "output_tokens": 0}
    book([attempt(acme, outcome="error", **nothing), attempt(acme, provider="fal", **nothing), attempt(acme, provider="gone")])
    assert list(UsageEvent.objects.order_by("id").values_list("estimated_cost_microusd", flat=True)) == [0, None, None]
    assert DailyRollup.objects.aggregate(all=Sum("unpriced"))["all"] == 2


def test_an_event_says_why_its_key_was_tried_and_others_were_not(acme: Organization) -> None:
    skipped = (Skipped("0199", "Größe \0 “a\\b\t", "openai", "health", "x" * 999), *[Skipped("", "", "", "", "")] * 150)
    book([attempt(acme, mark="last_resort", skipped=skipped), attempt(acme)])
    event, plain = UsageEvent.objects.order_by("id")
    assert (event.mark, len(event.skipped)) == ("last_resort", 100)
    first = {"key_id": "0199", "name": "Größe  “a\\b\t", "provider": "openai", "why": "health", "reason": "x" * 300}
    assert event.skipped[0] == first
    assert (plain.mark, plain.skipped) == ("", [])


def test_a_refused_request_is_booked_without_key_and_cost(acme: Organization, ingester: Ingester, tmp_path: Path) -> None:
    client = make_keys(acme).client
    writer = Journal(tmp_path)
    request_id = str(id_given(NOON))
    who = {"organization_id": str(acme.pk), "client_key_id": str(client.pk), "member_id": 7}
    facts = {"model": "openai/gpt-4o", "stream": True, "error_class": "no_working_key", "started_at": NOON.timestamp()}
    for _ in range(2):
        writer.refuse(request_id=request_id, **who, **facts)
    assert ingester.run_once() == 1
    event = UsageEvent.objects.get()
    assert (str(event.id), str(event.request_id), str(event.provider_key_id)) == (request_id, request_id, NO_KEY)
    assert (event.outcome, event.error_class, event.number, event.stream) == ("refused", "no_working_key", 0, True)
    day = DailyRollup.objects.get()
    assert (day.outcome, day.requests, day.unpriced, day.estimated_cost_microusd) == ("refused", 1, 0, 0)
    client.refresh_from_db()
    assert client.last_used_at == NOON
    assert not HealthMark.objects.exists()
    writer.stop()


def marks() -> dict[datetime, tuple[int, int, int]]:
    return {mark.slot: (mark.passed, mark.limited, mark.failed) for mark in HealthMark.objects.all()}


def test_attempts_mark_their_key_in_each_half_hour(acme: Organization) -> None:
    key = make_keys(acme).provider.pk
    ends = [("ok", ""), ("error", "client"), ("absorbed", "limited"), ("absorbed", "refused"), ("error", "trouble")]
    ends += [("error", "out_of_money"), ("error", "no_permission"), ("error", "misconfigured")]
    silent = [("cancelled", ""), ("error", "interrupted"), ("cancelled", "trouble")]
    book([attempt(acme, key=key, outcome=outcome, error_class=error) for outcome, error in ends + silent])
    assert marks() == {NOON: (2, 1, 5)}
    half_past = NOON + timedelta(minutes=30)
    times = [NOON + timedelta(minutes=29, seconds=59), half_past, half_past + timedelta(minutes=29)]
    book([attempt(acme, key=key, at=at) for at in times])
    assert marks() == {NOON: (3, 1, 5), half_past: (2, 0, 0)}


def test_what_is_booked_twice_marks_once_and_unknown_keys_get_no_mark(acme: Organization) -> None:
    done = attempt(acme, key=make_keys(acme).provider.pk)
    book([done, done, attempt(acme)])
    book([done])
    assert marks() == {NOON: (1, 0, 0)}


def test_an_event_has_the_fields_of_its_model() -> None:
    assert set(Event.__struct_fields__) == {field.name for field in UsageEvent._meta.concrete_fields}


@dataclass
class missing:
    """A table that cannot be found while the block runs."""

    model: Any

    def __enter__(self) -> None:
        self.rename(self.model._meta.db_table, "elsewhere")

    def __exit__(self, *_: object) -> None:
        self.rename("elsewhere", self.model._meta.db_table)

    def rename(self, old: str, new: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_the_thread_goes_on_after_a_failure(lone: Organization, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    failed = threading.Event()
    handler = logging.Handler()
    handler.emit = lambda record: failed.set()  # type: ignore[method-assign]
    logging.getLogger("usage.ingest").addHandler(handler)
    writer = write(tmp_path, [attempt(lone) for _ in range(5)])
    ingester = Ingester(tmp_path)
    with missing(HourlyRollup):
        ingester.start()
        assert failed.wait(20)
    ingester.stop()
    assert sums() == (5, 5, 5)
    assert "It stays in the journal" in caplog.text
    logging.getLogger("usage.ingest").removeHandler(handler)
    writer.stop()


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """What the calls return, or the IntegrityError they end with, run at the same moment in threads of their own."""
    together = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        together.wait(20)
        try:
            return call()
        except IntegrityError as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_two_hosts_add_to_the_same_sums_without_loss(postgres_only: None, lone: Organization, tmp_path: Path) -> None:
    keys = [make_keys(lone, f"Key {number}") for number in range(8)]
    writers = []
    for host in ("one", "two"):
        chosen = [random.choice(keys) for _ in range(6000)]
        writers.append(write(tmp_path / host, [attempt(lone, key=each.provider.id, client=each.client.id) for each in chosen]))
    assert at_once(*(Ingester(tmp_path / host).run_once for host in ("one", "two"))) == [6000, 6000]
    assert sums() == (12000, 12000, 12000)
    assert HealthMark.objects.aggregate(all=Sum("passed"))["all"] == 12000
    for writer in writers:
        writer.stop()


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_the_same_attempts_booked_at_once_count_once(postgres_only: None, lone: Organization) -> None:
    same = [attempt(lone) for _ in range(300)]
    outcomes = at_once(*[lambda: book(same)] * 4)
    assert sum(outcome for outcome in outcomes if isinstance(outcome, int)) == 300
    assert sums() == (300, 300, 300)


def test_a_day_is_the_local_date_and_an_hour_is_utc(acme: Organization) -> None:
    acme.timezone = "Pacific/Auckland"
    acme.save()
    book([attempt(acme, at=datetime(2026, 11, 23, 11, 30, tzinfo=UTC))])
    assert DailyRollup.objects.get().day == date(2026, 11, 24)
    assert HourlyRollup.objects.get().hour == datetime(2026, 11, 23, 11, tzinfo=UTC)
