"""Writes about keys: what they change, what they leave in the audit, and what two at once may not do."""

from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from keys import actions, client_keys, data_keys, vault
from keys.actions import NameTaken
from keys.models import ClientKey, ProviderKey
from keys.providers import Credential
from keys.testing import TestResult, Verdict
from orgs.actions import Actor
from orgs.models import AuditEvent, Organization, User

SECRET = "sk-canary-51d0e7-never-seen"
CREDENTIAL = Credential(secret={"api_key": SECRET}, public={}, hint="sk-…seen")
OTHER = Credential(secret={"api_key": "sk-another"}, public={"region": "us-east-1"}, hint="sk-…ther")


def found(verdict: Verdict, reason: str = "", models: tuple[str, ...] = ()) -> TestResult:
    return TestResult(verdict=verdict, reason=reason, status=None, latency_ms=1, models=models)


@pytest.fixture
def by(alice: User) -> Actor:
    return Actor(label="Alice", user=alice, address="127.0.0.1")


def add(organization: Organization, by: Actor, name: str = "Main", **changes: Any) -> ProviderKey:
    fields = {"provider": "openai", "credential": CREDENTIAL, "test": None} | changes
    return actions.add_key(organization=organization, name=name, by=by, **fields)


def version(organization: Organization) -> int:
    return Organization.objects.get(pk=organization.pk).routing_version


def last_event() -> AuditEvent:
    return AuditEvent.objects.order_by("pk").latest("pk")


# Provider keys


def test_an_added_key_is_last_in_the_order_and_waits_for_a_test(acme: Organization, by: Actor, alice: User) -> None:
    first, second = add(acme, by), add(acme, by, "Second", provider="groq")
    assert [key.priority for key in (first, second)] == [1, 2]
    assert list(ProviderKey.objects.for_org(acme)) == [first, second]
    stored = ProviderKey.objects.get(pk=second.pk)
    assert (stored.status, stored.needs_test, stored.enabled) == ("untested", True, True)
    assert (stored.hint, stored.created_by) == ("sk-…seen", alice)
    assert data_keys.open_credential(stored, data_keys.of(acme)) == CREDENTIAL


def test_an_address_changed_in_the_database_gets_no_secret(acme: Organization, by: Actor) -> None:
    key = add(acme, by, credential=OTHER)
    ProviderKey.objects.filter(pk=key.pk).update(public={"region": "eu-evil-1"})
    stored = ProviderKey.objects.get(pk=key.pk)
    assert data_keys.open_credential(stored, data_keys.of(acme)).public == {"region": "us-east-1"}


def test_adding_a_key_is_audited_by_fingerprint_and_told_to_the_gateways(acme: Organization, by: Actor) -> None:
    before = version(acme)
    key = add(acme, by, credential=OTHER)
    event = last_event()
    assert (event.tag, event.actor_label, event.address) == ("provider_key:add", "Alice", "127.0.0.1")
    assert (event.target_id, event.target_label) == (str(key.pk), "OpenAI Main")
    assert event.changes["before"] == {}
    assert event.changes["after"]["fingerprint"] == key.fingerprint
    assert event.changes["after"]["public"] == {"region": "us-east-1"}
    assert version(acme) == before + 1


@pytest.mark.parametrize(
    ("verdict", "status", "needs_test"),
    [
        (Verdict.VALID, "healthy", False),
        (Verdict.LIMITED, "limited", False),
        (Verdict.INVALID, "failing", True),
        (Verdict.UNKNOWN, "untested", True),
    ],
)
def test_the_test_before_saving_decides_the_status(
    acme: Organization, by: Actor, verdict: Verdict, status: str, needs_test: bool
) -> None:
    key = add(acme, by, test=found(verdict, "OpenAI said so.", ("gpt-a", "gpt-b")))
    assert (key.status, key.needs_test) == (status, needs_test)
    assert key.status_reason == ("" if verdict is Verdict.VALID else "OpenAI said so.")
    assert key.discovered_models == ([] if needs_test else ["gpt-a", "gpt-b"])
    assert key.tested_at


def test_an_operator_vouches_for_a_key(acme: Organization, by: Actor) -> None:
    key = add(acme, by, needs_test=False)
    assert (key.status, key.needs_test) == ("untested", False)


