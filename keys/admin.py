"""Keys in the staff console, without what they hold, and what the operator says about models for every organization."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from keys import overrides
from keys.actions import disable_key, revoke_client_key
from keys.models import ClientKey, ModelOverride, ProviderKey
from keys.providers import PROVIDERS
from orgs import redaction
from orgs.actions import Actor
from orgs.admin import OfOrganization, act
from orgs.models import Organization


@act("Turn off", "Requests go to other keys, or fail where there are none. Only an owner can turn it on again.")
def turn_off(key: ProviderKey, by: Actor) -> None:
    disable_key(key=key, by=by)


@admin.register(ProviderKey)
class ProviderKeyAdmin(OfOrganization):
    """Neither the credential nor where it leads: of an Azure key not even the addresses."""

    list_display = ("organization", "provider", "name", "hint", "enabled", "status", "tested_at", "last_used_at", "removed_at")
    list_display_links = ("name",)
    list_filter = ("status", "enabled", "provider")
    search_fields = ("name", "hint", "fingerprint", "organization__name")
    fields = (
        *("organization", "provider", "name", "hint", "fingerprint", "secret_version", "enabled", "tier", "priority", "always"),
        *("allowed_models", "status", "reason", "status_since", "error_class", "until", "last_refusal", "needs_test"),
        *(
            "tested_at",
            "next_test_at",
            "failed_tests",
            "discovered_models",
            "created_by",
            "created_at",
            "last_used_at",
            "removed_at",
        ),
    )
    readonly_fields = ("reason", "last_refusal")
    actions = (turn_off,)

    @admin.display(description="Status reason")
    def reason(self, key: ProviderKey) -> str:
        return str(redaction.plain(key.status_reason))

    @admin.display(description="Last error")
    def last_refusal(self, key: ProviderKey) -> str:
        return redaction.text(key.last_error)


@act("Revoke", "Programs that use it are refused at once. It cannot be undone: an owner creates another one.")
def revoke(key: ClientKey, by: Actor) -> None:
    revoke_client_key(key=key, by=by)


@admin.register(ClientKey)
class ClientKeyAdmin(OfOrganization):
    list_display = ("organization", "name", "hint", "owner", "expires_at", "paused_at", "revoked_at", "last_used_at")
    list_display_links = ("name",)
    list_select_related = ("organization", "owner")
    search_fields = ("name", "hint", "organization__name")
    fields = (
        *("organization", "name", "hint", "owner", "rolled_hint", "rolled_until", "expires_at", "allowed_models"),
        *("created_by", "created_at", "last_used_at", "paused_at", "revoked_at"),
    )
    actions = (revoke,)


class ModelOverrideForm(forms.ModelForm):
    def clean(self) -> dict[str, Any]:
        said = self.cleaned_data
        if {"provider", "slug", "native_model"} <= said.keys():
            if flaw := overrides.flaw(said["slug"], said["native_model"], PROVIDERS[said["provider"]]):
                raise forms.ValidationError(flaw[0][0].upper() + flaw[0][1:].replace("`", ""))
            said["slug"] = overrides.spelled(said["slug"])
            twins = ModelOverride.objects.operators().filter(provider=said["provider"], slug=said["slug"])
            if twins.exclude(pk=self.instance.pk).exists():
                raise forms.ValidationError(f"There is a name for {said['slug']} at this provider already. Change that one.")
        return said


@admin.register(ModelOverride)
class ModelOverrideAdmin(admin.ModelAdmin):
    """The operator's own ones. A change makes the gateways read every organization anew."""

    form = ModelOverrideForm
    list_display = ("slug", "provider", "native_model")
    list_filter = ("provider",)
    search_fields = ("slug", "native_model")
    fields = ("provider", "slug", "native_model")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelOverride]:
        return super().get_queryset(request).filter(organization=None)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return is_operator(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return is_operator(request)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return is_operator(request)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return is_operator(request)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return is_operator(request)

    def save_model(self, request: HttpRequest, obj: ModelOverride, *rest: Any) -> None:
        super().save_model(request, obj, *rest)
        Organization.objects.bump_routing()

    def delete_model(self, request: HttpRequest, obj: ModelOverride) -> None:
        super().delete_model(request, obj)
        Organization.objects.bump_routing()

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[ModelOverride]) -> None:
        super().delete_queryset(request, queryset)
        Organization.objects.bump_routing()


def is_operator(request: HttpRequest) -> bool:
    user = request.user
    return user.is_active and user.is_superuser
