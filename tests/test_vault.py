"""What is sealed opens in its place and nowhere else."""

import base64
import copy
import json
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings
from django.views.debug import ExceptionReporter
from django_cryptography.core.signing import FernetSigner
from django_cryptography.utils.crypto import FernetBytes

from keys import actions, data_keys, upkeep, vault
from keys.models import DataKey, ProviderKey
from keys.providers import Credential
from keys.vault import Context, KeyRing, Secret, VaultError
from orgs.actions import Actor
from orgs.models import Organization

CANARY = b"canary-3f9a7c-never-seen"
CREDENTIAL = Credential(secret={"api_key": CANARY.decode()}, public={}, hint="canary…seen")
DATA_KEYS = {1: b"1" * 32}
HERE = Context(organization_id=uuid4(), secret_id=uuid4(), field="credential", version=1)
OPERATOR = Actor.command("test")


def encoded(letter: bytes) -> str:
    return base64.b64encode(letter * 32).decode()


K1, K2 = f"k1:{encoded(b'a')}", f"k2:{encoded(b'b')}"


def changed_bytes(blob: bytes) -> list[bytes]:
    return [blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :] for at in range(len(blob))]


def prefixes(blob: bytes) -> list[bytes]:
    return [blob[:length] for length in range(len(blob))]


