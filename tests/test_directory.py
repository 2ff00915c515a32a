"""What the gateway knows follows what owners do."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from django.db import OperationalError
from django.utils import timezone

from gateway import directory as module
from gateway.directory import Directory
from gateway.snapshot import Snapshot
from keys import actions, client_keys
from keys.models import DataKey, ProviderKey
from keys.providers import Credential
from orgs.actions import Actor
from orgs.models import Organization

BY = Actor.command("test")


@pytest.fixture
def directory(acme: Organization) -> Directory:
    directory = Directory()
    directory.refresh()
    return directory


def add(organization: Organization, name: str = "main") -> ProviderKey:
    credential = Credential({"api_key": "sk-proj-canary-0123456789"}, {"region": "eu"}, "sk-…6789")
    return actions.add_key(
        organization=organization, provider="openai", name=name, credential=credential, test=None, needs_test=False, by=BY
    )


def issue(organization: Organization, name: str = "Tests") -> tuple[object, str]:
    return actions.issue_client_key(organization=organization, name=name, by=BY)


def known(directory: Directory) -> Snapshot:
    directory.refresh()
    assert directory.snapshot is not None
    return directory.snapshot


def names(directory: Directory, organization: Organization) -> list[str]:
    routes = known(directory).tenants[organization.pk].routes
    return [route.name for route in sorted(routes, key=lambda route: route.place)]


def test_a_new_provider_key_is_known_and_opens(directory: Directory, acme: Organization) -> None:
    key = add(acme)
    tenant = known(directory).tenants[acme.pk]
    assert [(route.id, route.provider, route.name, route.tested) for route in tenant.routes] == [(key.pk, "openai", "main", True)]
    credential = tenant.credential(key.pk)
    assert (credential.secret, credential.public) == ({"api_key": "sk-proj-canary-0123456789"}, {"region": "eu"})


def test_a_removed_provider_key_is_forgotten(directory: Directory, acme: Organization) -> None:
    key = add(acme)
    assert names(directory, acme) == ["main"]
    actions.remove_key(key=key, by=BY)
    assert names(directory, acme) == []


def test_turning_off_and_on_is_seen(directory: Directory, acme: Organization) -> None:
    key = add(acme)
    actions.disable_key(key=key, by=BY)
    assert [route.enabled for route in known(directory).tenants[acme.pk].routes] == [False]
    actions.enable_key(key=key, by=BY)
    assert [route.enabled for route in known(directory).tenants[acme.pk].routes] == [True]


def test_a_client_key_is_known_until_it_is_revoked(directory: Directory, acme: Organization) -> None:
    key, text = actions.issue_client_key(organization=acme, name="Tests", by=BY)
    public_id, secret = client_keys.parse(text) or ("", "")
    caller = known(directory).callers[public_id]
    assert (caller.id, caller.tenant.id) == (str(key.pk), str(acme.pk))
    assert client_keys.digest(caller.pepper, secret) == caller.digest
    actions.revoke_client_key(key=key, by=BY)
    assert known(directory).callers == {}


def test_only_what_changed_is_read_again(directory: Directory, acme: Organization, globex: Organization) -> None:
    add(acme)
    issue(globex)
    before = known(directory)
    add(acme, "second")
    after = known(directory)
    assert after.tenants[globex.pk] is before.tenants[globex.pk]
    assert list(after.callers) == list(before.callers)
    assert names(directory, acme) == ["main", "second"]


def test_nothing_is_read_when_nothing_changed(
    directory: Directory, acme: Organization, django_assert_num_queries: Callable[..., object]
) -> None:
    before = known(directory)
    with django_assert_num_queries(2):
        assert known(directory) is before


def test_a_change_that_was_committed_late_is_seen(directory: Directory, acme: Organization) -> None:
    """Its time stamp lies before that of a change which was seen already."""
    add(acme)
    assert names(directory, acme) == ["main"]
    add(acme, "late")
    Organization.objects.filter(pk=acme.pk).update(routing_changed_at=timezone.now() - timedelta(seconds=50))
    assert names(directory, acme) == ["main", "late"]


def test_the_time_that_counts_is_the_databases(directory: Directory, acme: Organization) -> None:
    with time_machine.travel(timezone.now() + timedelta(hours=1), tick=True):
        add(acme)
        assert names(directory, acme) == ["main"]


def test_everything_is_read_again_now_and_then(directory: Directory, acme: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    add(acme)
    Organization.objects.filter(pk=acme.pk).update(routing_changed_at=timezone.now() - timedelta(hours=1))
    assert names(directory, acme) == []
    monkeypatch.setattr(directory, "_reload_at", time.monotonic())
    assert names(directory, acme) == ["main"]


def test_one_organization_whose_keys_do_not_open_harms_no_other(
    acme: Organization, globex: Organization, caplog: pytest.LogCaptureFixture
) -> None:
    add(acme)
    issue(acme)
    add(globex)
    DataKey.objects.filter(organization=acme).update(wrapped=b"damaged")
    snapshot = known(Directory())
    assert list(snapshot.tenants) == [globex.pk]
    assert snapshot.callers == {}
    assert f"The data keys of organization {acme.pk} do not open" in caplog.text


def test_a_row_of_a_provider_that_is_gone_is_passed_over(directory: Directory, acme: Organization) -> None:
    key = add(acme)
    ProviderKey.objects.filter(pk=key.pk).update(provider="gone")
    assert known(Directory()).tenants[acme.pk].routes == ()


def test_trouble_with_the_database_keeps_what_is_known_for_five_minutes(
    directory: Directory, acme: Organization, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise OperationalError("host=db password=canary")

    before = known(directory)
    caplog.set_level(logging.INFO)
    with monkeypatch.context() as patch:
        patch.setattr(Organization.objects, "filter", lambda **_: fail())
        directory.poll()
        directory.poll()
    assert directory.snapshot is before
    assert [record.getMessage() for record in caplog.records] == [
        "Keys cannot be read from the database (OperationalError). The gateway goes on from memory."
    ]
    monkeypatch.setattr(directory, "_confirmed_at", time.monotonic() - module.MOST_SECONDS_WITHOUT_DATABASE)
    assert directory.snapshot is None
    directory.poll()
    assert directory.snapshot is before
    assert caplog.records[-1].getMessage() == "Keys can be read from the database again."


def test_nothing_is_known_before_the_first_load() -> None:
    assert Directory().snapshot is None


def test_a_snapshot_shows_no_secret(directory: Directory, acme: Organization) -> None:
    add(acme)
    _, text = issue(acme)
    snapshot = known(directory)
    caller = next(iter(snapshot.callers.values()))
    caller.tenant.credential(caller.tenant.routes[0].id)
    shown = repr((snapshot, caller, caller.tenant, *caller.tenant.stored.values()))
    assert "canary" not in shown
    for secret in (caller.pepper, caller.digest, *caller.tenant.data_keys.values(), text.encode()):
        assert repr(secret)[2:-1] not in shown


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_the_thread_loads_follows_and_stops(acme: Organization) -> None:
    directory = Directory()
    directory.start()
    assert directory.snapshot is not None
    assert list(directory.snapshot.tenants) == [acme.pk]
    directory.stop()
