"""Who belongs to an organization, who may come to belong to it, and whom an identity provider lets in."""

import uuid
from datetime import datetime

from django.contrib.auth.models import Group
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from orgs.models.organizations import Organization
from orgs.models.people import User

OWNER = "Owner"
MEMBER = "Member"
AUDITOR = "Auditor"
SECOND_FACTORS = ("totp", "webauthn")  # as allauth calls them


class MembershipQuerySet(models.QuerySet["Membership"]):
    def for_org(self, organization: Organization) -> "MembershipQuerySet":
        return self.filter(organization=organization)

    def of(self, user: User) -> "MembershipQuerySet":
        return self.filter(user=user).select_related("organization", "role").order_by("organization__name")

    def lacking_second_factor(self) -> "MembershipQuerySet":
        """Recovery codes alone are none."""
        return self.exclude(user__authenticator__type__in=SECOND_FACTORS).select_related("user").order_by("user__email")

    def owners(self) -> "MembershipQuerySet":
        """Who may be asked, the longest-standing first."""
        return self.filter(role__name=OWNER).order_by("pk")


class Membership(models.Model):
    """A person's place in an organization. The role is a Django group, Owner or Member."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.ForeignKey(Group, on_delete=models.PROTECT)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = MembershipQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "user"], name="one_membership_per_person")]

    def __str__(self) -> str:
        return f"{self.user}, {self.role} of {self.organization}"


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def for_org(self, organization: Organization) -> "InvitationQuerySet":
        return self.filter(organization=organization)

    def waiting(self) -> "InvitationQuerySet":
        """Neither used nor withdrawn; some may have expired."""
        return self.filter(used_at=None, withdrawn_at=None)

    def open(self, now: datetime) -> "InvitationQuerySet":
        return self.waiting().filter(expires_at__gt=now)


class Invitation(models.Model):
    """A way in for one address, once. The link holds the token; only its digest is kept."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="invitations")
    email = models.EmailField()
    role = models.ForeignKey(Group, on_delete=models.PROTECT, related_name="+")
    digest = models.BinaryField(max_length=32, unique=True, help_text="SHA-256 of the token.")
    invited_by = models.ForeignKey(User, on_delete=models.CASCADE, related_name="invitations_sent")
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    used_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    withdrawn_at = models.DateTimeField(null=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "organization", Lower("email"), condition=Q(used_at=None, withdrawn_at=None), name="one_invitation_per_address"
            )
        ]

    def __str__(self) -> str:
        return self.email


class IdentityProvider(models.Model):
    """Single sign-on by OpenID Connect for the addresses of one domain, once the organization has shown that it is theirs."""

    organization = models.OneToOneField(Organization, on_delete=models.CASCADE, related_name="identity_provider")
    issuer = models.CharField(max_length=300)
    client_id = models.CharField(max_length=300)
    sealed = models.BinaryField(help_text="The client secret, sealed by the vault.")
    secret_version = models.PositiveIntegerField(default=1)
    domain = models.CharField(max_length=253, help_text="Anybody may claim it; one has shown that it is theirs.")
    proof = models.CharField(max_length=60, help_text="What the domain's TXT record must say.")
    verified_at = models.DateTimeField(null=True)
    enforced = models.BooleanField(default=False, help_text="People of the domain sign in by it alone.")
    groups_claim = models.CharField(max_length=60, default="groups", blank=True)
    owner_groups = models.JSONField(default=list, help_text="Groups whose people are owners; everybody else is a member.")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["domain"], condition=~Q(verified_at=None), name="one_verified_provider_per_domain")
        ]

    def __str__(self) -> str:
        return self.domain


class Identity(models.Model):
    """Somebody as an identity provider knows them, from their first sign-in on: an address may pass to another person."""

    provider = models.ForeignKey(IdentityProvider, on_delete=models.CASCADE, related_name="identities")
    issuer = models.CharField(max_length=300)
    subject = models.CharField(max_length=255)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="identities")
    created_at = models.DateTimeField(default=timezone.now)
    used_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "identities"
        constraints = [
            models.UniqueConstraint(fields=["provider", "issuer", "subject"], name="one_identity_per_subject"),
            models.UniqueConstraint(fields=["provider", "issuer", "user"], name="one_identity_per_person"),
        ]

    def __str__(self) -> str:
        return f"{self.user} at {self.issuer}"
