"""What the operator says about models, for every organization. Provider keys and client keys are not in the staff console."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from keys import overrides
from keys.models import ModelOverride
from keys.providers import PROVIDERS
from orgs.models import Organization


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
