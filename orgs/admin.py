"""People in the staff console: who there is and what happened, never a secret. What belongs to an organization needs a visit."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import ActionLocation
from django.contrib.auth.models import Group
from django.core.exceptions import BadRequest, ValidationError
from django.db import transaction
from django.db.models import Model, QuerySet
from django.forms import CheckboxSelectMultiple, ModelForm, ModelMultipleChoiceField
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone

from orgs import invitations, redaction
from orgs.actions import Actor, set_platform, support
from orgs.actions.invitations import NoInvitation, TooManyInvitations, resend_invitation
from orgs.confirming import confirmed
from orgs.models import AuditEvent, Invitation, Membership, Organization, SupportVisit, User

for model in (Authenticator, EmailAddress, UserSession):  # they show second factors and session keys
    admin.site.unregister(model)
admin.site.unregister(Group)  # what a role may do is decided in the code

type Do = Callable[[Any, Actor], None]
BOTH = [ActionLocation.CHANGE_LIST, ActionLocation.CHANGE_FORM]
MOST = 100  # rows at a time
OFFERED = {"", "exact", "id__exact"}  # how the filters that the lists show ask for a value
OF_PEOPLE = "memberships__organization__id__exact"


class Listed(admin.ModelAdmin):
    """To be read, not changed."""

    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """As the filters here ask and no other way: parts of a column, or of a row it leads to, could be guessed at."""
        name, _, how = lookup.partition("__")
        return name in self.list_filter and how in OFFERED

    def has_help_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("orgs.change_supportvisit")

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], **where: Any) -> HttpResponse | None:
        """What no row can be called is a bad request."""
        try:
            for pk in request.POST.getlist(ACTION_CHECKBOX_NAME):
                self.opts.pk.to_python(pk)
        except ValidationError as flaw:
            raise BadRequest from flaw
        return super().response_action(request, queryset, **where)


class OfOrganization(Listed):
    """Those of the organizations that the person has opened, as long as the visit lasts."""

    list_select_related = ("organization",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).filter(organization__in=visited(request))

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup == "organization__id__exact" or super().lookup_allowed(lookup, value, request)


class Decided(Listed):
    """Superusers change these, once they have confirmed of late that it is them."""

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        page = super().change_view
        if self.has_change_permission(request):
            page = confirmed()(page)
        return page(request, object_id, form_url, extra_context)


def visited(request: HttpRequest) -> QuerySet[Organization]:
    return support.visited(request.user, timezone.now())


class Refused(Exception):
    """Says why an act was not done."""


def act(label: str, consequence: str) -> Callable[[Do], Callable[..., HttpResponse | None]]:
    """What staff may do to rows, once they have seen what it means. The act itself audits."""

    def decorate(do: Do) -> Callable[..., HttpResponse | None]:
        @transaction.atomic
        def act_on(row: Any, console: Listed, request: HttpRequest, queryset: QuerySet[Any]) -> None:
            if not queryset.filter(pk=row.pk).exists():  # the visit may have ended since the row before
                raise Refused("Your visit ended meanwhile.")
            do(row, support.actor(request))
            console.log_change(request, row, f"{label}.")

        @admin.action(description=label, permissions=["help"], location=BOTH)
        @wraps(do)
        def ask_or_do(console: Listed, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
            rows = list(queryset[:MOST])
            if "confirmed" not in request.POST:
                about = {"label": label, "consequence": consequence, "rows": rows, "action": do.__name__}
                context = {**console.admin_site.each_context(request), **about, "title": label, "opts": console.opts}
                return TemplateResponse(request, "admin/confirm.html", context)
            done = []
            for row in rows:
                try:
                    act_on(row, console, request, queryset)
                    done.append(str(row))
                except Refused as why:
                    messages.error(request, f"{label}: not done for {row}. {why}")
            if done:
                messages.success(request, f"{label}: done for {', '.join(done)}.")
            return None

        return ask_or_do

    return decorate


class MembershipInline(admin.TabularInline):
    model = Membership
    fields = ("user", "role", "created_at")
    readonly_fields = fields
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@act("Sign out everywhere", "They have to sign in again in every browser. Their client keys work on.")
def end_sessions(user: User, by: Actor) -> None:
    support.end_sessions(user=user, by=by)


@admin.register(User)
class UserAdmin(Decided):
    """Superusers see everybody and decide who is staff; support sees the people of the organizations that it has opened.

    People come by invitation and choose their own password, so there is no password here: /reset/ sends a link.
    """

    list_display = ("email", "name", "is_active", "is_staff", "last_login")
    list_filter = ("is_active", "is_staff")
    search_fields = ("email", "name")
    fields = ("email", "name", "is_active", "is_staff", "is_superuser", "groups", "second_factor", "date_joined", "last_login")
    readonly_fields = ("email", "second_factor", "date_joined", "last_login")
    actions = (end_sessions,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        people = super().get_queryset(request)
        return people if request.user.is_superuser else people.filter(memberships__organization__in=visited(request)).distinct()

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Who is in an organization is told of those that are open."""
        if lookup == OF_PEOPLE:
            return value in map(str, visited(request).values_list("pk", flat=True))
        return super().lookup_allowed(lookup, value, request)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Not of oneself, so that somebody who can turn people on again is always left."""
        return bool(request.user.is_superuser) and obj != request.user

    @admin.display(boolean=True)
    def second_factor(self, user: User) -> bool:
        return Authenticator.objects.filter(user=user).exclude(type=Authenticator.Type.RECOVERY_CODES).exists()

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> ModelMultipleChoiceField:
        """Roles are had in organizations; a person by themselves can be support and nothing else."""
        offered = Group.objects.filter(name=support.GROUP)
        return ModelMultipleChoiceField(offered, required=False, label="Groups", widget=CheckboxSelectMultiple)

    def save_model(self, request: HttpRequest, obj: User, form: ModelForm[User], change: bool) -> None:
        said = {name: form.cleaned_data[name] for name in ("name", "is_active", "is_staff", "is_superuser")}
        support.change_person(user=obj, by=support.actor(request), **said)
        if orphans := support.without_owner(obj):
            messages.warning(request, f"Nobody who can sign in owns {', '.join(map(str, orphans))} any more.")


@admin.register(Organization)
class OrganizationAdmin(Decided):
    """Everybody of the staff may know which there are. Superusers decide here whose provider keys are the shared ones."""

    list_display = ("name", "slug", "is_platform", "id", "created_at")
    list_filter = ("is_platform",)
    search_fields = ("name", "slug")
    fields = (
        *("id", "name", "slug", "timezone", "is_platform", "members_issue_keys", "members_see_all"),
        *("second_factor_from", "support_needs_grant", "delete_at", "created_at"),
    )
    readonly_fields = tuple(name for name in fields if name != "is_platform")
    inlines = (MembershipInline,)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(request.user.is_superuser)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Organization | None:
        found = super().get_object(request, object_id, from_field)
        return found if found and visited(request).filter(pk=found.pk).exists() else None

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponse:
        """To where a visit begins, if there is such an organization."""
        found = super().get_object(request, object_id)
        return redirect("admin:open", found.pk) if found else super()._get_obj_does_not_exist_redirect(request, opts, object_id)

    def save_model(self, request: HttpRequest, obj: Organization, form: ModelForm[Organization], change: bool) -> None:
        set_platform(organization=obj, is_platform=form.cleaned_data["is_platform"], by=support.actor(request))


@admin.register(Membership)
class MembershipAdmin(OfOrganization):
    list_display = ("user", "organization", "role", "created_at")
    list_filter = ("role",)
    list_select_related = ("user", "organization", "role")
    search_fields = ("user__email", "organization__name")
    fields = ("user", "organization", "role", "created_at")


@act("Send again", "The link that was sent before ends, and a new one is sent to the same address. It works for 7 days.")
def resend(invitation: Invitation, by: Actor) -> None:
    try:
        letter = resend_invitation(invitation=invitation, by=by)
    except NoInvitation:
        raise Refused("It is used, withdrawn or over.") from None
    except TooManyInvitations:
        raise Refused("This organization has sent as many as it may for now. Try again in an hour.") from None
    transaction.on_commit(lambda: invitations.send([letter]))


@admin.register(Invitation)
class InvitationAdmin(OfOrganization):
    list_display = ("email", "organization", "role", "created_at", "sent_at", "expires_at", "used_at", "withdrawn_at")
    list_select_related = ("organization", "role")
    search_fields = ("email", "organization__name")
    fields = ("email", "organization", "role", "invited_by", "created_at", "sent_at", "expires_at", "used_at", "withdrawn_at")
    actions = (resend,)


@admin.register(AuditEvent)
class AuditEventAdmin(OfOrganization):
    list_display = ("at", "organization", "actor_label", "tag", "target_label")
    list_filter = ("tag",)
    search_fields = ("actor_label", "target_label", "organization__name")
    fields = ("number", "at", "organization", "actor", "actor_label", "address", "tag", "target_id", "target_label", "changed")
    readonly_fields = ("changed",)
    date_hierarchy = None

    @admin.display(description="Before and after")
    def changed(self, event: AuditEvent) -> str:
        return redaction.text(event.changes)


@admin.register(SupportVisit)
class SupportVisitAdmin(Listed):
    """Who opened what, and why. Support sees its own visits; superusers see all."""

    list_display = ("begun_at", "organization", "visitor", "reason", "until")
    list_select_related = ("organization", "visitor")
    fields = ("organization", "visitor", "reason", "begun_at", "until")

    def get_queryset(self, request: HttpRequest) -> QuerySet[SupportVisit]:
        visits = super().get_queryset(request)
        return visits if request.user.is_superuser else visits.filter(visitor=request.user)
