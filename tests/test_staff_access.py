"""Who may open what in the staff console: every address of it has a row, also those of lists that are added later."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from keys.actions import add_key, issue_client_key
from keys.models import ModelOverride
from keys.providers import Credential
from orgs.actions import Actor, support
from orgs.actions.invitations import invite
from orgs.models import Organization, SupportVisit, User
from tests.attempts import attempt, id_given
from tests.console_walk import ADDRESSES
from tests.staff import give_second_factor, join_support
from usage.ingest import book

pytestmark = [pytest.mark.django_db, pytest.mark.large]

# Nobody, an owner, staff without a second factor, staff in no group, support, support that visits, a superuser that visits
PEOPLE = ("anonymous", "alice", "tess", "uma", "sam", "vera", "root")
OUT = "302 302 302"  # to the sign-in page, or to a second factor
NO_GET = "302 302 302 405 405 405 405"
ANYBODY = "302 302 302 200 200 200 200"
LISTED = "302 302 302 403 200 200 200"
VISITED = "302 302 302 403 302 200 200"  # without a visit there is no such row
NEVER = "302 302 302 403 403 403 403"
OPERATORS = "302 302 302 403 403 403 200"
ROW = {
    "changelist": (LISTED, "302 302 302 403 200 200 200"),
    "add": (NEVER, NEVER),
    "change": (VISITED, "302 302 302 403 302 403 403"),
    "history": ("302 302 302 302 302 200 200",) * 2,
    "delete": (NEVER, NEVER),
}
TABLE = {
    "index": (ANYBODY, ANYBODY),
    "login": ("302 403 302 302 302 302 302", "302 403 302 302 302 302 302"),
    "logout": ("302 302 302 302 302 302 302", "302 302 302 302 302 302 302"),
    "password_change": ("302 302 302 302 302 302 302", "302 302 302 302 302 302 302"),
    "password_change_done": (ANYBODY, "302 302 302 405 405 405 405"),
    "autocomplete": (NEVER, NEVER),
    "jsi18n": (ANYBODY, "302 302 302 405 405 405 405"),
    "view_on_site": ("302 302 302 404 404 404 404", "302 302 302 404 404 404 404"),
    "app_list": ("302 302 302 404 200 200 200", "302 302 302 404 200 200 200"),
    "search": (NO_GET, "302 302 302 403 200 200 200"),
    "open": ("302 302 302 403 200 200 200", "302 302 302 403 422 422 422"),
    "organization": ("302 302 302 403 302 200 200", NO_GET),
    "request": ("302 302 302 403 302 200 200", NO_GET),
    "leave": (NO_GET, "302 302 302 403 302 302 302"),
    "diagnostics": (NO_GET, "302 302 302 403 302 200 200"),
    **{
        f"{model}_{page}": statuses
        for model in (
            *("keys_providerkey", "keys_clientkey", "orgs_user", "orgs_organization", "orgs_membership"),
            *("orgs_invitation", "orgs_auditevent", "orgs_supportvisit", "keys_modeloverride"),
        )
        for page, statuses in ROW.items()
    },
    # Superusers decide who is staff and who lends keys; a form that is sent empty is refused or saved
    "orgs_user_change": (VISITED, "302 302 302 403 302 403 302"),
    "orgs_organization_change": (VISITED, "302 302 302 403 302 403 200"),
    # The operator's own
    "keys_modeloverride_changelist": (OPERATORS, OPERATORS),
    "keys_modeloverride_add": (OPERATORS, OPERATORS),
    "keys_modeloverride_change": (OPERATORS, OPERATORS),
    "keys_modeloverride_history": (OPERATORS, OPERATORS),
    "keys_modeloverride_delete": (OPERATORS, "302 302 302 403 403 403 302"),
}


def test_every_address_of_the_console_has_a_row() -> None:
    assert set(ADDRESSES) == set(TABLE)


@pytest.fixture
def clients(
    acme: Organization, alice: User, sam: User, make_user: Callable[..., User], client_of: Callable[[User], Client]
) -> dict[str, Client]:
    tess, uma, vera, root = (make_user(name, is_staff=True) for name in ("Tess", "Uma", "Vera", "Root"))
    tess.groups.add(Group.objects.get(name=support.GROUP))
    User.objects.filter(pk=root.pk).update(is_superuser=True)
    for user in (uma, root):
        give_second_factor(user)
    for user in (sam, vera):
        join_support(user)
    for user in (vera, root):
        support.begin_visit(organization=acme, reason="Ticket 4711", by=Actor(label=str(user), user=user))
    people = {"alice": alice, "tess": tess, "uma": uma, "sam": sam, "vera": vera, "root": root}
    return {"anonymous": Client()} | {name: client_of(user) for name, user in people.items()}


@pytest.fixture
def values(acme: Organization, alice: User, clients: dict[str, Client]) -> dict[str, Any]:
    """Something real for each part of an address; the row of a list is one of Acme's."""
    by = Actor(label="Alice", user=alice)
    add_key(organization=acme, provider="openai", name="Main", credential=Credential({"api_key": "x"}, {}, "…"), test=None, by=by)
    issue_client_key(organization=acme, name="web-app", by=by)
    invite(organization=acme, emails=["dora@example.com"], role="Member", by=by)
    ModelOverride.objects.create(provider="openai", slug="openai/gpt-99", native_model="gpt-99")
    request_id = str(id_given(timezone.now()))
    book([attempt(acme, at=timezone.now(), request_id=request_id)])
    return {"pk": acme.pk, "request_id": request_id, "content_type_id": 1, "app_label": "orgs"}


def row_of(name: str) -> Model | None:
    """Of the list that the address belongs to."""
    for model in admin.site._registry:
        if name.startswith(f"{model._meta.app_label}_{model._meta.model_name}_"):
            rows = model._default_manager.order_by("pk")
            return rows.get(visitor__name="Vera") if model is SupportVisit else rows.first()
    return None


@pytest.mark.parametrize("name", TABLE)
def test_the_table_of_the_console_holds(name: str, clients: dict[str, Client], values: dict[str, Any]) -> None:
    row = row_of(name)
    known = values | {"object_id": row.pk if row else 1}
    address = reverse(f"admin:{name}", kwargs={part: known[part] for part in ADDRESSES[name]})

    said = {"post": "yes"} if "delete" in name else {}

    def statuses(method: str) -> str:
        found = []
        for person in PEOPLE:
            with transaction.atomic():
                found.append(str(getattr(clients[person], method)(address, said).status_code))
                transaction.set_rollback(True)
        return " ".join(found)

    assert (statuses("get"), statuses("post")) == TABLE[name]
