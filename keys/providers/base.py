"""What a provider is: a frozen row. Pure values; nothing here opens a socket or reads a clock."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Shape(StrEnum):
    """How the credential of a provider is entered. One validator each, in keys/credentials.py."""

    API_KEY = "api_key"
    AZURE = "azure"
    BEDROCK = "bedrock"
    VERTEX = "vertex"


class Wire(StrEnum):
    """Which request dialect a provider speaks. Each is a module of gateway/wires/."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GOOGLE = "google"
    CONVERSE = "converse"
    RESPONSES = "responses"
    NATIVE = "native"


@dataclass(frozen=True, slots=True)
class Credential:
    """A parsed credential. `secret` never leaves memory unsealed; `public` may be shown to owners.

    API key: secret {"api_key"}. Azure: secret {"api_keys": [one for each deployment]},
    public {"deployments": [{"model_slug", "endpoint_url", "model_id"}]}. Bedrock: secret {"secret_access_key",
    "session_token"?} or {"api_key"}, public {"region", "access_key_id"?}. Vertex: secret {"private_key",
    "private_key_id"}, public {"project_id", "client_email", "location"}.
    """

    secret: Mapping[str, Any] = field(repr=False)
    public: Mapping[str, Any]
    hint: str


@dataclass(frozen=True, slots=True)
class Outbound:
    """One request to a provider, ready to send but for its body. `operator` marks an address from UPSTREAM_OVERRIDES.

    `native_model` is what the body's `model` must say. `service` is the row's, "" the default; signing depends on it.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    operator: bool = False
    native_model: str = ""
    service: str = ""


@dataclass(frozen=True, slots=True)
class TestCall:
    """The cheapest truthful call that tells whether a credential works. `service` names another base URL of the row.

    reads: what its answer tells beside or instead of the models, in words for the owner.
    form: what is posted, for a call that is no GET. says: a word that every good answer holds, where JSON is not enough.
    control: the same call with an invented key must be refused, or its answer proves nothing.
    first: a call that must be accepted before this one; a bare API key is not asked it.
    models_path: where models are listed, beside or instead of this call's own answer (`lists_models`).
    """

    path: str
    service: str = ""
    form: bytes = b""
    reads: str = ""
    says: str = ""
    control: bool = False
    first: "TestCall | None" = None
    lists_models: bool = False
    models_path: str = ""
    models_service: str = ""
    __test__ = False


@dataclass(frozen=True, slots=True)
class Provider:
    """One row of the table. An OpenAI-compatible provider needs nothing but a row.

    services: base URLs by name, "" the default; {region} and its {aws} domain, or {google_host}, come from the credential.
    operations: what it offers, by the names of keys/providers/paths.py; all else is reached by its own API only.
    prices: its id in genai-prices. prefixes: how its keys start, which warns and never refuses.
    author: whose models it sells under their bare names; a provider on an OpenAI wire without one serves author/model.
    options: names of public fields that its owner may enter beside an API key. where: where its owner finds a key.
    """

    slug: str
    label: str
    mark: str
    needs: str
    shape: Shape
    wire: Wire
    services: Mapping[str, str]
    test: TestCall
    operations: tuple[str, ...] = ("chat",)
    prices: str | None = None
    prefixes: tuple[str, ...] = ()
    author: str | None = None
    options: tuple[str, ...] = ()
    where: str = ""
    auth: Callable[[Credential], dict[str, str]] = lambda credential: {"authorization": f"Bearer {credential.secret['api_key']}"}
