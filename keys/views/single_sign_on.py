"""Signing in by an organization's own identity provider, and the owners' page about it."""

import time
from typing import Any
from uuid import UUID

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.login import record_authentication
from allauth.account.utils import perform_login
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.crypto import constant_time_compare
from django.utils.module_loading import import_string
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from keys import openid, pace, sign_on
from keys.actions.single_sign_on import (
    DomainRefused,
    NobodySignedIn,
    admit,
    confirm_domain,
    remove_identity_provider,
    set_enforced,
    set_identity_provider,
)
from keys.forms.single_sign_on import ProviderForm, StartForm
from keys.openid import Client, SignInRefused, Started
from orgs.access import forbidden, org_view
from orgs.actions import Actor, address_of
from orgs.confirming import confirmed, refill
from orgs.models import IdentityProvider, Organization
from orgs.single_sign_on import domain_of, provider_for, record_of

STARTED = "single_sign_on"  # in the session
SECONDS = 600  # that somebody may take at their provider
KEPT = ("do", "issuer", "client_id", "domain", "groups_claim", "owner_groups")


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_not_required
def start(request: HttpRequest) -> HttpResponse:
    """From an address to the provider of its domain. Whether the address has an account plays no part."""
    if request.user.is_authenticated:
        return redirect("home")
    form = StartForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        try:
            return leave(request, form.cleaned_data["email"])
        except SignInRefused as refusal:
            form.add_error("email", str(refusal))
    context = {"form": form, "next": next_page(request)}
    return render(request, "keys/single_sign_on/start.html", context, status=422 if form.is_bound else 200)


def leave(request: HttpRequest, email: str) -> HttpResponse:
    """A page that moves on by itself: what a form leads to may only be of this site, and that is well."""
    if seconds := pace.wait_for_sign_on(address_of(request) or ""):
        raise SignInRefused(f"There were many sign-ins from your network in this minute. Try again in {seconds} seconds.")
    provider = provider_for(email)
    if provider is None:
        raise SignInRefused(f"No organization here has single sign-on for {domain_of(email)}. Sign in with your password.")
    client, started = sign_on.client_of(provider), Started.new()
    address = openid.address(client, started)
    request.session[STARTED] = {
        "organization": str(provider.organization_id),
        "state": started.state,
        "nonce": started.nonce,
        "verifier": started.verifier,
        "next": next_page(request),
        "at": time.time(),
    }
    context = {"address": address, "host": client.host, "domain": provider.domain}
    return render(request, "keys/single_sign_on/leave.html", context)


def next_page(request: HttpRequest) -> str:
    url = request.POST.get("next") or request.GET.get("next", "")
    return url if url and get_adapter(request).is_safe_url(url) else ""


