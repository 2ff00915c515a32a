"""Deleting an organization: typed, told, paused at once, undone for seven days, then erased with its data keys."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test import Client
from django.utils import timezone

from byok_site import deleting
from byok_site.deleting import delete_due
from keys.actions import add_key, issue_client_key, pause_organization
from keys.actions.deleting import WAIT, delete_organization, keep_organization
from keys.actions.routing import BeingDeleted, resume_organization, routing_of
from keys.actions.webhooks import add_webhook
from keys.models import DataKey, ProviderKey
from keys.providers import Credential
from keys.tasks import tick
from orgs.actions import Actor, create_organization
from orgs.actions.invitations import invite
from orgs.models import MEMBER, AuditEvent, Membership, Notice, Organization, User
from tests.attempts import attempt
from tests.races import RACES, at_once
from usage.ingest import book
from usage.models import DailyRollup, HourlyRollup, UsageEvent

pytestmark = pytest.mark.django_db

PAGE, SETTINGS, ROUTING = "/o/acme/settings/delete/", "/o/acme/settings/", "/o/acme/routing/"
BY = Actor.command("test")
SECOND = timedelta(seconds=1)
type SignIn = Callable[[User], Client]


@pytest.fixture
def alices(client_of: SignIn, alice: User, acme: Organization) -> Client:
    return client_of(alice)


def furnish(organization: Organization, owner: User, requests: int = 1) -> None:
    """Something of every kind."""
    credential = Credential(secret={"api_key": "sk-proj-not-a-real-key-0000"}, public={}, hint="sk-…0000")
    by = Actor(label=owner.name, user=owner)
    add_key(organization=organization, provider="openai", name="Main", credential=credential, test=None, by=by)
    issue_client_key(organization=organization, name="web-app", by=by)
    add_webhook(organization=organization, url="https://hooks.example.com/", by=by)
    invite(organization=organization, emails=["erin@example.com"], role=MEMBER, by=by)
    book([attempt(organization, at=timezone.now() - number * SECOND) for number in range(requests)])


def now(organization: Organization) -> Organization:
    return Organization.objects.get(pk=organization.pk)


def paused_at(organization: Organization) -> datetime | None:
    return routing_of(organization).paused_at


def rows_of(organization: Organization) -> dict[str, int]:
    """How many rows each table holds of it, of those that hold any."""
    found = {}
    for model in apps.get_models():
        if any(field.name == "organization" for field in model._meta.get_fields()):
            found[model.__name__] = model._base_manager.filter(organization=organization).count()
    return {name: count for name, count in found.items() if count}


# Asking for it


def test_an_owner_reads_what_will_happen_and_types_the_address(alices: Client, acme: Organization, alice: User) -> None:
    furnish(acme, alice)
    page = alices.get(PAGE).text
    for words in ("1 provider key and the data keys", "programs with 1 client key are refused", "2 members lose their place"):
        assert words in page
    refused = alices.post(PAGE, {"confirm": "Acme"})
    assert refused.status_code == 422
    assert "Type acme exactly as shown." in refused.text
    assert now(acme).delete_at is None
    assert alices.post(PAGE, {"confirm": "acme"})["Location"] == "/orgs/"
    delete_at = now(acme).delete_at
    assert delete_at
    assert abs(delete_at - timezone.now() - WAIT) < timedelta(minutes=1)
    assert paused_at(acme) == delete_at - WAIT


def test_everybody_in_it_sees_that_it_is_being_deleted(alices: Client, acme: Organization, bob: User, client_of: SignIn) -> None:
    alices.post(PAGE, {"confirm": "acme"})
    bobs = client_of(bob)
    assert "Erased on " in bobs.get("/orgs/").text
    for path in ("/o/acme/", "/o/acme/providers/"):
        assert "Acme is being deleted." in bobs.get(path).text
        assert "Keep it" not in bobs.get(path).text
        assert "Keep it" in alices.get(path).text
    assert "Keep Acme" in alices.get(SETTINGS).text


def test_owners_are_told_by_mail(acme: Organization, alice: User) -> None:
    delete_organization(organization=acme, by=Actor("Alice", alice))
    notice = Notice.objects.get(tag="organization:delete")
    assert notice.subject.startswith("Acme will be deleted on ")
    assert "as Alice decided. Until then an owner may keep it." in notice.body


def test_asking_twice_changes_nothing(acme: Organization) -> None:
    delete_organization(organization=acme, by=BY)
    first = now(acme).delete_at
    delete_organization(organization=acme, by=BY)
    assert now(acme).delete_at == first
    assert AuditEvent.objects.filter(tag="organization:delete").count() == 1


def test_only_who_still_owns_it_decides(acme: Organization, bob: User, charlie: User) -> None:
    for person in (bob, charlie):
        for act in (delete_organization, keep_organization):
            with pytest.raises(PermissionDenied):
                act(organization=acme, by=Actor(label=str(person), user=person))
    assert now(acme).delete_at is None


# Keeping it


def test_an_owner_keeps_it_and_programs_are_served_again(alices: Client, acme: Organization) -> None:
    alices.post(PAGE, {"confirm": "acme"})
    version = now(acme).routing_version
    assert "Acme is kept." in alices.post("/o/acme/settings/keep/", follow=True).text
    assert (now(acme).delete_at, paused_at(acme)) == (None, None)
    assert now(acme).routing_version > version
    tags = AuditEvent.objects.filter(organization=acme).order_by("number").values_list("tag", flat=True)
    deleting_tags = ["organization:delete", "organization:pause", "organization:keep", "organization:resume"]
    assert list(tags)[-4:] == deleting_tags
    assert delete_due(timezone.now() + 2 * WAIT) == 0


def test_a_pause_from_before_outlives_both(acme: Organization) -> None:
    pause_organization(organization=acme, by=BY)
    before = paused_at(acme)
    delete_organization(organization=acme, by=BY)
    keep_organization(organization=acme, by=BY)
    assert paused_at(acme) == before is not None


def test_nobody_resumes_what_is_being_deleted(alices: Client, acme: Organization) -> None:
    delete_organization(organization=acme, by=BY)
    with pytest.raises(BeingDeleted):
        resume_organization(organization=acme, by=BY)
    assert "Acme is being deleted. Keep it first, in its settings." in alices.post("/o/acme/routing/resume/", follow=True).text
    assert paused_at(acme)


# The end


def test_when_its_time_has_come_nothing_is_left_of_it(
    acme: Organization, globex: Organization, alice: User, charlie: User, caplog: pytest.LogCaptureFixture
) -> None:
    furnish(acme, alice)
    furnish(globex, charlie)
    delete_organization(organization=acme, by=Actor("Alice", alice))
    others = rows_of(globex)
    assert {"DataKey", "ProviderKey", "UsageEvent", "AuditEvent", "Invitation", "Webhook"} <= rows_of(acme).keys() & others.keys()
    delete_at = now(acme).delete_at
    assert delete_at is not None
    assert delete_due(delete_at - SECOND) == 0
    assert delete_due(delete_at) == 1
    assert not Organization.objects.filter(pk=acme.pk).exists()
    assert rows_of(acme) == {}
    assert rows_of(globex) == others
    assert User.objects.filter(pk=alice.pk).exists()
    assert f"The organization {acme.pk} is deleted" in caplog.text
    assert delete_due(delete_at) == 0


def test_a_tick_does_it(acme: Organization) -> None:
    Organization.objects.filter(pk=acme.pk).update(delete_at=timezone.now() - SECOND)
    tick.call()
    assert not Organization.objects.filter(pk=acme.pk).exists()


def test_much_usage_goes_some_at_a_time_but_secrets_at_once(
    acme: Organization, alice: User, client_of: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deleting, "SLICE", 2)
    monkeypatch.setattr(deleting, "MOST_SLICES", 3)
    furnish(acme, alice, requests=9)
    Organization.objects.filter(pk=acme.pk).update(delete_at=timezone.now())
    assert delete_due(timezone.now()) == 0
    assert UsageEvent.objects.filter(organization=acme).count() == 3
    assert not DataKey.objects.filter(organization=acme).exists()
    assert not ProviderKey.objects.filter(organization=acme).exists()
    assert not Membership.objects.filter(organization=acme).exists()
    assert client_of(alice).get("/o/acme/").status_code == 404
    ticks = 1
    while not delete_due(timezone.now()):
        ticks += 1
    assert 1 < ticks < 5
    assert not UsageEvent.objects.exists() | HourlyRollup.objects.exists() | DailyRollup.objects.exists()


MANY = 100_000
LONG_LOG = """
    INSERT INTO orgs_auditevent (organization_id, number, mac, at, actor_label, tag, target_id, target_label, changes)
    SELECT %(organization)s, 1000 + n, 'x', now(), 'Alice', 'client_key:roll', '', 'web-app', '{"before": {}, "after": {}}'
    FROM generate_series(1, %(many)s) n
