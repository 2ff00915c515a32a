"""What an organization owns: keys, and how requests are routed over them. Secrets are sealed; see keys/vault.py."""

from keys.models.choices import provider_choices
from keys.models.client_keys import ClientKey, ClientKeyQuerySet
from keys.models.data_keys import DataKey
from keys.models.health import HealthMark
from keys.models.management_keys import ManagementKey, ManagementKeyQuerySet
from keys.models.openings import Opening
from keys.models.overrides import ModelOverride, ModelOverrideQuerySet, native_names
from keys.models.provider_keys import ProviderKey, ProviderKeyQuerySet, RetiredCredential
from keys.models.routing import ProviderPreference, RoutingPreference

__all__ = [
    "ClientKey",
    "ClientKeyQuerySet",
    "DataKey",
    "HealthMark",
    "ManagementKey",
    "ManagementKeyQuerySet",
    "ModelOverride",
    "ModelOverrideQuerySet",
    "Opening",
    "ProviderKey",
    "ProviderKeyQuerySet",
    "ProviderPreference",
    "RetiredCredential",
    "RoutingPreference",
    "native_names",
    "provider_choices",
]
