"""Writes that put another credential into a provider key, and destroy the one before once its time is over."""

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from keys import data_keys
from keys.actions.health import TESTED_FIELDS, apply_test
from keys.actions.writing import KEYHOLD, lock, tell
from keys.models import ProviderKey, RetiredCredential
from keys.openings import Purpose
from keys.providers import Credential
from keys.testing import TestResult, Verdict
from keys.vault import VaultError
from orgs.actions import Actor

RESTORABLE = timedelta(hours=1)
CREDENTIAL = ("sealed", "secret_version", "hint", "fingerprint", "public", "last_error")
SHOWN = ("secret_version", "hint", "fingerprint", "public", "status", "needs_test")


class SameCredential(ValueError):
    """The key holds this credential already. The message names the key."""


@transaction.atomic
@sensitive_variables()
def replace_credential(*, key: ProviderKey, credential: Credential, test: TestResult, by: Actor) -> RetiredCredential:
    """Returns what was replaced; its `key` is the key as it is now. Without a good test the key waits for one.

    Raises SameCredential, and ProviderKey.DoesNotExist if the key was removed meanwhile.
    """
    current = locked(key)
    if holds(current, credential):
        raise SameCredential(f"“{current.name}” holds this credential already. Use Test now to see whether it works.")
    return take_over(current, credential, [], test, by, "provider_key:replace")


@transaction.atomic
@sensitive_variables()
def restore_credential(*, retired: RetiredCredential, test: TestResult, by: Actor) -> RetiredCredential:
    """Put back what the key held before. Returns what it held until now, which is retired in turn.

    Raises RetiredCredential.DoesNotExist once it was restored or its time is over, and VaultError.
    """
    current = locked(retired.key)
    before = current.retired.restorable(timezone.now()).get(pk=retired.pk)
    credential = data_keys.open_retired(before, data_keys.of(current.organization))
    before.delete()
    return take_over(current, credential, before.discovered_models, test, by, "provider_key:restore")


def destroy_retired(now: datetime) -> int:
    """Destroy what was replaced an hour ago or longer: each on its own, so that a stop half-way loses nothing."""
    due = RetiredCredential.objects.due(now).select_related("key__organization")
    return sum(destroy_if_due(retired, now) for retired in due)


@transaction.atomic
def destroy_if_due(retired: RetiredCredential, now: datetime) -> bool:
    lock(retired.key.organization)
    return destroy(RetiredCredential.objects.due(now).filter(pk=retired.pk).first(), KEYHOLD)


def destroy(retired: RetiredCredential | None, by: Actor) -> bool:
    """Whether there was something to destroy."""
    if retired is None:
        return False
    before = {name: getattr(retired, name) for name in ("secret_version", "hint", "fingerprint")}
    key = retired.key
    retired.delete()
    tell(key, by, "provider_key:destroy_retired", before=before)
    return True


def locked(key: ProviderKey) -> ProviderKey:
    """The key as it is, with nobody else writing to it. Raises ProviderKey.DoesNotExist."""
    lock(key.organization)
    present = ProviderKey.objects.present().select_related("organization")
    return present.select_for_update(of=("self",), no_key=True).get(pk=key.pk)


@sensitive_variables()
def holds(key: ProviderKey, credential: Credential) -> bool:
    """A credential that does not open is not the same: entering it again repairs the key."""
    try:
        stored = data_keys.open_credential(key, data_keys.of(key.organization), Purpose.COMPARE)
    except VaultError:
        return False
    return all(
        data_keys.canonical(own) == data_keys.canonical(other)
        for own, other in ((stored.secret, credential.secret), (stored.public, credential.public))
    )


@sensitive_variables()
def take_over(
    key: ProviderKey, credential: Credential, models: list[str], test: TestResult, by: Actor, tag: str
) -> RetiredCredential:
    if test.verdict is Verdict.INVALID:
        raise ValueError("A credential that was refused takes nothing over.")
    before = {name: getattr(key, name) for name in SHOWN}
    retired = retire(key)
    put(key, credential, models)
    apply_test(key, test)
    key.save(update_fields=[*CREDENTIAL, *TESTED_FIELDS])
    tell(key, by, tag, before=before, after={name: getattr(key, name) for name in SHOWN} | {"verdict": test.verdict})
    return retired


def retire(key: ProviderKey) -> RetiredCredential:
    """Moved as it is, sealed for its own version. Even one that does not open now may do so with a ring that is put right."""
    now = timezone.now()
    kept = ("sealed", "secret_version", "hint", "fingerprint", "discovered_models")
    fields = {name: getattr(key, name) for name in kept}
    return RetiredCredential.objects.create(key=key, retired_at=now, destroy_at=now + RESTORABLE, **fields)


@sensitive_variables()
def put(key: ProviderKey, credential: Credential, models: list[str]) -> None:
    """Into the key, as its next version. Nothing that was found out about the one before is true of it.

    That owners were told of a failure stays noted: they hear that the key works again.
    """
    opened = data_keys.of(key.organization)
    key.secret_version += 1
    key.sealed = data_keys.seal_credential(key, credential, opened)
    key.fingerprint = data_keys.fingerprint(key.provider, credential, opened)
    key.hint, key.public, key.discovered_models = credential.hint, dict(credential.public), models
    key.status, key.status_reason, key.error_class, key.last_error = ProviderKey.Status.UNTESTED, "", "", {}
    key.until, key.trips, key.failed_tests, key.tested_at, key.needs_test = None, 0, 0, None, True
    key.status_since = key.health_changed_at = timezone.now()
