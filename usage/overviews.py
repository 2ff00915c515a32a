"""What the overview says about an organization's provider keys."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from keys.models import ProviderKey
from usage.screens import Stat

Status = ProviderKey.Status
TROUBLES = {  # the worst first: tone and icon of the guide, what to say, what to do
    Status.FAILING: ("bad", "s-failing", "is failing.", "Fix key"),
    Status.LIMITED: ("warn", "s-limited", "is limited.", "See key"),
    Status.UNTESTED: ("accent", "s-untested", "has not been tested.", "Test key"),
}


@dataclass(frozen=True, slots=True)
class Attention:
    """One line below "Needs attention"."""

    key: ProviderKey
    tone: str
    mark: str
    title: str
    reason: str
    action: str


def attention(keys: Sequence[ProviderKey]) -> list[Attention]:
    """Keys that need someone, the worst first. One that was turned off needs nobody."""
    return [
        Attention(key, tone, mark, f"{key} {state}", _reason(key), action)
        for status, (tone, mark, state, action) in TROUBLES.items()
        for key in keys
        if key.enabled and key.status == status
    ]


def _reason(key: ProviderKey) -> str:
    if key.status != Status.UNTESTED:
        return key.status_reason
    return "It gets no traffic until it passes." if key.needs_test else "It gets traffic without a test."


def all_well(keys: Sequence[ProviderKey]) -> tuple[str, str]:
    """Icon and sentence for when nothing needs attention."""
    on = sum(key.enabled for key in keys)
    if not on:
        return "s-off", "Every key is turned off, so no request can be served."
    return "s-healthy", f"All {on} keys are working." if on > 1 else "Your key is working."


def of_week(stats: Iterable[Stat]) -> list[Stat]:
    """The page shows more than usage, so each number says what it is of."""
    return [replace(stat, name=f"{stat.name}, 7 days") for stat in stats]


def working(keys: Sequence[ProviderKey]) -> Stat:
    """How many keys can serve, and what is the matter with the others."""
    states = Counter(key.get_status_display().lower() if key.enabled else "off" for key in keys)
    able = sum(key.enabled and key.status != Status.FAILING and not _waits(key) for key in keys)
    words = ", ".join(f"{states[state]} {state}" for state in ("failing", "rate limited", "not tested", "off") if states[state])
    return Stat("Working keys", f"{able} of {len(keys)}", "", words or "None failing")


def _waits(key: ProviderKey) -> bool:
    return key.status == Status.UNTESTED and key.needs_test


def whom_to_ask(owners: Sequence[str]) -> str:
    """For members of an organization without keys."""
    if len(owners) < 2:
        return f"Ask {''.join(owners)}, who is an owner."
    return f"Ask {', '.join(owners[:-1])} or {owners[-1]}, who are owners."
