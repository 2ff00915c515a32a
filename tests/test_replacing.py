"""Another credential for a key: tested first, the one before restorable for an hour, then destroyed. And another name."""

import base64
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import AnonymousUser
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import connection
from django.template.loader import render_to_string
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from keys import actions, data_keys, routes, upkeep, vault
from keys.actions import NameTaken, SameCredential, add_key, destroy_retired, replace_credential, restore_credential
from keys.models import ProviderKey, RetiredCredential
from keys.providers import Credential
from keys.testing import TestResult, Verdict
from orgs.actions import Actor
from orgs.models import AuditEvent, Organization, User
from tests.fake import FakeProvider
from tests.submissions import deployment, service_account

HTMX = {"HX-Request": "true"}
NOON = "2026-11-23T12:00:00Z"


def found(verdict: Verdict, *models: str) -> TestResult:
    return TestResult(verdict=verdict, reason="Why.", status=None, latency_ms=1, models=models)


def credential(name: str, **public: str) -> Credential:
    return Credential(secret={"api_key": f"sk-{name}-secret"}, public=public, hint=f"sk-…{name}")


OLD, NEW, THIRD = credential("old"), credential("new"), credential("third")
PASSED = found(Verdict.VALID, "gpt-new")
MINUTES = timedelta(minutes=1)


@pytest.fixture
def by(alice: User) -> Actor:
    return Actor(label="Alice", user=alice)


@pytest.fixture
def key(acme: Organization, by: Actor) -> ProviderKey:
    return make(acme, by)


def make(organization: Organization, by: Actor, name: str = "Main", given: Credential = OLD, **changes: Any) -> ProviderKey:
    fields: dict[str, Any] = {"provider": "openai", "test": found(Verdict.VALID, "gpt-old")} | changes
    return add_key(organization=organization, name=name, credential=given, by=by, **fields)


def stored(key: ProviderKey) -> ProviderKey:
    return ProviderKey.objects.get(pk=key.pk)


def held(key: ProviderKey) -> Credential:
    """What the key holds now, as the gateway would open it."""
    return data_keys.open_credential(stored(key), data_keys.of(key.organization))


def events(key: ProviderKey) -> list[str]:
    return list(AuditEvent.objects.filter(target_id=str(key.pk)).order_by("pk").values_list("tag", flat=True))


def whole(key: ProviderKey) -> dict[str, Any]:
    """Everything that is stored about the key, to compare."""
    row = ProviderKey.objects.filter(pk=key.pk).values().get()
    return row | {"sealed": bytes(row["sealed"]), "retired": list(key.retired.values_list("pk", flat=True))}


# Replacing


@pytest.mark.parametrize(("verdict", "status"), [(Verdict.VALID, "healthy"), (Verdict.LIMITED, "limited")])
def test_a_credential_that_passed_takes_over_at_once(key: ProviderKey, by: Actor, verdict: Verdict, status: str) -> None:
    before = Organization.objects.get().routing_version
    given = credential("new", organization="org-1")
    replace_credential(key=key, credential=given, test=found(verdict, "gpt-new"), by=by)
    now = stored(key)
    assert held(key) == given
    assert (now.secret_version, now.hint, now.public) == (2, "sk-…new", {"organization": "org-1"})
    assert (now.status, now.needs_test, now.discovered_models) == (status, False, ["gpt-new"])
    assert now.fingerprint == data_keys.fingerprint("openai", given, data_keys.of(key.organization)) != key.fingerprint
    assert Organization.objects.get().routing_version == before + 1


def test_the_one_before_is_kept_sealed_for_an_hour(key: ProviderKey, by: Actor) -> None:
    retired = replace_credential(key=key, credential=NEW, test=PASSED, by=by)
    row = RetiredCredential.objects.select_related("key__organization").get(pk=retired.pk)
    assert (row.secret_version, row.hint, row.fingerprint) == (1, "sk-…old", key.fingerprint)
    assert row.discovered_models == ["gpt-old"]
    assert row.destroy_at - row.retired_at == timedelta(hours=1)
    assert bytes(row.sealed) == bytes(key.sealed)
    assert data_keys.open_retired(row, data_keys.of(key.organization)) == OLD


