"""The forms in which people paste an Azure endpoint, read into one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qs, urlsplit

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9_-])?")  # of a deployment
OPERATIONS = r"chat/completions|completions|responses|embeddings|models|images/[a-z]+|audio/[a-z]+"
PATH = re.compile(
    rf"""(?:/openai(?:/v1|/deployments/(?P<deployment>{NAME.pattern}))?  # the resource, its v1 surface, one deployment
         | /models | /api/projects/[A-Za-z0-9._-]+ )?                    # as the Foundry portal shows it
        (?:/(?:{OPERATIONS}))? /?""",
    re.VERBOSE,
)
API_VERSION = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}(?:-preview)?")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address taken apart. With an API version it is the classic surface, which names the deployment in its path."""

    resource: str
    deployment: str = ""
    api_version: str = ""

    def url(self, path: str, resource: str | None = None) -> str:
        """Where an operation such as chat/completions lives. `resource` replaces the endpoint's own."""
        base = self.resource if resource is None else resource
        if not self.api_version or path == "responses":  # which the classic surface does not have
            return f"{base}/openai/v1/{path}"
        place = "openai" if path == "models" else f"openai/deployments/{self.deployment}"
        return f"{base}/{place}/{path}?api-version={self.api_version}"


@lru_cache(maxsize=4096)
def read(endpoint_url: str) -> Endpoint:
    """Raises ValueError with words whose subject is the address, such as "has a path …"."""
    parts = urlsplit(endpoint_url)
    found = PATH.fullmatch(parts.path)
    if not found:
        raise ValueError("has a path that Azure does not use. Paste the “Target URI”, or only https://name.openai.azure.com")
    resource = f"{parts.scheme}://{parts.netloc}"
    deployment = found["deployment"] or ""
    query = parse_qs(parts.query, keep_blank_values=True)
    if query.keys() - {"api-version"}:
        raise ValueError("may hold nothing but api-version after its ?")
    version = query.get("api-version", [""])[0]
    if not deployment or not version:
        return Endpoint(resource, deployment)
    if not API_VERSION.fullmatch(version):
        raise ValueError("has an api-version that Azure does not use. It looks like 2024-10-21")
    return Endpoint(resource, deployment, version)


def deployment_name(entry: Mapping[str, str]) -> str:
    """Which deployment an entry means: the one its address names, else its model_id."""
    return read(entry["endpoint_url"]).deployment or entry["model_id"]
