"""Client keys: list, create, read, pause, prefer, revoke. A new key's text is in one answer and nowhere else.

Owners have all of them; members have their own, where the organization lets them make some.
"""

import re
from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from keys import preferences
from keys.actions import (
    NameTaken,
    RestrictionError,
    issue_client_key,
    pause_client_key,
    resume_client_key,
    revoke_client_key,
    set_client_key_preferences,
)
from keys.catalog import slugs
from keys.forms.client_keys import ClientKeyForm
from keys.forms.preferences import PreferencesForm
from keys.models import ClientKey, ClientKeyQuerySet, ModelOverride, ProviderKey, native_names
from keys.pages.explaining import wishes_of
from keys.providers import PROVIDERS
from keys.restrictions import matches
from orgs.access import OrgView, forbidden, org_view
from orgs.actions import Actor
from orgs.confirming import confirmed, refill
from orgs.models import Organization, User

OTHER_THAN_CHAT = re.compile("audio|babbage|dall-e|davinci|embed|image|instruct|moderation|realtime|tts|transcribe|video|whisper")


def client_key_view(permission: str) -> Callable[[OrgView], OrgView]:
    """As org_view. The view's third argument is the client keys that the person may do this with: all, or their own.

    Members have their own only where the organization lets them make some; others look like missing ones.
    """

    def decorate(view: OrgView) -> OrgView:
        @wraps(view)
        def enter(request: HttpRequest, organization: Organization, *args: Any, **kwargs: Any) -> HttpResponse:
            keys = ClientKey.objects.for_org(organization).select_related("organization", "owner", "created_by")
            if request.user.has_perm(permission, organization):
                return view(request, organization, keys, *args, **kwargs)
            if organization.members_issue_keys:
                return view(request, organization, keys.filter(owner=request.user), *args, **kwargs)
            return forbidden(request, organization)

        return org_view("keys.issue_own_clientkey")(enter)

    return decorate


@require_safe
@never_cache
@client_key_view("keys.view_clientkey")
def key_list(request: HttpRequest, organization: Organization, keys: ClientKeyQuerySet) -> HttpResponse:
    return render(request, "keys/client_keys/list.html", {"page": "client-keys", "keys": keys})


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@client_key_view("keys.add_clientkey")
@confirmed(*ClientKeyForm.base_fields)
def new(request: HttpRequest, organization: Organization, keys: ClientKeyQuerySet) -> HttpResponse:
    """The answer to a good POST is the page with the text. Sent again, it is refused, as the name is taken."""
    data = request.POST if request.method == "POST" else None
    form = ClientKeyForm(data, organization=organization, by=owner_of(request, organization))
    refill(form, request)
    if form.is_bound and form.is_valid():
        try:
            return issued(request, organization, form)
        except NameTaken as taken:
            form.add_error("name", str(taken))
        except RestrictionError as refusal:
            form.add_error(refusal.field, list(refusal.problems))
    context = {"page": "client-keys", "form": form}
    return render(request, "keys/client_keys/new.html", context, status=422 if form.is_bound else 200)


def owner_of(request: HttpRequest, organization: Organization) -> User | None:
    """Who asks, if they may say whose a client key is."""
    user = request.user
    assert isinstance(user, User)
    return user if user.has_perm("keys.add_clientkey", organization) else None


@sensitive_variables()
def issued(request: HttpRequest, organization: Organization, form: ClientKeyForm) -> HttpResponse:
    said = {"name": form.cleaned_data["name"], "owner": form.chosen_owner, "terms": form.terms}
    key, text = issue_client_key(organization=organization, by=Actor.of(request), **said)
    return shown_once(request, key, text)


@sensitive_variables()
def shown_once(request: HttpRequest, key: ClientKey, text: str, **context: Any) -> HttpResponse:
    address = f"{settings.PUBLIC_URL}/v1/chat/completions"
    context |= {"page": "client-keys", "key": key, "text": text, "address": address, "model": a_model(key)}
    return render(request, "keys/client_keys/issued.html", context)