def test_a_retired_credential_opens_for_its_own_version_only(key: ProviderKey, by: Actor) -> None:
    retired = replace_credential(key=key, credential=NEW, test=PASSED, by=by)
    opened = data_keys.of(key.organization)
    current = stored(key)
    current.sealed = retired.sealed
    with pytest.raises(vault.VaultError):
        data_keys.open_credential(current, opened)
    retired.secret_version = 2
    with pytest.raises(vault.VaultError):
        data_keys.open_retired(retired, opened)


def test_nothing_that_was_known_of_the_old_credential_is_said_of_the_new_one(key: ProviderKey, by: Actor) -> None:
    told = timezone.now() - MINUTES
    trouble = {"status": "failing", "status_reason": "Refused.", "error_class": "out_of_money", "trips": 5, "failed_tests": 4}
    also = {"until": told, "last_error": {"status": 401}, "status_since": told, "told_failing_at": told, "enabled": False}
    ProviderKey.objects.filter(pk=key.pk).update(**trouble, **also)
    replace_credential(key=key, credential=NEW, test=found(Verdict.VALID), by=by)
    now = stored(key)
    assert (now.status, now.status_reason, now.error_class, now.until) == ("healthy", "", "", None)
    assert (now.trips, now.failed_tests, now.last_error, now.discovered_models) == (0, 0, {}, [])
    assert now.status_since
    assert now.health_changed_at
    assert min(now.status_since, now.health_changed_at) > told
    assert routes.health_of(now).lasting == ("healthy", None, "", 0)
    assert now.told_failing_at == told  # so that owners hear that it works again
    assert (now.enabled, now.priority, now.name) == (False, key.priority, key.name)


def test_a_refused_credential_changes_nothing(key: ProviderKey, by: Actor) -> None:
    before = whole(key)
    with pytest.raises(ValueError, match="refused takes nothing over"):
        replace_credential(key=key, credential=NEW, test=found(Verdict.INVALID), by=by)
    assert whole(key) == before
    assert events(key) == ["provider_key:add"]


def test_one_that_nobody_could_test_waits_for_a_test(key: ProviderKey, by: Actor) -> None:
    replace_credential(key=key, credential=NEW, test=found(Verdict.UNKNOWN), by=by)
    assert (stored(key).needs_test, stored(key).status) == (True, "untested")
    assert held(key) == NEW


def test_the_same_credential_replaces_nothing_unless_what_is_stored_does_not_open(key: ProviderKey, by: Actor) -> None:
    before = whole(key)
    with pytest.raises(SameCredential, match="“Main” holds this credential already"):
        replace_credential(key=key, credential=OLD, test=PASSED, by=by)
    assert whole(key) == before
    ProviderKey.objects.filter(pk=key.pk).update(sealed=b"damaged")
    replace_credential(key=key, credential=OLD, test=PASSED, by=by)
    assert held(key) == OLD


def test_the_same_secret_for_another_region_is_another_credential(acme: Organization, by: Actor) -> None:
    key = make(acme, by, given=credential("old", region="us-east-1"))
    replace_credential(key=key, credential=credential("old", region="eu-west-1"), test=PASSED, by=by)
    assert held(key).public == stored(key).public == {"region": "eu-west-1"}


def test_a_key_that_was_removed_meanwhile_gets_no_credential(key: ProviderKey, by: Actor) -> None:
    stale = stored(key)
    actions.remove_key(key=key, by=by)
    with pytest.raises(ProviderKey.DoesNotExist):
        replace_credential(key=stale, credential=NEW, test=PASSED, by=by)
    assert not bytes(stored(key).sealed)


def test_a_test_of_the_old_credential_says_nothing_about_the_new_one(key: ProviderKey, by: Actor) -> None:
    stale = stored(key)
    replace_credential(key=key, credential=NEW, test=PASSED, by=by)
    actions.record_test(key=stale, result=found(Verdict.INVALID), by=by)
    assert stored(key).status == "healthy"


