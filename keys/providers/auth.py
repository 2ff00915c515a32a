"""How each provider wants to be shown its key: headers only, never the address."""

from keys.providers.base import Credential

ANTHROPIC_VERSION = "2023-06-01"  # The later version refuses temperature, which programs send.


def bearer(credential: Credential) -> dict[str, str]:
    return {"authorization": f"Bearer {credential.secret['api_key']}"}


def openai(credential: Credential) -> dict[str, str]:
    """The key, and the organization and project it shall be billed to where the owner named them."""
    named = {"openai-organization": credential.public.get("organization"), "openai-project": credential.public.get("project")}
    return bearer(credential) | {header: value for header, value in named.items() if value}


def anthropic(credential: Credential) -> dict[str, str]:
    return {"x-api-key": credential.secret["api_key"], "anthropic-version": ANTHROPIC_VERSION}


def x_api_key(credential: Credential) -> dict[str, str]:
    return {"x-api-key": credential.secret["api_key"]}


def google_key(credential: Credential) -> dict[str, str]:
    return {"x-goog-api-key": credential.secret["api_key"]}


def fal(credential: Credential) -> dict[str, str]:
    return {"authorization": f"Key {credential.secret['api_key']}"}


def bedrock(credential: Credential) -> dict[str, str]:
    """A Bedrock API key travels as it is. With access keys each request is signed: keys/signing.py."""
    return bearer(credential) if "api_key" in credential.secret else {}


def vertex(credential: Credential) -> dict[str, str]:
    """Nothing: keys/signing.py adds the token that a service account is given for an hour."""
    return {}
