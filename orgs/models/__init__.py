"""People: who may sign in, which organizations there are, who belongs to them, and what anybody did."""

from orgs.models.audit import AuditEvent, AuditHead, SupportGrant, SupportVisit
from orgs.models.members import (
    AUDITOR,
    MEMBER,
    OWNER,
    Identity,
    IdentityProvider,
    Invitation,
    InvitationQuerySet,
    Membership,
    MembershipQuerySet,
)
from orgs.models.notices import Delivery, DeliveryQuerySet, Notice, Webhook, WebhookQuerySet
from orgs.models.organizations import Organization, OrganizationQuerySet
from orgs.models.people import User, UserManager

__all__ = [
    "AUDITOR",
    "MEMBER",
    "OWNER",
    "AuditEvent",
    "AuditHead",
    "Delivery",
    "DeliveryQuerySet",
    "Identity",
    "IdentityProvider",
    "Invitation",
    "InvitationQuerySet",
    "Membership",
    "MembershipQuerySet",
    "Notice",
    "Organization",
    "OrganizationQuerySet",
    "SupportGrant",
    "SupportVisit",
    "User",
    "UserManager",
    "Webhook",
    "WebhookQuerySet",
]