def test_an_act_that_cannot_be_audited_replaces_nothing(key: ProviderKey, by: Actor) -> None:
    before = whole(key)
    with pytest.raises(TypeError):
        replace_credential(key=key, credential=NEW, test=PASSED, by=Actor(label=None))  # type: ignore[arg-type]
    assert whole(key) == before
    assert held(key) == OLD


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_of_several_who_replace_at_once_nobodys_credential_is_lost(postgres_only: None, acme: Organization, by: Actor) -> None:
    key = make(acme, by)

    def attempt(number: int) -> None:
        try:
            replace_credential(key=stored(key), credential=credential(f"n{number}"), test=PASSED, by=by)
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(attempt, range(6)))
    opened = data_keys.of(acme)
    before = [data_keys.open_retired(row, opened) for row in key.retired.select_related("key__organization")]
    assert stored(key).secret_version == 7
    secrets = {each.secret["api_key"] for each in [held(key), *before]}
    assert secrets == {"sk-old-secret", *(f"sk-n{number}-secret" for number in range(6))}


# Restoring


def test_the_one_before_comes_back_as_yet_a_newer_version(key: ProviderKey, by: Actor) -> None:
    retired = replace_credential(key=key, credential=NEW, test=PASSED, by=by)
    restore_credential(retired=retired, test=found(Verdict.VALID), by=by)
    now = stored(key)
    assert held(key) == OLD
    assert (now.secret_version, now.hint, now.fingerprint) == (3, "sk-…old", key.fingerprint)
    assert now.discovered_models == ["gpt-old"]
    [in_turn] = key.retired.select_related("key__organization")
    assert (in_turn.secret_version, in_turn.hint) == (2, "sk-…new")
    restore_credential(retired=in_turn, test=PASSED, by=by)
    assert held(key) == NEW


def test_any_of_several_can_be_restored(key: ProviderKey, by: Actor) -> None:
    first = replace_credential(key=key, credential=NEW, test=PASSED, by=by)
    replace_credential(key=key, credential=THIRD, test=PASSED, by=by)
    restore_credential(retired=first, test=PASSED, by=by)
    assert held(key) == OLD
    assert [row.hint for row in key.retired.restorable(timezone.now())] == ["sk-…third", "sk-…new"]


def test_it_is_restored_once_and_within_its_hour(key: ProviderKey, by: Actor) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        retired = replace_credential(key=key, credential=NEW, test=PASSED, by=by)
        clock.shift(60 * MINUTES)
        with pytest.raises(RetiredCredential.DoesNotExist):
            restore_credential(retired=retired, test=PASSED, by=by)
        clock.shift(-MINUTES)
        restore_credential(retired=retired, test=PASSED, by=by)
        with pytest.raises(RetiredCredential.DoesNotExist):
            restore_credential(retired=retired, test=PASSED, by=by)
    assert held(key) == OLD


@pytest.mark.parametrize("trouble", ["refused", "damaged", "no audit"])
def test_a_restore_that_fails_changes_nothing(key: ProviderKey, by: Actor, trouble: str) -> None:
    retired = replace_credential(key=key, credential=NEW, test=PASSED, by=by)
    if trouble == "damaged":
        RetiredCredential.objects.update(sealed=b"damaged")
    before = whole(key)
    test = found(Verdict.INVALID if trouble == "refused" else Verdict.VALID)
    actor = Actor(label=None) if trouble == "no audit" else by  # type: ignore[arg-type]
    with pytest.raises((ValueError, vault.VaultError, TypeError)):
        restore_credential(retired=retired, test=test, by=actor)
    assert whole(key) == before
    assert held(key) == NEW


# Destroying


def test_it_is_destroyed_when_its_hour_is_over(key: ProviderKey, by: Actor) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        replace_credential(key=key, credential=NEW, test=PASSED, by=by)
        clock.shift(30 * MINUTES)
        replace_credential(key=key, credential=THIRD, test=PASSED, by=by)
        now = timezone.now()
    assert destroy_retired(now + 29 * MINUTES) == 0
    assert destroy_retired(now + 30 * MINUTES) == 1
    assert [row.hint for row in key.retired.all()] == ["sk-…new"]
    assert destroy_retired(now + 60 * MINUTES) == 1
    assert destroy_retired(now + 60 * MINUTES) == 0
    assert not RetiredCredential.objects.exists()
    assert held(key) == THIRD


