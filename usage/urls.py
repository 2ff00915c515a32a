"""Addresses below /o/<org>/ of the overview and of usage."""

from django.urls import path

from usage import views

urlpatterns = [
    path("", views.overview, name="overview"),
    path("usage/", views.usage, name="usage"),
    path("usage.csv", views.usage_csv, name="usage_csv"),
]