"""
MUCH_USAGE = """
    INSERT INTO usage_usageevent SELECT (jsonb_populate_record(event, jsonb_build_object(
        'id', gen_random_uuid(), 'started_at', now() - n * interval '1 second'
    ))).* FROM usage_usageevent event, generate_series(1, %(many)s) n WHERE organization_id = %(organization)s
"""


@pytest.mark.large
def test_a_long_life_is_erased_although_no_statement_may_take_long(
    postgres_only: None, acme: Organization, globex: Organization, alice: User, charlie: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement has half a second here, a tenth of what it has elsewhere. The audit log goes in one, which takes longer."""
    monkeypatch.setattr(deleting, "MOST_SLICES", 10)
    furnish(acme, alice)
    furnish(globex, charlie)
    kept = rows_of(globex)
    Organization.objects.filter(pk=acme.pk).update(delete_at=timezone.now())
    with connection.cursor() as cursor:
        for sql in (LONG_LOG, MUCH_USAGE):
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute(sql, {"organization": acme.pk, "many": MANY})
        cursor.execute("SET LOCAL statement_timeout = '500ms'")
        ticks = 1
        while not delete_due(timezone.now()):
            assert not DataKey.objects.filter(organization=acme).exists()
            ticks += 1
    assert ticks == 3  # each takes 50,000 events
    assert rows_of(acme) == {}
    assert rows_of(globex) == kept


