"""Every address of the dashboard. The gateway's are in gateway/app.py."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path

from keys.views import leaks

admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

urlpatterns = [
    path("", include("orgs.urls")),
    path("report/", leaks.report, name="report"),
    path("o/<slug:org_slug>/", include("keys.urls")),
    path("o/<slug:org_slug>/", include("usage.urls")),
    path("staff/", admin.site.urls),
]
