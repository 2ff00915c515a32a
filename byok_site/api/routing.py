"""How requests are routed beside the order of keys: switches, stopping, and what is preferred."""

from typing import Annotated, Any

import msgspec
from django.db import transaction
from msgspec import Meta

from byok_site.api.door import Answer, Call, Operation, Route, etag
from byok_site.api.problems import invalid, not_found
from keys import preferences
from keys.actions import (
    lock,
    pause_organization,
    pause_provider,
    resume_organization,
    resume_provider,
    set_provider_routing,
    set_routing,
)
from keys.actions.routing import provider_routing_of, routing_of
from keys.models import ProviderPreference, RoutingPreference
from keys.preferences import FIELDS, LONGEST_SECONDS, SHORTEST_SECONDS, Move, Preferences
from keys.providers import PROVIDERS

UNKNOWN = f"Providers are {', '.join(PROVIDERS)}."
SWITCHES = ("use_own_keys", "own_keys_only", "order_first")

type Slug = Annotated[str, Meta(extra_json_schema={"enum": list(PROVIDERS)})]
type Seconds = Annotated[
    int, Meta(ge=SHORTEST_SECONDS, le=LONGEST_SECONDS, description="Until the first byte of an answer; null: the gateway's.")
]
type Moves = Annotated[list[Move], Meta(description="Failures after which another key is tried; null: all.")]


class ProviderRoutingBody(msgspec.Struct, forbid_unknown_fields=True):
    """What is decided of one provider. Null leaves a preference to the organization."""

    use_own_keys: bool = True
    paused: bool = False
    timeout_seconds: Seconds | None = None
    move_on: Moves | None = None


class RoutingBody(ProviderRoutingBody):
    """What is decided of all requests. Client keys and requests may prefer otherwise, but lift no switch."""

    own_keys_only: Annotated[bool, Meta(description="The operator's shared keys are never used.")] = True
    order_first: Annotated[bool, Meta(description="The order of providers decides before whose key it is.")] = False
    order: list[Slug] | None = None
    only: Annotated[list[Slug], Meta(min_length=1, description="No others are asked; null: all.")] | None = None
    ignore: list[Slug] | None = None
    allow_fallbacks: bool | None = None


def shown[B: ProviderRoutingBody](row: RoutingPreference | ProviderPreference, kind: type[B]) -> B:
    names = [name for name in kind.__struct_fields__ if name != "paused"]
    said = {name: row.preferences.get(name) if name in FIELDS else getattr(row, name) for name in names}
    return msgspec.convert(said | {"paused": row.paused_at is not None}, kind)


def wishes_of(body: ProviderRoutingBody) -> dict[str, Any]:
    """Its preferences as actions take them."""
    said = {name: value for name, value in msgspec.structs.asdict(body).items() if name in FIELDS}
    for name in ("order", "only", "ignore"):
        for number, provider in enumerate(said.get(name) or ()):
            if provider not in PROVIDERS:
                raise invalid(f"{name}[{number}]", UNKNOWN)
    read = preferences.read(said)
    return {name: getattr(read, name) for name in said}


def is_so(body: ProviderRoutingBody, wishes: dict[str, Any], seen: Any) -> bool:
    """Kept as it would be, where lists have an order of their own and nothing twice."""
    kept = preferences.written(Preferences(**wishes))
    return bool(msgspec.structs.replace(body, **{name: kept.get(name) for name in wishes}) == seen)


def answer(body: ProviderRoutingBody) -> Answer:
    return Answer(body, etag=etag(body))


def read(call: Call) -> Answer:
    return answer(shown(routing_of(call.organization), RoutingBody))


def put(call: Call, body: RoutingBody) -> Answer:
    wishes, switches = wishes_of(body), {name: getattr(body, name) for name in SWITCHES}
    with transaction.atomic():
        lock(call.organization)
        seen = read(call)
        if not is_so(body, wishes, seen.body):
            call.match(seen.etag)
            set_routing(organization=call.organization, by=call.by, **switches, **wishes)
            pause = pause_organization if body.paused else resume_organization
            pause(organization=call.organization, by=call.by)
    return read(call)


def read_provider(call: Call, provider: str) -> Answer:
    if provider not in PROVIDERS:
        raise not_found("such provider")
    return answer(shown(provider_routing_of(call.organization, provider), ProviderRoutingBody))


def put_provider(call: Call, provider: str, body: ProviderRoutingBody) -> Answer:
    wishes = wishes_of(body)
    with transaction.atomic():
        lock(call.organization)
        seen = read_provider(call, provider)
        where: dict[str, Any] = {"organization": call.organization, "provider": provider}
        if not is_so(body, wishes, seen.body):
            call.match(seen.etag)
            set_provider_routing(**where, by=call.by, use_own_keys=body.use_own_keys, **wishes)
            pause = pause_provider if body.paused else resume_provider
            pause(**where, by=call.by)
    return read_provider(call, provider)


VIEW, CHANGE = "keys.view_routingpreference", "keys.change_routingpreference"
ROUTES = (
    Route(
        "routing",
        "api_routing",
        {
            "GET": Operation(summary="Read how requests are routed", permission=VIEW, run=read, answers=RoutingBody),
            "PUT": Operation(
                summary="Change how requests are routed",
                permission=CHANGE,
                run=put,
                answers=RoutingBody,
                body=RoutingBody,
                conditional=True,
            ),
        },
    ),
    Route(
        "routing/{provider}",
        "api_provider_routing",
        {
            "GET": Operation(
                summary="Read what is decided of a provider", permission=VIEW, run=read_provider, answers=ProviderRoutingBody
            ),
            "PUT": Operation(
                summary="Change what is decided of a provider",
                permission=CHANGE,
                run=put_provider,
                answers=ProviderRoutingBody,
                body=ProviderRoutingBody,
                conditional=True,
            ),
        },
    ),
)
