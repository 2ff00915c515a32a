"""The order in which an organization's keys are tried, as the routing page draws it and as an owner moves it. Pure.

Prioritized keys stand before those of the fallback tier, and within a tier all keys of one provider stand together.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from keys.routing import FALLBACK, PRIORITIZED

OTHER_TIER = {PRIORITIZED: FALLBACK, FALLBACK: PRIORITIZED}
STEPS = {"up": -1, "down": 1}
WRITTEN = re.compile(rf"(?P<key>[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}):(?P<tier>{PRIORITIZED}|{FALLBACK})")


class Place(NamedTuple):
    key: UUID
    provider: str
    tier: str

    @property
    def written(self) -> str:
        return f"{self.key}:{self.tier}"


type Order = list[Place]


def read(texts: Iterable[str]) -> list[tuple[UUID, str]]:
    """Keys with their tiers, as `written` has them. What nobody could have meant is left out."""
    return [(UUID(found["key"]), found["tier"]) for text in texts if (found := WRITTEN.fullmatch(text))]


def placed(wanted: Iterable[tuple[UUID, str]], present: Iterable[Place]) -> Order:
    """Those of the keys that are there now."""
    there = {place.key: place for place in present}
    return [there[key]._replace(tier=tier) for key, tier in dict(wanted).items() if key in there]


def groups(order: Iterable[Place]) -> list[Order]:
    """Keys of one provider in one tier, in the order in which they are tried: providers by their first key."""
    found: dict[tuple[str, str], Order] = {}
    for place in order:
        found.setdefault((place.tier, place.provider), []).append(place)
    return sorted(found.values(), key=lambda group: group[0].tier != PRIORITIZED)


def grouped(order: Iterable[Place]) -> Order:
    return flat(groups(order))


def flat(found: Iterable[Order]) -> Order:
    return [place for group in found for place in group]


def added(order: Sequence[Place], fresh: Place) -> Order:
    """After the last key of its provider and tier, or else last of its tier. Nothing else changes its place."""
    kin = [number for number, each in enumerate(order, 1) if each.tier == fresh.tier and each.provider == fresh.provider]
    at = kin[-1] if kin else sum(each.tier in (PRIORITIZED, fresh.tier) for each in order)
    return [*order[:at], fresh, *order[at:]]


def on_top_of(theirs: Sequence[Place], mine: Sequence[Place]) -> Order:
    """My order of the keys that there are now. Those that I did not know of come after the others of their provider."""
    there, known = {place.key for place in theirs}, {place.key for place in mine}
    return grouped([*(place for place in mine if place.key in there), *(place for place in theirs if place.key not in known)])


def moved(order: Sequence[Place], move: str, shown: Callable[[Place], bool]) -> Order:
    """`move` is up, down or tier, a colon, and what is moved: the id of a key, or tier and provider of all its keys there.

    It passes the next one that is shown. Where it cannot go, and where the words mean nothing, the order stays.
    """
    direction, _, target = move.partition(":")
    chosen = [place for place in order if target in (str(place.key), f"{place.tier}:{place.provider}")]
    if chosen and direction == "tier":
        return to_other_tier(order, chosen)
    if chosen and direction in STEPS:
        return flat(stepped(groups(order), chosen, target, STEPS[direction], shown))
    return list(order)


def to_other_tier(order: Iterable[Place], chosen: Sequence[Place]) -> Order:
    stay = [place for place in order if place not in chosen]
    return grouped([*stay, *(place._replace(tier=OTHER_TIER[place.tier]) for place in chosen)])


def stepped(found: list[Order], chosen: Order, target: str, step: int, shown: Callable[[Place], bool]) -> list[Order]:
    first = chosen[0]
    if target == str(first.key):
        return [passed(group, first, step, shown) if first in group else group for group in found]
    return passed(found, chosen, step, lambda group: group[0].tier == first.tier and any(map(shown, group)))


def passed[T](items: list[T], item: T, step: int, shown: Callable[[T], bool]) -> list[T]:
    """The item on the other side of its next neighbor that is shown."""
    seen = [each for each in items if each == item or shown(each)]
    at = seen.index(item) + step
    if not 0 <= at < len(seen):
        return items
    rest = [each for each in items if each != item]
    where = rest.index(seen[at]) + (step > 0)
    return [*rest[:where], item, *rest[where:]]