def test_removing_a_key_destroys_what_it_held_before(key: ProviderKey, by: Actor) -> None:
    replace_credential(key=key, credential=NEW, test=PASSED, by=by)
    actions.remove_key(key=key, by=by)
    actions.remove_key(key=key, by=by)
    assert not RetiredCredential.objects.exists()
    assert events(key)[2:] == ["provider_key:destroy_retired", "provider_key:remove"]


def test_the_audit_shows_each_step_by_fingerprint_and_no_secret(key: ProviderKey, by: Actor) -> None:
    retired = replace_credential(key=key, credential=NEW, test=PASSED, by=by)
    restore_credential(retired=retired, test=PASSED, by=by)
    destroy_retired(timezone.now() + timedelta(hours=1))
    steps = ["add", "replace", "restore", "destroy_retired"]
    assert events(key) == [f"provider_key:{step}" for step in steps]
    written = list(AuditEvent.objects.filter(target_id=str(key.pk)).order_by("pk"))
    replaced, restored, destroyed = (event.changes for event in written[1:])
    new = replaced["after"]["fingerprint"]
    assert replaced["before"]["fingerprint"] == restored["after"]["fingerprint"] == key.fingerprint
    assert restored["before"]["fingerprint"] == destroyed["before"]["fingerprint"] == new
    assert [change["after"].get("secret_version") for change in (replaced, restored)] == [2, 3]
    assert (written[1].actor_label, written[3].actor_label) == ("Alice", "Keyhold")
    assert "-secret" not in json.dumps([event.changes for event in written])


# What the vault's upkeep does with them


def vault_command(*args: str) -> str:
    out = StringIO()
    call_command("vault", *args, stdout=out)
    return out.getvalue()


def test_a_new_data_key_and_ring_reach_retired_credentials(key: ProviderKey, by: Actor, settings: Any) -> None:
    retired = replace_credential(key=key, credential=NEW, test=PASSED, by=by)
    settings.VAULT_SUITE = 2
    done = "provider key: {0} of 1 resealed\nretired credential: {0} of 1 resealed\n"
    assert vault_command("reseal", "--new-data-key") == "data key: 1 made\n" + done.format(1)
    assert vault_command("reseal") == done.format(0)
    assert "retired credentials sealed by suite 2, data key version 2: 1" in vault_command("status")
    newer = f"k2:{base64.b64encode(b'b' * 32).decode()}"
    settings.VAULT_KEYS = f"{newer},{settings.VAULT_KEYS}"
    assert vault_command("rewrap") == "data key: 2 of 2 rewrapped\n"
    assert "k1 wraps nothing" in vault_command("retire", "k1")
    settings.VAULT_KEYS = newer
    assert "retired credential: 1 of 1 opened\n" in vault_command("verify")
    restore_credential(retired=retired, test=PASSED, by=by)
    assert held(key) == OLD


def test_verify_names_a_damaged_one_and_reseal_leaves_what_changed_meanwhile(key: ProviderKey, by: Actor, settings: Any) -> None:
    retired = replace_credential(key=key, credential=NEW, test=PASSED, by=by)
    settings.VAULT_SUITE = 2
    RetiredCredential.objects.filter(pk=retired.pk).update(sealed=b"\1damaged")
    assert upkeep.reseal_retired(retired) == 0
    assert bytes(RetiredCredential.objects.get().sealed) == b"\1damaged"
    [damaged] = [visit for visit in upkeep.verify() if not visit.opened]
    assert (damaged.kind, damaged.row) == ("retired credential", retired)


# Renaming


def test_a_key_gets_another_name_and_nothing_else(key: ProviderKey, by: Actor) -> None:
    before = whole(key)
    actions.rename_key(key=key, name="Spare", by=by)
    actions.rename_key(key=key, name="Spare", by=by)
    assert whole(key) == before | {"name": "Spare"}
    assert events(key) == ["provider_key:add", "provider_key:rename"]
    assert AuditEvent.objects.latest("pk").changes == {"before": {"name": "Main"}, "after": {"name": "Spare"}}


