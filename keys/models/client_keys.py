import uuid

from django.db import models
from django.db.models import F, Q

from orgs.models import Organization, User


class ClientKeyQuerySet(models.QuerySet["ClientKey"]):
    def for_org(self, organization: Organization) -> "ClientKeyQuerySet":
        return self.filter(organization=organization).order_by(F("revoked_at").asc(nulls_first=True), "name")

    def live(self) -> "ClientKeyQuerySet":
        return self.filter(revoked_at=None)


class ClientKey(models.Model):
    """What a program sends us. Only an HMAC of its secret is kept; see keys/client_keys.py."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="client_keys")
    name = models.CharField(max_length=60)
    public_id = models.CharField(max_length=12, unique=True)
    digest = models.BinaryField(help_text="HMAC-SHA256 of the secret under the organization's pepper.")
    pepper_version = models.PositiveIntegerField(help_text="Version of the data key that the pepper was derived from.")
    hint = models.CharField(max_length=20)

    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True)
    paused_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    preferences = models.JSONField(default=dict, help_text="As keys/preferences.py writes them.")

    objects = ClientKeyQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "name"], condition=Q(revoked_at=None), name="one_live_client_key_per_name"
            )
        ]

    def __str__(self) -> str:
        return self.name