@pytest.fixture(params=[1, 2], ids=["suite 1", "suite 2"])
def suite(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def add(organization: Organization, name: str = "Main") -> ProviderKey:
    return actions.add_key(organization=organization, provider="openai", name=name, credential=CREDENTIAL, test=None, by=OPERATOR)


def run(*args: str) -> str:
    out = StringIO()
    call_command("vault", *args, stdout=out)
    return out.getvalue()


# Sealing


def test_a_sealed_value_opens_in_its_place(suite: int) -> None:
    blob = vault.seal(DATA_KEYS, HERE, CANARY, suite=suite)
    assert vault.unseal(DATA_KEYS, HERE, blob).reveal() == CANARY
    assert vault.unseal(DATA_KEYS, HERE, memoryview(blob)).reveal() == CANARY
    assert vault.sealed_with(blob) == (suite, 1)
    assert CANARY not in blob


def test_the_same_value_never_seals_to_the_same_bytes(suite: int) -> None:
    assert vault.seal(DATA_KEYS, HERE, CANARY, suite=suite) != vault.seal(DATA_KEYS, HERE, CANARY, suite=suite)


@pytest.mark.parametrize(
    "elsewhere",
    [
        replace(HERE, organization_id=uuid4()),
        replace(HERE, secret_id=uuid4()),
        replace(HERE, field="credentia"),
        replace(HERE, field=""),
        replace(HERE, version=2),
        replace(HERE, organization_id=HERE.secret_id, secret_id=HERE.organization_id),
    ],
    ids=["organization", "row", "field", "no field", "version", "ids swapped"],
)
def test_a_sealed_value_does_not_open_elsewhere(suite: int, elsewhere: Context) -> None:
    blob = vault.seal(DATA_KEYS, HERE, CANARY, suite=suite)
    with pytest.raises(VaultError):
        vault.unseal(DATA_KEYS, elsewhere, blob)


def test_a_sealed_value_opens_with_its_own_data_key_only(suite: int) -> None:
    blob = vault.seal(DATA_KEYS, HERE, CANARY, suite=suite)
    for wrong in ({1: b"2" * 32}, {2: b"1" * 32}, {}, {1: b""}, {1: b"1" * 31}):
        with pytest.raises(VaultError):
            vault.unseal(wrong, HERE, blob)


def test_no_byte_of_a_sealed_value_can_be_changed_or_cut_off(suite: int) -> None:
    both = {1: b"1" * 32, 0: b"1" * 32}  # so that a changed version byte finds a data key
    blob = vault.seal(both, HERE, CANARY, suite=suite)
    damaged = [*changed_bytes(blob), *prefixes(blob), blob + b"\0"]
    for other in damaged:
        with pytest.raises(VaultError) as caught:
            vault.unseal(both, HERE, other)
        assert str(caught.value) == str(VaultError())
        assert caught.value.__suppress_context__


def test_a_suite_cannot_be_passed_off_as_another() -> None:
    one = vault.seal(DATA_KEYS, HERE, CANARY, suite=1)
    for fake in (0, 2, 3, 255):
        with pytest.raises(VaultError):
            vault.unseal(DATA_KEYS, HERE, bytes([fake]) + one[1:])


def test_sealing_uses_the_newest_data_key_and_older_ones_still_open(suite: int) -> None:
    old = vault.seal(DATA_KEYS, HERE, b"old", suite=suite)
    both = DATA_KEYS | {2: b"2" * 32}
    assert vault.sealed_with(vault.seal(both, HERE, CANARY, suite=suite)) == (suite, 2)
    assert vault.unseal(both, HERE, old).reveal() == b"old"


@pytest.mark.parametrize("bad", [{}, {1: b""}, {1: b"short"}])
def test_nothing_is_sealed_without_a_whole_data_key(suite: int, bad: dict[int, bytes]) -> None:
    with pytest.raises(VaultError):
        vault.seal(bad, HERE, CANARY, suite=suite)


def test_suite_1_is_the_format_of_django_cryptography() -> None:
    blob = vault.seal(DATA_KEYS, HERE, CANARY, suite=1)
    header, body = blob[:5], blob[5:]
    key = vault._expand(DATA_KEYS[1], vault._binding(header, HERE), 64)
    assert FernetBytes(key[:32], FernetSigner(key[32:])).decrypt(body) == CANARY


def test_the_secret_key_of_django_has_no_part_in_it(suite: int) -> None:
    blob = vault.seal(DATA_KEYS, HERE, CANARY, suite=suite)
    with override_settings(SECRET_KEY="another", SECRET_KEY_FALLBACKS=[], CRYPTOGRAPHY_KEY="another"):
        assert vault.unseal(DATA_KEYS, HERE, blob).reveal() == CANARY


def test_derived_keys_differ_by_purpose_and_data_key() -> None:
    keys = {vault.derive(key, purpose) for key in (b"1" * 32, b"2" * 32) for purpose in ("client-key", "fingerprint")}
    assert len(keys) == 4
    assert {len(key) for key in keys} == {32}


# The holder


@pytest.mark.parametrize(
    "leak",
    [
        str,
        "{}".format,
        lambda secret: f"{secret:>40}",
        lambda secret: "%s" % secret,  # noqa: UP031
        print,
        pickle.dumps,
        copy.copy,
        copy.deepcopy,
        json.dumps,
        bytes,
        hash,
        list,
        vars,
        lambda secret: secret == secret,
        lambda secret: secret != CANARY,
    ],
)
def test_a_secret_gives_its_value_to_nobody_but_reveal(leak: Callable[[Secret], Any]) -> None:
    with pytest.raises(TypeError) as caught:
        leak(Secret(CANARY))
    assert CANARY.decode() not in str(caught.value)
    assert repr(Secret(CANARY)) == "<Secret>"


def test_a_crash_report_shows_no_secret_and_no_key(suite: int) -> None:
    class Broken(dict[int, bytes]):
        def __getitem__(self, version: int) -> bytes:
            raise RuntimeError("boom")

    with override_settings(DEBUG=False), pytest.raises(RuntimeError) as caught:
        vault.seal(Broken(DATA_KEYS), HERE, CANARY, suite=suite)
    report = ExceptionReporter(None, caught.type, caught.value, caught.tb)
    frames = [frame for frame in report.get_traceback_data()["frames"] if frame["filename"].endswith("keys/vault.py")]
    assert frames
    assert CANARY.decode() not in str([frame["vars"] for frame in frames])
    assert "1" * 32 not in str([frame["vars"] for frame in frames])


# The ring


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("", "VAULT_KEYS is empty. It needs at least one key, as k1:<base64 of 32 random bytes>."),
        (" , ", "VAULT_KEYS is empty. It needs at least one key, as k1:<base64 of 32 random bytes>."),
        ("k1:not*base64", "VAULT_KEYS: the key k1 is not base64."),
        ("k1:" + base64.b64encode(b"short").decode(), "VAULT_KEYS: the key k1 has 5 bytes. It needs 32."),
        (f"{K1},{K2},k1:{encoded(b'c')}", "VAULT_KEYS: the id k1 stands twice."),
        (f"{K1},{encoded(b'b')}", "VAULT_KEYS: entry 2 must read id:base64, the id of letters, digits and .-_ only."),
        ("k1:", "VAULT_KEYS: entry 1 must read id:base64, the id of letters, digits and .-_ only."),
        (f"k 1:{encoded(b'b')}", "VAULT_KEYS: entry 1 must read id:base64, the id of letters, digits and .-_ only."),
        (f"{'k' * 41}:{encoded(b'b')}", "VAULT_KEYS: entry 1 must read id:base64, the id of letters, digits and .-_ only."),
    ],
)
def test_a_bad_key_ring_is_named_in_one_sentence(setting: str, problem: str) -> None:
    with pytest.raises(ValueError, match="VAULT_KEYS") as caught:
        KeyRing.parse(setting)
    assert str(caught.value) == problem