def test_a_name_that_another_key_of_the_provider_has_is_refused(key: ProviderKey, by: Actor) -> None:
    make(key.organization, by, "Spare")
    make(key.organization, by, "Elsewhere", provider="groq")
    with pytest.raises(NameTaken, match="There is already a key named “Spare” for OpenAI"):
        actions.rename_key(key=key, name="Spare", by=by)
    actions.rename_key(key=key, name="Elsewhere", by=by)


# The pages


@pytest.fixture
def alices(client_of: Callable[[User], Client], alice: User, acme: Organization) -> Client:
    return client_of(alice)


@pytest.fixture
def answers(settings: Any, fake_provider: FakeProvider) -> FakeProvider:
    settings.UPSTREAM_OVERRIDES = fake_provider.overrides()
    return fake_provider


def page(name: str, *args: Any) -> str:
    return reverse(f"provider_key{name}", args=["acme", *args])


def given(fake: FakeProvider, behavior: str = "valid", **fields: str) -> dict[str, str]:
    return {"api_key": fake.key("openai", behavior), "do": "test", **fields}


@time_machine.travel(NOON, tick=False)
def test_an_owner_replaces_a_credential_and_sees_what_became_of_it(
    alices: Client, key: ProviderKey, answers: FakeProvider
) -> None:
    assert "sk-…old" in alices.get(page("_replace", key.pk)).text
    answer = alices.post(page("_replace", key.pk), given(answers), follow=True)
    assert answer.redirect_chain == [(page("", key.pk), 302)]
    said = "“Main” passed its test and uses this credential from now on. The one before can be restored until 13:00 UTC."
    assert said in answer.text
    assert held(key).secret == {"api_key": answers.key("openai")}
    assert stored(key).discovered_models not in ([], ["gpt-old"])


def test_htmx_is_sent_to_the_key_after_replacing(alices: Client, key: ProviderKey, answers: FakeProvider) -> None:
    answer = alices.post(page("_replace", key.pk), given(answers), headers=HTMX)
    assert answer.headers["HX-Redirect"] == page("", key.pk)


@pytest.mark.parametrize("headers", [{}, HTMX])
@pytest.mark.parametrize("do", ["test", "anyway"])
def test_a_refused_credential_leaves_the_key_as_it_was(
    alices: Client, key: ProviderKey, answers: FakeProvider, do: str, headers: dict[str, str]
) -> None:
    before, fields = whole(key), given(answers, "refused", do=do)
    answer = alices.post(page("_replace", key.pk), fields, headers=headers)
    assert answer.status_code == 422
    assert "OpenAI refused this key (401)" in answer.text
    assert "Nothing changed: “Main” still uses" in answer.text
    assert "<title>Error: " in answer.text
    assert fields["api_key"] not in answer.text
    assert "Replace anyway" not in answer.text
    assert whole(key) == before


def test_an_owner_overrules_a_test_that_could_not_tell(alices: Client, key: ProviderKey, answers: FakeProvider) -> None:
    before = whole(key)
    answer = alices.post(page("_replace", key.pk), given(answers, "broken"))
    assert answer.status_code == 422
    assert 'value="anyway">Replace anyway<' in answer.text
    assert "If you replace it anyway, “Main” gets no traffic until it passes a test." in answer.text
    assert whole(key) == before
    answer = alices.post(page("_replace", key.pk), given(answers, "broken", do="anyway"), follow=True)
    assert "“Main” holds this credential now. It gets no traffic until it passes a test." in answer.text
    assert stored(key).needs_test


def test_anyway_is_no_way_around_a_test_that_passes(alices: Client, key: ProviderKey, answers: FakeProvider) -> None:
    alices.post(page("_replace", key.pk), given(answers, do="anyway"))
    assert (stored(key).needs_test, stored(key).status) == (False, "healthy")


