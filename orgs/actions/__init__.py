"""Writes about people and organizations, each with its audit event in the same transaction."""

from orgs.actions.organizations import (
    AlreadySetUp,
    Settings,
    create_organization,
    record_export,
    set_organization,
    set_platform,
    set_up_first_owner,
)
from orgs.actions.recording import Actor, address_of, lock_organizations, record, record_everywhere

__all__ = [
    "Actor",
    "AlreadySetUp",
    "Settings",
    "address_of",
    "create_organization",
    "lock_organizations",
    "record",
    "record_everywhere",
    "record_export",
    "set_organization",
    "set_platform",
    "set_up_first_owner",
]
