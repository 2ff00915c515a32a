"""The demo fills itself once, looks alive, and tops itself up when it is started again."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from byok_site import demo
from byok_site.demo_provider import DemoProvider
from keys.models import ClientKey, ProviderKey
from orgs.models import Membership, Organization
from usage.models import UsageEvent


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "DAYS", 3)


@pytest.fixture
def provider(settings: Settings) -> Iterator[DemoProvider]:
    provider = DemoProvider()
    settings.UPSTREAM_OVERRIDES = provider.start()
    yield provider
    provider.stop()


@pytest.mark.django_db
def test_the_demo_has_people_keys_in_every_state_and_usage(provider: DemoProvider, tmp_path: Path) -> None:
    demo.fill(tmp_path / "demo.json")
    organization = Organization.objects.get(slug=demo.SLUG)
    keys = ProviderKey.objects.for_org(organization)
    assert {key.status for key in keys} == {"healthy", "limited", "failing", "untested"}
    assert keys.filter(enabled=False).count() == 1
    assert Membership.objects.for_org(organization).owners().count() == 2
    assert ClientKey.objects.for_org(organization).live().count() == len(demo.CLIENTS)
    assert UsageEvent.objects.filter(organization=organization, outcome="ok").count() > 100


@pytest.mark.django_db
def test_the_second_start_adds_nothing_twice(provider: DemoProvider, tmp_path: Path) -> None:
    first = demo.fill(tmp_path / "demo.json")
    events = UsageEvent.objects.count()
    assert demo.fill(tmp_path / "demo.json") == first
    assert Organization.objects.count() == 1
    assert UsageEvent.objects.count() - events < 10
    assert stat.S_IMODE((tmp_path / "demo.json").stat().st_mode) == 0o600


@pytest.mark.django_db
def test_the_printed_sign_in_works(provider: DemoProvider, tmp_path: Path, client: Client) -> None:
    demo.fill(tmp_path / "demo.json")
    remembered = json.loads((tmp_path / "demo.json").read_text())
    answer = client.post("/signin/", {"login": remembered["email"], "password": remembered["password"]})
    assert answer.status_code == 302
    assert client.get(f"/o/{demo.SLUG}/usage/").status_code == 200