def test_the_same_credential_and_the_same_secret_elsewhere_are_named(
    alices: Client, acme: Organization, by: Actor, answers: FakeProvider
) -> None:
    same = Credential({"api_key": answers.key("openai")}, {}, "sk-…same")
    first, second = make(acme, by, "First", same), make(acme, by, "Second")
    refused = alices.post(page("_replace", first.pk), given(answers))
    assert refused.status_code == 422
    assert "“First” holds this credential already." in refused.text
    assert 'href="#id_api_key"' in refused.text
    answer = alices.post(page("_replace", second.pk), given(answers), follow=True)
    assert "The same secret is saved as “First” too." in answer.text


def test_without_a_secret_no_part_of_a_credential_changes(alices: Client, acme: Organization, by: Actor) -> None:
    fields = {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "region": "eu-west-1", "do": "anyway"}
    aws = Credential({"secret_access_key": "s" * 40}, {"region": "us-east-1", "access_key_id": "AKIAIOSFODNN7EXAMPLE"}, "AKIA")
    key = make(acme, by, provider="bedrock", given=aws)
    before = whole(key)
    assert 'value="us-east-1"' in alices.get(page("_replace", key.pk)).text
    answer = alices.post(page("_replace", key.pk), fields)
    assert answer.status_code == 422
    assert 'href="#id_secret_access_key"' in answer.text
    assert whole(key) == before


def test_what_is_no_secret_is_offered_again_as_it_is_stored(alices: Client, acme: Organization, by: Actor) -> None:
    key = make(acme, by, given=credential("old", organization="org-Acme1", project="proj_Web2"))
    for answer in (
        alices.get(page("_replace", key.pk)),
        alices.post(page("_replace", key.pk), {"api_key": "", "organization": "org-Typed9"}),
    ):
        assert 'value="org-Acme1"' in answer.text
        assert 'value="proj_Web2"' in answer.text
        assert "org-Typed9" not in answer.text
        assert "id_name" not in answer.text


@pytest.mark.parametrize(
    ("provider", "fields"),
    [
        ("azure", {"deployments": json.dumps([deployment("new-secret-of-acme")])}),
        ("vertex", {"json": json.dumps(service_account("0123456789abcdef")), "location": "us-central1"}),
        ("bedrock", {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "s" * 40, "region": "us-east-1"}),
    ],
)
def test_every_shape_is_replaced_by_its_own_form(
    alices: Client, acme: Organization, by: Actor, provider: str, fields: dict[str, str], settings: Any
) -> None:
    settings.UPSTREAM_OVERRIDES = dict.fromkeys(("azure", "vertex:token", "bedrock", "bedrock:sts"), "http://127.0.0.1:9")
    key = make(acme, by, provider=provider, given=Credential({"api_key": "x"}, {"deployments": [], "region": "x"}, "…"))
    assert alices.post(page("_replace", key.pk), {**fields, "do": "anyway"}).status_code == 302
    assert stored(key).secret_version == 2
    assert set(held(key).secret) < {"api_keys", "private_key", "private_key_id", "secret_access_key"}


def test_a_service_account_may_come_as_a_file(alices: Client, acme: Organization, by: Actor, settings: Any) -> None:
    settings.UPSTREAM_OVERRIDES = {"vertex:token": "http://127.0.0.1:9"}
    key = make(acme, by, provider="vertex", given=Credential({"api_key": "x"}, {"location": "us-central1"}, "…"))
    assert "required" not in alices.get(page("_replace", key.pk)).text
    file = SimpleUploadedFile("key.json", json.dumps(service_account("0123456789abcdef")).encode(), "application/json")
    alices.post(page("_replace", key.pk), {"file": file, "location": "europe-west4", "do": "anyway"})
    assert held(key).public["location"] == "europe-west4"


@time_machine.travel(NOON, tick=False)
def test_the_one_before_is_offered_tested_and_restored(
    alices: Client, key: ProviderKey, by: Actor, answers: FakeProvider
) -> None:
    before = Credential({"api_key": answers.key("openai")}, {}, "sk-…before")
    replace_credential(key=key, credential=before, test=PASSED, by=by)
    replace_credential(key=key, credential=NEW, test=PASSED, by=by)
    asked = alices.get(page("_restore", key.pk, 2))
    assert "sk-…before" in asked.text
    assert "is destroyed at 13:00 UTC" in asked.text
    answer = alices.post(page("_restore", key.pk, 2), {"do": "test"}, follow=True)
    assert "“Main” passed its test and uses this credential from now on." in answer.text
    assert held(key) == before
    again = alices.post(page("_restore", key.pk, 2), follow=True)
    assert "That credential cannot be restored any more" in again.text
    assert stored(key).secret_version == 4