def test_a_name_is_used_once_for_each_provider(acme: Organization, globex: Organization, by: Actor) -> None:
    key = add(acme, by)
    with pytest.raises(NameTaken, match="There is already a key named “Main” for OpenAI"):
        add(acme, by)
    add(acme, by, provider="groq")
    add(globex, by)
    actions.remove_key(key=key, by=by)
    add(acme, by)


def test_the_same_secret_is_recognized_within_provider_and_organization(
    acme: Organization, globex: Organization, by: Actor
) -> None:
    key, twin = add(acme, by), add(acme, by, "Twin")
    others = [add(acme, by, provider="groq"), add(globex, by), add(acme, by, "Other", credential=OTHER)]
    assert list(ProviderKey.objects.same_secret(key)) == [twin]
    assert len({key.fingerprint for key in [key, *others]}) == 4
    actions.remove_key(key=twin, by=by)
    assert not ProviderKey.objects.same_secret(key).exists()


@pytest.mark.parametrize(
    ("verdict", "status", "reason"),
    [
        (Verdict.VALID, "healthy", ""),
        (Verdict.LIMITED, "limited", "Why."),
        (Verdict.INVALID, "failing", "Why."),
        (Verdict.UNKNOWN, "healthy", "Why."),
    ],
)
def test_a_later_test_changes_the_status_unless_it_could_not_tell(
    acme: Organization, by: Actor, verdict: Verdict, status: str, reason: str
) -> None:
    key = add(acme, by, test=found(Verdict.VALID, models=("gpt-a",)))
    before = version(acme)
    actions.record_test(key=key, result=found(verdict, "Why."), by=by)
    stored = ProviderKey.objects.get(pk=key.pk)
    assert (stored.status, stored.status_reason, stored.needs_test) == (status, reason, False)
    assert stored.discovered_models == ["gpt-a"]
    event = last_event()
    assert event.tag == "provider_key:test"
    assert event.changes["before"] == {"status": "healthy", "status_reason": ""}
    assert event.changes["after"] == {"status": status, "status_reason": reason, "verdict": verdict.value}
    assert version(acme) == before + 1


def test_a_passed_test_opens_a_saved_key_to_traffic(acme: Organization, by: Actor) -> None:
    key = add(acme, by)
    actions.record_test(key=key, result=found(Verdict.VALID, models=("gpt-a",)), by=by)
    stored = ProviderKey.objects.get(pk=key.pk)
    assert (stored.needs_test, stored.discovered_models) == (False, ["gpt-a"])


@pytest.mark.parametrize("meanwhile", ["removed", "replaced"])
def test_a_result_about_a_credential_that_is_gone_is_dropped(acme: Organization, by: Actor, meanwhile: str) -> None:
    key = add(acme, by)
    stale = ProviderKey.objects.get(pk=key.pk)
    if meanwhile == "removed":
        actions.remove_key(key=key, by=by)
    else:
        ProviderKey.objects.filter(pk=key.pk).update(secret_version=2)
    events = AuditEvent.objects.count()
    actions.record_test(key=stale, result=found(Verdict.VALID), by=by)
    assert ProviderKey.objects.get(pk=key.pk).status == "untested"
    assert AuditEvent.objects.count() == events


def test_a_very_long_reason_is_cut_to_what_fits(acme: Organization, by: Actor) -> None:
    key = add(acme, by, test=found(Verdict.LIMITED, "x" * 1000))
    assert len(ProviderKey.objects.get(pk=key.pk).status_reason) == 300


def test_turning_off_and_on_is_audited_once_each(acme: Organization, by: Actor) -> None:
    key, before = add(acme, by), version(acme)
    stale = ProviderKey.objects.get(pk=key.pk)
    actions.disable_key(key=key, by=by)
    actions.disable_key(key=stale, by=by)
    assert not ProviderKey.objects.get(pk=key.pk).enabled
    actions.enable_key(key=key, by=by)
    tags = list(AuditEvent.objects.filter(target_id=str(key.pk)).order_by("pk").values_list("tag", flat=True))
    assert tags == ["provider_key:add", "provider_key:disable", "provider_key:enable"]
    assert last_event().changes == {"before": {"enabled": False}, "after": {"enabled": True}}
    assert version(acme) == before + 2
    assert ProviderKey.objects.get(pk=key.pk).enabled


