"""GET /v1/models: what this client key can reach now."""

from collections import defaultdict
from typing import Any

import msgspec

from gateway.errors import Refusal
from gateway.snapshot import Tenant
from keys import catalog
from keys.providers import PROVIDERS


def reachable(tenant: Tenant) -> dict[str, list[str]]:
    """Model slugs in alphabetical order, each with the providers that serve it."""
    found: dict[str, set[str]] = defaultdict(set)
    for key in tenant.routes:
        provider = PROVIDERS[key.provider]
        if key.enabled and key.tested and provider.operations:
            for slug in catalog.slugs(provider, discovered=key.discovered, deployments=key.deployments, overrides=key.overrides):
                found[slug].add(provider.slug)
    return {slug: sorted(found[slug]) for slug in sorted(found)}


def all_models(tenant: Tenant) -> bytes:
    rows = [shown(slug, providers) for slug, providers in reachable(tenant).items()]
    return msgspec.json.encode({"object": "list", "data": rows})


def one_model(tenant: Tenant, slug: str) -> bytes:
    models = reachable(tenant)
    if slug not in models:
        raise unknown(slug, models)
    return msgspec.json.encode(shown(slug, models[slug]))


def shown(slug: str, providers: list[str]) -> dict[str, Any]:
    """In OpenAI's shape. Nobody knows when the model was made, so `created` is 0."""
    return {"id": slug, "object": "model", "created": 0, "owned_by": ", ".join(providers)}


def unknown(slug: str, models: dict[str, list[str]]) -> Refusal:
    near = catalog.nearest(slug, list(models))
    hint = f" Did you mean {', '.join(near)}?" if near else ""
    return Refusal(404, "model_not_found", f"No key of this organization serves the model {slug}.{hint}", param="model")