def test_the_first_key_wraps_and_every_key_unwraps() -> None:
    old, both = KeyRing.parse(K1), KeyRing.parse(f"{K2}, {K1}")
    assert both.primary == "k2"
    assert both.ids == ("k2", "k1")
    assert both.unwrap(*old.wrap(b"d" * 32, HERE.organization_id, 1), HERE.organization_id, 1) == b"d" * 32
    assert both.wrap(b"d" * 32, HERE.organization_id, 1)[0] == "k2"
    assert "a" * 8 not in repr(both)
    assert encoded(b"a") not in repr(both)


def test_no_byte_of_a_wrapped_data_key_can_be_changed_or_cut_off() -> None:
    ring = KeyRing.parse(K1)
    kek_id, blob = ring.wrap(b"d" * 32, HERE.organization_id, 1)
    for other in [*changed_bytes(blob), *prefixes(blob)]:
        with pytest.raises(VaultError):
            ring.unwrap(kek_id, other, HERE.organization_id, 1)


def test_a_wrapped_data_key_opens_for_its_own_organization_version_and_ring_key_only() -> None:
    ring = KeyRing.parse(f"{K1},k2:{encoded(b'a')}")
    kek_id, blob = ring.wrap(b"d" * 32, HERE.organization_id, 1)
    for wrong in (
        (kek_id, blob, uuid4(), 1),
        (kek_id, blob, HERE.organization_id, 2),
        ("k2", blob, HERE.organization_id, 1),
        ("k3", blob, HERE.organization_id, 1),
    ):
        with pytest.raises(VaultError):
            ring.unwrap(*wrong)


# Data keys in the database


def test_the_first_data_key_is_made_on_first_use(acme: Organization, globex: Organization) -> None:
    first = data_keys.of(acme)
    assert list(first) == [1]
    assert data_keys.of(acme) == first
    assert data_keys.of(globex) != first
    assert DataKey.objects.count() == 2


def test_unwrapping_rows_asks_the_database_nothing(acme: Organization, django_assert_num_queries: Any) -> None:
    expected = data_keys.of(acme)
    rows = list(DataKey.objects.all())
    with django_assert_num_queries(0):
        assert data_keys.unwrap(rows) == expected


def test_data_keys_are_forgotten_after_five_minutes(acme: Organization) -> None:
    opened = data_keys.Opened()
    row = data_keys.create(acme, version=1)
    opened.key_of(row)
    before = opened.keys
    opened.key_of(row)
    assert opened.keys is before
    opened.since -= data_keys.REMEMBERED_SECONDS + 1
    opened.key_of(row)
    assert opened.keys is not before


def test_a_damaged_data_key_leaves_the_others_usable(acme: Organization, caplog: pytest.LogCaptureFixture) -> None:
    key = add(acme)
    broken = data_keys.create(acme, version=2)
    DataKey.objects.filter(pk=broken.pk).update(wrapped=b"\0" * 60)
    opened = data_keys.of(acme)
    assert list(opened) == [1]
    assert data_keys.open_credential(key, opened).secret == CREDENTIAL.secret
    assert f"data key {broken.pk} does not open" in caplog.text


