"""The staff console: who there is and what happened, never a secret. Only people's accounts can be changed here."""

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.db.models import Model
from django.forms import ModelForm
from django.http import HttpRequest

from orgs.actions import Actor, set_platform
from orgs.models import AuditEvent, Membership, Organization, User

for model in (Authenticator, EmailAddress, UserSession):  # they show second factors and session keys
    admin.site.unregister(model)


class Listed(admin.ModelAdmin):
    """To be read, not changed."""

    actions = None

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class MembershipInline(admin.TabularInline):
    model = Membership
    fields = ("user", "role", "created_at")
    readonly_fields = fields
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(User)
class UserAdmin(Listed):
    """People come by invitation and choose their own password, so there is no password here: /reset/ sends a link."""

    list_display = ("email", "name", "is_active", "is_staff", "last_login")
    list_filter = ("is_active", "is_staff")
    search_fields = ("email", "name")
    fields = ("email", "name", "is_active", "is_staff", "is_superuser", "date_joined", "last_login")

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return admin.ModelAdmin.has_change_permission(self, request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        fixed = ("email", "date_joined", "last_login")
        return fixed if request.user.is_superuser else (*fixed, "is_staff", "is_superuser")


@admin.register(Organization)
class OrganizationAdmin(Listed):
    """Superusers decide here whose provider keys are the shared ones. The keys themselves are kept in its dashboard."""

    list_display = ("name", "slug", "is_platform", "id", "created_at")
    list_filter = ("is_platform",)
    search_fields = ("name", "slug")
    fields = ("id", "name", "slug", "timezone", "is_platform", "created_at")
    readonly_fields = ("id", "name", "slug", "timezone", "created_at")
    inlines = (MembershipInline,)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(request.user.is_superuser)

    def save_model(self, request: HttpRequest, obj: Organization, form: ModelForm[Organization], change: bool) -> None:
        set_platform(organization=obj, is_platform=form.cleaned_data["is_platform"], by=Actor.of(request))


@admin.register(Membership)
class MembershipAdmin(Listed):
    list_display = ("user", "organization", "role", "created_at")
    list_filter = ("role",)
    list_select_related = ("user", "organization", "role")
    search_fields = ("user__email", "organization__name")
    fields = ("user", "organization", "role", "created_at")


@admin.register(AuditEvent)
class AuditEventAdmin(Listed):
    list_display = ("at", "organization", "actor_label", "tag", "target_label")
    list_filter = ("tag",)
    list_select_related = ("organization",)
    search_fields = ("actor_label", "target_label", "organization__name")
    fields = ("at", "organization", "actor", "actor_label", "address", "tag", "target_id", "target_label", "changes")
