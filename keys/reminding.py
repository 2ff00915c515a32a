"""Tells whose it is and the owners that a client key expires soon or is not used any more: once each."""

from datetime import datetime, timedelta
from functools import reduce
from operator import or_

from django.db import transaction
from django.db.models import DateTimeField, ExpressionWrapper, F, Q

from keys.actions.client_keys import notify
from keys.actions.writing import lock
from keys.models import ClientKey, ClientKeyQuerySet

DAY = timedelta(days=1)
STAGES = (14 * DAY, 3 * DAY, DAY)
MOST_AT_ONCE = 100


def remind(now: datetime) -> int:
    """Returns how many client keys there was something to tell about."""
    told = [tell_expiring(key, now) for key in expiring(now)[:MOST_AT_ONCE]]
    return sum(told + [tell_unused(key, now) for key in unused(now)[:MOST_AT_ONCE]])


def expiring(now: datetime) -> ClientKeyQuerySet:
    """Those in a stage before their end of which nobody was told."""
    reached = reduce(or_, (Q(expires_at__lte=now + stage) & untold(stage) for stage in STAGES))
    return ClientKey.objects.in_use(now).filter(reached).select_related("organization", "owner").order_by("expires_at", "pk")


def untold(stage: timedelta) -> Q:
    begins = ExpressionWrapper(F("expires_at") - stage, output_field=DateTimeField())
    return Q(told_expiring_at=None) | Q(told_expiring_at__lt=begins)


def unused(now: datetime) -> ClientKeyQuerySet:
    """Those of which nobody was told since they were last used."""
    fresh = Q(told_unused_at=None) | Q(told_unused_at__lt=F("last_used_at"))
    return ClientKey.objects.unused(now).filter(fresh).select_related("organization", "owner").order_by("created_at", "pk")


@transaction.atomic
def tell_expiring(key: ClientKey, now: datetime) -> bool:
    lock(key.organization)
    if not expiring(now).filter(pk=key.pk).update(told_expiring_at=now):
        return False
    assert key.expires_at is not None
    days = -((now - key.expires_at) // DAY)
    left = f"in {days} days" if days > 1 else "within a day"
    end = f"{key.expires_at:%-d %B %Y, %H:%M} UTC"
    meaning = "From then on its requests are refused. Set a later day on its page, or create another key for its programs."
    notify(key, "client_key:expiring", f"Client key “{key}” expires {left}", f"{named(key)} expires on {end}. {meaning}")
    return True


@transaction.atomic
def tell_unused(key: ClientKey, now: datetime) -> bool:
    lock(key.organization)
    if not unused(now).filter(pk=key.pk).update(told_unused_at=now):
        return False
    since = f"was last used on {key.last_used_at:%-d %B %Y}" if key.last_used_at else "has never been used"
    body = f"{named(key)} {since}. If no program needs it any more, revoke it: nobody watches a key that nobody uses."
    notify(key, "client_key:unused", f"Client key “{key}” is not used", body)
    return True


def named(key: ClientKey) -> str:
    whose = f", which is {key.owner}’s," if key.owner else ""
    return f"The client key “{key}” of {key.organization}{whose}"
