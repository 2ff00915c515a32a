"""Changes of a client key: what it is for and until when, a new text, a new owner."""

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods

from keys.actions import (
    NameTaken,
    RestrictionError,
    RolledMeanwhile,
    change_client_key,
    hand_over_client_key,
    revoke_of_member,
    roll_client_key,
)
from keys.forms.client_keys import ClientKeyForm, HandOverForm, LeavingForm, RollForm
from keys.models import ClientKey, ClientKeyQuerySet
from keys.views.client_keys import client_key_view, find, shown_once
from orgs.access import org_view
from orgs.actions import Actor
from orgs.confirming import confirmed
from orgs.models import Organization, User


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@client_key_view("keys.change_clientkey")
def change(request: HttpRequest, organization: Organization, keys: ClientKeyQuerySet, pk: UUID) -> HttpResponse:
    key = get_object_or_404(keys.live(), pk=pk)
    form = ClientKeyForm(request.POST if request.method == "POST" else None, organization=organization, key=key)
    if form.is_bound and form.is_valid():
        try:
            change_client_key(key=key, name=form.cleaned_data["name"], terms=form.terms, by=Actor.of(request))
        except NameTaken as taken:
            form.add_error("name", str(taken))
        except RestrictionError as refusal:
            form.add_error(refusal.field, list(refusal.problems))
        else:
            messages.success(request, f"“{form.cleaned_data['name']}” is saved. Requests follow it within 2 seconds.")
            return redirect("client_key", organization.slug, pk)
    context = {"page": "client-keys", "key": key, "form": form}
    return render(request, "keys/client_keys/change.html", context, status=422 if form.is_bound else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@client_key_view("keys.change_clientkey")
@confirmed()
def roll(request: HttpRequest, organization: Organization, keys: ClientKeyQuerySet, pk: UUID) -> HttpResponse:
    """The answer to a good POST is the page with the new text. Sent again, it is refused, as the text has changed."""
    key = get_object_or_404(keys.live(), pk=pk)
    form = RollForm(request.POST if request.method == "POST" else None, initial={"public_id": key.public_id, "grace": "24"})
    meanwhile = False
    if form.is_bound and form.is_valid():
        try:
            return rolled(request, key, form)
        except RolledMeanwhile:
            meanwhile = True
        except ClientKey.DoesNotExist:
            raise Http404 from None
    context = {"page": "client-keys", "key": key, "form": form, "meanwhile": meanwhile}
    return render(request, "keys/client_keys/roll.html", context, status=409 if meanwhile else 422 if form.is_bound else 200)


@sensitive_variables()
def rolled(request: HttpRequest, key: ClientKey, form: RollForm) -> HttpResponse:
    said = form.cleaned_data
    text = roll_client_key(key=key, public_id=said["public_id"], grace=form.hours, by=Actor.of(request))
    key.refresh_from_db()
    return shown_once(request, key, text, rolled=True)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view("keys.change_clientkey")
def hand_over(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    key = find(organization, pk)
    form = HandOverForm(request.POST if request.method == "POST" else None, key=key)
    if form.is_bound and form.is_valid():
        to = form.cleaned_data["owner"].user
        try:
            hand_over_client_key(key=key, to=to, by=Actor.of(request))
        except RestrictionError as refusal:
            form.add_error(refusal.field, list(refusal.problems))
        else:
            messages.success(request, f"“{key.name}” is {to}’s now.")
            return redirect("client_key", organization.slug, pk)
    context = {"page": "client-keys", "key": key, "form": form}
    return render(request, "keys/client_keys/hand_over.html", context, status=422 if form.is_bound else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view("keys.change_clientkey")
def leaving(request: HttpRequest, organization: Organization, user_id: int) -> HttpResponse:
    """All client keys of one person, who need not be a member any more."""
    keys = ClientKey.objects.for_org(organization).live().filter(owner=user_id)
    user = get_object_or_404(User.objects.filter(owned_client_keys__in=keys).distinct(), pk=user_id)
    form = LeavingForm(request.POST if request.method == "POST" else None, organization=organization, user=user)
    if form.is_bound and form.is_valid():
        try:
            count = revoke_of_member(organization=organization, user=user, to=form.to, by=Actor.of(request))
        except RestrictionError as refusal:
            form.add_error(refusal.field, list(refusal.problems))
        else:
            messages.success(request, f"{count} client key{'' if count == 1 else 's'} of {user} {became(form.to)}.")
            return redirect("client_key_list", organization.slug)
    context = {"page": "client-keys", "person": user, "keys": keys, "form": form}
    return render(request, "keys/client_keys/leaving.html", context, status=422 if form.is_bound else 200)


def became(to: User | None) -> str:
    return f"handed over to {to}" if to else "revoked"
