"""GET /v1/models: what this client key can reach now."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gateway.errors import Refusal
from gateway.snapshot import Tenant
from keys import catalog, routing
from keys.providers import PROVIDERS
from keys.routing import Asking, RouteKey


def reachable(tenant: Tenant, asking: Asking, shared: Sequence[RouteKey] = ()) -> dict[str, list[str]]:
    """Model slugs in alphabetical order, each with the providers that serve it."""
    found: dict[str, set[str]] = defaultdict(set)
    for key in routing.open_to(tenant.routes, shared, asking, tenant.policy):
        provider = PROVIDERS[key.provider]
        if not provider.operations:
            continue
        for slug in catalog.slugs(provider, discovered=key.discovered, deployments=key.deployments, overrides=key.overrides):
            if routing.allows(key, slug, asking):
                found[slug].add(provider.slug)
    return {slug: sorted(found[slug]) for slug in sorted(found)}


def all_models(models: Mapping[str, list[str]]) -> bytes:
    rows = [shown(slug, providers) for slug, providers in models.items()]
    return msgspec.json.encode({"object": "list", "data": rows})


def one_model(models: Mapping[str, list[str]], slug: str) -> bytes:
    if slug not in models:
        raise unknown(slug, models)
    return msgspec.json.encode(shown(slug, models[slug]))


def shown(slug: str, providers: list[str]) -> dict[str, Any]:
    """In OpenAI's shape. Nobody knows when the model was made, so `created` is 0."""
    return {"id": slug, "object": "model", "created": 0, "owned_by": ", ".join(providers)}


def unknown(slug: str, models: Mapping[str, list[str]]) -> Refusal:
    near = catalog.nearest(slug, list(models))
    hint = f" Did you mean {', '.join(near)}?" if near else ""
    return Refusal(404, "model_not_found", f"No key of this organization serves the model {slug}.{hint}", param="model")
