"""Tells the owners that a key fails, and that it works again: once each."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.urls import reverse

from keys.actions.writing import lock
from keys.health import STEADY_SECONDS
from keys.models import ProviderKey, ProviderKeyQuerySet
from keys.pages.listing import rows, stand_in
from keys.providers.errors import ErrorClass
from orgs.models import Notice

PATIENCE = timedelta(minutes=2)  # with trouble of the provider's, which mostly passes
STEADY = timedelta(seconds=STEADY_SECONDS)
MOST_AT_ONCE = 100
SUBJECT_LENGTH = Notice._meta.get_field("subject").max_length

FAILING, HEALTHY = ProviderKey.Status.FAILING, ProviderKey.Status.HEALTHY


def tell_owners(now: datetime) -> int:
    """Returns how many keys there was something to tell about."""
    told = [tell_failing(key, now) for key in failing(now)[:MOST_AT_ONCE]]
    return sum(told + [tell_recovered(key, now) for key in recovered(now)[:MOST_AT_ONCE]])


def failing(now: datetime) -> ProviderKeyQuerySet:
    """Of which owners do not know."""
    lasting = ~Q(error_class=ErrorClass.TROUBLE) | Q(status_since=None) | Q(status_since__lte=now - PATIENCE)
    keys = ProviderKey.objects.present().filter(lasting, status=FAILING, enabled=True, told_failing_at=None)
    return keys.select_related("organization").order_by("status_since", "pk")


def recovered(now: datetime) -> ProviderKeyQuerySet:
    """Of which owners think that they fail. One that fell out again and again must have been well for a while."""
    steady = Q(trips__lte=1) | Q(status_since__lte=now - STEADY)
    keys = ProviderKey.objects.present().filter(steady, status=HEALTHY, told_failing_at__isnull=False)
    return keys.select_related("organization").order_by("status_since", "pk")


@transaction.atomic
def tell_failing(key: ProviderKey, now: datetime) -> bool:
    lock(key.organization)
    if not failing(now).filter(pk=key.pk).update(told_failing_at=now):
        return False
    notify(key, "provider_key:failing", f"{key} is failing", said_of(key))
    return True


@transaction.atomic
def tell_recovered(key: ProviderKey, now: datetime) -> bool:
    """Of a key that was turned off meanwhile nobody needs to hear."""
    lock(key.organization)
    if not recovered(now).filter(pk=key.pk).update(told_failing_at=None):
        return False
    if key.enabled:
        notify(key, "provider_key:recovered", f"{key} works again", f"{named(key)} works again. Requests use it as before.")
    return True


def notify(key: ProviderKey, tag: str, subject: str, body: str) -> None:
    Notice.objects.create(
        organization=key.organization,
        tag=tag,
        target_id=str(key.pk),
        subject=subject[:SUBJECT_LENGTH],
        body=body,
        path=reverse("provider_key", args=[key.organization.slug, key.pk]),
    )


def said_of(key: ProviderKey) -> str:
    """Since when, what the provider said, where requests go."""
    since = f" since {moment(key.status_since)}" if key.status_since else ""
    parts = [f"{named(key)} has been failing{since}. It gets no requests.", key.status_reason, answer(key), instead(key)]
    return "\n\n".join(part for part in parts if part)


def named(key: ProviderKey) -> str:
    return f"The {key.row.label} key “{key.name}” of {key.organization}"


def moment(at: datetime) -> str:
    return f"{at:%-d %B %Y, %H:%M} UTC"


def answer(key: ProviderKey) -> str:
    """The provider's own words; they were scrubbed when they were written down."""
    said, at = key.last_error, key.last_error.get("at")
    if not at or not said.get("message") or not key.status_since:
        return ""
    if datetime.fromisoformat(at) < key.status_since - PATIENCE:  # it is about an earlier failure
        return ""
    status = f" {said['status']}" if said.get("status") else ""
    return f"{key.row.label} answered{status}: “{said['message']}”"


def instead(key: ProviderKey) -> str:
    other = stand_in(rows(ProviderKey.objects.for_org(key.organization)), key)
    if other is None:
        return f"No other {key.row.label} key can take over. Requests go to keys of other providers that have the model, or fail."
    which = "Requests" if other.everything else "Those requests that it may serve"
    return f"{which} go to “{other.key.name}” in the meantime."
