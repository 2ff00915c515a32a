"""What the page shell needs to know on every page."""

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from orgs import access
from orgs.models import Organization

THEMES = {"light", "dark"}


def shell(request: HttpRequest) -> dict[str, Any]:
    """`allowed` holds what the person may do in the organization of this page; the lists cost a query only when used."""
    membership = getattr(request, "membership", None)
    theme = request.COOKIES.get("theme", "")
    context: dict[str, Any] = {"theme": theme if theme in THEMES else "", "membership": membership, "org": None}
    if not request.user.is_authenticated:
        return context
    context["organizations"] = SimpleLazyObject(lambda: Organization.objects.for_user(request.user))
    if membership:
        context["org"] = membership.organization
        context["lacks_second_factor"] = SimpleLazyObject(lambda: access.lacks_second_factor(membership))
        context["allowed"] = SimpleLazyObject(lambda: request.user.get_all_permissions(membership.organization))
    return context
