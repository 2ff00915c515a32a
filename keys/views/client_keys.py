"""Client keys: list, create, revoke. A new key's secret is in one answer and nowhere else."""

import re
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from keys.actions import NameTaken, issue_client_key, revoke_client_key
from keys.catalog import slugs
from keys.forms import ClientKeyForm
from keys.models import ClientKey, ModelOverride, ProviderKey, native_names
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


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view("keys.delete_clientkey")
def revoke(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    key = get_object_or_404(ClientKey.objects.for_org(organization).live().select_related("organization"), pk=pk)
    if request.method == "POST":
        revoke_client_key(key=key, by=Actor.of(request))
        messages.success(request, f"“{key.name}” is revoked. Requests with it are refused within 2 seconds.")
        return redirect("client_key_list", organization.slug)
    return render(request, "keys/client_keys/revoke.html", {"page": "client-keys", "key": key})