@pytest.mark.parametrize("chosen", [1, 2])
def test_a_stored_credential_opens_for_its_own_row_only(
    acme: Organization, globex: Organization, chosen: int, settings: Any
) -> None:
    settings.VAULT_SUITE = chosen
    main, second, foreign = add(acme), add(acme, "Second"), add(globex)
    assert vault.sealed_with(main.sealed) == (chosen, 1)
    stored = ProviderKey.objects.get(pk=main.pk)
    assert data_keys.open_credential(stored, data_keys.of(acme)) == CREDENTIAL
    for other in (second, foreign):
        other.sealed = stored.sealed
        with pytest.raises(VaultError):
            data_keys.open_credential(other, data_keys.of(acme))
    stored.secret_version = 2
    with pytest.raises(VaultError):
        data_keys.open_credential(stored, data_keys.of(acme))


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_ten_threads_that_need_the_first_data_key_agree_on_it(postgres_only: None, acme: Organization) -> None:
    def first(_: int) -> bytes:
        try:
            return data_keys.of(Organization.objects.get(pk=acme.pk))[1]
        finally:
            connection.close()

    with ThreadPoolExecutor(10) as pool:
        assert len(set(pool.map(first, range(10)))) == 1
    assert DataKey.objects.filter(organization=acme).count() == 1


# The start


@pytest.mark.parametrize("ring", ["", "k1:AAAA", "k1"])
def test_a_bad_ring_stops_the_start(db: None, ring: str) -> None:
    with override_settings(VAULT_KEYS=ring):
        [error] = run_checks(tags=["vault"])
        assert error.msg.startswith("VAULT_KEYS")
        with pytest.raises(CommandError):
            call_command("check", "--tag", "vault")
        with pytest.raises(CommandError, match="VAULT_KEYS"):
            run("status")


def test_a_ring_that_lacks_a_needed_key_stops_the_start(acme: Organization) -> None:
    assert run_checks(tags=["vault"]) == []
    with override_settings(VAULT_KEYS=K1):
        data_keys.of(acme)
    with override_settings(VAULT_KEYS=K2):
        [error] = run_checks(tags=["vault"])
    assert error.msg.startswith("VAULT_KEYS lacks k1, which wraps data keys in the database. Put it back behind the first key.")


# manage.py vault


@pytest.fixture
def old_ring(settings: Any, acme: Organization, globex: Organization) -> Any:
    """Two organizations with a credential each under k1, and k2 now in front of it."""
    settings.VAULT_KEYS = K1
    add(acme)
    add(globex)
    actions.issue_client_key(organization=acme, name="web", by=OPERATOR)
    settings.VAULT_KEYS = f"{K2},{K1}"
    return settings


def test_rewrap_moves_every_data_key_to_the_first_key_and_then_has_nothing_to_do(old_ring: Any) -> None:
    assert run("rewrap", "--dry-run") == "data key: 2 would be rewrapped\n"
    assert upkeep.wrapped_by() == {"k1": 2}
    assert run("rewrap") == "data key: 2 of 2 rewrapped\n"
    assert run("rewrap") == "There is nothing to do.\n"
    assert upkeep.wrapped_by() == {"k2": 2}
    old_ring.VAULT_KEYS = K2
    assert run("verify") == "data key: 2 of 2 opened\nprovider key: 2 of 2 opened\nclient key: 1 of 1 opened\n"


def test_a_rewrap_that_was_stopped_half_way_goes_on_where_it_was(old_ring: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "BATCH", 1)
    next(upkeep.rewrap())
    assert upkeep.wrapped_by() == {"k1": 1, "k2": 1}
    run("verify")
    assert run("rewrap") == "data key: 1 of 1 rewrapped\n"


