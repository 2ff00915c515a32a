"""What anybody did, and when support came to look."""

import uuid
from datetime import datetime

from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from orgs.models.organizations import Organization
from orgs.models.people import User


class AuditEvent(models.Model):
    """Who did what. Written in the transaction of the act itself; never changed, never with a secret in it.

    PostgreSQL refuses to change events, and to delete them other than with their organization. See orgs/audit/chain.py.
    """

    organization = models.ForeignKey(Organization, on_delete=models.DB_CASCADE, related_name="audit_events")
    number = models.PositiveBigIntegerField(help_text="Its place in the chain, from 1.")
    mac = models.BinaryField(max_length=32, help_text="HMAC over this event and the mac before it.")
    at = models.DateTimeField(default=timezone.now)
    actor = models.ForeignKey(  # who it was stays written here, also after their account is deleted
        User, on_delete=models.DO_NOTHING, db_constraint=False, null=True, blank=True
    )
    actor_label = models.CharField(max_length=120)
    address = models.GenericIPAddressField(null=True, blank=True)
    tag = models.CharField(max_length=60)
    target_id = models.CharField(max_length=40, blank=True)
    target_label = models.CharField(max_length=160, blank=True)
    changes = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "number"], name="one_audit_event_per_number")]
        indexes = [
            models.Index(fields=["organization", "-at"], name="audit_by_org"),
            models.Index(fields=["organization", "target_id", "-at"], name="audit_by_target"),
        ]

    def __str__(self) -> str:
        return f"{self.actor_label}: {self.tag} {self.target_label}"


class AuditHead(models.Model):
    """The end of an organization's chain: locked by whoever adds to it."""

    organization = models.OneToOneField(Organization, on_delete=models.CASCADE, related_name="audit_head")
    number = models.PositiveBigIntegerField(default=0)
    mac = models.BinaryField(max_length=32, default=bytes)

    def __str__(self) -> str:
        return f"{self.organization}: {self.number}"


class SupportGrantQuerySet(models.QuerySet["SupportGrant"]):
    def for_org(self, organization: Organization) -> "SupportGrantQuerySet":
        return self.filter(organization=organization)

    def open(self, now: datetime) -> "SupportGrantQuerySet":
        return self.filter(until__gt=now, ended_at=None)


class SupportGrant(models.Model):
    """An owner lets support open the organization for a while."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="support_grants")
    granted_by = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    until = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    objects = SupportGrantQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.organization} until {self.until:%Y-%m-%d %H:%M} UTC"


class SupportVisitQuerySet(models.QuerySet["SupportVisit"]):
    def by(self, visitor: User) -> "SupportVisitQuerySet":
        return self.filter(visitor=visitor)

    def under_way(self, now: datetime) -> "SupportVisitQuerySet":
        """Where the organization asks for a grant, as long as one is open that was there when the visit began."""
        grants = SupportGrant.objects.open(now).filter(
            organization=OuterRef("organization"), created_at__lte=OuterRef("begun_at")
        )
        return self.filter(Q(organization__support_needs_grant=False) | Exists(grants), until__gt=now)


class SupportVisit(models.Model):
    """Somebody of support opened the organization, and why. It ends by itself."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="support_visits")
    visitor = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    reason = models.CharField(max_length=300)
    begun_at = models.DateTimeField(default=timezone.now)
    until = models.DateTimeField()

    objects = SupportVisitQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.visitor} at {self.organization}"