@require_safe
@never_cache
@login_not_required
@sensitive_variables()
def back(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The provider sends the browser here. What was begun counts once, and only in the browser that began it."""
    begun = request.session.pop(STARTED, None)
    try:
        check_begun(request, begun, pk)
        provider = (
            IdentityProvider.objects.select_related("organization").exclude(verified_at=None).filter(organization=pk).first()
        )
        if provider is None:
            raise SignInRefused("This organization has no single sign-on any more.")
        return sign_in(request, provider, begun)
    except SignInRefused as refusal:
        return render(request, "keys/single_sign_on/refused.html", {"problem": str(refusal)}, status=400)


@sensitive_variables()
def check_begun(request: HttpRequest, begun: dict[str, Any] | None, pk: UUID) -> None:
    if request.user.is_authenticated:
        raise SignInRefused("You are signed in already.")
    if begun is None or begun["organization"] != str(pk) or time.time() - begun["at"] > SECONDS:
        raise SignInRefused("This sign-in was begun elsewhere, or more than ten minutes ago.")
    known = constant_time_compare(request.GET.get("state", ""), begun["state"])
    if not known or not cache.add(
        f"sign-ons:{begun['state']}", True, timeout=SECONDS
    ):  # of two at once both find it in the session
        raise SignInRefused("This sign-in was begun elsewhere, or more than ten minutes ago.")


@sensitive_variables()
def sign_in(request: HttpRequest, provider: IdentityProvider, begun: dict[str, Any]) -> HttpResponse:
    """A second factor that the person has set up here is asked for, too."""
    client, code = sign_on.client_of(provider), request.GET.get("code", "")
    check_answer(request, client)
    claims = openid.claims_of(client, Started(begun["state"], begun["nonce"], begun["verifier"]), code)
    by = Actor(label=f"Single sign-on of {provider.domain}"[:120], address=address_of(request))
    user = admit(provider=provider, person=sign_on.person_of(provider, claims), by=by)
    record_authentication(request, user, method=STARTED)
    return perform_login(request, user, redirect_url=begun["next"] or None, signal_kwargs={STARTED: True})


def check_answer(request: HttpRequest, client: Client) -> None:
    """`iss` is there where the provider knows RFC 9207. What it gives as a reason is not shown: anybody can write a link."""
    if request.GET.get("iss", client.issuer) != client.issuer:
        raise SignInRefused("The answer came from another provider.")
    if "error" in request.GET or not request.GET.get("code"):
        raise SignInRefused(f"{client.host} did not sign you in.")


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view("orgs.view_identityprovider")
@confirmed(*KEPT)
@sensitive_post_parameters("client_secret")
@sensitive_variables()
def page(request: HttpRequest, organization: Organization) -> HttpResponse:
    """Each card saves for itself: `do` says which."""
    if request.method == "POST" and not request.user.has_perm("orgs.change_identityprovider", organization):
        return forbidden(request, organization)
    provider = IdentityProvider.objects.filter(organization=organization).select_related("organization").first()
    do = request.POST.get("do", "")
    if provider and do in ACTS:
        try:
            messages.success(request, ACTS[do](request, provider))
        except (DomainRefused, NobodySignedIn) as refusal:
            messages.error(request, str(refusal))
        return redirect("sso_settings", organization.slug)
    form = ProviderForm(request.POST if do == "provider" else None, provider=provider)
    refill(form, request)
    if form.is_bound and form.is_valid() and saved(request, organization, form):
        return redirect("sso_settings", organization.slug)
    context = {
        "page": "settings",
        "form": form,
        "provider": provider,
        "redirect_uri": sign_on.redirect_uri(organization),
        "record": record_of(provider.domain) if provider else "",
    }
    return render(request, "keys/single_sign_on/settings.html", context, status=422 if request.method == "POST" else 200)


@sensitive_variables()
def saved(request: HttpRequest, organization: Organization, form: ProviderForm) -> bool:
    """Only what answers as an identity provider is kept."""
    said, secret = form.said, form.cleaned_data["client_secret"]
    try:
        openid.check_provider(Client(said["issuer"], said["client_id"], sign_on.redirect_uri(organization), secret))
    except SignInRefused as refusal:
        form.add_error("issuer", str(refusal))
        return False
    set_identity_provider(organization=organization, said=said, secret=secret, by=Actor.of(request))
    messages.success(request, "Your identity provider is saved.")
    return True


def check_domain(request: HttpRequest, provider: IdentityProvider) -> str:
    if seconds := pace.wait_for_test(provider.organization):
        raise DomainRefused(pace.too_many_tests(seconds))
    texts = import_string(settings.TXT_RECORDS)(record_of(provider.domain))
    if texts is None:
        raise DomainRefused("The name servers did not answer. Check again in a minute.")
    confirm_domain(provider=provider, texts=texts, by=Actor.of(request))
    return f"{provider.domain} is yours. Its people can sign in by your provider now."


def demand(request: HttpRequest, provider: IdentityProvider) -> str:
    set_enforced(provider=provider, enforced=True, by=Actor.of(request))
    return f"People of {provider.domain} sign in by your provider alone from now on."


def offer(request: HttpRequest, provider: IdentityProvider) -> str:
    set_enforced(provider=provider, enforced=False, by=Actor.of(request))
    return f"People of {provider.domain} can sign in with their passwords, too."


def remove(request: HttpRequest, provider: IdentityProvider) -> str:
    remove_identity_provider(provider=provider, by=Actor.of(request))
    return "Single sign-on is off, and its client secret is erased."


ACTS = {"check": check_domain, "demand": demand, "offer": offer, "remove": remove}
