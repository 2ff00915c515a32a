"""What happened: one UsageEvent for each attempt, and sums of them, written only by usage/ingest.py."""

from django.db import models
from django.utils import timezone

from keys.routing import PLATFORM
from orgs.models import Organization


class Outcome(models.TextChoices):
    OK = "ok", "Answered"
    ERROR = "error", "Failed"
    ABSORBED = "absorbed", "Failed, rescued by a later attempt"
    CANCELLED = "cancelled", "Cancelled by the client"
    REFUSED = "refused", "Refused before any provider was asked"


class Measures(models.Model):
    """What is counted and summed. Costs are millionths of a dollar, latency is milliseconds."""

    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    cached_input_tokens = models.BigIntegerField(default=0)
    reasoning_tokens = models.BigIntegerField(default=0)

    class Meta:
        abstract = True


class UsageEvent(Measures):
    """One attempt on one provider key. Metadata only: prompts and outputs are never stored."""

    id = models.UUIDField(primary_key=True, help_text="UUIDv7 of the attempt.")
    request_id = models.UUIDField(help_text="UUIDv7 that the client was given as x-request-id.")
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+", db_index=False)
    client_key_id = models.UUIDField()
    member_id = models.BigIntegerField(null=True)
    provider_key_id = models.UUIDField()
    provider = models.CharField(max_length=20)
    model = models.CharField(max_length=200, help_text="As the client asked for it.")
    native_model = models.CharField(max_length=200, help_text="As the provider calls it.")
    tier = models.CharField(max_length=12)
    number = models.PositiveSmallIntegerField(default=1, help_text="Which attempt of the request this was, from 1.")
    stream = models.BooleanField(default=False)
    started_at = models.DateTimeField(default=timezone.now)

    outcome = models.CharField(max_length=10, choices=Outcome)
    status = models.PositiveSmallIntegerField(null=True, help_text="HTTP status of the provider, if it answered.")
    error_class = models.CharField(max_length=30, blank=True)
    first_byte_ms = models.PositiveIntegerField(null=True)
    latency_ms = models.PositiveIntegerField(null=True)
    mark = models.CharField(max_length=12, blank=True, help_text="Why a key was tried that was out: probe or last_resort.")
    skipped = models.JSONField(default=list, help_text="On the first attempt: keys that were passed over, and why.")
    estimated = models.BooleanField(default=False, help_text="Tokens are our estimate: the attempt's end was never seen.")
    estimated_cost_microusd = models.BigIntegerField(null=True, help_text="Null where no price is known.")

    class Meta:
        permissions = [("view_everybody", "Can see whose usage is whose")]
        indexes = [models.Index(fields=["organization", "started_at"], name="event_by_org")]

    def __str__(self) -> str:
        return f"{self.id} {self.outcome}"


class UsageRollup(Measures):
    """Sums of events. `unpriced` counts the requests with tokens whose price is unknown."""

    requests = models.BigIntegerField(default=0)
    unpriced = models.BigIntegerField(default=0)
    estimated = models.BigIntegerField(default=0)
    estimated_cost_microusd = models.BigIntegerField(default=0)
    # A histogram of latency: how many answers took at most so many milliseconds, and more than the step before.
    latency_100 = models.BigIntegerField(default=0)
    latency_200 = models.BigIntegerField(default=0)
    latency_400 = models.BigIntegerField(default=0)
    latency_700 = models.BigIntegerField(default=0)
    latency_1000 = models.BigIntegerField(default=0)
    latency_1500 = models.BigIntegerField(default=0)
    latency_2000 = models.BigIntegerField(default=0)
    latency_3000 = models.BigIntegerField(default=0)
    latency_5000 = models.BigIntegerField(default=0)
    latency_8000 = models.BigIntegerField(default=0)
    latency_12000 = models.BigIntegerField(default=0)
    latency_20000 = models.BigIntegerField(default=0)
    latency_40000 = models.BigIntegerField(default=0)
    latency_more = models.BigIntegerField(default=0)

    class Meta:
        abstract = True


class DailyRollup(UsageRollup):
    """One row for each local day of the organization and full set of dimensions."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+", db_index=False)
    day = models.DateField()
    member_id = models.BigIntegerField(default=0)
    client_key_id = models.UUIDField()
    provider_key_id = models.UUIDField()
    provider = models.CharField(max_length=20)
    model = models.CharField(max_length=200)
    outcome = models.CharField(max_length=10, choices=Outcome)
    tier = models.CharField(max_length=12)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "organization",
                    "day",
                    "provider",
                    "model",
                    "client_key_id",
                    "provider_key_id",
                    "member_id",
                    "outcome",
                    "tier",
                ],
                name="one_daily_rollup",
            )
        ]
        indexes = [models.Index(fields=["provider_key_id", "day"], condition=models.Q(tier=PLATFORM), name="lent_daily")]

    def __str__(self) -> str:
        return f"{self.day} {self.provider} {self.model} {self.outcome}"


class HourlyRollup(UsageRollup):
    """One row for each hour (UTC) and slim set of dimensions."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+", db_index=False)
    hour = models.DateTimeField()
    provider = models.CharField(max_length=20)
    model = models.CharField(max_length=200)
    outcome = models.CharField(max_length=10, choices=Outcome)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "hour", "provider", "model", "outcome"], name="one_hourly_rollup")
        ]

    def __str__(self) -> str:
        return f"{self.hour} {self.provider} {self.model} {self.outcome}"


class JournalSegment(models.Model):
    """How far a journal file has been ingested. Moves in the same transaction as the events it counts."""

    name = models.CharField(max_length=80, primary_key=True)
    offset = models.BigIntegerField(default=0)
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.name} up to {self.offset}"
