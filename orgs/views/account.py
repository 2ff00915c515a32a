"""Pages about a person's own account that are ours: profile, theme, another address, sessions; and what allauth's do besides."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.views import logout
from allauth.core import ratelimit
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core import signing
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods, require_POST

from orgs import sessions, single_sign_on
from orgs.access import org_view
from orgs.actions import Actor
from orgs.actions import account as actions_account
from orgs.actions.account import AddressTaken
from orgs.confirming import confirmed, refill
from orgs.context import THEMES
from orgs.forms.account import EmailForm, ProfileForm, SecondFactorForm
from orgs.models import Membership, Organization, User

YEAR = 365 * 24 * 60 * 60
LINK_SECONDS = 24 * 60 * 60

type View = Callable[..., HttpResponseBase]


def noting_second_factors(view: View) -> View:
    """Around a page of allauth: what it adds or removes goes on record with it, and the other sessions end."""

    @wraps(view)
    def enter(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method != "POST":
            return view(request, *args, **kwargs)
        with transaction.atomic():
            user = signed_in(request)
            before = actions_account.second_factors(user)
            response = view(request, *args, **kwargs)
            if actions_account.note_second_factors(user=user, before=before, by=Actor.of(request)):
                sessions.end_others(request, user)
        return response

    return enter


def signed_in(request: HttpRequest) -> User:
    """As the database has them now."""
    return User.objects.get(pk=request.user.pk)


def profile(request: HttpRequest) -> HttpResponse:
    user = signed_in(request)
    form = ProfileForm(request.POST if request.method == "POST" else None, initial={"name": user.name})
    if form.is_valid():
        actions_account.set_name(user=user, name=form.cleaned_data["name"], by=Actor.of(request))
        messages.success(request, "Your name is saved.")
        return redirect("account")
    return render(request, "account/profile.html", {"form": form, "page": "account"}, status=422 if form.is_bound else 200)


@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Keeps the choice in a cookie, so the server draws the page in it and nothing flashes."""
    response = redirect(back(request))
    choice = request.POST.get("theme", "")
    if choice in THEMES:
        response.set_cookie("theme", choice, max_age=YEAR, secure=settings.HTTPS, httponly=True, samesite="Lax")
    else:
        response.delete_cookie("theme")
    return response


def back(request: HttpRequest) -> str:
    """The page of this site that the form stood on."""
    url = request.POST.get("next", "")
    own = url_has_allowed_host_and_scheme(url, allowed_hosts={request.get_host()}, require_https=request.is_secure())
    return url if own else "home"


@login_not_required
def sign_out(request: HttpRequest) -> HttpResponse:
    """Signs out on POST and empties the browser of what this site left there."""
    response = logout(request)
    if request.method == "POST":
        response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response


@require_http_methods(["GET", "HEAD", "POST"])
@confirmed("email")
def email(request: HttpRequest) -> HttpResponse:
    """Asks for another address. The same is said whether another account has it or not: its owner alone gets to know."""
    form = EmailForm(request.POST if request.method == "POST" else None, user=signed_in(request))
    refill(form, request)
    if form.is_bound and form.is_valid():
        if blocked := ratelimit.consume_or_429(request, action="manage_email", user=request.user):
            return blocked
        address = form.cleaned_data["email"]
        send_link(request, address)
        return render(request, "account/email_sent.html", {"page": "account", "address": address})
    return render(request, "account/email.html", {"form": form, "page": "account"}, status=422 if form.is_bound else 200)


def send_link(request: HttpRequest, address: str) -> None:
    """The link dies with the next change of address, password or sessions."""
    user = signed_in(request)
    token = signing.dumps(address, salt=salt_of(user))
    url = request.build_absolute_uri(reverse("account_email_confirm", args=[token]))
    get_adapter().send_mail("account/email/email_change", address, {"user": user, "url": url})


@require_http_methods(["GET", "HEAD", "POST"])
def confirm_email(request: HttpRequest, token: str) -> HttpResponse:
    """Behind the link that was sent to the new address. Whoever asked for it has to be signed in."""
    user = signed_in(request)
    address = address_in(token, user)
    if address is None or single_sign_on.is_demanded(user.email):
        return render(request, "account/email_stale.html", {"page": "account"}, status=404)
    if request.method == "POST":
        try:
            return email_changed(request, user, address)
        except AddressTaken:
            return render(request, "account/email_taken.html", {"page": "account", "address": address}, status=409)
    return render(request, "account/email_confirm.html", {"page": "account", "address": address})


def email_changed(request: HttpRequest, user: User, address: str) -> HttpResponse:
    before = user.email
    with transaction.atomic():
        actions_account.change_email(user=user, email=address, by=Actor.of(request))
        sessions.keep(request, user)
        get_adapter().send_notification_mail("account/email/email_changed", user, {"address": user.email}, email=before)
    messages.success(request, f"You sign in as {user.email} from now on. You are signed out everywhere else.")
    return redirect("account")


def address_in(token: str, user: User) -> str | None:
    """None if the link is not theirs, or stale."""
    try:
        return str(signing.loads(token, salt=salt_of(user), max_age=LINK_SECONDS))
    except signing.BadSignature:
        return None


def salt_of(user: User) -> str:
    return f"orgs.email:{user.pk}:{user.email}:{user.get_session_auth_hash()}"


@require_http_methods(["GET", "HEAD", "POST"])
def session_list(request: HttpRequest) -> HttpResponse:
    """Signs out all others on POST."""
    user = signed_in(request)
    if request.method == "POST":
        with transaction.atomic():
            actions_account.end_sessions(user=user, by=Actor.of(request))
            sessions.keep(request, user)
        messages.success(request, "You are signed out everywhere else.")
        return redirect("usersessions_list")
    found = sorted(UserSession.objects.purge_and_list(user), key=lambda session: session.created_at)
    return render(request, "usersessions/usersession_list.html", {"sessions": found})


@require_POST
def session_end(request: HttpRequest, pk: int) -> HttpResponse:
    """Of one session of one's own. One's own present one is left by signing out."""
    session = get_object_or_404(UserSession, pk=pk, user=request.user)
    if session.is_current():
        return redirect("account_logout")
    session.end()
    messages.success(request, "That browser is signed out.")
    return redirect("usersessions_list")


@require_http_methods(["GET", "HEAD", "POST"])
@org_view("orgs.change_organization")
@confirmed("who")
def who_needs_second_factor(request: HttpRequest, organization: Organization) -> HttpResponse:
    lacking = Membership.objects.for_org(organization).lacking_second_factor()
    data = request.POST if request.method == "POST" else None
    form = SecondFactorForm(data, organization=organization, lacking=lacking.filter(user=request.user).exists())
    refill(form, request)
    if form.is_bound and form.is_valid():
        since = form.since_when(timezone.now())
        actions_account.require_second_factor(organization=organization, since=since, by=Actor.of(request))
        messages.success(request, "Your settings are saved.")
        return redirect("settings", organization.slug)
    context = {"page": "settings", "form": form, "lacking": lacking}
    return render(request, "orgs/second_factor.html", context, status=422 if form.is_bound else 200)
