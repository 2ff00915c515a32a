"""The app, and what is checked before it may start: `manage.py check --tag vault`."""

from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.checks import Error, Tags, register
from django.db import connection

from keys.vault import KeyRing

VAULT = "vault"


class KeysConfig(AppConfig):
    name = "keys"


@register(VAULT)
def check_ring(**_: Any) -> list[Error]:
    try:
        KeyRing.parse(settings.VAULT_KEYS)
    except ValueError as problem:
        return [Error(str(problem), id="keys.E001")]
    return []


@register(VAULT, Tags.database)
def check_data_keys(**_: Any) -> list[Error]:
    """Every key that wraps a data key must be in the ring. Before the first migration there is nothing to ask."""
    data_keys = apps.get_model("keys", "DataKey").objects
    if check_ring() or data_keys.model._meta.db_table not in connection.introspection.table_names():
        return []
    ids = data_keys.order_by("kek_id").values_list("kek_id", flat=True).distinct()
    missing = sorted(set(ids) - set(KeyRing.parse(settings.VAULT_KEYS).ids))
    problem = "VAULT_KEYS lacks {}, which wraps data keys in the database. Put it back behind the first key. "
    problem += "If it is lost for good, run: manage.py vault give-up {}"
    return [Error(problem.format(kek_id, kek_id), id="keys.E002") for kek_id in missing]
