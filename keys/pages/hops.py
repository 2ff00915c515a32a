"""What the routing page draws: the tiers, in each the providers in their order, and in each of those its keys."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from uuid import UUID

from django.db.models import Max

from keys.models import ProviderKey
from keys.order import Order, Place, groups
from keys.pages.listing import OFF, Row, letter
from keys.providers import PROVIDERS, Provider
from keys.routing import Policy
from orgs.models import AuditEvent, Organization

Status = ProviderKey.Status


@dataclass(frozen=True, slots=True)
class Step:
    """A key in its place. Without a row it gets no traffic: it keeps its place and is not drawn."""

    place: Place
    row: Row | None
    mark: str

    @property
    def target(self) -> str:
        """What keys/order.py:moved calls it."""
        return str(self.place.key)


@dataclass(frozen=True, slots=True)
class Hop:
    """The keys of one provider in one tier. `number` is 0 if none of them gets traffic; `stopped` says why none does now."""

    steps: tuple[Step, ...]
    number: int
    stopped: str

    @property
    def provider(self) -> Provider:
        return PROVIDERS[self.steps[0].place.provider]

    @property
    def target(self) -> str:
        """What keys/order.py:moved calls it."""
        return f"{self.steps[0].place.tier}:{self.provider.slug}"

    @property
    def rows(self) -> list[Row]:
        return [step.row for step in self.steps if step.row]

    @property
    def last_mark(self) -> str:
        return letter(len(self.rows) - 1)

    @property
    def state(self) -> str:
        """A key that is limited works: it is skipped for a moment only."""
        states = [row.state for row in self.rows]
        if self.stopped:
            return OFF
        if Status.FAILING in states:
            return Status.FAILING if set(states) == {Status.FAILING} else Status.LIMITED
        return Status.HEALTHY if Status.HEALTHY in states else states[0]

    @property
    def label(self) -> str:
        """Where the word for the state would not say it."""
        working = sum(row.state != Status.FAILING for row in self.rows)
        if self.stopped or not 0 < working < len(self.rows):
            return self.stopped
        return f"{working} of {len(self.rows)} working"

    @property
    def models(self) -> str:
        if not all(row.models for row in self.rows):
            return "all models"
        count = len({model for row in self.rows for model in row.models})
        return f"{count} model{'' if count == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class Resting:
    """A key that gets no traffic, and since when, if it was turned off."""

    row: Row
    off_since: datetime | None


@dataclass(frozen=True, slots=True)
class Tier:
    """`first` and `last`: the numbers of its hops at the ends."""

    name: str
    hops: tuple[Hop, ...]

    @property
    def first(self) -> int:
        return min((hop.number for hop in self.hops if hop.number), default=0)

    @property
    def last(self) -> int:
        return max(hop.number for hop in self.hops)


def draw(order: Order, listed: Iterable[Row], policy: Policy) -> list[Tier]:
    """listed: as keys/pages/listing.py has them. Hops are numbered through all tiers, as the list of keys numbers them."""
    in_order = {row.key.pk: row for row in listed if row.order}
    drawn = hops(groups(order), in_order, policy)
    return [Tier(name, tuple(found)) for name, found in groupby(drawn, key=lambda hop: hop.steps[0].place.tier)]


def hops(found: Iterable[Order], in_order: Mapping[UUID, Row], policy: Policy) -> Iterator[Hop]:
    number = 0
    for group in found:
        shown = any(place.key in in_order for place in group)
        number += shown
        yield Hop(tuple(steps(group, in_order)), number if shown else 0, why_stopped(group[0].provider, policy))


def steps(group: Order, in_order: Mapping[UUID, Row]) -> Iterator[Step]:
    count = 0
    for place in group:
        row = in_order.get(place.key)
        yield Step(place, row, letter(count) if row else "")
        count += row is not None


def at_rest(listed: Iterable[Row], organization: Organization) -> list[Resting]:
    """Keys that get no traffic. One query, if one of them is off."""
    resting = [row for row in listed if not row.order]
    off = [str(row.key.pk) for row in resting if not row.key.enabled]
    events = AuditEvent.objects.filter(organization=organization, target_id__in=off, tag="provider_key:disable")
    since = dict(events.values_list("target_id").annotate(Max("at"))) if off else {}
    return [Resting(row, since.get(str(row.key.pk))) for row in resting]


def why_stopped(provider: str, policy: Policy) -> str:
    decided = policy.providers.get(provider)
    if decided is None:
        return ""
    return "Paused" if decided.paused else "" if decided.use_own_keys else "Own keys off"
