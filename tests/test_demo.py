"""The demo fills itself once, looks alive, stays as it is, and tops itself up when it is started again."""

import json
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from byok_site import demo
from byok_site.demo_provider import DemoProvider
from keys.models import ClientKey, HealthMark, ManagementKey, ProviderKey, RetiredCredential
from keys.pages import portrait
from keys.tasks import test_due_keys as look_after_keys
from orgs.actions.members import ROLES
from orgs.audit.check import Reading
from orgs.models import AuditEvent, Invitation, Membership, Organization
from usage.models import Budget, Limit, Scope, UsageEvent


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "DAYS", 3)


@pytest.fixture
def provider(settings: Settings) -> Iterator[DemoProvider]:
    provider = DemoProvider()
    settings.UPSTREAM_OVERRIDES = provider.start()
    yield provider
    provider.stop()


@pytest.fixture
def memory(db: None, tmp_path: Path) -> Path:
    demo.fill(tmp_path / "demo.json")
    return tmp_path / "demo.json"


@pytest.fixture
def organization(memory: Path) -> Organization:
    return Organization.objects.get(slug=demo.SLUG)


def states(organization: Organization) -> dict[str, str]:
    return {str(key): key.status for key in ProviderKey.objects.for_org(organization)}


def test_the_demo_has_people_keys_in_every_state_and_usage(organization: Organization) -> None:
    keys = ProviderKey.objects.for_org(organization)
    assert {key.status for key in keys} == {"healthy", "limited", "failing", "untested"}
    assert {key.tier for key in keys} == {"prioritized", "fallback"}
    assert keys.filter(enabled=False).count() == keys.filter(always=True).count() == 1
    assert keys.filter(allowed_models__isnull=False, allowed_client_keys__isnull=False).count() == 1
    assert RetiredCredential.objects.restorable(timezone.now()).count() == 1
    assert ProviderKey.objects.lent().count() == len(demo.LENT)
    assert Membership.objects.for_org(organization).owners().count() == 2
    assert {row.role.name for row in Membership.objects.for_org(organization).select_related("role")} == set(ROLES)
    open_now = Invitation.objects.open(timezone.now()).count()
    assert (Invitation.objects.for_org(organization).waiting().count(), open_now) == (2, 1)
    assert ManagementKey.objects.in_use(timezone.now()).exists()
    assert not list(Reading(organization).problems())
    assert ClientKey.objects.for_org(organization).live().exclude(preferences={}).count() == 3
    assert {budget.scope for budget in Budget.objects.filter(organization=organization)} == set(Scope)
    assert Limit.objects.filter(organization=organization).exists()
    assert UsageEvent.objects.filter(organization=organization, outcome="ok").count() > 100


def test_what_happened_to_keys_is_told_at_its_time(organization: Organization) -> None:
    key = ProviderKey.objects.get(organization=organization, status="failing")
    events = AuditEvent.objects.filter(target_id=str(key.pk)).order_by("at")
    assert [event.tag.partition(":")[2] for event in events] == ["add", "replace", "destroy_retired", "failing"]
    assert (events[0].at, events[3].at) == (key.created_at, key.status_since)
    assert key.last_error["message"] == "invalid x-api-key"
    strip = portrait.strip_of(key, timezone.now()).states
    assert "." not in strip
    assert (strip[0] in "ow", strip[-1]) == (True, "x")


def test_scheduled_tests_leave_the_picture_as_it_is(organization: Organization, provider: DemoProvider) -> None:
    before = states(organization)
    assert look_after_keys(timezone.now()) == 0
    keys = ProviderKey.objects.for_org(organization)
    keys.update(tested_at=timezone.now() - timedelta(hours=2), next_test_at=timezone.now(), last_used_at=None, until=None)
    assert look_after_keys(timezone.now()) == len(demo.KEYS) - 2
    assert states(organization) == before
    assert keys.filter(until__gt=timezone.now() + timedelta(minutes=4)).get().status == "limited"


def test_requests_of_the_past_show_a_walk(organization: Organization, memory: Path, client: Client) -> None:
    remembered = json.loads(memory.read_text())
    rescued = UsageEvent.objects.filter(request_id=remembered["rescued"]).order_by("number")
    assert [(event.outcome, event.tier) for event in rescued] == [("absorbed", "prioritized"), ("ok", "platform")]
    assert [left["name"] for left in rescued[0].skipped if left["why"] == "health"] == ["Production"]
    refused = UsageEvent.objects.get(request_id=remembered["refused"])
    assert (refused.outcome, refused.error_class) == ("refused", "no_allowed_provider")
    client.post("/signin/", {"login": remembered["email"], "password": remembered["password"]})
    assert client.get(f"/o/{demo.SLUG}/requests/{remembered['rescued']}/").status_code == 200
    assert client.get(f"/o/{demo.SLUG}/requests/{remembered['refused']}/").status_code == 200


def test_the_second_start_adds_nothing_twice(memory: Path, organization: Organization) -> None:
    events, first = UsageEvent.objects.count(), json.loads(memory.read_text())
    rest = [HealthMark.objects.count(), AuditEvent.objects.count(), ProviderKey.objects.count()]
    assert demo.fill(memory) == first
    assert Organization.objects.count() == 2
    assert UsageEvent.objects.count() - events < 10
    assert [HealthMark.objects.count(), AuditEvent.objects.count(), ProviderKey.objects.count()] == rest
    assert stat.S_IMODE(memory.stat().st_mode) == 0o600


def test_a_failing_key_gets_no_traffic_later(memory: Path, organization: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    tomorrow = timezone.now() + timedelta(days=1)
    monkeypatch.setattr("byok_site.demo.timezone.now", lambda: tomorrow)
    demo.fill(memory)
    failing = ProviderKey.objects.get(organization=organization, status="failing")
    later = UsageEvent.objects.filter(organization=organization, started_at__gt=tomorrow - timedelta(hours=23))
    assert later.exists()
    assert not later.filter(provider_key_id=failing.pk).exists()
    assert portrait.strip_of(failing, tomorrow).states == "x" * 48


def test_the_printed_sign_in_works(memory: Path, client: Client) -> None:
    remembered = json.loads(memory.read_text())
    answer = client.post("/signin/", {"login": remembered["email"], "password": remembered["password"]})
    assert answer.status_code == 302
    assert client.get(f"/o/{demo.SLUG}/usage/").status_code == 200
