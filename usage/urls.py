"""Addresses below /o/<org>/ of the overview and of usage."""

from django.urls import path

from usage import views, views_limits, views_prices, views_requests

urlpatterns = [
    path("", views.overview, name="overview"),
    path("limits/", views_limits.limits, name="limits"),
    path("limits/organization/", views_limits.edit, name="organization_limits"),
    path("limits/<slug:scope>/<str:pk>/", views_limits.edit, name="limits_of"),
    path("requests/", views_requests.find, name="request_find"),
    path("requests/<uuid:request_id>/", views_requests.request_page, name="request_page"),
    path("usage/", views.usage, name="usage"),
    path("usage/prices/", views_prices.model_prices, name="model_prices"),
    path("usage/prices/<uuid:pk>/remove/", views_prices.remove, name="model_price_remove"),
    path("usage.csv", views.usage_csv, name="usage_csv"),
    path("usage-focus.csv", views.usage_focus, name="usage_focus"),
]