def test_removing_a_key_erases_its_credential_and_keeps_its_name(acme: Organization, by: Actor) -> None:
    key, before = add(acme, by), version(acme)
    actions.remove_key(key=key, by=by)
    actions.remove_key(key=key, by=by)
    stored = ProviderKey.objects.get(pk=key.pk)
    assert (bytes(stored.sealed), stored.name) == (b"", "Main")
    assert stored.removed_at
    assert not ProviderKey.objects.for_org(acme).exists()
    assert AuditEvent.objects.filter(tag="provider_key:remove").count() == 1
    assert version(acme) == before + 1
    with pytest.raises(vault.VaultError):
        data_keys.open_credential(stored, data_keys.of(acme))


def test_a_removed_key_cannot_be_turned_on(acme: Organization, by: Actor) -> None:
    key = add(acme, by)
    actions.disable_key(key=key, by=by)
    actions.remove_key(key=key, by=by)
    actions.enable_key(key=key, by=by)
    assert not ProviderKey.objects.get(pk=key.pk).enabled


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_keys_added_at_once_get_places_and_names_of_their_own(postgres_only: None, acme: Organization, by: Actor) -> None:
    def attempt(number: int) -> bool:
        try:
            add(acme, by, f"Key {number // 2}")
        except NameTaken:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(attempt, range(8)))
    assert sum(added) == 4
    assert [key.priority for key in ProviderKey.objects.for_org(acme)] == [1, 2, 3, 4]


# Client keys


def test_an_issued_client_key_is_kept_as_a_digest_only(acme: Organization, by: Actor, alice: User) -> None:
    before = version(acme)
    key, text = actions.issue_client_key(organization=acme, name="web", by=by)
    parsed = client_keys.parse(text)
    assert parsed
    stored = ClientKey.objects.live().get(public_id=parsed[0])
    pepper = vault.derive(data_keys.of(acme)[stored.pepper_version], "client-key")
    assert stored == key
    assert bytes(stored.digest) == client_keys.digest(pepper, parsed[1])
    assert (stored.hint, stored.created_by) == (f"byok_live_…{text[-4:]}", alice)
    assert last_event().tag == "client_key:issue"
    assert last_event().changes["after"] == {"name": "web", "hint": key.hint}
    assert version(acme) == before + 1


def test_a_revoked_client_key_frees_its_name_and_stays_listed_last(acme: Organization, by: Actor) -> None:
    key, _ = actions.issue_client_key(organization=acme, name="web", by=by)
    other, _ = actions.issue_client_key(organization=acme, name="zeta", by=by)
    with pytest.raises(NameTaken, match="There is already a client key named “web”"):
        actions.issue_client_key(organization=acme, name="web", by=by)
    actions.revoke_client_key(key=key, by=by)
    actions.revoke_client_key(key=key, by=by)
    assert list(ClientKey.objects.for_org(acme)) == [other, key]
    assert list(ClientKey.objects.live()) == [other]
    assert AuditEvent.objects.filter(tag="client_key:revoke").count() == 1
    actions.issue_client_key(organization=acme, name="web", by=by)


# What is left behind


def test_no_secret_is_in_a_dump_of_the_database(acme: Organization, by: Actor) -> None:
    add(acme, by, test=found(Verdict.LIMITED, "Why."))
    _, text = actions.issue_client_key(organization=acme, name="web", by=by)
    out = StringIO()
    call_command("dumpdata", "orgs", "keys", stdout=out)
    assert "Main" in out.getvalue()
    assert SECRET not in out.getvalue()
    assert client_keys.parse(text)[1] not in out.getvalue()  # type: ignore[index]


def test_an_act_that_cannot_be_audited_does_not_happen(acme: Organization, by: Actor) -> None:
    key, before = add(acme, by), version(acme)
    nobody = Actor(label=None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        add(acme, nobody, "Second")
    with pytest.raises(TypeError):
        actions.remove_key(key=key, by=nobody)
    assert list(ProviderKey.objects.for_org(acme)) == [key]
    assert version(acme) == before
