"""The staff console: metadata only, mostly to be read."""

from collections.abc import Callable

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from orgs.actions import Actor, support
from orgs.models import AuditEvent, Membership, Organization, User
from tests.staff import give_second_factor, join_support


@pytest.fixture
def staff(sam: User, client_of: Callable[[User], Client]) -> Client:
    User.objects.filter(pk=sam.pk).update(is_superuser=True)
    give_second_factor(sam)
    return client_of(sam)


@pytest.fixture
def visiting(staff: Client, acme: Organization) -> Client:
    assert staff.post(f"/staff/open/{acme.pk}/", {"reason": "Ticket 4711"}).status_code == 302
    return staff


def test_only_what_holds_no_secret_is_there() -> None:
    assert sorted(model._meta.label for model in admin.site._registry) == [
        "keys.ClientKey",
        "keys.ModelOverride",
        "keys.ProviderKey",
        "orgs.AuditEvent",
        "orgs.Invitation",
        "orgs.Membership",
        "orgs.Organization",
        "orgs.SupportVisit",
        "orgs.User",
    ]


def test_every_page_says_that_it_is_the_staff_console(visiting: Client, acme: Organization) -> None:
    for model in (User, Organization, Membership, AuditEvent):
        name = f"admin:orgs_{model._meta.model_name}"
        for address in (reverse(f"{name}_changelist"), reverse(f"{name}_change", args=[model.objects.first().pk])):
            page = visiting.get(address)
            assert page.status_code == 200
            assert b"You are in the staff console" in page.content


@pytest.mark.parametrize("model", [Membership, AuditEvent])
def test_what_happened_cannot_be_changed_even_by_a_superuser(model: type, visiting: Client) -> None:
    name, pk = f"admin:orgs_{model._meta.model_name}", model.objects.first().pk
    assert visiting.get(reverse(f"{name}_add")).status_code == 403
    assert visiting.post(reverse(f"{name}_change", args=[pk]), {"name": "Other"}).status_code == 403
    assert visiting.post(reverse(f"{name}_delete", args=[pk]), {"post": "yes"}).status_code == 403
    assert model.objects.filter(pk=pk).exists()


def test_superusers_decide_who_lends_keys_and_change_nothing_else_of_an_organization(
    visiting: Client, acme: Organization
) -> None:
    address = reverse("admin:orgs_organization_change", args=[acme.pk])
    assert visiting.post(
        address, {"is_platform": "on", "name": "Other", "memberships-TOTAL_FORMS": 0, "memberships-INITIAL_FORMS": 0}
    )
    version = acme.routing_version
    acme.refresh_from_db()
    assert (acme.is_platform, acme.name, acme.routing_version) == (True, "Acme", version + 1)
    event = AuditEvent.objects.get(tag="organization:platform")
    assert (event.actor_label, event.changes["after"]) == ("Sam (support)", {"is_platform": True})
    assert visiting.get(reverse("admin:orgs_organization_add")).status_code == 403
    assert visiting.post(reverse("admin:orgs_organization_delete", args=[acme.pk]), {"post": "yes"}).status_code == 403


def test_staff_who_may_look_at_organizations_cannot_make_one_lend(
    sam: User, acme: Organization, client_of: Callable[[User], Client]
) -> None:
    join_support(sam)
    sam.user_permissions.add(Permission.objects.get(codename="change_organization"))
    support.begin_visit(organization=acme, reason="Ticket 4711", by=Actor(label="Sam", user=sam))
    address = reverse("admin:orgs_organization_change", args=[acme.pk])
    assert client_of(sam).get(address).status_code == 200
    assert client_of(sam).post(address, {"is_platform": "on"}).status_code == 403


def test_no_password_hash_is_shown_or_taken(staff: Client, alice: User) -> None:
    address = reverse("admin:orgs_user_change", args=[alice.pk])
    page = staff.get(address).content.decode()
    assert alice.password not in page
    assert "password" not in page.split("</nav>")[-1]
    staff.post(address, {"name": "Alice B", "is_active": "on", "password": "x", "email": "eve@example.com"})
    before = alice.password
    alice.refresh_from_db()
    assert (alice.name, alice.email, alice.password) == ("Alice B", "alice@example.com", before)


def test_a_change_is_written_down_by_the_names_of_the_fields(staff: Client, alice: User) -> None:
    staff.post(reverse("admin:orgs_user_change", args=[alice.pk]), {"name": "Alice"})
    alice.refresh_from_db()
    assert not alice.is_active
    assert LogEntry.objects.get().get_change_message() == "Changed Is active."


def test_nobody_is_added_or_deleted_here(staff: Client, alice: User) -> None:
    assert staff.get(reverse("admin:orgs_user_add")).status_code == 403
    assert staff.post(reverse("admin:orgs_user_delete", args=[alice.pk]), {"post": "yes"}).status_code == 403


def test_only_superusers_change_people(sam: User, client_of: Callable[[User], Client]) -> None:
    give_second_factor(sam)
    sam.user_permissions.set(Permission.objects.filter(codename__in=["view_user", "change_user"]))
    fields = {"name": "Sam", "is_active": "on", "is_staff": "on", "is_superuser": "on"}
    assert client_of(sam).post(reverse("admin:orgs_user_change", args=[sam.pk]), fields).status_code in (302, 403)
    sam.refresh_from_db()
    assert not sam.is_superuser


def test_staff_without_permissions_see_nothing(sam: User, acme: Organization, client_of: Callable[[User], Client]) -> None:
    give_second_factor(sam)
    client = client_of(sam)
    assert b"Organizations" not in client.get("/staff/").content
    assert client.get(reverse("admin:orgs_organization_changelist")).status_code == 403
