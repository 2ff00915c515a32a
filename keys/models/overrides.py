import uuid
from collections.abc import Collection, Iterable

from django.db import models
from django.db.models import F, Q

from keys import overrides
from keys.models.choices import provider_choices
from keys.providers import PROVIDERS
from orgs.models import Organization


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
