"""Writes about how provider keys are."""

from django.db import transaction
from django.utils import timezone

from keys.actions.writing import lock, tell
from keys.models import ProviderKey
from keys.testing import TestResult, Verdict
from orgs.actions import Actor

Status = ProviderKey.Status
REASON_LENGTH = ProviderKey._meta.get_field("status_reason").max_length
STATUS_AFTER = {Verdict.VALID: Status.HEALTHY, Verdict.LIMITED: Status.LIMITED, Verdict.INVALID: Status.FAILING}


@transaction.atomic
def record_test(*, key: ProviderKey, result: TestResult, by: Actor) -> None:
    """Note what a test found, unless the credential was removed or replaced while the test ran."""
    lock(key.organization)
    if not ProviderKey.objects.present().filter(pk=key.pk, secret_version=key.secret_version).exists():
        return
    before = {"status": key.status, "status_reason": key.status_reason}
    apply_test(key, result)
    key.save(update_fields=["status", "status_reason", "needs_test", "tested_at", "discovered_models"])
    after = {"status": key.status, "status_reason": key.status_reason, "verdict": result.verdict}
    tell(key, by, "provider_key:test", before=before, after=after)


def apply_test(key: ProviderKey, result: TestResult) -> None:
    """A test that could not tell leaves the status as it was."""
    key.status = STATUS_AFTER.get(result.verdict, key.status)
    key.status_reason = "" if result.verdict is Verdict.VALID else result.reason[:REASON_LENGTH]
    key.tested_at = timezone.now()
    if result.verdict in (Verdict.VALID, Verdict.LIMITED):
        key.needs_test = False
        key.discovered_models = list(result.models) or key.discovered_models
