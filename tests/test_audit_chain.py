"""The chain of audit events: what is recorded fits, in whatever words, and on PostgreSQL stays as it is."""

import threading
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keys.models import DataKey
from orgs.actions import Actor, record, set_organization
from orgs.audit.chain import mac
from orgs.models import AuditEvent, AuditHead, Organization, User
from tests.tampering import let_tests_truncate

BY = Actor.command("test")


def chain(organization: Organization) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(organization=organization).order_by("number"))


def fits(organization: Organization) -> bool:
    """Whether every event has the mac that it must have, up to the head."""
    before, events = b"", chain(organization)
    for number, event in enumerate(events, 1):
        if event.number != number or bytes(event.mac) != mac(event, number, before):
            return False
        before = bytes(event.mac)
    head = AuditHead.objects.get(organization=organization)
    return (head.number, bytes(head.mac)) == (len(events), before)


@pytest.mark.django_db
def test_every_organization_has_a_chain_of_its_own(acme: Organization, globex: Organization, alice: User) -> None:
    set_organization(organization=acme, by=Actor(label="Alice", user=alice, address="2001:DB8::1"), name="Acme Labs")
    set_organization(organization=globex, by=BY, name="Globex Labs")
    assert [event.tag for event in chain(acme)] == ["organization:create", "organization:set"]
    assert fits(acme)
    assert fits(globex)
    assert bytes(chain(acme)[0].mac) != bytes(chain(globex)[0].mac)


@pytest.mark.django_db
def test_another_key_makes_other_macs(acme: Organization, settings: Any) -> None:
    settings.AUDIT_KEY = "z" * 50
    assert not fits(acme)


PLAIN = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
SAID = st.none() | st.booleans() | st.integers(-(10**15), 10**15) | PLAIN | st.sampled_from([0.1, 5.0, 1e-7])
CHANGES = st.dictionaries(PLAIN | st.integers(0, 20), st.recursive(SAID, lambda more: st.lists(more, max_size=3)), max_size=4)


@pytest.mark.django_db
@given(changes=CHANGES, label=PLAIN)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_was_changed_reads_back_as_it_was_signed(changes: Any, label: str, acme: Organization) -> None:
    with transaction.atomic():
        record(organization=acme, by=Actor(label=label), tag="organization:set", target=acme, changes=changes)
        assert fits(acme)
        transaction.set_rollback(True)


@pytest.mark.django_db
def test_a_long_name_of_a_person_is_cut_and_does_not_stop_the_act(acme: Organization) -> None:
    set_organization(organization=acme, by=Actor(label="a" * 200), name="Acme Labs")
    assert chain(acme)[-1].actor_label == "a" * 120
    assert fits(acme)


@pytest.mark.django_db
def test_who_it_was_stays_written_when_their_account_is_deleted(acme: Organization, bob: User) -> None:
    set_organization(organization=acme, by=Actor(label="Bob", user=bob), name="Acme Labs")
    pk = bob.pk
    bob.delete()
    event = AuditEvent.objects.select_related("actor").order_by("number").last()
    assert event is not None
    assert (event.actor_id, event.actor, event.actor_label) == (pk, None, "Bob")
    assert fits(acme)


@pytest.mark.django_db
@pytest.mark.usefixtures("postgres_only")
@pytest.mark.parametrize("act", ["UPDATE orgs_auditevent SET actor_label = 'Somebody else'", "DELETE FROM orgs_auditevent"])
def test_postgresql_refuses_to_change_or_delete_an_event(act: str, acme: Organization) -> None:
    with connection.cursor() as cursor, pytest.raises(DatabaseError, match="neither changed nor deleted"), transaction.atomic():
        cursor.execute(act)
    assert fits(acme)


@pytest.mark.django_db
@pytest.mark.usefixtures("postgres_only")
def test_postgresql_refuses_to_empty_the_log() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE orgs_auditevent ENABLE TRIGGER keep_all")
        with pytest.raises(DatabaseError, match="neither changed nor deleted"):
            cursor.execute("TRUNCATE orgs_auditevent")


@pytest.mark.django_db
def test_an_organization_is_deleted_with_its_log_and_no_other(acme: Organization, globex: Organization) -> None:
    DataKey.objects.filter(organization=acme).delete()
    acme.delete()
    assert not AuditEvent.objects.filter(organization=acme.pk).exists()
    assert fits(globex)


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
@pytest.mark.usefixtures("postgres_only")
def test_many_at_once_stand_in_one_chain(acme: Organization) -> None:
    def rename(name: str) -> None:
        try:
            for number in range(10):
                with transaction.atomic():
                    record(organization=acme, by=BY, tag="organization:set", target=acme, changes={"name": f"{name}{number}"})
        finally:
            connection.close()

    threads = [threading.Thread(target=rename, args=[name]) for name in "abcde"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(chain(acme)) == 51
    assert fits(acme)


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_what_was_there_before_the_chain_is_chained_from_the_oldest_on(acme: Organization) -> None:
    """Back to before the migration, and forward again."""
    set_organization(organization=acme, by=BY, name="Acme Labs")
    try:
        call_command("migrate", "orgs", "0009", verbosity=0)
        with connection.cursor() as cursor:
            cursor.execute("UPDATE orgs_auditevent SET number = NULL, mac = NULL")
            cursor.execute("UPDATE orgs_auditevent SET at = '2026-01-01T00:00:00Z' WHERE tag = 'organization:set'")
            cursor.execute("DELETE FROM orgs_audithead")
    finally:
        call_command("migrate", verbosity=0)
        let_tests_truncate()
    assert [event.tag for event in chain(acme)] == ["organization:set", "organization:create"]
    assert fits(acme)
