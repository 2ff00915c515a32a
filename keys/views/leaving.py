"""Removing a member and leaving, with the client keys of whoever goes."""

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from keys.actions import RestrictionError
from keys.actions.leaving import end_membership
from keys.forms.client_keys import LeavingForm
from keys.models import ClientKey
from orgs.access import org_view
from orgs.actions import Actor
from orgs.actions.members import LastOwner
from orgs.confirming import confirmed, refill
from orgs.models import OWNER, Membership, Organization, User

PAGE = "orgs/members/leaving.html"


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view("orgs.delete_membership")
@confirmed("choice", "owner")
def remove(request: HttpRequest, organization: Organization, user_id: int) -> HttpResponse:
    """Somebody else: one's own place is left by its own page."""
    others = Membership.objects.for_org(organization).exclude(user=request.user.pk).select_related("user")
    user = get_object_or_404(others, user=user_id).user
    return part(request, organization, user, f"{user} is removed from {organization}.", "members", organization.slug)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view("orgs.view_membership")
@confirmed("choice", "owner")
def leave(request: HttpRequest, organization: Organization) -> HttpResponse:
    user = request.user
    assert isinstance(user, User)
    return part(request, organization, user, f"You left {organization}.", "org_list")


def part(request: HttpRequest, organization: Organization, user: User, done: str, *then: str) -> HttpResponse:
    """Asks what becomes of client keys if there are any, then ends the membership and goes on to `then`."""
    keys = ClientKey.objects.for_org(organization).live().filter(owner=user)
    form = form_of(request, organization, user) if keys else None
    context: dict[str, Any] = {"page": "members", "person": user, "leaves": user == request.user, "keys": keys, "form": form}
    if request.method == "POST" and (form is None or form.is_valid()):
        try:
            end_membership(organization=organization, user=user, by=Actor.of(request), to=form.to if form else None)
        except LastOwner as refusal:
            context["refusal"] = str(refusal)
        except RestrictionError as refusal:
            assert form is not None
            form.add_error(refusal.field, list(refusal.problems))
        except Membership.DoesNotExist:
            raise Http404 from None
        else:
            messages.success(request, done)
            return redirect(*then)
    return render(request, PAGE, context, status=422 if request.method == "POST" else 200)


def form_of(request: HttpRequest, organization: Organization, user: User) -> LeavingForm:
    """Who leaves may give their keys to owners only, as nobody need take what they did not ask for."""
    form = LeavingForm(request.POST if request.method == "POST" else None, organization=organization, user=user)
    if user == request.user:
        people: QuerySet[Membership] = form.fields["owner"].queryset  # type: ignore[attr-defined]
        form.fields["owner"].queryset = people.filter(role__name=OWNER)  # type: ignore[attr-defined]
    refill(form, request)
    return form
