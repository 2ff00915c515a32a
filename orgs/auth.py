"""Django permissions for each organization: the role of a membership is a group, its permissions hold there only."""

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import Permission
from django.db.models import Model

from orgs.models import Organization, User


class RoleBackend(BaseBackend):
    """`user.has_perm("keys.change_providerkey", org)`; without an organization it grants nothing."""

    def get_all_permissions(self, user_obj: Any, obj: Model | None = None) -> set[str]:
        organization_id = obj.pk if isinstance(obj, Organization) else getattr(obj, "organization_id", None)
        if organization_id is None or not isinstance(user_obj, User) or not user_obj.is_active:
            return set()
        cache: dict[Any, set[str]] = user_obj.__dict__.setdefault("_role_permissions", {})
        if organization_id not in cache:
            rows = Permission.objects.filter(
                group__membership__user=user_obj, group__membership__organization_id=organization_id
            ).values_list("content_type__app_label", "codename")
            cache[organization_id] = {f"{app}.{codename}" for app, codename in rows}
        return cache[organization_id]

    def has_perm(self, user_obj: Any, perm: str, obj: Model | None = None) -> bool:
        return perm in self.get_all_permissions(user_obj, obj)
