"""What a gateway knows of spending that it did not count itself: from the sums, and from the journal."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from gateway.admission import Admission, Asked, Grant
from gateway.books import FRESH_SECONDS, RETRY_SECONDS, Books, counter
from gateway.budgets import Budgets
from gateway.counters import Memory
from gateway.errors import Refusal
from gateway.health import HealthBoard
from gateway.operations.chat import read_request
from gateway.shared_counters import Shared
from gateway.snapshot import Caller, load
from gateway.wires.values import Usage
from keys import actions
from keys.routing import PRIORITIZED, Candidate, RouteKey
from orgs.actions import Actor
from orgs.models import Organization
from tests.attempts import NOON, attempt
from usage.budgets import window
from usage.ingest import Ingester, book
from usage.journal import Finished, Journal
from usage.models import Budget, Period, Scope, Unpriced
from usage.periods import zone

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)

FACT = 450  # millionths of a dollar that an attempt of tests/attempts.py comes to
AMOUNT = 10_000
ASK = read_request(b'{"model": "openai/gpt-4o", "max_tokens": 100, "messages": []}')
KEY = RouteKey(uuid4(), "openai", "main", 1, PRIORITIZED, True, True, frozenset(), ())
CANDIDATE = Candidate(KEY, "gpt-4o", None)


class Gateway:
    """What admits, with clocks to turn: `seconds` pass by themselves, `now` is the time of day."""

    def __init__(self, organization: Organization, folder: Path) -> None:
        self.now = NOON
        self.seconds = 0.0
        self.books = Books(folder, lambda: self.seconds, lambda: self.now)
        self.admission = Admission(Memory(lambda: self.seconds), (Budgets(self.books),), self.books)
        self.runner = asyncio.Runner()
        self.organization = organization
        self.key, _ = actions.issue_client_key(organization=organization, name=uuid4().hex, by=Actor.command("test"))

    def caller(self) -> Caller:
        """As the database has it now."""
        self.organization.refresh_from_db()
        return load({self.organization.pk: self.organization.routing_version}, HealthBoard()).callers[self.key.public_id]

    def spent(self) -> int:
        [told] = self.runner.run(self.admission.left(self.caller()))["budgets"]
        return AMOUNT - int(told["remaining"])

    def ask(self, *, costs: Usage | None = None) -> None:
        """A request from its beginning to its end. Raises Refusal."""
        asked = Asked(self.caller(), ASK, [CANDIDATE])

        async def go() -> None:
            grant: Grant = await self.admission.admit(asked)
            if costs:
                grant.settle(CANDIDATE, costs)
            grant.release()

        self.runner.run(go())

    def read(self) -> None:
        """To the end, what was begun to be read."""
        for reading in list(self.books.reading.values()):
            self.runner.run(asyncio.wait([reading]))


type Start = Callable[[], Gateway]


@pytest.fixture
def start(acme: Organization, tmp_path: Path) -> Iterator[Start]:
    """Another process of Acme's gateway, on the same journal."""
    with ExitStack() as running:

        def start() -> Gateway:
            gateway = Gateway(acme, tmp_path)
            running.enter_context(gateway.runner)
            return gateway

        yield start


@pytest.fixture
def gateway(start: Start) -> Gateway:
    return start()


def allow(organization: Organization, **fields: object) -> Budget:
    values = {"scope": Scope.ORGANIZATION, "period": Period.DAY, "amount_microusd": AMOUNT, **fields}
    return Budget.objects.create(organization=organization, **values)


def written(folder: Path, *attempts: Finished, closed: bool = True) -> None:
    """By a process that is gone."""
    writer = Journal(folder)
    for each in attempts:
        writer.open(each.opened)
        if closed:
            writer.close(each.closed)
    writer.stop()


def test_what_a_dead_process_wrote_counts_once_before_and_after_it_is_booked(
    start: Start, acme: Organization, tmp_path: Path
) -> None:
    allow(acme)
    book([attempt(acme)])
    written(tmp_path, attempt(acme), attempt(acme))
    written(tmp_path, attempt(Organization.objects.create(name="Other", slug="other")))
    before = start()
    assert before.spent() == 3 * FACT
    Ingester(tmp_path).run_once()
    assert start().spent() == 3 * FACT
    before.seconds += FRESH_SECONDS
    assert before.spent() == 3 * FACT


def test_what_a_dead_process_left_open_counts_at_its_estimate(start: Start, acme: Organization, tmp_path: Path) -> None:
    allow(acme)
    written(tmp_path, attempt(acme, input_estimate=50, output_estimate=500), closed=False)
    assert start().spent() == 5_125
    Ingester(tmp_path).run_once()
    assert start().spent() == 5_125


def test_what_lies_in_the_journal_counts_for_whom_it_concerns(start: Start, acme: Organization, tmp_path: Path) -> None:
    gateway = start()
    mine = gateway.key.pk
    unpriced: dict[str, Any] = {"model": "acme/own", "native_model": "own"}
    allow(acme, scope=Scope.CLIENT_KEY, target_id=str(mine), unpriced=Unpriced.ASSUME, assumed_microusd=70)
    written(tmp_path, attempt(acme, client=mine), attempt(acme, client=mine, **unpriced), attempt(acme))
    assert gateway.spent() == FACT + 70
    yesterday = start()
    yesterday.now -= timedelta(days=1)
    yesterday.key = gateway.key
    assert yesterday.spent() == 0


