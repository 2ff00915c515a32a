"""Writes about keys and routing. Each takes the organization's lock, and leaves an audit event with it."""

from keys.actions.client_keys import issue_client_key, revoke_client_key
from keys.actions.health import record_test
from keys.actions.overrides import set_overrides
from keys.actions.provider_keys import add_key, disable_key, enable_key, remove_key
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
    "add_key",
    "disable_key",
    "enable_key",
    "issue_client_key",
    "lock",
    "pause_organization",
    "pause_provider",
    "record_test",
    "remove_key",
    "resume_organization",
    "resume_provider",
    "revoke_client_key",
    "set_overrides",
    "set_provider_routing",
    "set_routing",
]
