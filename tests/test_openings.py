"""What secrets are opened for: counted where it happens, summed in the database, told to the audit log by the hour."""

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.test import Client

from gateway.directory import Directory
from keys import data_keys
from keys.actions import add_key, disable_key, replace_credential
from keys.actions.openings import tell_openings, write_openings
from keys.actions.webhooks import add_webhook
from keys.models import Opening, ProviderKey
from keys.openings import openings
from keys.providers import Credential
from keys.tasks import tick
from keys.testing import TestResult, Verdict
from orgs.actions import Actor
from orgs.models import AuditEvent, Delivery, Organization, User

pytestmark = pytest.mark.django_db

BY = Actor.command("test")
NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
PASSED = TestResult(verdict=Verdict.VALID, reason="", status=200, latency_ms=9, models=("gpt-4o",))


@pytest.fixture(autouse=True)
def clock(time_machine: Any) -> Any:
    """Nothing is left of other tests."""
    openings.take()
    time_machine.move_to(NOW, tick=False)
    return time_machine


def credential(end: str = "0000") -> Credential:
    return Credential(secret={"api_key": f"sk-proj-not-a-real-key-{end}"}, public={}, hint=f"sk-…{end}")


@pytest.fixture
def key(acme: Organization) -> ProviderKey:
    return add_key(organization=acme, provider="openai", name="Main", credential=credential(), test=PASSED, by=BY)


def counted() -> dict[str, int]:
    return {purpose: count for (_, purpose), count in sorted(openings.take().items())}


def summed() -> dict[str, int]:
    return dict(Opening.objects.order_by("purpose").values_list("purpose", "count"))


def told() -> list[tuple[str, Any]]:
    events = AuditEvent.objects.filter(tag="credential:open").order_by("number")
    return [(event.organization.slug, event.changes["after"]) for event in events]


def open_for_test(key: ProviderKey, times: int = 1) -> None:
    for _ in range(times):
        data_keys.open_credential(key, data_keys.of(key.organization))


def test_serving_counts_once_for_as_long_as_the_credential_stays_in_memory(key: ProviderKey) -> None:
    directory = Directory()
    directory.refresh()
    assert directory.snapshot is not None
    tenant = directory.snapshot.tenants[key.organization_id]
    for _ in range(3):
        tenant.credential(key.pk)
    assert counted() == {"requests": 1}


def test_opening_asks_the_database_nothing(key: ProviderKey, django_assert_num_queries: Any) -> None:
    opened = data_keys.of(key.organization)
    with django_assert_num_queries(0):
        data_keys.open_credential(key, opened)
    assert counted() == {"tests": 1}


def test_replacing_and_upkeep_count_for_what_they_are(key: ProviderKey) -> None:
    replace_credential(key=key, credential=credential("1111"), test=PASSED, by=BY)
    assert counted() == {"comparison": 1}
    call_command("vault", "verify", stdout=StringIO())
    assert summed() == {"manage.py vault": 2}


def test_what_processes_count_is_summed_and_told_once_the_hour_is_over(
    key: ProviderKey, globex: Organization, clock: Any
) -> None:
    open_for_test(key, 2)
    write_openings()
    open_for_test(key, 3)
    tell_openings(NOW)
    assert (summed(), told()) == ({"tests": 5}, [])
    clock.move_to(NOW + HOUR, tick=False)
    disable_key(key=key, by=BY)  # a tick would test it
    tick.call()
    tick.call()
    assert told() == [("acme", {"hour": "2026-11-23T12:00:00+00:00", "tests": 5})]
    assert summed() == {}


def test_the_gateway_writes_once_a_minute(key: ProviderKey, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = Directory()
    open_for_test(key)
    directory.refresh()
    assert summed() == {}
    monkeypatch.setattr(directory, "_openings_at", 0.0)
    directory.refresh()
    assert summed() == {"tests": 1}
    open_for_test(key)
    directory.refresh()
    assert summed() == {"tests": 1}


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_the_gateway_writes_when_it_is_told_to_stop(key: ProviderKey) -> None:
    directory = Directory()
    directory.start()
    open_for_test(key, 2)
    directory.stop()
    assert summed() == {"tests": 2}


def test_a_tick_leaves_nothing_uncounted(key: ProviderKey) -> None:
    """As its process may end with it."""
    disable_key(key=key, by=BY)  # it would be tested
    webhook, _ = add_webhook(organization=key.organization, url="https://hooks.example.com/", by=BY)
    Delivery.objects.create(webhook=webhook, tag="x", payload={"id": "1", "subject": "Hello"}, due_at=NOW)
    tick.call()
    assert counted() == {}
    assert summed() == {"webhooks": 1}


def test_what_cannot_be_written_is_counted_on(key: ProviderKey) -> None:
    open_for_test(key, 2)
    with contextlib.suppress(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE keys_opening RENAME TO keys_opening_gone")
        write_openings()
        pytest.fail("There is nothing to write to.")
    open_for_test(key)
    write_openings()
    assert summed() == {"tests": 3}


def test_an_organization_that_is_gone_holds_up_nothing(key: ProviderKey, globex: Organization) -> None:
    open_for_test(key, 2)
    openings.give_back({(globex.pk, "tests"): 1})
    globex.delete()
    write_openings()
    assert summed() == {"tests": 2}


def test_the_page_shows_openings_to_who_asks_for_them(key: ProviderKey, alice: User, client_of: Callable[[User], Client]) -> None:
    open_for_test(key)
    tell_openings(NOW)
    tell_openings(NOW + HOUR)
    client = client_of(alice)
    assert "opened secrets" not in client.get("/o/acme/audit/").text
    assert "<b>Keyhold</b> opened secrets of the organization" in client.get("/o/acme/audit/?what=opened").text
