"""Where a request goes and which headers it carries."""

from collections.abc import Mapping

from keys.providers import azure
from keys.providers.auth import Unsupported
from keys.providers.base import Credential, Outbound, Provider, Shape
from keys.providers.regions import dns_suffix

__all__ = ["Unsupported", "outbound"]


def outbound(
    provider: Provider,
    credential: Credential,
    *,
    path: str,
    overrides: Mapping[str, str],
    method: str = "POST",
    native_model: str = "",
    deployment: int | None = None,
    service: str = "",
) -> Outbound:
    """The request for `path` below the base URL of a service, such as chat/completions.

    overrides: base URLs of the operator by slug or slug:service. deployment: which entry of an Azure key; the first by
    default. Raises Unsupported where requests cannot be signed with this kind of credential.
    """
    override = overrides.get(f"{provider.slug}:{service}" if service else provider.slug)
    operator = override is not None
    if provider.shape is Shape.AZURE:
        entry = credential.public["deployments"][deployment or 0]
        url = azure.read(entry["endpoint_url"]).url(path, override and override.rstrip("/"))
        headers = {"api-key": credential.secret["api_keys"][deployment or 0]}
        return Outbound(method, url, headers, operator, azure.deployment_name(entry))
    base = override if override is not None else base_url(provider, credential, service)
    return Outbound(method, f"{base.rstrip('/')}/{path.lstrip('/')}", provider.auth(credential), operator, native_model)


def base_url(provider: Provider, credential: Credential, service: str) -> str:
    """The provider's own address, with the credential's region or location in it."""
    region = str(credential.public.get("region", ""))
    url = provider.services[service].format(region=region, location=credential.public.get("location", ""))
    return url.replace("amazonaws.com", dns_suffix(region)) if region else url
