"""What the link of an invitation leads to. The token leaves the address at once, and the session keeps its digest only."""

from allauth.core import ratelimit
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from orgs import sessions, single_sign_on
from orgs.actions import Actor, address_of
from orgs.actions.invitations import (
    ForSomebodyElse,
    HasAccount,
    NoInvitation,
    digest_of,
    found,
    join,
    join_with_new_account,
)
from orgs.forms.members import JoinForm
from orgs.models import Invitation, Organization, User

KEPT = "invitation"


@require_safe
@never_cache
@login_not_required
@sensitive_variables()
def invitation_open(request: HttpRequest, token: str) -> HttpResponse:
    if blocked := ratelimit.consume_or_429(request, action="open_invitation", limit_get=True):
        return blocked
    request.session[KEPT] = digest_of(token).hex()
    return redirect("invitation")


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_not_required
@sensitive_post_parameters("password")
def invitation(request: HttpRequest) -> HttpResponse:
    """Somebody signed in joins by a button, others by signing in or with a new account: whichever the address has."""
    digest = bytes.fromhex(request.session.get(KEPT, ""))
    try:
        return answer(request, found(digest))
    except (NoInvitation, ForSomebodyElse):  # the second only if the address of the account changes in this moment
        if joined := organization_joined(request, digest):
            return redirect("overview", joined.slug)
        return render(request, "orgs/members/no_invitation.html", status=404)


def organization_joined(request: HttpRequest, digest: bytes) -> Organization | None:
    """By this person with this very invitation: they pressed the button twice, or single sign-on had them join."""
    if not isinstance(request.user, User):
        return None
    own = Organization.objects.for_user(request.user)
    return own.filter(invitations__digest=digest, invitations__used_by=request.user).first()


def answer(request: HttpRequest, offered: Invitation) -> HttpResponse:
    user = request.user
    if isinstance(user, User):
        own = user.email == offered.email
        if own and request.method == "POST":
            return welcome(request, join(digest=bytes(offered.digest), by=Actor.of(request)))
        return page(request, offered, "join" if own else "for_another", 200 if own else 403)
    if single_sign_on.is_demanded(offered.email):
        return page(request, offered, "sign_in", door="sso")
    if User.objects.filter(email=offered.email).exists():
        return page(request, offered, "sign_in")
    return new_account(request, offered)


@sensitive_variables()
def new_account(request: HttpRequest, offered: Invitation) -> HttpResponse:
    form = JoinForm(request.POST if request.method == "POST" else None, email=offered.email)
    if form.is_bound and form.is_valid():
        try:
            said = {"digest": bytes(offered.digest), "address": address_of(request), **form.cleaned_data}
            user, organization = join_with_new_account(**said)
        except HasAccount:
            return page(request, offered, "sign_in")
        sessions.sign_in(request, user)
        return welcome(request, organization)
    return page(request, offered, "new_account", 422 if form.is_bound else 200, form)


def welcome(request: HttpRequest, organization: Organization) -> HttpResponse:
    messages.success(request, f"Welcome to {organization}.")
    return redirect("overview", organization.slug)


def page(
    request: HttpRequest,
    offered: Invitation,
    way: str,
    status: int = 200,
    form: JoinForm | None = None,
    door: str = "account_login",
) -> HttpResponse:
    context = {"invitation": offered, "form": form, "door": door}
    return render(request, f"orgs/members/{way}.html", context, status=status)
