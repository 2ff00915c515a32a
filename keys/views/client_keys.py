"""Client keys: list, create, read, pause, prefer, revoke. A new key's secret is in one answer and nowhere else."""

import re
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
    issue_client_key,
    pause_client_key,
    resume_client_key,
    revoke_client_key,
    set_client_key_preferences,
)
from keys.catalog import slugs
from keys.forms.credentials import ClientKeyForm
from keys.forms.preferences import PreferencesForm
from keys.models import ClientKey, ModelOverride, ProviderKey, native_names
from keys.pages.explaining import wishes_of
from keys.providers import PROVIDERS
from orgs.access import org_view
from orgs.actions import Actor
from orgs.models import Organization

OTHER_THAN_CHAT = re.compile("audio|babbage|dall-e|davinci|embed|image|instruct|moderation|realtime|tts|transcribe|video|whisper")


@require_safe
@never_cache
@org_view("keys.view_clientkey")
def key_list(request: HttpRequest, organization: Organization) -> HttpResponse:
    keys = ClientKey.objects.for_org(organization).select_related("created_by")
    return render(request, "keys/client_keys/list.html", {"page": "client-keys", "keys": keys})


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view("keys.add_clientkey")
def new(request: HttpRequest, organization: Organization) -> HttpResponse:
    """The answer to a good POST is the page with the secret. Sent again, it is refused, as the name is taken."""
    form = ClientKeyForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        try:
            return issued(request, organization, form.cleaned_data["name"])
        except NameTaken as taken:
            form.add_error("name", str(taken))
    return render(
        request, "keys/client_keys/new.html", {"page": "client-keys", "form": form}, status=422 if form.is_bound else 200
    )


@sensitive_variables()
def issued(request: HttpRequest, organization: Organization, name: str) -> HttpResponse:
    key, text = issue_client_key(organization=organization, name=name, by=Actor.of(request))
    address = f"{settings.PUBLIC_URL}/v1/chat/completions"
    context = {"page": "client-keys", "key": key, "text": text, "address": address, "model": a_model(organization)}
    return render(request, "keys/client_keys/issued.html", context)


def a_model(organization: Organization) -> str:
    """One that the organization can chat with now, as far as its name tells; or a word to replace."""
    natives = native_names(ModelOverride.objects.that_concern([organization.pk]))
    for key in ProviderKey.objects.for_org(organization):
        if key.enabled and not key.needs_test and "chat" in key.row.operations:
            deployments, overrides = key.public.get("deployments", ()), natives.get(key.provider, {})
            known = slugs(key.row, discovered=key.discovered_models, deployments=deployments, overrides=overrides)
            if chats := [slug for slug in known if not OTHER_THAN_CHAT.search(slug)]:
                return chats[0]
    return "MODEL"


@require_safe
@never_cache
@org_view("keys.view_clientkey")
def key_page(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    """A revoked key can be read; nothing can be done with it."""
    key = get_object_or_404(ClientKey.objects.for_org(organization).select_related("created_by"), pk=pk)
    keys = ProviderKey.objects.for_org(organization)
    context = {
        "page": "client-keys",
        "key": key,
        "wishes": wishes_of(preferences.read(key.preferences)),
        "limited": [row for row in keys if str(key.pk) in (row.allowed_client_keys or ())],
    }
    return render(request, "keys/client_keys/key.html", context)


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
    key = find(organization, pk)
    resume_client_key(key=key, by=Actor.of(request))
    messages.success(request, f"Requests with “{key.name}” are served again within 2 seconds.")
    return redirect("client_key", organization.slug, pk)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view("keys.change_clientkey")
def prefer(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    key = find(organization, pk)
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
@org_view("keys.delete_clientkey")
def revoke(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    key = find(organization, pk)
    if request.method == "POST":
        revoke_client_key(key=key, by=Actor.of(request))
        messages.success(request, f"“{key.name}” is revoked. Requests with it are refused within 2 seconds.")
        return redirect("client_key_list", organization.slug)
    return render(request, "keys/client_keys/revoke.html", {"page": "client-keys", "key": key})


def find(organization: Organization, pk: UUID) -> ClientKey:
    """One that can still be changed."""
    return get_object_or_404(ClientKey.objects.for_org(organization).live().select_related("organization"), pk=pk)
