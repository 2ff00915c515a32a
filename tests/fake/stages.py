"""What each provider of the OpenAI wire looks like: its address, its key, its models, its way to say no."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

OPENAI_MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-5.5", "o3-mini")

CODES = {
    400: "invalid_request_error",
    401: "invalid_api_key",
    402: "billing_error",
    403: "permission_denied",
    404: "model_not_found",
    413: "request_too_large",
    429: "rate_limit_exceeded",
    500: "server_error",
    503: "server_is_overloaded",
}

ErrorBody = Callable[[int, str, str], Any]


def openai_error(status: int, code: str, message: str) -> Any:
    return {"error": {"message": message, "type": CODES[status], "param": None, "code": code}}


def groq_error(status: int, code: str, message: str) -> Any:
    return {"error": {"message": message, "type": CODES[status], "code": code}}


def xai_error(status: int, code: str, message: str) -> Any:
    return {"code": code.replace("_", " ").capitalize(), "error": message}


def deepinfra_error(status: int, code: str, message: str) -> Any:
    return {"detail": {"error": message}} if status in (401, 403) else {"error": {"message": message}}


def baseten_error(status: int, code: str, message: str) -> Any:
    return {"error": message}


def azure_error(status: int, code: str, message: str) -> Any:
    name = {401: "401", 403: "AuthenticationTypeDisabled", 404: "DeploymentNotFound"}.get(status, code)
    return {"error": {"code": name, "message": message}}


@dataclass(frozen=True)
class Stage:
    """One provider. `base` is where its chat lives; `account` where its test call does, when that is elsewhere.

    operations: what it does beside chat.
    """

    slug: str
    base: str
    key_prefix: str
    models: tuple[str, ...]
    error: ErrorBody
    recordings: str = "openai"
    auth: str = "authorization"
    account: str = ""
    profile: Mapping[str, Any] = field(default_factory=dict)
    suspension: Mapping[str, Any] = field(default_factory=dict)
    usage_by_default: bool = False
    open_models: bool = False
    operations: frozenset[str] = frozenset()


HEALTHY_XAI = {
    "redacted_api_key": "xai-...0001",
    "name": "Production",
    "acls": ["api-key:model:*", "api-key:endpoint:*"],
    "api_key_blocked": False,
    "api_key_disabled": False,
    "team_blocked": False,
}
HEALTHY_DEEPINFRA = {"stripe_balance": -12.5, "suspended": False, "suspend_reason": None}

EVERYTHING = frozenset({"responses", "embeddings", "images", "transcriptions", "translations", "speech"})

STAGES = {
    stage.slug: stage
    for stage in (
        Stage("openai", "/openai/v1", "sk-proj-", OPENAI_MODELS, openai_error, operations=EVERYTHING),
        Stage(
            "groq",
            "/groq/openai/v1",
            "gsk_",
            ("openai/gpt-oss-120b", "openai/gpt-oss-20b", "qwen/qwen3-32b"),
            groq_error,
            recordings="groq",
            operations=frozenset({"responses", "embeddings", "transcriptions", "translations", "speech"}),
        ),
        Stage(
            "xai",
            "/xai/v1",
            "xai-",
            ("grok-4.7", "grok-4.3", "grok-3-mini"),
            xai_error,
            recordings="xai",
            account="/xai/v1/api-key",
            profile=HEALTHY_XAI,
            suspension={**HEALTHY_XAI, "team_blocked": True},
            operations=frozenset({"responses", "images"}),
        ),
        Stage(
            "deepinfra",
            "/deepinfra/v1/openai",
            "",
            ("meta-llama/Llama-3.3-70B-Instruct", "deepseek-ai/DeepSeek-V3.1", "openai/gpt-oss-120b"),
            deepinfra_error,
            account="/deepinfra/v1/me",
            profile={"uid": "u-1", "email": "alice@example.com", "checklist": HEALTHY_DEEPINFRA},
            suspension={"uid": "u-1", "checklist": {**HEALTHY_DEEPINFRA, "suspended": True, "suspend_reason": "balance"}},
            usage_by_default=True,
            open_models=True,
            operations=EVERYTHING - {"responses"},
        ),
        Stage(
            "baseten",
            "/baseten/v1",
            "",
            ("moonshotai/Kimi-K3", "zai-org/GLM-5.3", "openai/gpt-oss-120b"),
            baseten_error,
            account="/baseten-management/v1/users/me",
            profile={"id": "u-1", "email": "alice@example.com", "name": "Alice"},
            suspension={"id": "u-1", "email": "alice@example.com", "name": "Alice"},
        ),
        Stage("azure", "/openai/v1", "", OPENAI_MODELS, azure_error, auth="api-key", operations=EVERYTHING),
    )
}
