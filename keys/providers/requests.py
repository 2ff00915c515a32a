"""Where a request goes and which headers it carries."""

from collections.abc import Mapping

from keys.providers import azure
from keys.providers.base import Credential, Outbound, Provider, Shape
from keys.providers.regions import dns_suffix, google_host


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
    """The request for `path` below the base URL of a service, such as chat/completions; keys/signing.py signs it.

    overrides: base URLs of the operator by slug or slug:service. deployment: which entry of an Azure key; the first by
    default. Raises LookupError for a service that the provider does not have.
    """
    override = overrides.get(f"{provider.slug}:{service}" if service else provider.slug)
    operator = override is not None
    if provider.shape is Shape.AZURE:
        entry = credential.public["deployments"][deployment or 0]
        url = azure.read(entry["endpoint_url"]).url(path, override and override.rstrip("/"))
        headers = {"api-key": credential.secret["api_keys"][deployment or 0]}
        return Outbound(method, url, headers, operator, azure.deployment_name(entry))
    base = override if override is not None else base_url(provider, credential, service)
    url = f"{base.rstrip('/')}/{path.lstrip('/')}"
    return Outbound(method, url, provider.auth(credential), operator, native_model, service)


def base_url(provider: Provider, credential: Credential, service: str) -> str:
    """The provider's own address, with the credential's region or location in it."""
    region, location = str(credential.public.get("region", "")), str(credential.public.get("location", ""))
    return provider.services[service].format(region=region, aws=dns_suffix(region), google_host=google_host(location))
