from django.db import models

from keys.models.choices import provider_choices
from orgs.models import Organization, User


class RoutingPreference(models.Model):
    """How an organization's requests are routed. An organization without a row has the defaults."""

    organization = models.OneToOneField(Organization, on_delete=models.CASCADE, primary_key=True, related_name="routing")
    use_own_keys = models.BooleanField(default=True)
    own_keys_only = models.BooleanField(default=True, help_text="The operator's shared keys are never used.")
    order_first = models.BooleanField(default=False, help_text="The order of providers decides before whose key it is.")
    paused_at = models.DateTimeField(null=True)
    preferences = models.JSONField(default=dict, help_text="As keys/preferences.py writes them.")
    order_version = models.PositiveIntegerField(default=0, help_text="Rises with every change of the order.")
    ordered_at = models.DateTimeField(null=True)
    ordered_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")

    def __str__(self) -> str:
        return f"routing of {self.organization_id}"


class ProviderPreference(models.Model):
    """What an organization decided about one provider. A missing row has the defaults."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="provider_preferences")
    provider = models.CharField(max_length=20, choices=provider_choices)
    use_own_keys = models.BooleanField(default=True)
    paused_at = models.DateTimeField(null=True)
    preferences = models.JSONField(default=dict, help_text="As keys/preferences.py writes them: timeout_seconds and move_on.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "provider"], name="one_preference_per_provider")]

    def __str__(self) -> str:
        return f"{self.provider} for {self.organization_id}"
