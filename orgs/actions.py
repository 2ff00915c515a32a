"""Writes about people and organizations, each with its audit event in the same transaction."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import Group
from django.db import models, transaction
from django.http import HttpRequest
from django.utils.text import slugify

from orgs.models import OWNER, AuditEvent, Membership, Organization, User


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a signed-in person, or a command on the server (then `user` is None)."""

    label: str
    user: User | None = None
    address: str | None = None

    @classmethod
    def of(cls, request: HttpRequest) -> "Actor":
        user = request.user
        assert isinstance(user, User)
        return cls(label=str(user), user=user, address=request.META.get("REMOTE_ADDR") or None)

    @classmethod
    def command(cls, name: str) -> "Actor":
        return cls(label=f"manage.py {name}")


def record(
    *, organization: Organization, by: Actor, tag: str, target: models.Model, changes: dict[str, Any] | None = None
) -> None:
    """Write one audit event. Call it inside the transaction of the act; `tag` reads `provider_key:add`."""
    AuditEvent.objects.create(
        organization=organization,
        actor=by.user,
        actor_label=by.label,
        address=by.address,
        tag=tag,
        target_id=str(target.pk),
        target_label=str(target)[:160],
        changes=changes or {},
    )
