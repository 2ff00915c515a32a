"""Writes about the order in which keys are tried."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from keys.actions.routing import routing_of
from keys.actions.writing import lock, tell
from keys.models import ProviderKey, RoutingPreference
from keys.order import Order, Place, added, grouped
from keys.routing import FALLBACK, PRIORITIZED
from orgs.actions import Actor
from orgs.models import Organization, User

PLACE = ["priority", "tier"]


class OrderConflict(Exception):
    """The order or the keys are no longer those that were looked at. Nothing was saved.

    at, by: of the last change of the order, None where nobody is known. theirs: the order that is live now.
    version: that of `theirs`. reordered: whether the last change came in between; if not, keys were removed.
    """

    def __init__(self, at: datetime | None, by: User | None, theirs: Order, *, version: int, reordered: bool) -> None:
        super().__init__("The order was changed meanwhile.")
        self.at, self.by, self.theirs, self.version, self.reordered = at, by, theirs, version, reordered


@transaction.atomic
def reorder_keys(*, organization: Organization, order: Sequence[tuple[UUID, str]], version: int, by: Actor) -> None:
    """From now on keys are tried in this order: each present key by its id, with its tier. Providers are kept together.

    version: the order's when it was looked at. Raises OrderConflict, and then the first one who saved has won.
    """
    lock(organization)
    keys = {key.pk: key for key in ProviderKey.objects.for_org(organization)}
    routing, theirs = routing_of(organization), live(keys.values())
    if (reordered := version != routing.order_version) or sorted(key for key, _ in order) != sorted(keys):
        current = routing.order_version
        raise OrderConflict(routing.ordered_at, routing.ordered_by, theirs, version=current, reordered=reordered)
    mine = grouped(Place(key, keys[key].provider, tier) for key, tier in order)
    if mine == theirs:
        return
    before = by_tier(theirs, keys)
    ProviderKey.objects.bulk_update(numbered(keys.values(), mine), PLACE)
    note(routing, by)
    tell(organization, by, "routing:reorder", before=before, after=by_tier(mine, keys))


def make_room(key: ProviderKey, by: Actor) -> None:
    """Give a key that is about to be added its place, and move those on that come after it. The caller has the lock."""
    keys = list(ProviderKey.objects.for_org(key.organization))
    order = added(live(keys), Place(key.pk, key.provider, key.tier))
    changed = numbered([*keys, key], order)
    ProviderKey.objects.bulk_update([each for each in changed if each is not key], PLACE)
    note(routing_of(key.organization), by)


def live(keys: Iterable[ProviderKey]) -> Order:
    """As it is tried now. Keys that were added before providers were kept together may stand apart."""
    placed = [Place(key.pk, key.provider, key.tier) for key in keys]
    return sorted(placed, key=lambda place: place.tier != PRIORITIZED)


def numbered(keys: Iterable[ProviderKey], order: Order) -> list[ProviderKey]:
    """The keys whose place or tier this changes. Places count from 1."""
    present, changed = {key.pk: key for key in keys}, []
    for number, place in enumerate(order, 1):
        key = present[place.key]
        if (key.priority, key.tier) != (number, place.tier):
            key.priority, key.tier = number, place.tier
            changed.append(key)
    return changed


def note(routing: RoutingPreference, by: Actor) -> None:
    """The order has changed, so whoever looked at it before has to look again."""
    routing.order_version += 1
    routing.ordered_at, routing.ordered_by = timezone.now(), by.user
    routing.save()


def by_tier(order: Order, keys: Mapping[UUID, ProviderKey]) -> dict[str, list[str]]:
    return {tier: [str(keys[place.key]) for place in order if place.tier == tier] for tier in (PRIORITIZED, FALLBACK)}
