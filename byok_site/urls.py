"""Every address of the dashboard. The gateway's are in gateway/app.py."""

from django.contrib import admin
from django.urls import include, path, re_path

from byok_site.api import faults
from keys.views import leaks, single_sign_on

urlpatterns = [
    path("api/v1/", include("byok_site.api.urls")),
    re_path(r"^api(?:/[\s\S]*)?$", faults.unknown, name="api_unknown"),  # also what no name may hold
    path("", include("orgs.urls")),
    path("signin/sso/", single_sign_on.start, name="sso"),
    path("signin/sso/<uuid:pk>/", single_sign_on.back, name="sso_back"),
    path("report/", leaks.report, name="report"),
    path("o/<slug:org_slug>/", include("keys.urls")),
    path("o/<slug:org_slug>/", include("usage.urls")),
    path("staff/", admin.site.urls),
]

handler400 = faults.bad_request
handler403 = faults.permission_denied
handler404 = faults.page_not_found
handler500 = faults.server_error