@pytest.mark.parametrize(("behavior", "offered"), [("refused", False), ("broken", True)])
def test_one_before_that_does_not_pass_is_not_restored(
    alices: Client, key: ProviderKey, by: Actor, answers: FakeProvider, behavior: str, offered: bool
) -> None:
    before = Credential({"api_key": answers.key("openai", behavior)}, {}, "sk-…before")
    replace_credential(key=key, credential=before, test=PASSED, by=by)
    replace_credential(key=key, credential=NEW, test=PASSED, by=by)
    answer = alices.post(page("_restore", key.pk, 2), {"do": "test"})
    assert answer.status_code == 422
    assert "Nothing changed: “Main” still uses" in answer.text
    assert ("Restore anyway" in answer.text) is offered
    alices.post(page("_restore", key.pk, 2), {"do": "anyway"})
    assert (held(key) == before) is offered


def test_one_that_does_not_open_is_not_restored(alices: Client, key: ProviderKey, by: Actor) -> None:
    replace_credential(key=key, credential=NEW, test=PASSED, by=by)
    RetiredCredential.objects.update(sealed=b"damaged")
    answer = alices.post(page("_restore", key.pk, 1), {"do": "anyway"})
    assert answer.status_code == 422
    assert "Keyhold cannot open this credential." in answer.text
    assert held(key) == NEW


def card(key: ProviderKey, allowed: set[str]) -> str:
    """The card as the page of the key includes it."""
    request = RequestFactory().get("/")
    request.htmx, request.user = False, AnonymousUser()  # type: ignore[attr-defined]
    context = {"key": stored(key), "org": key.organization, "allowed": allowed}
    return render_to_string("keys/_credential.html", context, request)


def test_the_card_holds_the_form_and_what_can_be_restored(key: ProviderKey, by: Actor) -> None:
    replace_credential(key=key, credential=NEW, test=PASSED, by=by)
    shown = card(key, {"keys.change_providerkey"})
    assert 'name="api_key"' in shown
    assert f'action="{page("_replace", key.pk)}"' in shown
    assert page("_restore", key.pk, 1) in shown
    assert "sk-…old" in shown
    with time_machine.travel(timezone.now() + timedelta(hours=1)):
        assert "sk-…old" not in card(key, {"keys.change_providerkey"})
    assert not card(key, {"keys.view_providerkey"}).strip()


def test_the_card_of_a_larger_credential_leads_to_a_page_of_its_own(acme: Organization, by: Actor) -> None:
    key = make(acme, by, provider="azure", given=Credential({"api_keys": ["x"]}, {"deployments": []}, "1 deployment"))
    shown = card(key, {"keys.change_providerkey"})
    assert "<form" not in shown
    assert f'href="{page("_replace", key.pk)}"' in shown


def test_the_card_asks_once_for_all_that_can_be_restored(
    key: ProviderKey, by: Actor, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(3):
        replace_credential(key=key, credential=credential(f"n{number}"), test=PASSED, by=by)
        with django_assert_num_queries(2):  # the key itself, and these
            card(key, {"keys.change_providerkey"})


def test_an_owner_renames_a_key(alices: Client, key: ProviderKey, by: Actor) -> None:
    make(key.organization, by, "Spare")
    assert 'value="Main"' in alices.get(page("_rename", key.pk)).text
    taken = alices.post(page("_rename", key.pk), {"name": "Spare"})
    assert taken.status_code == 422
    assert "There is already a key named “Spare”" in taken.text
    assert "Rename OpenAI <em>Main</em>" in taken.text
    done = alices.post(page("_rename", key.pk), {"name": " Batch "}, follow=True)
    assert "“Main” is now called “Batch”." in done.text
    assert held(key) == OLD
