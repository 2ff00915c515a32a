"""Who belongs to an organization: the list, invitations, and what an owner decides about one person.

Removing and leaving concern client keys too, so they stand in keys/views/leaving.py.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from allauth.mfa.models import Authenticator
from django.contrib import messages
from django.contrib.auth.models import Group
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from orgs import invitations
from orgs.access import org_view
from orgs.actions import Actor
from orgs.actions.invitations import (
    AlreadyMembers,
    NoInvitation,
    TooManyInvitations,
    invite,
    resend_invitation,
    withdraw_invitation,
)
from orgs.actions.members import LastOwner, hand_over_ownership, set_role
from orgs.confirming import confirmed, refill
from orgs.forms.members import InviteForm, RoleForm
from orgs.models import AUDITOR, MEMBER, OWNER, Invitation, Membership, MembershipQuerySet, Organization

EDIT = "orgs.change_membership"
GONE = "This invitation was used or withdrawn meanwhile."
FACTORS = {Authenticator.Type.WEBAUTHN: "Passkey", Authenticator.Type.TOTP: "Authenticator"}
COLUMNS = (OWNER, MEMBER, AUDITOR)
OWN = "Own"
ACTS = (
    ("Add, replace, test and delete provider keys", "keys.add_providerkey"),
    ("Change routing and fallback", "keys.change_routingpreference"),
    ("See key names, status and order", "keys.view_providerkey"),
    ("See masked key endings", "keys.view_hint"),
    ("Create client keys", "keys.add_clientkey"),
    ("See usage and export it", "usage.view_usageevent"),
    ("See and export the audit log", "orgs.view_auditevent"),
    ("Invite people and change roles", EDIT),
    ("Change settings, delete the organization", "orgs.delete_organization"),
)


@dataclass(frozen=True, slots=True)
class Person:
    membership: Membership
    factors: tuple[str, ...]


@require_safe
@never_cache
@org_view("orgs.view_membership")
def members(request: HttpRequest, organization: Organization) -> HttpResponse:
    return show(request, organization, InviteForm(organization=organization))


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view("orgs.add_invitation")
@confirmed("emails", "role")
def send(request: HttpRequest, organization: Organization) -> HttpResponse:
    """The card of the members page. One line that is wrong, and nobody is invited."""
    form = InviteForm(request.POST if request.method == "POST" else None, organization=organization)
    refill(form, request)
    if form.is_bound and form.is_valid():
        emails, role = form.cleaned_data["emails"], form.cleaned_data["role"]
        try:
            letters = invite(organization=organization, emails=emails, role=role, by=Actor.of(request))
        except AlreadyMembers as refusal:
            form.add_error("emails", f"Already members meanwhile: {refusal}.")
        except TooManyInvitations as refusal:
            form.add_error("emails", str(refusal))
        else:
            tell(request, len(letters), invitations.send(letters))
            return redirect("members", organization.slug)
    return show(request, organization, form)


@require_POST
@org_view("orgs.add_invitation")
def resend(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    try:
        letter = resend_invitation(invitation=find_invitation(organization, pk), by=Actor.of(request))
    except NoInvitation:
        messages.error(request, GONE)
    except TooManyInvitations as refusal:
        messages.error(request, str(refusal))
    else:
        tell(request, 1, invitations.send([letter]))
    return redirect("members", organization.slug)


@require_POST
@org_view("orgs.delete_invitation")
def withdraw(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    invitation = find_invitation(organization, pk)
    try:
        withdraw_invitation(invitation=invitation, by=Actor.of(request))
    except NoInvitation:
        messages.error(request, GONE)
    else:
        messages.success(request, f"The invitation of {invitation.email} is withdrawn. Its link does not work any more.")
    return redirect("members", organization.slug)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view(EDIT)
@confirmed("role")
def member(request: HttpRequest, organization: Organization, user_id: int) -> HttpResponse:
    """The role of one person."""
    membership = find(organization, user_id)
    form = RoleForm(request.POST if request.method == "POST" else None, initial={"role": membership.role.name})
    refill(form, request)
    if form.is_bound and form.is_valid():
        role = form.cleaned_data["role"]
        try:
            set_role(organization=organization, user=membership.user, role=role, by=Actor.of(request))
        except LastOwner as refusal:
            form.add_error("role", str(refusal))
        except Membership.DoesNotExist:
            raise Http404 from None
        else:
            messages.success(request, f"{membership.user} is {'an' if role[0] in 'AO' else 'a'} {role} now.")
            return redirect("members", organization.slug)
    context = {"page": "members", "person": Person(membership, factors_of([membership])[membership.user_id]), "form": form}
    return render(request, "orgs/members/member.html", context, status=422 if form.is_bound else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view(EDIT)
@confirmed()
def hand_over(request: HttpRequest, organization: Organization, user_id: int) -> HttpResponse:
    """Ownership, to somebody else than oneself."""
    membership = get_object_or_404(others(request, organization), user=user_id)
    refusal = ""
    if request.method == "POST":
        try:
            hand_over_ownership(organization=organization, to=membership.user, by=Actor.of(request))
        except LastOwner:
            refusal = f"{membership.user} was turned off and cannot sign in, and you are the last owner."
        except Membership.DoesNotExist:
            raise Http404 from None
        else:
            messages.success(request, f"{membership.user} owns {organization} now. You are a member.")
            return redirect("members", organization.slug)
    context = {"page": "members", "membership": membership, "refusal": refusal}
    return render(request, "orgs/members/hand_over.html", context, status=422 if refusal else 200)


def find(organization: Organization, user_id: int) -> Membership:
    return get_object_or_404(Membership.objects.for_org(organization).select_related("user", "role"), user=user_id)


def others(request: HttpRequest, organization: Organization) -> MembershipQuerySet:
    return Membership.objects.for_org(organization).exclude(user=request.user.pk).select_related("user")


def find_invitation(organization: Organization, pk: UUID) -> Invitation:
    return get_object_or_404(Invitation.objects.for_org(organization).select_related("organization", "role"), pk=pk)


def tell(request: HttpRequest, wanted: int, sent: int) -> None:
    if sent < wanted:
        messages.error(
            request, f"{wanted - sent} of {wanted} could not be sent. Look at the mail server, then send them again below."
        )
    else:
        messages.success(request, "The invitation is sent." if sent == 1 else f"{sent} invitations are sent.")


def show(request: HttpRequest, organization: Organization, form: InviteForm) -> HttpResponse:
    """Everybody sees names and roles; owners and auditors see how people sign in and who is invited too."""
    memberships = Membership.objects.for_org(organization).select_related("user", "role").order_by("user__name", "user__email")
    inside = request.user.has_perm("orgs.view_auditevent", organization)
    factors = factors_of(memberships) if inside else defaultdict(tuple)
    waiting = Invitation.objects.for_org(organization).waiting().select_related("role").order_by("email")
    context = {
        "page": "members",
        "form": form,
        "people": [Person(membership, factors[membership.user_id]) for membership in memberships],
        "inside": inside,
        "invitations": waiting if inside else (),
        "now": timezone.now(),
        "columns": COLUMNS,
        "acts": acts(organization),
    }
    return render(request, "orgs/members/list.html", context, status=422 if form.is_bound else 200)


def factors_of(memberships: Iterable[Membership]) -> defaultdict[int, tuple[str, ...]]:
    """The second factors of each person, in words."""
    found: defaultdict[int, tuple[str, ...]] = defaultdict(tuple)
    rows = Authenticator.objects.filter(user__in=[membership.user_id for membership in memberships], type__in=FACTORS)
    for user, kind in rows.order_by("-type").values_list("user", "type").distinct():
        found[user] = (*found[user], FACTORS[Authenticator.Type(kind)])
    return found


def acts(organization: Organization) -> list[tuple[str, list[str]]]:
    """What each role can do, as its permissions say: a word for each of COLUMNS, empty for no."""
    may: dict[str, set[str]] = {}
    rows = Group.objects.filter(name__in=COLUMNS).values_list(
        "name", "permissions__content_type__app_label", "permissions__codename"
    )
    for role, app, codename in rows:
        may.setdefault(role, set()).add(f"{app}.{codename}")
    return [(words, [word(permission, may.get(role, set()), organization) for role in COLUMNS]) for words, permission in ACTS]


def word(permission: str, may: set[str], organization: Organization) -> str:
    own = permission == "keys.add_clientkey" and organization.members_issue_keys and "keys.issue_own_clientkey" in may
    return "Yes" if permission in may else OWN if own else ""
