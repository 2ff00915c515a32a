"""Addresses below /api/v1/."""

import re

from django.urls import path

from byok_site.api import client_keys, document, limits, order, provider_keys, reading, routing
from byok_site.api.door import view_of

ROUTES = (*provider_keys.ROUTES, *order.ROUTES, *routing.ROUTES, *client_keys.ROUTES, *limits.ROUTES, *reading.ROUTES)


def pattern(route_path: str) -> str:
    """Names may hold slashes."""
    return re.sub(r"{(\w+)}", lambda part: f"<{'path' if part[1] == 'name' else 'str'}:{part[1]}>", route_path)


urlpatterns = [
    path("openapi.json", document.page_of(ROUTES), name="api_document"),
    *(path(pattern(route.path), view_of(route), name=route.name) for route in ROUTES),
]
