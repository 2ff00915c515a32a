"""The staff console: Django's admin behind the product's own sign-in and a second factor, with visits to organizations."""

from typing import Any

from allauth.mfa.models import Authenticator
from django.contrib import admin, messages
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache

from byok_site import staff
from orgs.models import SupportVisit, User

FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


class StaffConsole(admin.AdminSite):
    site_header = site_title = "Keyhold staff console"
    index_title = "Staff console"
    index_template = "admin/console.html"

    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and has_second_factor(request.user)

    @method_decorator(never_cache)
    @login_not_required
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The product's own page, and the way to a second factor for whoever has none."""
        going = destination(request)
        if not request.user.is_authenticated:
            return redirect_to_login(going)
        if not super().has_permission(request):
            raise PermissionDenied
        if not has_second_factor(request.user):
            messages.warning(request, "The staff console needs a second factor. Set up an authenticator app or a passkey.")
            return redirect("mfa_index")
        return redirect(going)

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return redirect("account_logout")

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return redirect("account_change_password")

    def autocomplete_view(self, request: HttpRequest) -> HttpResponse:
        """No form here suggests anything, so nobody asks for it."""
        raise PermissionDenied

    def get_urls(self) -> list[URLResolver | URLPattern]:
        pages = [
            path("search/", self.admin_view(staff.search), name="search"),
            path("open/<uuid:pk>/", self.admin_view(staff.open_organization), name="open"),
            path("organization/<uuid:pk>/", self.admin_view(staff.organization), name="organization"),
            path("organization/<uuid:pk>/leave/", self.admin_view(staff.leave), name="leave"),
            path("organization/<uuid:pk>/diagnostics/", self.admin_view(staff.diagnostics), name="diagnostics"),
            path("organization/<uuid:pk>/requests/<uuid:request_id>/", self.admin_view(staff.request_page), name="request"),
        ]
        return [*pages, *super().get_urls()]

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        visits = SupportVisit.objects.none()
        if self.has_permission(request) and request.user.has_perm("orgs.add_supportvisit"):
            visits = (
                SupportVisit.objects.by(request.user).under_way(timezone.now()).select_related("organization").order_by("until")
            )
        return {**super().each_context(request), "visits": visits}


def has_second_factor(user: User) -> bool:
    """Sign-in asks everybody for it who has one."""
    return Authenticator.objects.filter(user=user, type__in=FACTORS).exists()


def destination(request: HttpRequest) -> str:
    """Where in the console they were going."""
    index, going = reverse("admin:index"), request.GET.get("next", "")
    inside = going.startswith(index) and url_has_allowed_host_and_scheme(going, None, require_https=request.is_secure())
    return going if inside and not going.startswith(reverse("admin:login")) else index
