"""People: who may sign in, which organizations there are, who belongs to them, and what anybody did."""

import uuid
from urllib.parse import urlsplit

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import Group, PermissionsMixin
from django.db import models
from django.db.models import F
from django.db.models.functions import Lower, Now
from django.utils import timezone

OWNER = "Owner"
MEMBER = "Member"


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: object) -> "User":
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: object) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, email: str) -> "User":
        return self.get(email=email.strip().lower())


class User(AbstractBaseUser, PermissionsMixin):
    """A person, known by their e-mail address (kept in lower case)."""

    email = models.EmailField(unique=True)
    name = models.CharField(max_length=80, blank=True)
    is_staff = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    date_joined = models.DateTimeField(default=timezone.now)

    objects = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_any_case")]

    def __str__(self) -> str:
        return self.name or self.email

    def has_perm(self, perm: str, obj: models.Model | None = None) -> bool:
        """Inside an organization only the role counts, for superusers too."""
        return super().has_perm(perm) if obj is None else perm in self.get_all_permissions(obj)


class OrganizationQuerySet(models.QuerySet["Organization"]):
    def for_user(self, user: User) -> "OrganizationQuerySet":
        return self.filter(memberships__user=user).order_by("name")

    def bump_routing(self) -> None:
        """Tell every gateway process, within its next poll, that keys or routes of these organizations changed."""
        self.update(routing_version=F("routing_version") + 1, routing_changed_at=Now())


class Organization(models.Model):
    """Owns keys and usage. `routing_version` rises whenever the gateway must read it anew."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=60)
    slug = models.SlugField(max_length=40, unique=True)
    timezone = models.CharField(max_length=40, default="UTC")
    is_platform = models.BooleanField(
        "lends its keys", default=False, help_text="Its provider keys are the shared keys of organizations that allow them."
    )
    members_issue_keys = models.BooleanField(default=False, help_text="Members may make client keys of their own.")
    members_see_all = models.BooleanField(default=False, help_text="Members see whose usage is whose, as owners do.")
    routing_version = models.PositiveIntegerField(default=1, editable=False)
    routing_changed_at = models.DateTimeField(db_default=Now(), db_index=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = OrganizationQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["id"], condition=models.Q(is_platform=True), name="platforms")]

    def __str__(self) -> str:
        return self.name


class MembershipQuerySet(models.QuerySet["Membership"]):
    def for_org(self, organization: Organization) -> "MembershipQuerySet":
        return self.filter(organization=organization)

    def of(self, user: User) -> "MembershipQuerySet":
        return self.filter(user=user).select_related("organization", "role").order_by("organization__name")

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


class AuditEvent(models.Model):
    """Who did what. Written in the transaction of the act itself; never changed, never with a secret in it."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="audit_events")
    at = models.DateTimeField(default=timezone.now)
    actor = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True)
    actor_label = models.CharField(max_length=120)
    address = models.GenericIPAddressField(null=True, blank=True)
    tag = models.CharField(max_length=60)
    target_id = models.CharField(max_length=40, blank=True)
    target_label = models.CharField(max_length=160, blank=True)
    changes = models.JSONField(default=dict)

    class Meta:
        indexes = [
            models.Index(fields=["organization", "-at"], name="audit_by_org"),
            models.Index(fields=["organization", "target_id", "-at"], name="audit_by_target"),
        ]

    def __str__(self) -> str:
        return f"{self.actor_label}: {self.tag} {self.target_label}"


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
