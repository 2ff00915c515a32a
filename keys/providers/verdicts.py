"""What the answer to a test call says about the credential, in the words for its owner."""

import json
from typing import Any

from keys.providers.base import Provider, Shape
from keys.providers.errors import ErrorClass, classify

VALID, INVALID, LIMITED, UNKNOWN = "valid", "invalid", "limited", "unknown"
MAX_MODELS = 2000
MAX_NAME = 200  # characters of a model's id

FAILED = {
    ErrorClass.REFUSED: (INVALID, "{label} refused this key ({status}). Check that you copied all of it, then paste it again."),
    ErrorClass.OUT_OF_MONEY: (
        LIMITED,
        "{label} accepted the key, but its account has no credit left ({status}). Add credit there.",
    ),
    ErrorClass.LIMITED: (LIMITED, "{label} accepted the key and is limiting it now ({status}). Test again in a few minutes."),
    ErrorClass.NO_PERMISSION: (
        LIMITED,
        "{label} accepted the key but does not allow it to make this test ({status}). It may still run models.",
    ),
    ErrorClass.MISCONFIGURED: (UNKNOWN, "{label} found nothing at this address ({status}). Check the address."),
    ErrorClass.CLIENT: (UNKNOWN, "{label} did not understand the test ({status}), so it says nothing about the key."),
    ErrorClass.TROUBLE: (UNKNOWN, "{label} has trouble of its own ({status}), so the test could not tell. Test again later."),
}
AZURE_FAILED = {
    401: (INVALID, "Azure refused this key (401). Check that it belongs to the resource in `endpoint_url`, then paste it again."),
    403: (LIMITED, "Azure knows the resource but does not let this key in (403). Key access may be off, or a firewall closed."),
    404: (UNKNOWN, "Azure has no such resource or surface at this address (404). Check `endpoint_url`."),
}


FLAGS = {
    "xai": (
        (("api_key_blocked", "api_key_disabled"), INVALID, "Grok has blocked or disabled this key. See the xAI console."),
        (("team_blocked",), LIMITED, "Grok accepted the key but has blocked its team. See the xAI console."),
    ),
    "deepinfra": ((("suspended",), LIMITED, "DeepInfra accepted the key but has suspended its account. See its billing page."),),
}


def verdict(provider: Provider, status: int | None, body: bytes) -> tuple[str, str]:
    """One of valid, invalid, limited and unknown, and why. Only invalid says that the key is bad."""
    if status is None:
        return UNKNOWN, f"{provider.label} did not answer, so the test could not tell. Test again, or save without testing."
    if status < 400:
        return accepted(provider, parsed(body) if status == 200 else None)
    if provider.shape is Shape.AZURE and status in AZURE_FAILED:
        return AZURE_FAILED[status]
    result, reason = FAILED[classify(provider, status, {}, body)]
    return result, reason.format(label=provider.label, status=status)


def accepted(provider: Provider, answer: Any) -> tuple[str, str]:
    """Of status 200, which other hosts give to anybody, and which may come with a warning in the body."""
    lists_models = provider.test is not None and provider.test.lists_models
    if rows(answer) is None if lists_models else not isinstance(answer, dict):
        return UNKNOWN, f"Something answered, but not as {provider.label} does. Check the address, or test again later."
    for flags, result, reason in FLAGS.get(provider.slug, ()):
        if any(holder.get(flag) for holder in (answer, answer.get("checklist")) if isinstance(holder, dict) for flag in flags):
            return result, reason
    return VALID, f"{provider.label} accepted the key."


def listed_models(provider: Provider, body: bytes) -> tuple[str, ...]:
    """The provider's own ids in an answer that lists models, sorted; none where it lists nothing."""
    ids = (row.get("id", row.get("name")) for row in rows(parsed(body)) or () if isinstance(row, dict))
    prefix = "models/" if provider.author == "google" else ""
    names = {name.removeprefix(prefix) for name in ids if isinstance(name, str) and 0 < len(name) <= MAX_NAME}
    return tuple(sorted(names))[:MAX_MODELS]


def rows(answer: Any) -> list[Any] | None:
    """What a listing holds, or None where it is none. Most wrap it in `data`, Google in `models`, some in nothing."""
    if isinstance(answer, dict):
        answer = answer.get("data", answer.get("models"))
    return answer if isinstance(answer, list) else None


def parsed(body: bytes) -> Any:
    """The JSON of a body, or None."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
