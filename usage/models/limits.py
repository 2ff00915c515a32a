"""What owners allow: how much in a minute, and how many dollars in a period."""

import uuid

from django.db import models
from django.utils import timezone

from orgs.models import Organization, User


class Scope(models.TextChoices):
    """What a limit or a budget is for."""

    ORGANIZATION = "organization", "Organization"
    MEMBER = "member", "Member"
    CLIENT_KEY = "client_key", "Client key"
    PROVIDER_KEY = "provider_key", "Provider key"


class Scoped(models.Model):
    """`target_id`: of the member or key as text; empty for the organization itself."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="%(class)ss", db_index=False)
    scope = models.CharField(max_length=12, choices=Scope)
    target_id = models.CharField(max_length=36, blank=True)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        abstract = True


class Limit(Scoped):
    """Null limits nothing."""

    requests_per_minute = models.PositiveIntegerField(null=True)
    tokens_per_minute = models.PositiveIntegerField(null=True)
    concurrent = models.PositiveIntegerField(null=True, help_text="Requests at the same time.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "scope", "target_id"], name="one_limit_per_target")]

    def __str__(self) -> str:
        return f"{self.scope} {self.target_id}".strip()


class Period(models.TextChoices):
    """Days, weeks and months of the organization's time zone."""

    DAY = "day", "Day"
    WEEK = "week", "Week"
    MONTH = "month", "Month"
    LIFETIME = "lifetime", "Lifetime"


class Unpriced(models.TextChoices):
    """What a request counts for which no price is known."""

    NOTHING = "nothing", "Counts nothing"
    REFUSE = "refuse", "Is refused"
    ASSUME = "assume", "Counts an assumed price"


class Budget(Scoped):
    """Dollars in a period. What was counted stays when the amount is edited."""

    period = models.CharField(max_length=8, choices=Period)
    amount_microusd = models.BigIntegerField()
    hard = models.BooleanField(default=True, help_text="Refuse requests beyond it; else owners are only told.")
    unpriced = models.CharField(max_length=8, choices=Unpriced, default=Unpriced.NOTHING)
    assumed_microusd = models.BigIntegerField(default=0, help_text="For a request without a price, where one is assumed.")
    alerted = models.JSONField(default=dict, help_text="The period, and the thresholds that owners were told of in it.")
    looked_at = models.DateTimeField(default=timezone.now, db_index=True, help_text="Whether there is something to tell.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "scope", "target_id", "period"], name="one_budget_per_period")
        ]

    def __str__(self) -> str:
        return f"{self.amount_microusd / 1_000_000:.2f} USD a {self.period}"
