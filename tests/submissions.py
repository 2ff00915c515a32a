"""What people submit to the form of each provider: good credentials, with one secret in every secret place."""

import json
from functools import cache

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from keys.providers import Provider, Shape


@cache
def private_key() -> str:
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def service_account(key_id: str) -> dict[str, str]:
    return {
        "type": "service_account",
        "project_id": "acme-ml",
        "private_key_id": key_id,
        "private_key": private_key(),
        "client_email": "gateway@acme-ml.iam.gserviceaccount.com",
        "client_id": "1029384756",
        "token_uri": "https://oauth2.googleapis.com/token",
    }


def deployment(secret: str, model: str = "gpt-4o") -> dict[str, str]:
    endpoint = "https://acme-weu.openai.azure.com"
    return {"model_slug": f"openai/{model}", "endpoint_url": endpoint, "api_key": secret, "model_id": model}


def good(provider: Provider, mode: str, secret: str) -> dict[str, str]:
    """The fields of the provider's form in that mode, without a name. A new shape is a new line here."""
    aws = {
        "accessKeyId": "ASIAIOSFODNN7EXAMPLE",
        "secretAccessKey": secret,
        "sessionToken": f"{secret}token",
        "region": "us-east-1",
    }
    match provider.shape, mode:
        case Shape.API_KEY, _:
            return {"api_key": secret}
        case Shape.AZURE, _:
            return {"deployments": json.dumps([deployment(secret), deployment(f"{secret}two", "o3-mini")], indent=2)}
        case Shape.BEDROCK, "fields":
            names = ("access_key_id", "secret_access_key", "session_token", "region")
            return dict(zip(names, aws.values(), strict=True))
        case Shape.BEDROCK, "api-key":
            return {"api_key": f"ABSK{secret}", "region": "us-east-1"}
        case Shape.BEDROCK, "json":
            return {"json": json.dumps(aws, indent=2)}
        case Shape.VERTEX, _:
            return {"json": json.dumps(service_account(secret), indent=2), "location": "us-central1"}
    raise NotImplementedError(f"{provider.shape} in mode {mode}")
