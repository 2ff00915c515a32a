"""Which organizations somebody of the staff means: by what a customer can tell them of it. Never by a secret."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Exists, OuterRef, Q

from keys.models import ClientKey, ProviderKey
from orgs.models import Invitation, Membership, Organization
from usage import requests
from usage.models import UsageEvent

SHORTEST, LONGEST = 3, 100
MOST = 20
FINGERPRINT = re.compile(r"[0-9a-f]{8,64}")
ENDING = re.compile(r"(?:.*(?:…|\.\.\.))?(\S{4})")  # of a hint: sk-…AbCd, or what stands after the dots


@dataclass(frozen=True, slots=True)
class Found:
    """An organization, and what of it matches."""

    organization: Organization
    why: str


def find(text: str) -> list[Found]:
    """At most 20, by name. Texts of less than three characters find nothing."""
    asked = text.strip()[:LONGEST].replace("\0", "")
    if len(asked) < SHORTEST:
        return []
    reasons: dict[UUID, list[str]] = {}
    known: dict[UUID, Organization] = {}
    for why, condition in WAYS.items():
        matches = condition(asked)
        for organization in Organization.objects.filter(matches).order_by("name")[:MOST] if matches else ():
            known[organization.pk] = organization
            reasons.setdefault(organization.pk, []).append(why)
    found = [Found(known[pk], ", ".join(why)) for pk, why in reasons.items()]
    return sorted(found, key=lambda each: each.organization.name.casefold())[:MOST]


def by_name(text: str) -> Q:
    named = Q(name__icontains=text) | Q(slug=text.lower())
    return named | Q(pk=UUID(text)) if is_id(text) else named


def by_email(text: str) -> Q | None:
    if "@" not in text:
        return None
    members = Membership.objects.filter(organization=OuterRef("pk"), user__email__icontains=text)
    invited = Invitation.objects.filter(organization=OuterRef("pk"), email__icontains=text)
    return Q(Exists(members)) | Q(Exists(invited))


def by_hint(text: str) -> Q | None:
    match = ENDING.fullmatch(text)
    if match is None:
        return None
    ending = f"…{match[1]}"
    provider_keys = ProviderKey.objects.filter(organization=OuterRef("pk"), hint__contains=ending)
    client_keys = ClientKey.objects.filter(
        Q(hint__contains=ending) | Q(rolled_hint__contains=ending), organization=OuterRef("pk")
    )
    return Q(Exists(provider_keys)) | Q(Exists(client_keys))


def by_fingerprint(text: str) -> Q | None:
    if not FINGERPRINT.fullmatch(text.lower()):
        return None
    return Q(Exists(ProviderKey.objects.filter(organization=OuterRef("pk"), fingerprint__startswith=text.lower())))


def by_request(text: str) -> Q | None:
    """Events are read by organization and time, and the id holds the time."""
    begun = requests.begun_at(UUID(text)) if is_id(text) else None
    if begun is None:
        return None
    period = (begun - requests.EARLY, begun + requests.LATE)
    return Q(Exists(UsageEvent.objects.filter(organization=OuterRef("pk"), started_at__range=period, request_id=UUID(text))))


def is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


WAYS: dict[str, Callable[[str], Q | None]] = {
    "name": by_name,
    "email": by_email,
    "key hint": by_hint,
    "fingerprint": by_fingerprint,
    "request id": by_request,
}
