"""Owners hear that a budget is half, nearly and wholly spent or will be, and that requests leave their keys: once each."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.mail import EmailMessage
from hypothesis import given
from hypothesis import strategies as some

import gateway.budgets
from keys import tasks
from keys.models import RoutingPreference
from orgs.models import Notice, Organization, User
from tests.attempts import NOON, attempt, make_keys
from usage import alerts, budgets, leaving
from usage.alerts import crossed, watch_budgets
from usage.ingest import book
from usage.leaving import watch_leaving
from usage.models import Budget, Period, Scope, UsageEvent
from usage.periods import zone

DOLLAR = 1_000_000
WINDOW = "2026-11-01/2026-12-01"
REFUSED = "019a0000-0000-7000-8000-000000000001"
NEXT = "2026-12-01/2027-01-01"


def told_along(path: Iterable[int | tuple[int, int | None] | str]) -> list[str]:
    """What is told while spending takes these percents, or percents with a forecast; a text starts that period."""
    alerted: dict[str, Any] = {}
    window, found = WINDOW, []
    for step in path:
        if isinstance(step, str):
            window = step
            continue
        used, coming = step if isinstance(step, tuple) else (step, None)
        alerted, alert = crossed(alerted, window, used, coming)
        found += [alert] if alert else []
    return found


# Pure


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ([0, 49], []),
        ([49, 50, 50, 51, 79], ["50"]),
        ([10, 50, 80, 100, 101, 250], ["50", "80", "100"]),
        ([10, 85], ["80"]),  # one alert for two thresholds at once
        ([10, 300], ["100"]),
        ([50, 49, 50, 41, 50], ["50"]),  # around the threshold
        ([50, 39, 50], ["50", "50"]),  # an owner raised the amount, and half of that is spent too
        ([100, 75, 80, 100], ["100", "100"]),  # 80 was never clearly left
        ([100, NEXT, 0, 50], ["100", "50"]),
        ([100, NEXT, 100], ["100", "100"]),
        ([100, NEXT, 100, WINDOW, 100, NEXT, 100], ["100", "100"]),  # the time zone changed and changed back
        ([(20, 100), (20, 101), (20, 130)], ["forecast"]),
        ([(20, 130), (20, 95), (20, 130)], ["forecast"]),
        ([(20, 130), (20, 89), (20, 130)], ["forecast", "forecast"]),
        ([(20, 130), (20, None), (20, 130)], ["forecast"]),
        ([(55, 130), (55, 130)], ["50", "forecast"]),
        ([(100, 200), (100, 200)], ["100"]),  # it came true already
    ],
)
def test_each_crossing_is_told_once(path: list[Any], told: list[str]) -> None:
    assert told_along(path) == told


@given(some.lists(some.integers(0, 150), max_size=40))
def test_while_spending_only_grows_no_threshold_is_told_twice_nor_after_a_higher_one(steps: list[int]) -> None:
    found = [int(alert) for alert in told_along(sorted(steps))]
    assert found == sorted(set(found))
    reached = [threshold for threshold in (50, 80, 100) if steps and max(steps) >= threshold]
    assert found[-1:] == reached[-1:]


@given(some.lists(some.integers(80, 99), max_size=40))
def test_wavering_near_a_threshold_is_told_once(steps: list[int]) -> None:
    assert told_along([80, *steps]) == ["80"]


# With a database


@pytest.fixture
def world(acme: Organization, time_machine: Any) -> Organization:
    time_machine.move_to(NOON, tick=False)
    return acme


def budget(organization: Organization, dollars: float = 10, **fields: Any) -> Budget:
    facts = {"scope": Scope.ORGANIZATION, "period": Period.MONTH, "looked_at": NOON - timedelta(days=1)} | fields
    return Budget.objects.create(organization=organization, amount_microusd=round(dollars * DOLLAR), **facts)


def use(organization: Organization, dollars: float, at: datetime = NOON, **fields: Any) -> None:
    book([attempt(organization, at=at, reported_cost_microusd=round(dollars * DOLLAR), **fields)])


def look(*, minutes: int = 0) -> list[str]:
    """The kinds of alerts that there are after a look so much later."""
    watch_budgets(NOON + timedelta(minutes=minutes))
    return list(Notice.objects.order_by("created_at").values_list("tag", flat=True))


@pytest.mark.django_db
def test_spending_is_told_as_it_grows(world: Organization) -> None:
    made = budget(world)
    assert look() == []
    for minutes, dollars in ((2, 5.5), (4, 1), (6, 3), (8, 1)):
        use(world, dollars)
        look(minutes=minutes)
    assert look(minutes=10) == ["budget:50", "budget:80", "budget:100"]
    first, last = Notice.objects.earliest("created_at"), Notice.objects.get(tag="budget:100")
    assert (first.subject, first.target_id, first.path) == (
        "Acme has used 50% of its monthly budget",
        str(made.pk),
        "/o/acme/limits/",
    )
    assert last.subject == "Acme has used up its monthly budget"
    assert last.body.split("\n\n") == [
        "Acme has used $10.50 of $10.00.",
        "Its requests are refused until 1 December 2026, 00:00 UTC, or until an owner raises the amount.",
    ]


@pytest.mark.django_db
def test_a_forecast_says_what_it_comes_to(world: Organization) -> None:
    """Three quarters of the month are over. Of the week not enough to tell."""
    budget(world, hard=False)
    budget(world, hard=False, period=Period.WEEK)
    use(world, 7.7)
    look()
    assert look(minutes=2) == ["budget:50", "budget:50", "budget:forecast"]
    notice = Notice.objects.get(tag="budget:forecast")
    assert notice.subject == "Acme will exceed its monthly budget"
    assert notice.body.split("\n\n") == [
        "Acme has used $7.70 of $10.00. If it goes on like this, it comes to $10.27.",
        "Requests go on: this budget only tells. Counting starts anew on 1 December 2026, 00:00 UTC.",
    ]


@pytest.mark.django_db
def test_raising_the_amount_arms_the_thresholds_again(world: Organization) -> None:
    made = budget(world, period=Period.LIFETIME)
    use(world, 10)
    assert look() == ["budget:100"]
    Budget.objects.filter(pk=made.pk).update(amount_microusd=100 * DOLLAR)
    assert look(minutes=2) == ["budget:100"]
    use(world, 45)
    assert look(minutes=4) == ["budget:100", "budget:50"]
    latest = Notice.objects.get(tag="budget:50")
    assert latest.subject == "Acme has used 50% of its budget"
    assert latest.body.endswith("Beyond the amount its requests are refused. This budget never starts anew.")


@pytest.mark.django_db
def test_each_budget_counts_its_own(world: Organization, globex: Organization, bob: User) -> None:
    main, other = make_keys(world, "Main"), make_keys(world, "Other")
    make_keys(globex, "Main")
    budget(globex)
    for scope, target in (
        (Scope.MEMBER, str(bob.pk)),
        (Scope.CLIENT_KEY, str(main.client.pk)),
        (Scope.PROVIDER_KEY, str(other.provider.pk)),
        (Scope.PROVIDER_KEY, str(main.provider.pk)),
    ):
        budget(world, scope=scope, target_id=target, hard=False, period=Period.DAY)
    use(world, 11, key=main.provider.pk, client=main.client.pk, member_id=bob.pk)
    look()
    subjects = {
        "Bob has used up its daily budget",
        "Client key “Main” has used up its daily budget",
        "OpenAI key “Main” has used up its daily budget",
    }
    assert set(Notice.objects.values_list("subject", flat=True)) == subjects
    body = Notice.objects.get(subject__startswith="Client").body
    assert body.startswith("Client key “Main” of Acme has used $11.00 of $10.00.\n\nRequests go on: this budget only tells.")
    assert not Notice.objects.filter(organization=globex).exists()


@pytest.mark.django_db
def test_what_has_no_price_counts_as_the_owner_chose(world: Organization) -> None:
    for period, unpriced in ((Period.DAY, "nothing"), (Period.WEEK, "assume")):
        budget(world, period=period, unpriced=unpriced, assumed_microusd=10 * DOLLAR)
    book([attempt(world, model="nobody/nothing", native_model="nothing")])
    look()
    assert [notice.subject for notice in Notice.objects.all()] == ["Acme has used up its weekly budget"]


@pytest.mark.django_db
def test_of_a_budget_for_what_is_gone_nobody_hears(world: Organization) -> None:
    main = make_keys(world, "Main")
    budget(world, scope=Scope.CLIENT_KEY, target_id=str(main.client.pk))
    use(world, 11, client=main.client.pk)
    main.client.revoked_at = NOON
    main.client.save()
    assert look() == []
    assert Budget.objects.get().alerted["told"] == ["100", "50", "80"]


@pytest.mark.django_db
def test_a_budget_that_refuses_before_its_end_is_told_once(world: Organization) -> None:
    budget(world, period=Period.LIFETIME)
    use(world, 9.3)
    assert look() == ["budget:80"]
    use(world, 0, id=REFUSED)
    UsageEvent.objects.filter(pk=REFUSED).update(outcome="refused", error_class="budget_exhausted")
    assert look(minutes=2) == ["budget:80", "budget:100"]
    assert look(minutes=30) == ["budget:80", "budget:100"]
    notice = Notice.objects.get(tag="budget:100")
    assert notice.subject == "Acme is stopped by its budget"
    assert "The rest is too little for what some requests may cost." in notice.body


def test_the_gateway_calls_such_a_refusal_as_it_is_looked_for() -> None:
    assert f'"{alerts.EXHAUSTED}"' in Path(gateway.budgets.__file__).read_text()


@pytest.mark.django_db
def test_budgets_are_looked_at_once_a_minute_and_those_that_waited_longest_first(
    world: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "MOST_AT_ONCE", 2)
    made = [budget(world, period=period, looked_at=NOON - timedelta(hours=hours)) for hours, period in enumerate(Period, 1)]
    assert [[each.pk for each in alerts.claim(NOON)] for _ in range(3)] == [
        [made[3].pk, made[2].pk],
        [made[1].pk, made[0].pk],
        [],
    ]
    assert len(alerts.claim(NOON + timedelta(minutes=1))) == 2


@pytest.mark.django_db
@pytest.mark.parametrize("many", [1, 4])
def test_a_look_takes_as_many_queries_for_many_budgets_of_one_kind(
    world: Organization, many: int, django_assert_num_queries: Any
) -> None:
    for period in list(Period)[:many]:
        budget(world, period=period)
    look()
    with django_assert_num_queries(5):  # a savepoint and its end, budgets, that they were looked at, what was spent
        watch_budgets(NOON + timedelta(minutes=2))


@pytest.mark.django_db
def test_a_tick_looks_and_sends(world: Organization, mailoutbox: list[EmailMessage]) -> None:
    budget(world)
    use(world, 20)
    tasks.tick.enqueue()
    assert [mail.subject for mail in mailoutbox] == ["Keyhold: Acme has used up its monthly budget"]


# Leaving one's own keys


@pytest.fixture
def allows(world: Organization) -> Organization:
    forget()
    RoutingPreference.objects.update_or_create(organization=world, defaults={"own_keys_only": False})
    return world


def forget() -> None:
    leaving.pace.last = None


def told_on(organization: Organization, *, days: Iterable[int], looks: Iterable[int]) -> list[int]:
    """On which days owners are told, where requests go to shared keys on some days, and it is looked every day."""
    found = []
    for day in looks:
        now = NOON + timedelta(days=day)
        if day in days:
            book([attempt(organization, at=now, tier="platform")])
        for _ in range(2):
            forget()
            found += [day] if watch_leaving(now) else []
    return found


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("days", "told"),
    [((), []), ((0,), [0]), (range(20), [0]), ((0, 1, 3, 4, 9), [0, 3, 9]), ((0, 2, 4), [0, 2, 4])],
)
def test_leaving_ones_own_keys_is_told_once_for_a_run_of_days(allows: Organization, days: Iterable[int], told: list[int]) -> None:
    assert told_on(allows, days=days, looks=range(20)) == told


@pytest.mark.django_db
def test_two_that_look_at_once_tell_it_once(allows: Organization) -> None:
    made = budget(allows)
    use(allows, 6, tier="platform")
    stood = alerts.standing(made, 6 * DOLLAR, budgets.window(Period.MONTH, NOON, zone("UTC")), NOON)
    assert [alerts.tell(made, stood) for _ in range(2)] == [True, False]
    days = leaving.days_of_use(NOON)[allows.pk]
    assert [leaving.tell(allows, days, None, NOON) for _ in range(2)] == [True, False]
    assert Notice.objects.count() == 2


@pytest.mark.django_db
def test_what_is_booked_after_midnight_is_told_too(allows: Organization) -> None:
    assert told_on(allows, days=[0], looks=[0])[:1] == [0]
    Notice.objects.all().delete()
    assert told_on(allows, days=[], looks=[1, 2]) == [1]


@pytest.mark.django_db
def test_days_are_the_organizations_own(allows: Organization) -> None:
    Organization.objects.filter(pk=allows.pk).update(timezone="Pacific/Kiritimati")  # 14 hours ahead
    allows.refresh_from_db()
    assert told_on(allows, days=[0, 1], looks=[0, 1]) == [0]


@pytest.mark.django_db
def test_own_keys_and_organizations_that_stay_with_them_are_no_news(allows: Organization, globex: Organization) -> None:
    book([attempt(allows), attempt(globex, tier="platform")])
    assert watch_leaving(NOON) == 0


@pytest.mark.django_db
def test_leaving_is_told_in_words_and_looked_for_every_five_minutes(allows: Organization, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        watch_leaving(NOON)
    book([attempt(allows, tier="platform") for _ in range(3)])
    with django_assert_num_queries(0):
        assert watch_leaving(NOON + timedelta(minutes=4)) == 0
    assert watch_leaving(NOON + timedelta(minutes=5)) == 1
    notice = Notice.objects.get()
    assert (notice.tag, notice.subject, notice.path) == (
        "routing:shared",
        "Acme has begun to use shared keys",
        "/o/acme/usage/",
    )
    assert notice.body.startswith("3 requests of Acme went to keys of the operator,")
