"""How much of what one key serves another of the same provider would serve in its place. Pure, and judged as the plan does."""

from collections.abc import Collection
from enum import Enum

from keys import routes
from keys.catalog import Match, slugs
from keys.models import ProviderKey
from keys.pages.consequences import operation_of
from keys.providers import PROVIDERS
from keys.routing import RouteKey, judge


class Share(Enum):
    NOTHING = 0
    SOME = 1
    EVERYTHING = 2


def share(key: ProviderKey, other: ProviderKey) -> Share:
    parts = (
        of_callers(key.allowed_client_keys, other.allowed_client_keys),
        of_callers(key.allowed_members, other.allowed_members),
        of_models(key, other),
    )
    return min(parts, key=lambda part: part.value)


def of_callers[T](mine: Collection[T] | None, theirs: Collection[T] | None) -> Share:
    """None stands for all there are."""
    if theirs is None:
        return Share.EVERYTHING
    if mine is None:
        return Share.SOME
    return part_of(len(set(mine) & set(theirs)), len(set(mine)))


def of_models(key: ProviderKey, other: ProviderKey) -> Share:
    """Of a key of which it is not known what it serves, only patterns can say that the other one serves less."""
    as_free = other.allowed_models in (None, key.allowed_models)
    if as_free and (other.discovered_models, other.public) == (key.discovered_models, key.public):
        return Share.EVERYTHING
    mine, theirs = routes.route_of(key, {}), routes.route_of(other, {})
    known = slugs(PROVIDERS[key.provider], discovered=mine.discovered, deployments=mine.deployments)
    served = [model for model in known if serves(mine, model)]
    if not served:
        return Share.EVERYTHING if as_free else Share.SOME
    return part_of(sum(serves(theirs, model) for model in served), len(served))


def serves(route: RouteKey, model: str) -> bool:
    return isinstance(judge(route, (model, operation_of(route.provider))), Match)


def part_of(count: int, total: int) -> Share:
    if count == total:
        return Share.EVERYTHING
    return Share.SOME if count else Share.NOTHING
