import uuid
from datetime import datetime

from django.db import models
from django.db.models import Exists, OuterRef, Q

from keys.models.choices import provider_choices
from keys.models.routing import ProviderPreference
from keys.providers import PROVIDERS, Provider
from orgs.models import Organization, User


class ProviderKeyQuerySet(models.QuerySet["ProviderKey"]):
    def for_org(self, organization: Organization) -> "ProviderKeyQuerySet":
        """Present keys in the order in which they are tried."""
        return self.present().filter(organization=organization).order_by("priority", "created_at")

    def present(self) -> "ProviderKeyQuerySet":
        return self.filter(removed_at=None)

    def lent(self) -> "ProviderKeyQuerySet":
        """The operator's shared keys, without those whose organization or provider is paused there."""
        paused = ProviderPreference.objects.filter(
            organization=OuterRef("organization"), provider=OuterRef("provider"), paused_at__isnull=False
        )
        lending = Q(organization__is_platform=True, organization__routing__paused_at=None) & ~Exists(paused)
        return self.present().filter(lending).order_by("priority", "created_at")

    def same_secret(self, key: "ProviderKey") -> "ProviderKeyQuerySet":
        """Other present keys of the organization that hold the very same credential."""
        return self.for_org(key.organization).filter(fingerprint=key.fingerprint).exclude(pk=key.pk)


class ProviderKey(models.Model):
    """The organization's record for a provider. Removing it erases the credential; the name stays for usage."""

    class Status(models.TextChoices):
        HEALTHY = "healthy", "Healthy"
        LIMITED = "limited", "Rate limited"
        FAILING = "failing", "Failing"
        UNTESTED = "untested", "Not tested"

    class Tier(models.TextChoices):
        PRIORITIZED = "prioritized", "Prioritized"
        FALLBACK = "fallback", "Fallback"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="provider_keys")
    provider = models.CharField(max_length=20, choices=provider_choices)
    name = models.CharField(max_length=60)

    priority = models.PositiveIntegerField()
    tier = models.CharField(max_length=12, choices=Tier, default=Tier.PRIORITIZED)
    enabled = models.BooleanField(default=True)
    always = models.BooleanField(default=False, help_text="Requests that it may serve never go to shared keys.")
    allowed_models = models.JSONField(null=True, help_text="Patterns such as openai/gpt-4*; null allows every model.")
    allowed_members = models.JSONField(null=True, help_text="Ids of people; null allows everybody.")
    allowed_client_keys = models.JSONField(null=True, help_text="Ids of client keys; null allows every one.")

    sealed = models.BinaryField(help_text="The credential, sealed by keys/vault.py; empty once removed.")
    secret_version = models.PositiveIntegerField(default=1)
    hint = models.CharField(max_length=80)
    fingerprint = models.CharField(max_length=64)
    public = models.JSONField(default=dict, help_text="The parts of the credential that are no secret: region, deployments.")

    status = models.CharField(max_length=10, choices=Status, default=Status.UNTESTED)
    status_reason = models.CharField(max_length=300, blank=True)
    status_since = models.DateTimeField(null=True)
    error_class = models.CharField(max_length=30, blank=True, help_text="Why it is limited or failing, as in keys/health.py.")
    until = models.DateTimeField(null=True, help_text="When it is tried again; null while failing waits for a test.")
    trips = models.PositiveSmallIntegerField(default=0, help_text="How often in a row it was taken out; each time is longer.")
    health_changed_at = models.DateTimeField(null=True, db_index=True)
    last_error = models.JSONField(default=dict, help_text="The provider's last refusal: status, code, message (scrubbed), at.")
    needs_test = models.BooleanField(default=True, help_text="No traffic until a test has passed.")
    tested_at = models.DateTimeField(null=True)
    next_test_at = models.DateTimeField(null=True, db_index=True)
    failed_tests = models.PositiveSmallIntegerField(default=0, help_text="In a row; each makes the next test later.")
    told_failing_at = models.DateTimeField(null=True, help_text="When owners were told; null once they know that it works.")
    discovered_models = models.JSONField(default=list, help_text="The provider's model ids that the last good test found.")

    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True)
    removed_at = models.DateTimeField(null=True)

    objects = ProviderKeyQuerySet.as_manager()

    class Meta:
        permissions = [("view_hint", "Can see hints and fingerprints of provider keys")]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "provider", "name"], condition=Q(removed_at=None), name="one_key_name_per_provider"
            )
        ]

    def __str__(self) -> str:
        return f"{self.row.label} {self.name}"

    @property
    def row(self) -> Provider:
        return PROVIDERS[self.provider]


class RetiredCredentialQuerySet(models.QuerySet["RetiredCredential"]):
    def restorable(self, now: datetime) -> "RetiredCredentialQuerySet":
        """The one that was replaced last comes first."""
        return self.filter(destroy_at__gt=now).order_by("-secret_version")

    def due(self, now: datetime) -> "RetiredCredentialQuerySet":
        """Those whose time is over."""
        return self.filter(destroy_at__lte=now).order_by("destroy_at")


class RetiredCredential(models.Model):
    """What a key held before its credential was replaced. It can be restored until `destroy_at`, when the row is deleted."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    key = models.ForeignKey(ProviderKey, on_delete=models.CASCADE, related_name="retired")
    sealed = models.BinaryField(help_text="As it was sealed in the key, for its version there.")
    secret_version = models.PositiveIntegerField()
    hint = models.CharField(max_length=80)
    fingerprint = models.CharField(max_length=64)
    discovered_models = models.JSONField(default=list)
    retired_at = models.DateTimeField()
    destroy_at = models.DateTimeField(db_index=True)

    objects = RetiredCredentialQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key", "secret_version"], name="one_retired_credential_per_version")]

    def __str__(self) -> str:
        return f"version {self.secret_version} of {self.key_id}"
