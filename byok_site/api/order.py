"""The order in which provider keys are tried."""

from collections.abc import Iterable
from typing import Any

import msgspec
from django.db import transaction

from byok_site.api.door import CHANGED, Answer, Call, Operation, Route
from byok_site.api.problems import FieldError, Refused
from keys.actions import OrderConflict, lock, reorder_keys
from keys.actions.ordering import live
from keys.models import ProviderKey, RoutingPreference
from keys.order import Order, Place, grouped
from keys.routing import FALLBACK, PRIORITIZED

INCOMPLETE = "Name every provider key once, each in one of the two lists."


class OrderedKey(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    provider: str
    name: str


class OrderBody(msgspec.Struct, forbid_unknown_fields=True):
    """Every provider key once. Keys of one provider in one list are kept together."""

    prioritized: list[OrderedKey]
    fallback: list[OrderedKey]


def keys_of(call: Call) -> list[ProviderKey]:
    return list(ProviderKey.objects.for_org(call.organization))


def version_of(call: Call) -> int:
    routing = RoutingPreference.objects.filter(organization=call.organization).first()
    return routing.order_version if routing else 0


def answer(call: Call) -> Answer:
    keys = {key.pk: key for key in keys_of(call)}
    order = live(keys.values())

    def of_tier(tier: str) -> list[OrderedKey]:
        return [OrderedKey(place.provider, keys[place.key].name) for place in order if place.tier == tier]

    return Answer(OrderBody(of_tier(PRIORITIZED), of_tier(FALLBACK)), etag=f'"{version_of(call)}"')


def read(call: Call) -> Answer:
    return answer(call)


def put(call: Call, body: OrderBody) -> Answer:
    with transaction.atomic():
        lock(call.organization)
        keys, version = keys_of(call), version_of(call)
        wanted = placed(body, keys)
        if wanted != live(keys):
            call.match(f'"{version}"')
            reorder(call, wanted, version)
    return answer(call)


def reorder(call: Call, wanted: Order, version: int) -> None:
    order = [(place.key, place.tier) for place in wanted]
    try:
        reorder_keys(organization=call.organization, order=order, version=version, by=call.by)
    except OrderConflict:
        raise Refused(412, "changed", CHANGED) from None


def placed(body: OrderBody, keys: Iterable[ProviderKey]) -> Order:
    known = {OrderedKey(key.provider, key.name): key for key in keys}
    said = [(PRIORITIZED, "prioritized", body.prioritized), (FALLBACK, "fallback", body.fallback)]
    unknown = [
        FieldError(f"{field}[{number}]", "There is no such provider key.")
        for _, field, some in said
        for number, each in enumerate(some)
        if each not in known
    ]
    everything: list[Any] = [*body.prioritized, *body.fallback]
    if unknown or len(everything) != len(known) or set(everything) != known.keys():
        raise Refused(422, "incomplete", INCOMPLETE, unknown)
    return grouped(Place(known[each].pk, each.provider, tier) for tier, _, some in said for each in some)


ROUTES = (
    Route(
        "order",
        "api_order",
        {
            "GET": Operation(
                summary="Read the order in which keys are tried", permission="keys.view_providerkey", run=read, answers=OrderBody
            ),
            "PUT": Operation(
                summary="Change the order",
                permission="keys.change_providerkey",
                run=put,
                answers=OrderBody,
                body=OrderBody,
                conditional=True,
            ),
        },
    ),
)
