"""What Keyhold does without being asked. Every part takes its work under locks and notes what it did, so it may be
stopped anywhere and may run in two places at once."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.tasks import task
from django.utils import timezone
from django.utils.module_loading import import_string
from django.views.decorators.debug import sensitive_variables

from keys import data_keys
from keys.actions.health import claim_tests, record_test
from keys.actions.openings import tell_openings
from keys.actions.replacing import destroy_retired
from keys.actions.writing import KEYHOLD
from keys.models import HealthMark, ProviderKey
from keys.providers import Credential
from keys.reminding import remind
from keys.telling import tell_owners
from keys.testing import TestResult, Verdict, examine_all
from keys.vault import VaultError
from keys.webhooks import deliver_due
from orgs.notices import send_due
from orgs.webhooks import forget_old_deliveries, hand_on

MOST_TESTS = 20
MARKS_KEPT = timedelta(days=3)

log = logging.getLogger(__name__)


@task
def tick() -> None:
    """Every ten seconds. A part that fails does not keep the others from their work."""
    for part in (*map(import_string, settings.TICK_PARTS), *PARTS):
        try:
            part(timezone.now())
        except Exception:
            log.exception("%s did not get through. It is tried again at the next tick.", part.__name__)


@sensitive_variables()
def test_due_keys(now: datetime) -> int:
    """Test the keys whose time has come, all at once. Returns how many."""
    keys = claim_tests(now, MOST_TESTS)
    opened = [(key, credential) for key in keys if (credential := credential_of(key))]
    results = examine_all([(key.row, credential) for key, credential in opened])
    for (key, _), result in zip(opened, results, strict=True):
        note(key, result)
    return len(opened)


test_due_keys.__test__ = False  # type: ignore[attr-defined]  # pytest would take it for one of its own


@sensitive_variables()
def credential_of(key: ProviderKey) -> Credential | None:
    try:
        return data_keys.open_credential(key, data_keys.of(key.organization))
    except VaultError:
        log.error("The credential of key %s does not open, so it is not tested.", key.pk)
        note(key, TestResult(Verdict.UNKNOWN, ""))
        return None


def note(key: ProviderKey, result: TestResult) -> None:
    try:
        record_test(key=key, result=result, by=KEYHOLD, scheduled=True)
    except Exception:
        log.exception("What a test of key %s found was not written down. It is tested again in a minute.", key.pk)


def forget_old_marks(now: datetime) -> None:
    """What keys did in half hours that no page shows any more."""
    HealthMark.objects.filter(slot__lt=now - MARKS_KEPT).delete()


PARTS: tuple[Callable[[datetime], object], ...] = (
    test_due_keys,
    destroy_retired,
    tell_owners,
    remind,
    send_due,
    hand_on,
    forget_old_marks,
    forget_old_deliveries,
    deliver_due,  # late, as it waits for others' programs
    tell_openings,  # the last, so that nothing that a tick opens is left uncounted if the process ends with it
)
