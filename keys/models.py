"""What an organization owns: data keys, provider keys, client keys. Secrets are sealed; see keys/vault.py."""

import uuid
from collections.abc import Collection, Iterable

from django.db import models
from django.db.models import F, Q

from keys import overrides
from keys.providers import PROVIDERS, Provider
from orgs.models import Organization, User


class DataKey(models.Model):
    """One organization's data key, wrapped by a key of the ring. Highest version seals; all versions open."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="data_keys")
    version = models.PositiveIntegerField()
    kek_id = models.CharField(max_length=40)
    wrapped = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "version"], name="one_data_key_per_version")]

    def __str__(self) -> str:
        return f"data key {self.version} of {self.organization_id}"


def provider_choices() -> list[tuple[str, str]]:
    """A function, so that a new provider needs no migration."""
    return [(row.slug, row.label) for row in PROVIDERS.values()]


class ProviderKeyQuerySet(models.QuerySet["ProviderKey"]):
    def for_org(self, organization: Organization) -> "ProviderKeyQuerySet":
        """Present keys in the order in which they are tried."""
        return self.present().filter(organization=organization).order_by("priority", "created_at")

    def present(self) -> "ProviderKeyQuerySet":
        return self.filter(removed_at=None)

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

    sealed = models.BinaryField(help_text="The credential, sealed by keys/vault.py; empty once removed.")
    secret_version = models.PositiveIntegerField(default=1)
    hint = models.CharField(max_length=80)
    fingerprint = models.CharField(max_length=64)
    public = models.JSONField(default=dict, help_text="The parts of the credential that are no secret: region, deployments.")

    status = models.CharField(max_length=10, choices=Status, default=Status.UNTESTED)
    status_reason = models.CharField(max_length=300, blank=True)
    needs_test = models.BooleanField(default=True, help_text="No traffic until a test has passed.")
    tested_at = models.DateTimeField(null=True)
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


class ModelOverrideQuerySet(models.QuerySet["ModelOverride"]):
    def for_org(self, organization: Organization) -> "ModelOverrideQuerySet":
        """Its own, without the operator's."""
        return self.filter(organization=organization).order_by("slug")

    def operators(self) -> "ModelOverrideQuerySet":
        return self.filter(organization=None)

    def that_concern(self, organizations: Collection[uuid.UUID]) -> "ModelOverrideQuerySet":
        """Theirs after the operator's, which they win over."""
        concerned = self.filter(Q(organization=None) | Q(organization__in=organizations))
        return concerned.order_by(F("organization").asc(nulls_first=True), "slug")


class ModelOverride(models.Model):
    """What a provider calls a model, in somebody's word. Without an organization it is the operator's and for all."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, null=True, related_name="model_overrides")
    provider = models.CharField(max_length=20, choices=provider_choices)
    slug = models.CharField(max_length=overrides.MAX_SLUG, help_text="What programs ask for, as author/model.")
    native_model = models.CharField(max_length=overrides.MAX_NATIVE, help_text="What the provider calls it.")

    objects = ModelOverrideQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "provider", "slug"], name="one_override_per_model"),
            models.UniqueConstraint(
                fields=["provider", "slug"], condition=Q(organization=None), name="one_override_of_the_operator"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.slug} at {PROVIDERS[self.provider].label}"


def native_names(rows: Iterable[ModelOverride]) -> dict[str, dict[str, str]]:
    """By provider and slug. Later rows win over earlier ones."""
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        found.setdefault(row.provider, {})[row.slug] = row.native_model
    return found


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
    revoked_at = models.DateTimeField(null=True)

    objects = ClientKeyQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "name"], condition=Q(revoked_at=None), name="one_live_client_key_per_name"
            )
        ]

    def __str__(self) -> str:
        return self.name
