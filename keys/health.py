"""Whether a provider key can be used now, and what one more answer makes of that. Pure: times are seconds, given by the caller.

A limit cools a key until the provider takes requests again. Trouble opens a breaker: half of at least five answers within
half a minute. A refused credential or an empty account takes the key out. When the time of a key that is out has come, one
request probes it; each failure in a row keeps it out longer.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from keys.providers.errors import ErrorClass

WINDOW_SECONDS = 30.0
SLOTS = 6  # parts of the window, so that old answers leave it little by little
FEWEST_ANSWERS = 5
REFUSALS = 3  # in a row, where the provider did not say outright that the credential is wrong
PROBE_SECONDS = 30.0  # how long others wait for the outcome of a probe
COOL_SECONDS = 5.0  # after a limit without a word about its end; doubles
OPEN_SECONDS = 30.0  # doubles
LONGEST_OPEN = 300.0
EMPTY_SECONDS = 300.0  # doubles: accounts are not filled up within seconds
LONGEST_OUT = 3600.0
STEADY_SECONDS = 300.0  # without a failure, until failures before count no more

LIVES = frozenset({None, ErrorClass.CLIENT})  # answers by which the provider shows that the key works


class Standing(StrEnum):
    READY = "ready"
    PROBE = "probe"  # out until now; the next request tries it
    COOLING = "cooling"
    FAILING = "failing"


class State(StrEnum):
    """As in ProviderKey.Status."""

    HEALTHY = "healthy"
    LIMITED = "limited"
    FAILING = "failing"


type Window = tuple[tuple[int, int, int], ...]
"""Newest first: number of the slot, good answers, failures."""


@dataclass(frozen=True, slots=True)
class Health:
    """`until` None while failing: until a test passes. `trips`: how often in a row it was taken out or limited."""

    state: State = State.HEALTHY
    since: float = 0.0
    until: float | None = None
    error_class: str = ""
    trips: int = 0
    refusals: int = 0
    window: Window = ()

    def standing(self, now: float) -> Standing:
        if self.state is State.HEALTHY:
            return Standing.READY
        if self.until is None or now < self.until:
            return Standing.COOLING if self.state is State.LIMITED else Standing.FAILING
        return Standing.READY if self.state is State.LIMITED else Standing.PROBE

    @property
    def lasting(self) -> tuple[State, float | None, str, int]:
        """What other processes must know, and what outlives this one."""
        return self.state, self.until, self.error_class, self.trips


WELL = Health()


def probed(health: Health, now: float) -> Health:
    """Somebody is trying it; everybody else waits for what comes of that."""
    return replace(health, until=now + PROBE_SECONDS)


def after(
    health: Health,
    outcome: ErrorClass | None,
    now: float,
    *,
    retry_after: float | None = None,
    definite: bool = False,
    probe: bool = False,
) -> Health:
    """outcome: None for a good answer. definite: the provider said that it is the credential that is wrong.

    probe: the key was tried although it was out. The end of an older request does not bring a key back.
    """
    if outcome in LIVES:
        return answered(health, now, probe)
    match outcome:
        case ErrorClass.LIMITED:
            return limited(health, now, retry_after, probe)
        case ErrorClass.OUT_OF_MONEY:
            return out(health, now, outcome, EMPTY_SECONDS, LONGEST_OUT, probe)
        case ErrorClass.REFUSED:
            return refused(health, now, definite)
        case ErrorClass.TROUBLE:
            return troubled(health, now, probe)
    return health


def answered(health: Health, now: float, probe: bool) -> Health:
    if health.state is State.HEALTHY:
        window = counted(health.window, now, good=True)
        return replace(health, refusals=0, window=window, trips=trips(health, now))
    if health.until is None or (not probe and (health.state is State.FAILING or now < health.until)):
        return health
    return Health(since=now, trips=health.trips)


def limited(health: Health, now: float, retry_after: float | None, probe: bool) -> Health:
    if health.state is State.FAILING and (health.until is None or not probe):
        return health
    count = trips(health, now)
    wait = longer(COOL_SECONDS, count, LONGEST_OPEN) if retry_after is None else min(retry_after, LONGEST_OUT)
    if health.state is State.LIMITED and now < (health.until or now):
        return replace(health, until=max(health.until or now, now + wait))
    since = health.since if health.state is State.LIMITED else now
    return Health(State.LIMITED, since, now + wait, ErrorClass.LIMITED, count + 1, window=health.window)


def refused(health: Health, now: float, definite: bool) -> Health:
    """Takes the key out until a test passes, whatever else is the matter with it."""
    if health.state is State.FAILING and health.until is None:
        return health
    if not definite and health.refusals + 1 < REFUSALS:
        return replace(health, refusals=health.refusals + 1)
    since = health.since if health.state is State.FAILING else now
    return Health(State.FAILING, since, None, ErrorClass.REFUSED, trips(health, now) + 1)


def troubled(health: Health, now: float, probe: bool) -> Health:
    if health.state is State.FAILING:
        return out(health, now, ErrorClass.TROUBLE, OPEN_SECONDS, LONGEST_OPEN, probe)
    window = counted(health.window, now, good=False)
    good, bad = sum(part[1] for part in window), sum(part[2] for part in window)
    if good + bad >= FEWEST_ANSWERS and bad >= good:
        return out(health, now, ErrorClass.TROUBLE, OPEN_SECONDS, LONGEST_OPEN, probe)
    return replace(health, window=window)


def out(health: Health, now: float, why: ErrorClass, seconds: float, most: float, probe: bool) -> Health:
    """Failing for a time that doubles with each failure in a row; what is out already stays so unless it was probed."""
    if health.state is State.FAILING and (health.until is None or not probe):
        return health
    since = health.since if health.state is State.FAILING else now
    count = trips(health, now)
    return Health(State.FAILING, since, now + longer(seconds, count, most), why, count + 1)


def trips(health: Health, now: float) -> int:
    """Those that still count: none once the key has been well for a while."""
    return 0 if health.state is State.HEALTHY and now - health.since > STEADY_SECONDS else health.trips


def longer(seconds: float, times: int, most: float) -> float:
    return float(min(seconds * 2.0 ** min(times, 20), most))


def counted(window: Window, now: float, *, good: bool) -> Window:
    """With one more answer, and without those that are older than the window."""
    slot = int(now / WINDOW_SECONDS * SLOTS)
    kept = tuple(part for part in window if slot - SLOTS < part[0] <= slot)
    if kept and kept[0][0] == slot:
        (_, passed, failed), rest = kept[0], kept[1:]
    else:
        passed, failed, rest = 0, 0, kept
    return ((slot, passed + good, failed + (not good)), *rest)
