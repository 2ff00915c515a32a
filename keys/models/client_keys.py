import uuid
from datetime import datetime, timedelta

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from orgs.models import Organization, User

UNUSED = timedelta(days=60)
SOON = timedelta(days=14)


class ClientKeyQuerySet(models.QuerySet["ClientKey"]):
    def for_org(self, organization: Organization) -> "ClientKeyQuerySet":
        return self.filter(organization=organization).order_by(F("revoked_at").asc(nulls_first=True), "name")

    def live(self) -> "ClientKeyQuerySet":
        return self.filter(revoked_at=None)

    def in_use(self, now: datetime) -> "ClientKeyQuerySet":
        """Requests with them are served, as far as they themselves say."""
        return self.live().filter(Q(expires_at=None) | Q(expires_at__gt=now), paused_at=None)

    def unused(self, now: datetime) -> "ClientKeyQuerySet":
        before = now - UNUSED
        return self.in_use(now).filter(Q(last_used_at__lt=before) | Q(last_used_at=None, created_at__lt=before))


class ClientKey(models.Model):
    """What a program sends us. Only an HMAC of its secret is kept; see keys/client_keys.py."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="client_keys")
    name = models.CharField(max_length=60)
    public_id = models.CharField(max_length=12, unique=True)
    digest = models.BinaryField(help_text="HMAC-SHA256 of the secret under the organization's pepper.")
    pepper_version = models.PositiveIntegerField(help_text="Version of the data key that the pepper was derived from.")
    hint = models.CharField(max_length=20)

    rolled_public_id = models.CharField(max_length=12, unique=True, null=True, help_text="Of the text before the last roll.")
    rolled_digest = models.BinaryField(null=True)
    rolled_pepper_version = models.PositiveIntegerField(null=True)
    rolled_hint = models.CharField(max_length=20, blank=True)
    rolled_until = models.DateTimeField(null=True, help_text="Until then the text before the last roll is accepted too.")

    owner = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="owned_client_keys")
    expires_at = models.DateTimeField(null=True)
    allowed_models = models.JSONField(null=True, help_text="Patterns such as openai/gpt-4*; null allows every model.")
    allowed_provider_keys = models.JSONField(null=True, help_text="Ids of provider keys; null allows every one.")
    allowed_networks = models.JSONField(null=True, help_text="Such as 10.0.0.0/8; null allows every address.")
    told_expiring_at = models.DateTimeField(null=True)
    told_unused_at = models.DateTimeField(null=True)

    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True)
    paused_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    preferences = models.JSONField(default=dict, help_text="As keys/preferences.py writes them.")

    objects = ClientKeyQuerySet.as_manager()

    class Meta:
        permissions = [("issue_own_clientkey", "Can make own client keys where the organization lets members")]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "name"], condition=Q(revoked_at=None), name="one_live_client_key_per_name"
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @property
    def expires_soon(self) -> bool:
        return self.expires_at is not None and timezone.now() < self.expires_at <= timezone.now() + SOON

    @property
    def is_unused(self) -> bool:
        """As in the queryset."""
        works = self.revoked_at is None and self.paused_at is None and not self.is_expired
        return works and (self.last_used_at or self.created_at) < timezone.now() - UNUSED

    @property
    def is_rolling(self) -> bool:
        """The text before the last roll is still accepted."""
        return self.rolled_until is not None and self.rolled_until > timezone.now()
