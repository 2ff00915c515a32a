"""The credentials that the fake hands out, as Keyhold holds them when an owner has pasted them."""

import json

from keys.credentials import hint
from keys.providers import PROVIDERS, Shape
from keys.providers.base import Credential
from tests.fake import aws_keys

REGION = "us-east-1"
RESOURCE = "https://acme.openai.azure.com"


def credential(provider: str, key: str, behavior: str, number: int, kind: str) -> Credential:
    """kind, for Bedrock: "" for access keys, "session" for temporary ones, "api_key"."""
    match PROVIDERS[provider].shape:
        case Shape.BEDROCK if kind != "api_key":
            return access_keys(behavior, number, temporary=kind == "session")
        case Shape.BEDROCK:
            return Credential({"api_key": key}, {"region": REGION}, hint(key, ("ABSK",)))
        case Shape.VERTEX:
            return service_account(json.loads(key))
        case Shape.AZURE:
            return deployments(key)
    return Credential({"api_key": key}, {}, hint(key, PROVIDERS[provider].prefixes))


def access_keys(behavior: str, number: int, *, temporary: bool) -> Credential:
    key_id = aws_keys.access_key_id(behavior, number, temporary=temporary)
    secret = {"secret_access_key": aws_keys.secret_access_key(key_id)}
    if temporary:
        secret["session_token"] = aws_keys.session_token(key_id)
    return Credential(secret, {"region": REGION, "access_key_id": key_id}, hint(key_id, ("AKIA", "ASIA")))


def service_account(account: dict[str, str]) -> Credential:
    secret = {name: account[name] for name in ("private_key", "private_key_id")}
    public = {name: account[name] for name in ("project_id", "client_email")}
    return Credential(secret, {**public, "location": "us-central1"}, account["client_email"])


def deployments(key: str) -> Credential:
    """Two, on one resource."""
    entries = [
        {"model_slug": f"openai/{model}", "endpoint_url": RESOURCE, "model_id": model} for model in ("gpt-4o", "gpt-4o-mini")
    ]
    return Credential({"api_keys": [key] * len(entries)}, {"deployments": entries}, hint(key, ()))
