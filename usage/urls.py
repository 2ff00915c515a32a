"""Addresses below /o/<org>/ of the overview and of usage."""

from django.urls import path

from usage import views, views_invoices, views_limits, views_prices, views_requests

urlpatterns = [
    path("", views.overview, name="overview"),
    path("invoices/", views_invoices.invoices, name="invoices"),
    path("invoices/import/", views_invoices.invoice_import, name="invoice_import"),
    path("invoices/<uuid:pk>/remove/", views_invoices.invoice_remove, name="invoice_remove"),
    path("limits/", views_limits.limits, name="limits"),
    path("limits/organization/", views_limits.edit, name="organization_limits"),
    path("limits/<slug:scope>/<str:pk>/", views_limits.edit, name="limits_of"),
    path("requests/", views_requests.find, name="request_find"),
    path("requests/<uuid:request_id>/", views_requests.request_page, name="request_page"),
    path("usage/", views.usage, name="usage"),
    path("usage/prices/", views_prices.model_prices, name="model_prices"),
    path("usage/prices/keys/", views_prices.key_price_set, name="key_price_set"),
    path("usage/prices/keys/<uuid:pk>/remove/", views_prices.key_price_remove, name="key_price_remove"),
    path("usage/prices/<uuid:pk>/remove/", views_prices.remove, name="model_price_remove"),
    path("usage.csv", views.usage_csv, name="usage_csv"),
    path("usage-focus.csv", views.usage_focus, name="usage_focus"),
]