def a_model(client_key: ClientKey) -> str:
    """One that can be chatted with now, as far as its name tells; or a word to replace."""
    organization, usable = client_key.organization, client_key.allowed_provider_keys
    natives = native_names(ModelOverride.objects.that_concern([organization.pk]))
    for key in ProviderKey.objects.for_org(organization):
        if key.enabled and not key.needs_test and "chat" in key.row.operations and (usable is None or str(key.pk) in usable):
            deployments, overrides = key.public.get("deployments", ()), natives.get(key.provider, {})
            known = slugs(key.row, discovered=key.discovered_models, deployments=deployments, overrides=overrides)
            if chats := [slug for slug in known if not OTHER_THAN_CHAT.search(slug) and allows(client_key, slug)]:
                return chats[0]
    return "MODEL"


def allows(key: ClientKey, slug: str) -> bool:
    return key.allowed_models is None or matches(tuple(key.allowed_models), [slug])


@require_safe
@never_cache
@client_key_view("keys.view_clientkey")
def key_page(request: HttpRequest, organization: Organization, keys: ClientKeyQuerySet, pk: UUID) -> HttpResponse:
    """A revoked key can be read; nothing can be done with it."""
    key = get_object_or_404(keys, pk=pk)
    rows = list(ProviderKey.objects.for_org(organization))
    usable = key.allowed_provider_keys
    context = {
        "page": "client-keys",
        "key": key,
        "wishes": wishes_of(preferences.read(key.preferences)),
        "limited": [row for row in rows if str(key.pk) in (row.allowed_client_keys or ())],
        "usable": None if usable is None else [row for row in rows if str(row.pk) in usable],
        "may_change": may_change(request, key),
    }
    return render(request, "keys/client_keys/key.html", context)


def may_change(request: HttpRequest, key: ClientKey) -> bool:
    """Of somebody who sees the key."""
    own = key.owner_id == request.user.pk and key.organization.members_issue_keys
    return key.revoked_at is None and (own or request.user.has_perm("keys.change_clientkey", key.organization))


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view("keys.change_clientkey")
def pause(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    key = find(organization, pk)
    if request.method == "POST":
        pause_client_key(key=key, by=Actor.of(request))
        messages.success(request, f"“{key.name}” is paused. Requests with it are refused within 2 seconds.")
        return redirect("client_key", organization.slug, pk)
    return render(request, "keys/client_keys/pause.html", {"page": "client-keys", "key": key})


@require_POST
@org_view("keys.change_clientkey")
def resume(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    """For owners only, as an owner may have stopped a member's key."""
    key = find(organization, pk)
    resume_client_key(key=key, by=Actor.of(request))
    messages.success(request, f"Requests with “{key.name}” are served again within 2 seconds.")
    return redirect("client_key", organization.slug, pk)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@client_key_view("keys.change_clientkey")
def prefer(request: HttpRequest, organization: Organization, keys: ClientKeyQuerySet, pk: UUID) -> HttpResponse:
    key = get_object_or_404(keys.live(), pk=pk)
    data = request.POST if request.method == "POST" else None
    form = PreferencesForm(data, kept=preferences.read(key.preferences), otherwise="your organization decides")
    if form.is_bound and form.is_valid():
        set_client_key_preferences(key=key, preferences=form.preferences, by=Actor.of(request))
        messages.success(request, f"Preferences of “{key.name}” are saved. Requests follow them within 2 seconds.")
        return redirect("client_key", organization.slug, pk)
    context = {"page": "client-keys", "key": key, "form": form, "known": PROVIDERS.values()}
    return render(request, "keys/client_keys/preferences.html", context, status=422 if form.is_bound else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@client_key_view("keys.delete_clientkey")
def revoke(request: HttpRequest, organization: Organization, keys: ClientKeyQuerySet, pk: UUID) -> HttpResponse:
    key = get_object_or_404(keys.live(), pk=pk)
    if request.method == "POST":
        revoke_client_key(key=key, by=Actor.of(request))
        messages.success(request, f"“{key.name}” is revoked. Requests with it are refused within 2 seconds.")
        return redirect("client_key_list", organization.slug)
    return render(request, "keys/client_keys/revoke.html", {"page": "client-keys", "key": key})


def find(organization: Organization, pk: UUID) -> ClientKey:
    """One that can still be changed."""
    return get_object_or_404(ClientKey.objects.for_org(organization).live().select_related("organization", "owner"), pk=pk)
