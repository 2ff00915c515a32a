"""The one door: every page of an organization is entered through `org_view`."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone

from orgs.models import Membership, Organization, User

type OrgView = Callable[..., HttpResponseBase]


def org_view(permission: str) -> Callable[[OrgView], OrgView]:
    """Turn the URL's organization slug into the view's second argument.

    People outside the organization get 404, like a missing one; members whose role lacks `permission` get 403, and so do
    those who have no second factor where the organization wants one.
    """

    def decorate(view: OrgView) -> OrgView:
        @wraps(view)
        def enter(request: HttpRequest, org_slug: str, *args: Any, **kwargs: Any) -> HttpResponseBase:
            organization = find(request, org_slug)
            if is_kept_out(request.membership):  # type: ignore[attr-defined]
                return render(request, "orgs/second_factor_needed.html", {"kept_from": organization}, status=403)
            if not request.user.has_perm(permission, organization):
                return forbidden(request, organization)
            return view(request, organization, *args, **kwargs)

        return enter

    return decorate


def is_kept_out(membership: Membership) -> bool:
    """Whether the day has come from which the organization wants a second factor, and the person has none."""
    since = membership.organization.second_factor_from
    return since is not None and since <= timezone.now() and lacks_second_factor(membership)


def lacks_second_factor(membership: Membership) -> bool:
    return Membership.objects.filter(pk=membership.pk).lacking_second_factor().exists()


def forbidden(request: HttpRequest, organization: Organization) -> HttpResponseBase:
    """Names those who may be asked."""
    owners = Membership.objects.for_org(organization).owners().select_related("user")
    return render(request, "orgs/forbidden.html", {"org": organization, "owners": owners}, status=403)


def find(request: HttpRequest, org_slug: str) -> Organization:
    """The signed-in person's organization of that slug, with `request.membership` set; 404 otherwise."""
    user = request.user
    assert isinstance(user, User)
    membership = Membership.objects.select_related("organization", "role").filter(user=user, organization__slug=org_slug).first()
    if membership is None:
        raise Http404
    request.membership = membership  # type: ignore[attr-defined]
    return membership.organization
