"""Tells owners that a budget is half, nearly and wholly spent, and that it will be if things go on as they do.

Once for each crossing. A threshold that was told is told again only in the next period, or after spending has been clearly
below it, as when an owner raises the amount and it is spent too.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.urls import reverse

from orgs.models import Notice, Organization
from usage import budgets, targets
from usage.budgets import Window
from usage.figures import dollars, exact_dollars, zone_name
from usage.models import Budget, Outcome, Period, Scope, UsageEvent
from usage.periods import zone
from usage.targets import NoSuchTarget, Target

EVERY = timedelta(minutes=1)
MOST_AT_ONCE = 200
THRESHOLDS = (100, 80, 50)  # percent
BACK = 10  # percent below a threshold, from where it may be crossed again
NEARLY = 90  # percent; from here on a refusal means that the rest is too little for what a request may cost
LATELY = timedelta(minutes=5)
FORECAST, FORECAST_BACK = "forecast", 90  # percent of the amount that the whole period will come to
SUBJECT_LENGTH = Notice._meta.get_field("subject").max_length
EXHAUSTED = "budget_exhausted"  # as gateway/ writes it down
PERIODS = {Period.DAY: "daily ", Period.WEEK: "weekly ", Period.MONTH: "monthly ", Period.LIFETIME: ""}


@dataclass(frozen=True, slots=True)
class Standing:
    """What is spent of a budget in its period at a time.

    refusing: requests are refused already, though not all of it is spent.
    expected: what the whole period will come to, as far as can be told.
    """

    at: datetime
    window: Window
    spent: int
    refusing: bool
    expected: int | None


def watch_budgets(now: datetime) -> int:
    """Look at the budgets that nobody looked at for longest. Returns how many there was something to tell of."""
    by_organization: defaultdict[Organization, list[Budget]] = defaultdict(list)
    for budget in claim(now):
        by_organization[budget.organization].append(budget)
    told = 0
    for organization, some in by_organization.items():
        local = zone(organization.timezone)
        sums = budgets.spent(organization.pk, some, now, local)
        for budget in some:
            window = budgets.window(budget.period, now, local)
            told += tell(budget, standing(budget, sums[budget.pk].counted(budget), window, now))
    return told


@transaction.atomic
def claim(now: datetime) -> list[Budget]:
    due = Budget.objects.filter(looked_at__lte=now - EVERY).select_related("organization").order_by("looked_at")
    claimed = list(due.select_for_update(skip_locked=True, of=("self",), no_key=True)[:MOST_AT_ONCE])
    if claimed:
        Budget.objects.filter(pk__in=[budget.pk for budget in claimed]).update(looked_at=now)
    return claimed


def standing(budget: Budget, spent: int, window: Window, now: datetime) -> Standing:
    refusing = budget.hard and NEARLY <= percent(spent, budget.amount_microusd) < 100 and has_refused(budget.organization, now)
    return Standing(now, window, spent, refusing, budgets.forecast(spent, window, now))


def has_refused(organization: Organization, now: datetime) -> bool:
    """Whether a budget stopped a request of theirs in the last minutes."""
    lately = UsageEvent.objects.filter(organization=organization, started_at__gte=now - LATELY)
    return lately.filter(outcome=Outcome.REFUSED, error_class=EXHAUSTED).exists()


def tell(budget: Budget, standing: Standing) -> bool:
    amount = budget.amount_microusd
    used = 100 if standing.refusing else percent(standing.spent, amount)
    coming = None if standing.expected is None else percent(standing.expected, amount)
    alerted, alert = crossed(budget.alerted, str(standing.window), used, coming)
    return alerted != budget.alerted and write(budget, alerted, alert, standing)


@transaction.atomic
def write(budget: Budget, alerted: Mapping[str, Any], alert: str, standing: Standing) -> bool:
    """Whether there was something to tell, and no other process told it meanwhile."""
    current = Budget.objects.select_for_update(no_key=True).filter(pk=budget.pk).first()
    if current is None or current.alerted != budget.alerted:
        return False
    Budget.objects.filter(pk=budget.pk).update(alerted=alerted)
    if not alert:
        return False
    try:
        target = targets.find(budget.organization, budget.scope, budget.target_id)
    except NoSuchTarget:  # what is gone spends nothing more
        return False
    Notice.objects.create(
        organization=budget.organization,
        tag=f"budget:{alert}",
        target_id=str(budget.pk),
        subject=subject(budget, target, standing, alert)[:SUBJECT_LENGTH],
        body="\n\n".join((said(budget, target, standing, alert), consequence(budget, alert, standing.window))),
        path=reverse("limits", args=[budget.organization.slug]),
        created_at=standing.at,
    )
    return True


def crossed(alerted: Mapping[str, Any], window: str, used: int, coming: int | None) -> tuple[dict[str, Any], str]:
    """What owners know from now on, and what to tell them now: "50", "80", "100", "forecast" or nothing.

    alerted: as this function returned it last, or empty. window: the period, in an order in which later ones are greater.
    used, coming: percent of the amount, now and at the end.
    """
    same = window <= alerted.get("period", "")  # also when a change of the time zone leads back into the one before
    told = set(alerted["told"]) if same else set()
    told -= {str(threshold) for threshold in THRESHOLDS if used < threshold - BACK}
    if coming is not None and coming < FORECAST_BACK:
        told.discard(FORECAST)
    alert = next((str(threshold) for threshold in THRESHOLDS if used >= threshold and str(threshold) not in told), "")
    if alert:
        told |= {str(threshold) for threshold in THRESHOLDS if threshold <= int(alert)}
    elif coming is not None and coming > 100 > used and FORECAST not in told:
        alert = FORECAST
        told.add(FORECAST)
    return {"period": alerted["period"] if same else window, "told": sorted(told)}, alert


def percent(part: int, amount: int) -> int:
    """Of a budget of nothing, everything is too much."""
    if amount <= 0:
        return 101 if part > 0 else 0
    return part * 100 // amount if part <= amount else max(101, part * 100 // amount)


def subject(budget: Budget, target: Target, standing: Standing, alert: str) -> str:
    cap = f"{PERIODS[Period(budget.period)]}budget"
    if alert == FORECAST:
        return f"{named(target)} will exceed its {cap}"
    if alert == "100":
        return f"{named(target)} {'is stopped by' if standing.refusing else 'has used up'} its {cap}"
    return f"{named(target)} has used {alert}% of its {cap}"


def named(target: Target) -> str:
    """As in the middle of a sentence, but for the first letter."""
    match target.scope:
        case Scope.CLIENT_KEY:
            return f"Client key “{target.name}”"
        case Scope.PROVIDER_KEY:
            return f"{target.note} key “{target.name}”"
    return target.name


def said(budget: Budget, target: Target, standing: Standing, alert: str) -> str:
    amount = exact_dollars(budget.amount_microusd)
    used = f"{named(target)} of {budget.organization}" if target.scope != Scope.ORGANIZATION else target.name
    so_far = f"{used} has used {dollars(standing.spent)} of {amount}."
    if standing.refusing:
        return f"{so_far} The rest is too little for what some requests may cost."
    if alert != FORECAST or standing.expected is None:
        return so_far
    return f"{so_far} If it goes on like this, it comes to {dollars(standing.expected)}."


def consequence(budget: Budget, alert: str, window: Window) -> str:
    resets = f"Counting starts anew on {moment(window)}." if window.after else "This budget never starts anew."
    if not budget.hard:
        return f"Requests go on: this budget only tells. {resets}"
    if alert == "100":
        until = f"until {moment(window)}, or until" if window.after else "until"
        return f"Its requests are refused {until} an owner raises the amount."
    return f"Beyond the amount its requests are refused. {resets}"


def moment(window: Window) -> str:
    """The day it starts anew there."""
    assert window.after
    return f"{window.after:%-d %B %Y}, 00:00 {zone_name(window.zone)}"
