"""Client keys. The text of a new one is in one answer and nowhere else."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec
from django.db import transaction
from django.views.decorators.debug import sensitive_variables
from msgspec import UNSET, Meta, UnsetType

from byok_site.api.door import Answer, Call, Operation, Route, etag
from byok_site.api.paging import ById, Number, page
from byok_site.api.problems import invalid, not_found
from byok_site.api.provider_keys import checked_name
from keys.actions import (
    Terms,
    change_client_key,
    hand_over_client_key,
    issue_client_key,
    lock,
    pause_client_key,
    resume_client_key,
    revoke_client_key,
    roll_client_key,
)
from keys.actions.client_keys import NO_MEMBER, checked
from keys.models import ClientKey
from orgs.models import Membership, User

LAST_YEAR = 9000
LONGEST_GRACE = 168  # hours, as on the page
TOO_LATE = f"Choose a time before the year {LAST_YEAR}, or null."


class ClientKeyBody(msgspec.Struct, forbid_unknown_fields=True):
    """All that can be said of a key. What is left out has its default; only the owner stays when it is left out."""

    owner: Annotated[Number | None, Meta(description="Id of a member. Of a new key: who made the management key.")] = None
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None
    models: Annotated[list[str] | None, Meta(description="Patterns such as openai/gpt-4*; null allows every model.")] = None
    provider_keys: Annotated[list[UUID] | None, Meta(description="Ids; null allows every one.")] = None
    networks: Annotated[list[str] | None, Meta(description="Such as 10.0.0.0/8; null allows every address.")] = None
    paused: bool = False

    @property
    def terms(self) -> Terms:
        if self.expires_at and self.expires_at.year >= LAST_YEAR:
            raise invalid("expires_at", TOO_LATE)
        said = {name: getattr(self, name) for name in ("expires_at", "models", "provider_keys", "networks")}
        return Terms(**said)


class RollBody(msgspec.Struct, forbid_unknown_fields=True):
    """One that was rolled before stops at once."""

    grace_hours: Annotated[int, Meta(ge=0, le=LONGEST_GRACE, description="For how long the present text works on.")]


class ClientKeyAnswer(msgspec.Struct):
    id: UUID
    name: str
    hint: str
    owner: int | None
    expires_at: datetime | None
    models: list[str] | None
    provider_keys: list[UUID] | None
    networks: list[str] | None
    paused: bool
    created_at: datetime
    last_used_at: datetime | None
    rolled_until: Annotated[datetime | None, Meta(description="Until then the text before this one works too.")]
    key: Annotated[str | UnsetType, Meta(description="Only in the answer that makes it, or rolls it.")] = UNSET


class ClientKeyList(msgspec.Struct):
    items: list[ClientKeyAnswer]
    next: UUID | None


def shown(key: ClientKey) -> ClientKeyAnswer:
    usable = key.allowed_provider_keys
    return ClientKeyAnswer(
        id=key.pk,
        name=key.name,
        hint=key.hint,
        owner=key.owner_id,
        expires_at=key.expires_at,
        models=key.allowed_models,
        provider_keys=None if usable is None else [UUID(each) for each in usable],
        networks=key.allowed_networks,
        paused=key.paused_at is not None,
        created_at=key.created_at,
        last_used_at=key.last_used_at,
        rolled_until=key.rolled_until,
    )


def tag_of(key: ClientKey) -> str:
    """Changes with what a program can change, and with nothing that happens by itself."""
    return etag(key.pk, key.public_id, key.name, key.owner_id, key.paused_at is None, *terms_of(key).values())


def terms_of(key: ClientKey) -> dict[str, Any]:
    names = ("expires_at", "allowed_models", "allowed_provider_keys", "allowed_networks")
    return {name: getattr(key, name) for name in names}


def present(call: Call, name: str) -> ClientKey | None:
    """Without anything that no name has, which the database would not take."""
    live = ClientKey.objects.for_org(call.organization).live().select_related("organization", "owner")
    return live.filter(name=name).first() if name.isprintable() else None


def found(call: Call, name: str) -> ClientKey:
    key = present(call, name)
    if key is None:
        raise not_found("such client key")
    return key


def list_all(call: Call, query: ById) -> Answer:
    return Answer(page(ClientKey.objects.for_org(call.organization).live(), query, shown))


def read(call: Call, name: str) -> Answer:
    key = found(call, name)
    return Answer(shown(key), etag=tag_of(key))


@sensitive_variables("text")
def put(call: Call, name: str, body: ClientKeyBody) -> Answer:
    with transaction.atomic():
        lock(call.organization)
        key, owner = present(call, checked_name(name)), owner_of(call, body)
        if key is None:
            call.match(None)
            key, text = issue_client_key(organization=call.organization, name=name, owner=owner, terms=body.terms, by=call.by)
            pause(call, key, body)
            made = found(call, name)
            return Answer(msgspec.structs.replace(shown(made), key=text), 201, tag_of(made))
        wanted = checked(body.terms, call.organization, known=key.expires_at)
        if not is_so(key, body, owner, wanted):
            call.match(tag_of(key))
            change_client_key(key=key, name=name, terms=body.terms, by=call.by)
            if owner:
                hand_over_client_key(key=key, to=owner, by=call.by)
            pause(call, key, body)
    return read(call, name)


def is_so(key: ClientKey, body: ClientKeyBody, owner: User | None, wanted: Mapping[str, Any]) -> bool:
    same_owner = owner is None or owner.pk == key.owner_id
    return same_owner and body.paused == (key.paused_at is not None) and terms_of(key) == wanted


def pause(call: Call, key: ClientKey, body: ClientKeyBody) -> None:
    if body.paused:
        pause_client_key(key=key, by=call.by)
    else:
        resume_client_key(key=key, by=call.by)


def owner_of(call: Call, body: ClientKeyBody) -> User | None:
    if body.owner is None:
        return None
    people = Membership.objects.for_org(call.organization).select_related("user")
    membership = people.filter(user=body.owner).first()
    if membership is None:
        raise invalid("owner", NO_MEMBER)
    return membership.user


@sensitive_variables("text")
def roll(call: Call, name: str, body: RollBody) -> Answer:
    """Sent again it is refused, as the ETag is that of the text before."""
    with transaction.atomic():
        lock(call.organization)
        key, grace = found(call, name), timedelta(hours=body.grace_hours)
        call.match(tag_of(key))
        text = roll_client_key(key=key, public_id=key.public_id, grace=grace, by=call.by)
        rolled = found(call, name)
    return Answer(msgspec.structs.replace(shown(rolled), key=text), etag=tag_of(rolled))


def delete(call: Call, name: str) -> Answer:
    with transaction.atomic():
        lock(call.organization)
        key = found(call, name)
        call.match(tag_of(key))
        revoke_client_key(key=key, by=call.by)
    return Answer(status=204)


VIEW, CHANGE = "keys.view_clientkey", "keys.change_clientkey"
ROUTES = (
    Route(
        "client-keys",
        "api_client_keys",
        {"GET": Operation(summary="List client keys", permission=VIEW, run=list_all, answers=ClientKeyList, query=ById)},
    ),
    Route(
        "client-keys/{name}/roll",
        "api_client_key_roll",
        {
            "POST": Operation(
                summary="Give a client key a new text",
                permission=CHANGE,
                run=roll,
                answers=ClientKeyAnswer,
                body=RollBody,
                conditional=True,
            )
        },
    ),
    Route(
        "client-keys/{name}",
        "api_client_key",
        {
            "GET": Operation(summary="Read a client key", permission=VIEW, run=read, answers=ClientKeyAnswer),
            "PUT": Operation(
                summary="Create or change a client key",
                permission=CHANGE,
                run=put,
                answers=ClientKeyAnswer,
                body=ClientKeyBody,
                conditional=True,
                statuses=(200, 201),
            ),
            "DELETE": Operation(
                summary="Revoke a client key", permission="keys.delete_clientkey", run=delete, conditional=True, statuses=(204,)
            ),
        },
    ),
)
