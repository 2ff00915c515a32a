import uuid
from datetime import datetime

from django.db import models
from django.db.models import F, Q

from orgs.models import Organization, User


class ManagementKeyQuerySet(models.QuerySet["ManagementKey"]):
    def for_org(self, organization: Organization) -> "ManagementKeyQuerySet":
        return self.filter(organization=organization).order_by(F("revoked_at").asc(nulls_first=True), "name")

    def in_use(self, now: datetime) -> "ManagementKeyQuerySet":
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None)


class ManagementKey(models.Model):
    """What a program sends that manages an organization. It calls no models. Only an HMAC of its secret is kept."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="management_keys")
    name = models.CharField(max_length=60)
    public_id = models.CharField(max_length=12, unique=True)
    digest = models.BinaryField(help_text="HMAC-SHA256 of the secret under the organization's pepper.")
    pepper_version = models.PositiveIntegerField(help_text="Version of the data key that the pepper was derived from.")
    hint = models.CharField(max_length=20)
    expires_at = models.DateTimeField(null=True)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, help_text="It may do what they may do, no more.")
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    objects = ManagementKeyQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "name"], condition=Q(revoked_at=None), name="one_live_management_key_per_name"
            )
        ]

    def __str__(self) -> str:
        return self.name
