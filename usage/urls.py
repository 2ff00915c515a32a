"""Addresses below /o/<org>/ of the overview and of usage."""

from django.urls import path

from usage import views, views_prices

urlpatterns = [
    path("", views.overview, name="overview"),
    path("usage/", views.usage, name="usage"),
    path("usage/prices/", views_prices.model_prices, name="model_prices"),
    path("usage/prices/<uuid:pk>/remove/", views_prices.remove, name="model_price_remove"),
    path("usage.csv", views.usage_csv, name="usage_csv"),
]
