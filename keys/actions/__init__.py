"""Writes about keys and routing. Each takes the organization's lock, and leaves an audit event with it."""

from keys.actions.client_keys import (
    RolledMeanwhile,
    Terms,
    change_client_key,
    hand_over_client_key,
    issue_client_key,
    pause_client_key,
    resume_client_key,
    revoke_client_key,
    revoke_of_member,
    roll_client_key,
    set_client_key_preferences,
)
from keys.actions.health import record_test
from keys.actions.leaks import report_leak
from keys.actions.management_keys import issue_management_key, revoke_management_key
from keys.actions.ordering import OrderConflict, reorder_keys
from keys.actions.overrides import set_overrides
from keys.actions.provider_keys import add_key, disable_key, enable_key, remove_key, rename_key
from keys.actions.replacing import SameCredential, destroy_retired, replace_credential, restore_credential
from keys.actions.restricting import RestrictionError, set_always, set_restrictions
from keys.actions.routing import (
    pause_organization,
    pause_provider,
    resume_organization,
    resume_provider,
    set_provider_routing,
    set_routing,
)
from keys.actions.writing import NameTaken, lock

__all__ = [
    "NameTaken",
    "OrderConflict",
    "RestrictionError",
    "RolledMeanwhile",
    "SameCredential",
    "Terms",
    "add_key",
    "change_client_key",
    "destroy_retired",
    "disable_key",
    "enable_key",
    "hand_over_client_key",
    "issue_client_key",
    "issue_management_key",
    "lock",
    "pause_client_key",
    "pause_organization",
    "pause_provider",
    "record_test",
    "remove_key",
    "rename_key",
    "reorder_keys",
    "replace_credential",
    "report_leak",
    "restore_credential",
    "resume_client_key",
    "resume_organization",
    "resume_provider",
    "revoke_client_key",
    "revoke_management_key",
    "revoke_of_member",
    "roll_client_key",
    "set_always",
    "set_client_key_preferences",
    "set_overrides",
    "set_provider_routing",
    "set_restrictions",
    "set_routing",
]