def test_a_key_is_retired_only_when_it_wraps_nothing(old_ring: Any) -> None:
    with pytest.raises(CommandError, match=r"k1 is in use\. Data keys that it wraps: 2\. Run: manage.py vault rewrap"):
        run("retire", "k1")
    with pytest.raises(CommandError, match="k2 is the first key"):
        run("retire", "k2")
    run("rewrap")
    assert run("retire", "k1") == "k1 wraps nothing. Take it out of VAULT_KEYS and restart.\n"


def test_status_counts_and_reveals_nothing(old_ring: Any) -> None:
    assert run("status").splitlines() == [
        "data keys wrapped by k2 (first): 0",
        "data keys wrapped by k1: 2",
        "provider keys sealed by suite 1, data key version 1: 2",
        "client keys: 1",
    ]
    old_ring.VAULT_KEYS = K2
    assert "data keys wrapped by k1 (not in VAULT_KEYS): 2" in run("status")


def test_reseal_moves_credentials_to_a_new_data_key_and_suite(acme: Organization, globex: Organization, settings: Any) -> None:
    add(acme)
    actions.issue_client_key(organization=acme, name="web", by=OPERATOR)
    add(globex)
    settings.VAULT_SUITE = 2
    assert run("reseal", "--org", "acme", "--new-data-key") == "data key: 1 made\nprovider key: 1 of 1 resealed\n"
    assert upkeep.sealed_with() == {(2, 2): 1, (1, 1): 1}
    assert run("reseal") == "provider key: 1 of 2 resealed\n"
    assert run("reseal") == "provider key: 0 of 2 resealed\n"
    assert upkeep.sealed_with() == {(2, 2): 1, (2, 1): 1}
    run("verify")


def test_a_credential_that_changed_meanwhile_is_not_overwritten_by_reseal(acme: Organization, settings: Any) -> None:
    key = add(acme)
    settings.VAULT_SUITE = 2
    newer = data_keys.seal_credential(key, CREDENTIAL, data_keys.of(acme))
    ProviderKey.objects.filter(pk=key.pk).update(sealed=newer)
    settings.VAULT_SUITE = 1
    key.sealed = data_keys.seal_credential(key, CREDENTIAL, data_keys.of(acme))
    settings.VAULT_SUITE = 2
    assert upkeep.reseal_key(key) == 0
    assert bytes(ProviderKey.objects.get(pk=key.pk).sealed) == newer


def test_verify_names_the_one_damaged_row_and_fails(acme: Organization) -> None:
    whole, damaged = add(acme), add(acme, "Second")
    ProviderKey.objects.filter(pk=damaged.pk).update(sealed=bytes(damaged.sealed)[:-1] + b"\0\0")
    out = StringIO()
    with pytest.raises(CommandError, match=r"1 do not open\."):
        call_command("vault", "verify", stdout=out)
    assert f"provider key {damaged.pk} does not open\n" in out.getvalue()
    assert "provider key: 1 of 2 opened" in out.getvalue()
    assert str(whole.pk) not in out.getvalue()
    assert list(ProviderKey.objects.for_org(acme)) == [whole, damaged]


def test_verify_names_a_lost_data_key_and_all_that_hangs_on_it(acme: Organization, globex: Organization) -> None:
    key, other = add(acme), add(globex)
    client, _ = actions.issue_client_key(organization=acme, name="web", by=OPERATOR)
    row = DataKey.objects.get(organization=acme)
    DataKey.objects.filter(pk=row.pk).update(wrapped=bytes(60))
    out = StringIO()
    with pytest.raises(CommandError, match=r"3 do not open\."):
        call_command("vault", "verify", stdout=out)
    for kind, damaged in (("data key", row), ("provider key", key), ("client key", client)):
        assert f"{kind} {damaged.pk} does not open" in out.getvalue()
    assert str(other.pk) not in out.getvalue()


def test_verify_passes_over_removed_keys(acme: Organization) -> None:
    actions.remove_key(key=add(acme), by=OPERATOR)
    assert run("verify") == "data key: 1 of 1 opened\n"


def test_commands_say_which_organization_is_missing(db: None) -> None:
    with pytest.raises(CommandError, match="There is no organization with the slug “nowhere”"):
        run("reseal", "--org", "nowhere")
