"""Which organizations there are."""

import uuid

from django.db import models
from django.db.models import F
from django.db.models.functions import Now

from orgs.models.people import User


class OrganizationQuerySet(models.QuerySet["Organization"]):
    def for_user(self, user: User) -> "OrganizationQuerySet":
        return self.filter(memberships__user=user).order_by("name")

    def bump_routing(self) -> None:
        """Tell every gateway process, within its next poll, that keys or routes of these organizations changed."""
        self.update(routing_version=F("routing_version") + 1, routing_changed_at=Now())


class Organization(models.Model):
    """Owns keys and usage. `routing_version` rises whenever the gateway must read it anew."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=60)
    slug = models.SlugField(max_length=40, unique=True)
    timezone = models.CharField(max_length=40, default="UTC")
    is_platform = models.BooleanField(
        "lends its keys", default=False, help_text="Its provider keys are the shared keys of organizations that allow them."
    )
    members_issue_keys = models.BooleanField(default=False, help_text="Members may make client keys of their own.")
    members_see_all = models.BooleanField(default=False, help_text="Members see whose usage is whose, as owners do.")
    second_factor_from = models.DateTimeField(
        null=True, help_text="From then on nobody enters without a second factor; null: nobody needs one."
    )
    support_needs_grant = models.BooleanField(default=False, help_text="Support opens it only with an owner's grant.")
    delete_at = models.DateTimeField(null=True, db_index=True, help_text="When it is deleted, with its data keys; null: never.")
    routing_version = models.PositiveIntegerField(default=1, editable=False)
    routing_changed_at = models.DateTimeField(db_default=Now(), db_index=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = OrganizationQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["id"], condition=models.Q(is_platform=True), name="platforms")]

    def __str__(self) -> str:
        return self.name
