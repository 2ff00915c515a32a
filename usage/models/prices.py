"""What an organization says about prices."""

import uuid
from datetime import date

from django.db import models
from django.utils import timezone

from keys.providers import PROVIDERS, Provider
from orgs.models import Organization, User
from usage.figures import exact_dollars

LIST = 1000  # thousandths: the list price as it stands


class ModelPriceQuerySet(models.QuerySet["ModelPrice"]):
    def for_org(self, organization: Organization) -> "ModelPriceQuerySet":
        """Of each model at a provider, and of each key, the latest comes first."""
        return self.filter(organization=organization).order_by("provider", "model", "provider_key_id", "-from_day")


class ModelPrice(models.Model):
    """What a model costs an organization from a day on, with one key of a provider or with all. It goes before the list."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="model_prices", db_index=False)
    provider = models.CharField(max_length=20)
    model = models.CharField(max_length=200, help_text="As programs ask for it, spelled like all slugs.")
    provider_key_id = models.UUIDField(null=True, help_text="Of one key; else of every key of the provider.")
    from_day = models.DateField(help_text="Of the organization's time zone.")
    input_microusd = models.BigIntegerField(help_text="Millionths of a dollar for a million tokens.")
    cached_input_microusd = models.BigIntegerField(null=True, help_text="As input, where nothing is said.")
    output_microusd = models.BigIntegerField(help_text="Millionths of a dollar for a million tokens.")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    objects = ModelPriceQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "provider", "model", "from_day"],
                condition=models.Q(provider_key_id=None),
                name="one_model_price_per_day",
            ),
            models.UniqueConstraint(
                fields=["organization", "provider", "model", "provider_key_id", "from_day"],
                condition=models.Q(provider_key_id__isnull=False),
                name="one_model_price_per_key_and_day",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} at {self.row.label}"

    @property
    def row(self) -> Provider:
        return PROVIDERS[self.provider]

    @property
    def input_dollars(self) -> str:
        return exact_dollars(self.input_microusd)

    @property
    def cached_input_dollars(self) -> str:
        return self.input_dollars if self.cached_input_microusd is None else exact_dollars(self.cached_input_microusd)

    @property
    def output_dollars(self) -> str:
        return exact_dollars(self.output_microusd)


class KeyPriceQuerySet(models.QuerySet["KeyPrice"]):
    def for_org(self, organization: Organization) -> "KeyPriceQuerySet":
        """For each key the latest comes first."""
        return self.filter(organization=organization).order_by("provider_key_id", "-from_day")


class KeyPrice(models.Model):
    """What the provider of one key charges against its list, from a day on: a multiplier in thousandths."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+", db_index=False)
    provider_key_id = models.UUIDField()
    from_day = models.DateField(help_text="Of the organization's time zone.")
    thousandths = models.PositiveIntegerField(help_text="850 is 15 % off the list.")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    objects = KeyPriceQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "provider_key_id", "from_day"], name="one_key_price_per_day")
        ]

    def __str__(self) -> str:
        return f"{self.multiplier} from {self.from_day}"

    @property
    def multiplier(self) -> str:
        """As a person types it: 0.85."""
        return f"{self.thousandths / 1000:g}"

    @property
    def words(self) -> str:
        """What it means, as in 15% off the list price."""
        if not self.thousandths:
            return "Nothing to pay"
        away = abs(LIST - self.thousandths)
        if not away:
            return "The list price"
        return f"{away / 10:g}% {'off' if self.thousandths < LIST else 'above'} the list price"


class InvoiceQuerySet(models.QuerySet["Invoice"]):
    def for_org(self, organization: Organization) -> "InvoiceQuerySet":
        return self.filter(organization=organization).order_by("-month", "provider_key_id")

    def of_month(self, month: date) -> "InvoiceQuerySet":
        """By the month's first day."""
        return self.filter(month=month)


class Invoice(models.Model):
    """What a provider billed for one key in one month."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+", db_index=False)
    provider_key_id = models.UUIDField()
    month = models.DateField(help_text="Its first day.")
    total_microusd = models.BigIntegerField()
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    objects = InvoiceQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "provider_key_id", "month"], name="one_invoice_per_month")]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m} {self.total_microusd}"
