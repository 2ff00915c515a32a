"""Provider keys: their credential goes in and never comes out."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from django.conf import settings
from django.db import transaction
from django.views.decorators.debug import sensitive_variables
from msgspec import Meta

from byok_site.api.door import Answer, Call, Operation, Route, etag
from byok_site.api.paging import ById, Number, page
from byok_site.api.problems import FieldError, Refused, invalid, not_found, wait_for
from keys import data_keys
from keys.actions import (
    add_key,
    disable_key,
    enable_key,
    lock,
    record_test,
    remove_key,
    replace_credential,
    set_always,
    set_restrictions,
)
from keys.actions.replacing import holds
from keys.actions.restricting import checked_client_keys, checked_members, checked_models
from keys.addresses import AllowList
from keys.credentials import parse
from keys.forms.credentials import FORMS, RenameForm
from keys.models import ProviderKey
from keys.pace import too_many_tests, wait_for_test
from keys.providers import PROVIDERS, Credential, Provider
from keys.testing import TestResult, Verdict, test_credential
from keys.vault import VaultError

GOOD = {Verdict.VALID, Verdict.LIMITED}
NO_CREDENTIAL = "Send the credential. There is no key of this name yet."
UNREADABLE = "Keyhold cannot open the stored secret. Replace its credential."
SKIPPED = TestResult(Verdict.UNKNOWN, "It was not tested.")

type Fields = dict[str, str | list[dict[str, str]] | dict[str, str]]


class ProviderKeyBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """All that can be said of a key. What is left out has its default; only the credential stays when it is left out."""

    credential: Annotated[
        Fields | None,
        Meta(description="As on the page of the provider, for example {api_key}. Never comes out again."),
    ] = None
    enabled: bool = True
    always: Annotated[bool, Meta(description="Requests that it may serve never go to shared keys.")] = False
    models: Annotated[list[str] | None, Meta(description="Patterns such as openai/gpt-4*; null allows every model.")] = None
    members: Annotated[list[Number] | None, Meta(description="Ids; null allows everybody.")] = None
    client_keys: Annotated[list[UUID] | None, Meta(description="Ids; null allows every one.")] = None
    skip_test: Annotated[bool, Meta(description="Save a new credential untested. It gets no traffic until a test passes.")] = (
        False
    )

    def __repr__(self) -> str:
        return "ProviderKeyBody(…)"


class ProviderKeyAnswer(msgspec.Struct):
    id: UUID
    provider: str
    name: str
    hint: str | None
    public: dict[str, Any]
    secret_version: int
    priority: int
    tier: str
    enabled: bool
    always: bool
    models: list[str] | None
    members: list[int] | None
    client_keys: list[UUID] | None
    status: str
    status_reason: str
    needs_test: bool
    tested_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime


class ProviderKeyList(msgspec.Struct):
    items: list[ProviderKeyAnswer]
    next: UUID | None


class TestAnswer(msgspec.Struct):
    verdict: str
    reason: str
    key: ProviderKeyAnswer


def shown(call: Call, key: ProviderKey) -> ProviderKeyAnswer:
    ids = None if key.allowed_client_keys is None else [UUID(each) for each in key.allowed_client_keys]
    same = {name: getattr(key, name) for name in ProviderKeyAnswer.__struct_fields__ if hasattr(key, name)}
    visible = call.may("keys.view_hint")
    own = {"hint": key.hint if visible else None, "public": key.public if visible else {}, "client_keys": ids}
    return ProviderKeyAnswer(**same | own | {"models": key.allowed_models, "members": key.allowed_members})


def tag_of(key: ProviderKey) -> str:
    """Changes with what a program can change, and with nothing that happens by itself."""
    return etag(key.pk, key.secret_version, key.name, key.enabled, key.always, *restrictions_of(key).values())


def restrictions_of(key: ProviderKey) -> dict[str, Any]:
    return {"models": key.allowed_models, "members": key.allowed_members, "client_keys": key.allowed_client_keys}


def answer(call: Call, key: ProviderKey, status: int = 200) -> Answer:
    return Answer(shown(call, key), status, tag_of(key))


def row_of(provider: str) -> Provider:
    if provider not in PROVIDERS:
        raise not_found("such provider")
    return PROVIDERS[provider]


def checked_name(name: str) -> str:
    """By the form of the pages."""
    form = RenameForm({"name": name})
    if not form.is_valid():
        raise invalid("name", *form.errors["name"])
    if form.cleaned_data["name"] != name:
        raise invalid("name", "Leave out the spaces around the name.")
    return name


def present(call: Call, provider: str, name: str) -> ProviderKey | None:
    """Without anything that no name has, which the database would not take."""
    if not name.isprintable():
        return None
    keys = ProviderKey.objects.for_org(call.organization).select_related("organization")
    return keys.filter(provider=provider, name=name).first()


def found(call: Call, provider: str, name: str) -> ProviderKey:
    key = present(call, provider, name)
    if key is None:
        raise not_found("such provider key")
    return key


def list_all(call: Call, query: ById) -> Answer:
    return Answer(page(ProviderKey.objects.for_org(call.organization), query, lambda key: shown(call, key)))


def read(call: Call, provider: str, name: str) -> Answer:
    return answer(call, found(call, provider, name))


@sensitive_variables()
def put(call: Call, provider: str, name: str, body: ProviderKeyBody) -> Answer:
    """What would change nothing is done at once. A new credential is tested before anything is locked or written."""
    row = row_of(provider)
    key = present(call, provider, checked_name(name))
    credential = credential_of(row, body)
    if key is None and credential is None:
        raise invalid("credential", NO_CREDENTIAL)
    if key and credential and holds(key, credential):
        credential = None
    wanted = restrictions_in(call, body)
    if key and credential is None and is_so(key, body, wanted):
        return answer(call, key)
    call.match(tag_of(key) if key else None)
    result = tested(call, row, credential, body) if credential else None
    with transaction.atomic():
        lock(call.organization)
        current = present(call, provider, name)
        call.match(tag_of(current) if current else None)
        if current is None and credential is None:
            raise not_found("such provider key")
        written = write_credential(call, current, row, name, credential, result)
        write_rest(call, written, body)
    return answer(call, found(call, provider, name), 200 if key else 201)


@sensitive_variables()
def write_credential(
    call: Call, key: ProviderKey | None, row: Provider, name: str, credential: Credential | None, result: TestResult | None
) -> ProviderKey:
    if credential is None or result is None:
        assert key
        return key
    if key:
        return replace_credential(key=key, credential=credential, test=result, by=call.by).key
    test = None if result is SKIPPED else result
    said: dict[str, Any] = {"provider": row.slug, "name": name, "credential": credential, "test": test}
    return add_key(organization=call.organization, by=call.by, **said)


def write_rest(call: Call, key: ProviderKey, body: ProviderKeyBody) -> None:
    set_restrictions(key=key, models=body.models, members=body.members, client_keys=body.client_keys, by=call.by)
    set_always(key=key, always=body.always, by=call.by)
    if body.enabled:
        enable_key(key=key, by=call.by)
    else:
        disable_key(key=key, by=call.by)


def restrictions_in(call: Call, body: ProviderKeyBody) -> dict[str, Any]:
    """As the columns have them."""
    return {
        "models": checked_models(body.models),
        "members": checked_members(body.members, call.organization),
        "client_keys": checked_client_keys(body.client_keys, call.organization),
    }


def is_so(key: ProviderKey, body: ProviderKeyBody, wanted: Mapping[str, Any]) -> bool:
    return (key.enabled, key.always, restrictions_of(key)) == (body.enabled, body.always, wanted)


@sensitive_variables()
def credential_of(row: Provider, body: ProviderKeyBody) -> Credential | None:
    """One validator for page, command and API. Raises CredentialError."""
    if body.credential is None:
        return None
    known = {name for form in FORMS[row.shape].values() for name in form.base_fields} - {"name", "file", "wrap"}
    known |= {*row.options}
    if body.credential.keys() - known:
        raise invalid("credential", f"A credential for {row.label} may have {', '.join(sorted(known))}, and nothing else.")
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in body.credential.items()}
    credential, _ = parse(row, texts, allow=AllowList.parse(settings.EGRESS_ALLOW))
    return credential


@sensitive_variables()
def tested(call: Call, row: Provider, credential: Credential, body: ProviderKeyBody) -> TestResult:
    if body.skip_test:
        return SKIPPED
    if seconds := wait_for_test(call.organization):
        raise wait_for(seconds, too_many_tests(seconds))
    result = test_credential(row, credential)
    if result.verdict not in GOOD:
        raise Refused(422, "credential_not_accepted", result.reason, [FieldError("credential", result.reason)])
    return result


def delete(call: Call, provider: str, name: str) -> Answer:
    with transaction.atomic():
        lock(call.organization)
        key = found(call, provider, name)
        call.match(tag_of(key))
        remove_key(key=key, by=call.by)
    return Answer(status=204)


@sensitive_variables()
def test(call: Call, provider: str, name: str) -> Answer:
    key = found(call, provider, name)
    if seconds := wait_for_test(call.organization):
        raise wait_for(seconds, too_many_tests(seconds))
    try:
        credential = data_keys.open_credential(key, data_keys.of(call.organization))
    except VaultError:
        raise Refused(422, "unreadable", UNREADABLE) from None
    result = test_credential(key.row, credential)
    record_test(key=key, result=result, by=call.by)
    after = found(call, provider, name)
    return Answer(TestAnswer(result.verdict, result.reason, shown(call, after)), etag=tag_of(after))


VIEW, CHANGE = "keys.view_providerkey", "keys.change_providerkey"
ROUTES = (
    Route(
        "provider-keys",
        "api_provider_keys",
        {"GET": Operation(summary="List provider keys", permission=VIEW, run=list_all, answers=ProviderKeyList, query=ById)},
    ),
    Route(
        "provider-keys/{provider}/{name}/test",
        "api_provider_key_test",
        {"POST": Operation(summary="Test what a key holds", permission=CHANGE, run=test, answers=TestAnswer)},
    ),
    Route(
        "provider-keys/{provider}/{name}",
        "api_provider_key",
        {
            "GET": Operation(summary="Read a provider key", permission=VIEW, run=read, answers=ProviderKeyAnswer),
            "PUT": Operation(
                summary="Add or change a provider key",
                permission=CHANGE,
                run=put,
                answers=ProviderKeyAnswer,
                body=ProviderKeyBody,
                conditional=True,
                statuses=(200, 201),
            ),
            "DELETE": Operation(
                summary="Delete a provider key",
                permission="keys.delete_providerkey",
                run=delete,
                conditional=True,
                statuses=(204,),
            ),
        },
    ),
)