def test_what_programs_did_last_does_not_stand_in_the_way(acme: Organization) -> None:
    """Attempts that are booked after the organization is gone."""
    late = attempt(acme, at=timezone.now())
    Organization.objects.filter(pk=acme.pk).update(delete_at=timezone.now())
    delete_due(timezone.now())
    assert book([late]) == 0


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_kept_in_the_last_moment_it_is_whole_or_gone(postgres_only: None, make_user: Callable[..., User]) -> None:
    alice = make_user("Alice")
    ends = {"kept": 0, "gone": 0}

    for number in range(RACES):
        organization = create_organization(name=f"Acme {number}", owner=alice, by=BY)
        key = DataKey.objects.create(organization=organization, version=1, kek_id="k1", wrapped=b"x")
        delete_organization(organization=organization, by=BY)
        due = now(organization).delete_at
        assert due is not None
        calls: list[Callable[[], Any]] = [
            lambda: keep_organization(organization=organization, by=Actor("Alice", alice)),  # noqa: B023 (run before the next)
            lambda: delete_due(due),  # noqa: B023
        ]
        at_once(calls if number % 2 else calls[::-1], Organization.DoesNotExist, PermissionDenied)
        kept = Organization.objects.filter(pk=organization.pk, delete_at=None).exists()
        ends["kept" if kept else "gone"] += 1
        assert DataKey.objects.filter(pk=key.pk).exists() == kept
        assert Membership.objects.filter(organization_id=organization.pk).exists() == kept
        assert Organization.objects.filter(pk=organization.pk).exists() == kept
    assert sum(ends.values()) == RACES