def test_what_others_used_of_a_key_that_is_lent_counts_after_a_restart(
    start: Start, acme: Organization, globex: Organization, tmp_path: Path
) -> None:
    key, of_key = uuid4(), {"scope": Scope.PROVIDER_KEY}
    budget = allow(acme, target_id=str(key), **of_key)
    allow(acme, target_id=str(uuid4()), **of_key)
    lent = {"key": key, "tier": "platform"}
    book([attempt(acme, key=key), attempt(globex, **lent), attempt(globex)])
    written(tmp_path, attempt(globex, **lent), attempt(globex))
    gateway = start()
    tenant = gateway.caller().tenant
    gateway.runner.run(gateway.books.ready(tenant))
    assert gateway.books.start(tenant, counter(budget, window(budget.period, NOON, zone("UTC")))) == 3 * FACT


def test_what_was_counted_elsewhere_is_seen_soon(gateway: Gateway, acme: Organization) -> None:
    allow(acme)
    gateway.ask(costs=Usage(input_tokens=100, output_tokens=20))
    assert gateway.spent() == FACT
    book([attempt(acme), attempt(acme)])
    assert gateway.spent() == FACT
    gateway.seconds += FRESH_SECONDS
    assert gateway.spent() == FACT  # does not wait for what it began to read
    gateway.read()
    assert gateway.spent() == 2 * FACT


def test_a_new_day_begins_at_midnight_where_the_organization_is(gateway: Gateway, acme: Organization) -> None:
    Organization.objects.filter(pk=acme.pk).update(timezone="Europe/Berlin")
    allow(acme)
    gateway.now = datetime(2026, 10, 25, 22, 59, tzinfo=UTC)  # the 25 hours of this day end in a minute
    gateway.ask(costs=Usage(input_tokens=4_000))
    assert gateway.spent() == AMOUNT
    with pytest.raises(Refusal, match=r"daily budget of this organization.* resets on 26 October at midnight"):
        gateway.ask()
    gateway.now += timedelta(minutes=1)
    gateway.ask()
    assert gateway.spent() == 0


@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(hours=-1), timedelta(hours=-20), timedelta(hours=20)])
def test_a_clock_that_steps_resets_nothing(gateway: Gateway, acme: Organization, step: timedelta) -> None:
    """Neither within the period nor after it was set back from another one."""
    allow(acme)
    gateway.ask(costs=Usage(input_tokens=4_000))
    gateway.now += step
    gateway.spent()
    gateway.now = NOON
    with pytest.raises(Refusal, match="is used up"):
        gateway.ask()


def test_an_edit_of_what_counts_without_a_price_counts_anew_from_the_sums(gateway: Gateway, acme: Organization) -> None:
    budget = allow(acme)
    book([attempt(acme, model="acme/own", native_model="own")])
    assert gateway.spent() == 0
    Budget.objects.filter(pk=budget.pk).update(unpriced=Unpriced.ASSUME, assumed_microusd=300)
    Organization.objects.filter(pk=acme.pk).bump_routing()
    assert gateway.spent() == 300


def test_while_nothing_can_be_read_hard_budgets_refuse_for_now_and_soft_ones_do_not(gateway: Gateway, acme: Organization) -> None:
    budget = allow(acme, hard=False)
    soft = gateway.caller()
    Budget.objects.filter(pk=budget.pk).update(hard=True)
    hard = gateway.caller()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE usage_dailyrollup RENAME TO elsewhere")
    try:
        gateway.runner.run(gateway.admission.admit(Asked(soft, ASK, [CANDIDATE])))
        with pytest.raises(Refusal) as refused:
            gateway.runner.run(gateway.admission.admit(Asked(hard, ASK, [CANDIDATE])))
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE elsewhere RENAME TO usage_dailyrollup")
    assert (refused.value.status, refused.value.code) == (503, "budget_unknown")
    assert refused.value.headers["retry-after"] == "5"
    gateway.seconds += RETRY_SECONDS
    gateway.ask()


def test_without_valkey_each_process_spends_its_share_of_what_is_left(gateway: Gateway, acme: Organization) -> None:
    allow(acme)
    book(attempt(acme) for _ in range(4))  # 8,200 are left, a quarter of that is 2,050, and a request may cost 1,040
    shared = Shared("redis://127.0.0.1:1", 4)
    gateway.runner.run(shared.__aenter__())
    gateway.admission = replace(gateway.admission, counters=shared)
    try:
        for _ in range(3):
            gateway.ask(costs=Usage(input_tokens=100, output_tokens=20))
        with pytest.raises(Refusal) as refused:
            gateway.ask()
        assert (refused.value.status, refused.value.code) == (429, "budget_reserved")
        assert gateway.spent() == 7 * FACT
    finally:
        gateway.runner.run(shared.__aexit__())
