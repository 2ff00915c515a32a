"""What owners are told, and where their programs are."""

import uuid
from urllib.parse import urlsplit

from django.db import models
from django.utils import timezone

from orgs.models.organizations import Organization
from orgs.models.people import User


class Notice(models.Model):
    """Something the owners of an organization are told, once: by e-mail (orgs/notices.py) and by its webhooks."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="notices")
    tag = models.CharField(max_length=60, help_text="As in the audit: provider_key:failing.")
    target_id = models.CharField(max_length=40, blank=True)
    subject = models.CharField(max_length=200)
    body = models.TextField()
    path = models.CharField(max_length=200, help_text="Where to go, from the root of the dashboard.")
    person = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, related_name="+", help_text="A member who is told too, as it is theirs."
    )
    created_at = models.DateTimeField(default=timezone.now)
    due_at = models.DateTimeField(default=timezone.now, null=True, db_index=True, help_text="Null once it is sent or given up.")
    tries = models.PositiveSmallIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)
    handed_on = models.BooleanField(default=False, help_text="To the webhooks there were.")

    class Meta:
        indexes = [
            models.Index(fields=["created_at"], condition=models.Q(handed_on=False), name="notices_to_hand_on"),
            models.Index(fields=["organization", "-created_at"], name="notices_by_org"),
        ]

    def __str__(self) -> str:
        return f"{self.tag}: {self.subject}"


class WebhookQuerySet(models.QuerySet["Webhook"]):
    def for_org(self, organization: Organization) -> "WebhookQuerySet":
        return self.filter(organization=organization).order_by("created_at", "pk")


class Webhook(models.Model):
    """Where an organization wants its alerts sent. The secret that signs them is sealed by the vault, like a credential."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="webhooks")
    url = models.CharField(max_length=500)
    sealed = models.BinaryField(help_text="The secret, sealed.")
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects = WebhookQuerySet.as_manager()

    def __str__(self) -> str:
        return self.host

    @property
    def host(self) -> str:
        """All that is told of the address outside its own pages: the rest of it is often a secret."""
        return urlsplit(self.url).netloc


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def for_org(self, organization: Organization) -> "DeliveryQuerySet":
        return self.filter(webhook__organization=organization).select_related("webhook__organization")


class Delivery(models.Model):
    """One notice for one webhook: tried until it is taken or given up."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries")
    tag = models.CharField(max_length=60)
    payload = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now)
    due_at = models.DateTimeField(default=timezone.now, null=True, db_index=True, help_text="Null once taken or given up.")
    tries = models.PositiveSmallIntegerField(default=0)
    taken_at = models.DateTimeField(null=True)
    status = models.PositiveSmallIntegerField(null=True, help_text="What the receiver answered last.")
    problem = models.CharField(max_length=200, blank=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["webhook", "-created_at"], name="deliveries_by_webhook")]

    def __str__(self) -> str:
        return f"{self.tag} to {self.webhook}"
