"""What somebody of the staff might try, to see or do more than a visit gives them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Group
from django.db.models.signals import post_save
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from keys.actions import add_key
from keys.models import ProviderKey
from keys.providers import Credential
from orgs.actions import Actor, support
from orgs.actions.invitations import invite
from orgs.models import MEMBER, AuditEvent, Membership, Organization, SupportVisit, User
from tests.staff import give_second_factor, join_support

pytestmark = [pytest.mark.django_db, pytest.mark.large]

LISTS = ("keys_providerkey", "keys_clientkey", "orgs_user", "orgs_membership", "orgs_invitation", "orgs_auditevent")


@pytest.fixture
def sams(sam: User, client_of: Callable[[User], Client]) -> Client:
    join_support(sam)
    return client_of(sam)


@pytest.fixture
def visiting(sam: User, sams: Client, acme: Organization) -> Client:
    """Sam has opened Acme."""
    visit(sam, acme)
    return sams


@pytest.fixture
def roots(make_user: Callable[..., User], acme: Organization, client_of: Callable[[User], Client]) -> Client:
    """A superuser has opened Acme."""
    root = make_user("Root", is_staff=True, is_superuser=True)
    give_second_factor(root)
    visit(root, acme)
    return client_of(root)


def visit(user: User, organization: Organization) -> None:
    support.begin_visit(organization=organization, reason="Ticket 4711", by=Actor(label=str(user), user=user))


def key_of(organization: Organization, name: str = "Main") -> ProviderKey:
    credential = Credential({"api_key": f"sk-proj-not-a-real-key-{name}"}, {}, "…0000")
    by = Actor.command("tests")
    return add_key(organization=organization, provider="openai", name=name, credential=credential, test=None, by=by)


def listed(client: Client, model: str, **asked: object) -> Any:
    return client.get(reverse(f"admin:{model}_changelist"), asked)


def run(client: Client, model: str, action: str, *chosen: object, **more: object) -> Any:
    said = {"action": action, "_selected_action": [str(each) for each in chosen], "confirmed": "yes", **more}
    return client.post(reverse(f"admin:{model}_changelist"), said)


# Asking a list


@pytest.mark.parametrize(
    ("model", "lookup"),
    [
        ("orgs_membership", "role__membership__user__password__startswith"),
        ("orgs_membership", "role__membership__organization__webhooks__url__startswith"),
        ("orgs_user", "is_staff__contains"),
        ("keys_providerkey", "provider__regex"),
        ("orgs_auditevent", "tag__regex"),
    ],
)
def test_a_filter_is_no_door_to_other_columns(model: str, lookup: str, visiting: Client, roots: Client) -> None:
    for client in (visiting, roots):
        assert listed(client, model, **{lookup: "t"}).status_code == 400


@pytest.mark.parametrize(
    ("model", "lookup", "value"),
    [
        ("orgs_membership", "role__id__exact", "1"),
        ("orgs_user", "is_staff__exact", "1"),
        ("keys_providerkey", "provider__exact", "openai"),
        ("keys_providerkey", "status__exact", "untested"),
        ("orgs_auditevent", "tag", "support:visit"),
    ],
)
def test_what_the_lists_offer_works(model: str, lookup: str, value: str, visiting: Client) -> None:
    assert listed(visiting, model, **{lookup: value}).status_code == 200


def test_nobody_learns_who_else_is_in_an_organization_that_is_closed(
    visiting: Client, roots: Client, acme: Organization, globex: Organization, bob: User
) -> None:
    Membership.objects.create(organization=globex, user=bob, role=Group.objects.get(name=MEMBER))
    for client in (visiting, roots):
        closed = listed(client, "orgs_user", memberships__organization__id__exact=globex.pk)
        assert closed.status_code == 400
        assert b"bob@example.com" not in closed.content
        opened = listed(client, "orgs_user", memberships__organization__id__exact=acme.pk)
        assert b"bob@example.com" in opened.content


@pytest.mark.parametrize("model", LISTS)
@pytest.mark.parametrize(
    "asked", [{"o": "-99.1.x"}, {"p": "x"}, {"_to_field": "digest"}, {"_popup": "1"}, {"_facets": "True"}, {"organization": "x"}]
)
def test_odd_questions_get_plain_answers(model: str, asked: dict[str, str], visiting: Client) -> None:
    assert listed(visiting, model, **asked).status_code in (200, 302, 400)


@pytest.mark.parametrize("model", LISTS)
def test_a_page_in_a_window_of_its_own_says_where_it_is(model: str, visiting: Client) -> None:
    assert b"You are in the staff console" in listed(visiting, model, _popup=1).content


def test_no_row_is_asked_for_by_a_hidden_column(visiting: Client, acme: Organization) -> None:
    page = reverse("admin:keys_providerkey_change", args=[key_of(acme).pk])
    for column in ("sealed", "public", "organization"):
        assert visiting.get(page, {"_to_field": column}).status_code == 400


def test_nothing_is_suggested(visiting: Client, roots: Client) -> None:
    asked = {"app_label": "orgs", "model_name": "membership", "field_name": "user", "term": "b"}
    for client in (visiting, roots):
        assert client.get(reverse("admin:autocomplete"), asked).status_code == 403


# Rows of organizations that are closed


def test_another_organizations_rows_are_not_there_for_any_page(visiting: Client, roots: Client, globex: Organization) -> None:
    owner = Membership.objects.get(organization=globex)
    letter = invite(organization=globex, emails=["dora@example.com"], role=MEMBER, by=Actor(label="Charlie", user=owner.user))
    event = AuditEvent.objects.filter(organization=globex).first()
    rows = {
        "keys_providerkey": key_of(globex),
        "orgs_membership": owner,
        "orgs_invitation": letter[0].invitation,
        "orgs_auditevent": event,
    }
    for client in (visiting, roots):
        for model, row in rows.items():
            for page in ("change", "history"):
                answer = client.get(reverse(f"admin:{model}_{page}", args=[row.pk]), follow=True)
                assert answer.redirect_chain, (model, page)
                assert str(row) not in answer.content.decode()


def test_acts_reach_no_row_outside_the_list(visiting: Client, acme: Organization, globex: Organization) -> None:
    theirs, ours = key_of(globex), key_of(acme)
    for chosen in ([theirs.pk], [theirs.pk, ours.pk]):
        run(visiting, "keys_providerkey", "turn_off", *chosen)
    run(visiting, "keys_providerkey", "turn_off", theirs.pk, select_across="1")
    page = reverse("admin:keys_providerkey_change", args=[ours.pk])
    said = {"CHANGE_FORM-action": "turn_off", "_selected_action": str(theirs.pk), "confirmed": "yes"}
    assert visiting.post(page, said).status_code == 400
    theirs.refresh_from_db()
    assert theirs.enabled


@pytest.mark.parametrize("model", LISTS)
def test_a_row_that_cannot_be_is_no_crash(model: str, visiting: Client) -> None:
    for action in ("turn_off", "revoke", "end_sessions", "resend"):
        assert run(visiting, model, action, "nonsense").status_code in (200, 302, 400)


# What ends meanwhile


@contextmanager
def after_first(tag: str, then: Callable[[], object]) -> Iterator[None]:
    """Do something as soon as the first event of that tag is written."""
    seen = []

    def watch(instance: AuditEvent, **rest: object) -> None:
        if instance.tag == tag and not seen:
            seen.append(instance)
            then()

    post_save.connect(watch, sender=AuditEvent)
    yield
    post_save.disconnect(watch, sender=AuditEvent)


def test_a_visit_that_ends_meanwhile_stops_what_is_under_way(visiting: Client, acme: Organization) -> None:
    keys = [key_of(acme, name) for name in ("One", "Two", "Three")]
    over = timezone.now() - timedelta(seconds=1)
    with after_first("provider_key:disable", lambda: SupportVisit.objects.update(until=over)):
        answer = run(visiting, "keys_providerkey", "turn_off", *(key.pk for key in keys))
    assert answer.status_code == 302
    assert ProviderKey.objects.filter(enabled=False).count() == 1
    assert AuditEvent.objects.filter(tag="provider_key:disable").count() == 1


@pytest.mark.parametrize("change", [{"is_staff": False}, {"is_active": False}])
def test_who_is_staff_no_more_is_out_at_once(change: dict[str, bool], visiting: Client, acme: Organization, sam: User) -> None:
    page = reverse("admin:organization", args=[acme.pk])
    assert visiting.get(page).status_code == 200
    User.objects.filter(pk=sam.pk).update(**change)
    assert visiting.get(page).status_code == 302
    assert run(visiting, "keys_providerkey", "turn_off", key_of(acme).pk).status_code == 302
    assert ProviderKey.objects.get().enabled


def test_who_leaves_the_support_group_sees_nothing_at_once(visiting: Client, acme: Organization, sam: User) -> None:
    sam.groups.clear()
    key = key_of(acme)
    assert visiting.get(reverse("admin:organization", args=[acme.pk])).status_code == 403
    assert listed(visiting, "keys_providerkey").status_code == 403
    assert run(visiting, "keys_providerkey", "turn_off", key.pk).status_code == 403
    assert b"Acme" not in visiting.get("/staff/").content


def test_who_loses_the_second_factor_is_out_at_once(visiting: Client, sam: User) -> None:
    sam.authenticator_set.all().delete()
    assert visiting.get("/staff/").status_code == 302


def test_rights_of_staff_are_had_by_who_signs_in_anew(roots: Client, bob: User, client_of: Callable[[User], Client]) -> None:
    bobs = client_of(bob)
    roots.post(reverse("admin:orgs_user_change", args=[bob.pk]), {"name": "Bob", "is_active": "on", "is_staff": "on"})
    assert bobs.get("/account/").status_code == 302


def test_an_old_sign_in_is_confirmed_before_rights_are_changed(roots: Client, acme: Organization, bob: User) -> None:
    pages = [
        reverse("admin:orgs_user_change", args=[bob.pk]),
        reverse("admin:orgs_organization_change", args=[acme.pk]),
    ]
    with time_machine.travel(timezone.now() + timedelta(minutes=16)):
        for page in pages:
            for answer in (roots.get(page), roots.post(page, {"is_superuser": "on", "is_platform": "on"})):
                assert answer["Location"].startswith("/signin/again/"), page
    bob.refresh_from_db()
    assert not bob.is_superuser


def test_what_was_done_is_not_told_after_the_visit(visiting: Client, acme: Organization) -> None:
    key = key_of(acme, "A telling name")
    run(visiting, "keys_providerkey", "turn_off", key.pk)
    visiting.get("/staff/")  # the message is told once
    SupportVisit.objects.update(until=timezone.now())
    assert b"A telling name" not in visiting.get("/staff/").content


# Ending a visit


def test_who_is_done_ends_the_visit_and_owners_see_when(
    visiting: Client, acme: Organization, globex: Organization, sam: User
) -> None:
    visit(sam, globex)
    visit(sam, acme)  # once more, after a reload
    page = reverse("admin:organization", args=[acme.pk])
    assert b"End visit" in visiting.get(page).content
    assert visiting.post(f"{page}leave/")["Location"] == reverse("admin:index")
    assert visiting.get(page).status_code == 302
    assert visiting.get(reverse("admin:organization", args=[globex.pk])).status_code == 200
    events = AuditEvent.objects.filter(organization=acme, tag="support:end_visit")
    assert [event.actor_label for event in events] == ["Sam (support)"] * 2
    visiting.post(f"{page}leave/")
    assert events.count() == 2


def test_nobody_ends_anothers_visit(visiting: Client, roots: Client, acme: Organization) -> None:
    page = reverse("admin:organization", args=[acme.pk])
    roots.post(f"{page}leave/")
    assert visiting.get(page).status_code == 200
