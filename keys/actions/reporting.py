"""What gateways report about the health of provider keys, written down so that all of them and the owners know it."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from keys.actions.health import HEALTH_FIELDS, REASONS, due_at, put_health, time
from keys.actions.writing import KEYHOLD
from keys.health import Health, State
from keys.models import ProviderKey
from keys.providers.errors import ErrorClass
from keys.routes import health_of
from orgs.actions import record


@dataclass(frozen=True, slots=True)
class Report:
    """What a gateway found out `at` that time (epoch seconds). error: status, code and message of the provider's last refusal.

    known_until: until when the key was out as far as that gateway knew.
    """

    key: UUID
    secret_version: int
    health: Health
    known_until: float | None
    at: float
    error: Mapping[str, object]


@transaction.atomic
def report_health(report: Report) -> None:
    """Of two gateways that disagree, the one that knows of more trouble is right. A test or a new credential goes first."""
    present = ProviderKey.objects.present().select_for_update(of=("self",), no_key=True).select_related("organization")
    key = present.filter(pk=report.key, secret_version=report.secret_version).first()
    if key is None:
        return
    if report.error:
        key.last_error = {**report.error, "at": time(report.at).isoformat()}
    if overrules(report, health_of(key)):
        take(report.health, key)
    key.health_changed_at = Now()
    key.save(update_fields=["last_error", "next_test_at", *HEALTH_FIELDS])


def take(found: Health, key: ProviderKey) -> None:
    """Failing and working again are events. Limits come and go."""
    before = key.status
    put_health(key, found)
    key.status_reason = REASONS[ErrorClass(found.error_class)].format(label=key.row.label) if found.error_class else ""
    key.next_test_at = due_at(key)
    failed, fails = before == State.FAILING, key.status == State.FAILING
    if failed != fails:
        tag = "provider_key:failing" if fails else "provider_key:recovered"
        after = {"status": key.status, "error_class": key.error_class, "status_reason": key.status_reason}
        record(
            organization=key.organization, by=KEYHOLD, tag=tag, target=key, changes={"before": {"status": before}, "after": after}
        )


def overrules(report: Report, known: Health) -> bool:
    found = report.health
    if known.state is State.FAILING and known.until is None:
        return False
    if known.state is State.HEALTHY:
        return found.state is not State.HEALTHY or found.trips != known.trips
    if found.until is None and found.state is State.FAILING:
        return True
    saw_it = report.known_until is not None and known.until is not None and known.until <= report.known_until + 0.001
    if found.state is State.HEALTHY or (found.state is State.LIMITED and known.state is State.FAILING):
        return saw_it
    return found.state is not known.state or (found.until or 0) > (known.until or 0)
