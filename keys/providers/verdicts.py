"""What the answer to a test call says about the credential, in the words for its owner."""

import json
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from keys.providers.base import Provider, Shape, TestCall, Wire
from keys.providers.errors import CLOCK, ErrorClass, classify, what_it_says

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

NO_CLOCK = "{label} finds the time of the request wrong ({status}), so the test could not tell. Set the clock of this server."


class Explained(NamedTuple):
    """Words in a failure that deserve a sentence of their own."""

    words: str
    result: str
    reason: str


EXPLAINED: dict[str, tuple[Explained, ...]] = {
    "openai": (
        Explained(
            "mismatched_(organization|project)|no such organization",
            INVALID,
            "{label} refused this key for this organization or project ({status}). Check their IDs, or leave them out.",
        ),
        Explained(
            "missing scopes",
            LIMITED,
            "{label} accepted the key but does not allow it to make this test ({status}). It may still run models; "
            "to see which, let it read models.",
        ),
        Explained("ip_not_authorized", LIMITED, "{label} accepted the key, but not from the address of this server ({status})."),
    ),
    "bedrock": (
        Explained(CLOCK, UNKNOWN, NO_CLOCK),
        Explained("expiredtoken|is expired", INVALID, "{label} says that these keys have expired ({status}). Paste fresh ones."),
        Explained(
            "bedrock:list",
            LIMITED,
            "{label} accepted the key but does not allow it to list models ({status}). It may still run them; to see which, "
            "allow it bedrock:ListFoundationModels and bedrock:ListInferenceProfiles.",
        ),
    ),
    "aistudio": (
        Explained("api key expired", INVALID, "{label} says that this key has expired ({status}). Make a new one there."),
        Explained("reported as leaked", INVALID, "{label} has blocked this key, for it was found in public ({status})."),
        Explained(
            "service_blocked|service_disabled",
            LIMITED,
            "{label} accepted the key but does not let it use the Gemini API ({status}). Allow that API for the key.",
        ),
        Explained("location is not supported", LIMITED, "{label} does not serve this key from where this server is ({status})."),
    ),
    "vertex": (
        Explained(CLOCK, UNKNOWN, NO_CLOCK),
        Explained(
            "invalid_grant",
            INVALID,
            "{label} does not know this service account or its key ({status}). It may be deleted or turned off; add a new key.",
        ),
        Explained(
            "service_disabled",
            LIMITED,
            "{label} accepted the service account, but its API is off in the project ({status}). Enable the Vertex AI API there.",
        ),
        Explained(
            "iam_permission_denied",
            LIMITED,
            "{label} accepted the service account but does not let it in ({status}). Give it the role Vertex AI User.",
        ),
    ),
}


class Finding(NamedTuple):
    """A value in a good answer that speaks against the key all the same."""

    name: str
    speaks: Callable[[Any], bool]
    result: str
    reason: str


def spent(credits: Any) -> bool:
    return isinstance(credits, int | float) and credits <= 0


NO_KEY = "Grok has blocked or disabled this key. See the xAI console."
FINDINGS = {
    "xai": (
        Finding("api_key_blocked", bool, INVALID, NO_KEY),
        Finding("api_key_disabled", bool, INVALID, NO_KEY),
        Finding("team_blocked", bool, LIMITED, "Grok accepted the key but has blocked its team. See the xAI console."),
    ),
    "deepinfra": (
        Finding("suspended", bool, LIMITED, "DeepInfra accepted the key but has suspended its account. See its billing page."),
    ),
    "pollo": (Finding("availableCredits", spent, LIMITED, "Pollo.AI accepted the key, but its account has no credit left."),),
}


def verdict(
    provider: Provider,
    status: int | None,
    body: bytes,
    headers: Mapping[str, str] = MappingProxyType({}),
    call: TestCall | None = None,
) -> tuple[str, str]:
    """One of valid, invalid, limited and unknown, and why. Only invalid says that the key is bad.

    call: which one was answered, where it is not the provider's `test` itself.
    """
    if status is None:
        return UNKNOWN, f"{provider.label} did not answer, so the test could not tell. Test again, or save without testing."
    if status < 400:
        return accepted(provider, call or provider.test, body if status == 200 else b"")
    if provider.shape is Shape.AZURE and status in AZURE_FAILED:
        return AZURE_FAILED[status]
    said = what_it_says(headers, body)
    explained = (row[1:] for row in EXPLAINED.get(provider.slug, ()) if status < 500 and re.search(row.words, said))
    result, reason = next(explained, None) or FAILED[classify(provider, status, headers, body)]
    return result, reason.format(label=provider.label, status=status)


def in_general(provider: Provider, status: int, found: ErrorClass) -> str:
    """The sentence about a failure of this class whose words say nothing more."""
    of_azure = AZURE_FAILED.get(status) if provider.shape is Shape.AZURE else None
    return (of_azure or FAILED[found])[1].format(label=provider.label, status=status)


def accepted(provider: Provider, call: TestCall | None, body: bytes) -> tuple[str, str]:
    """Of status 200, which other hosts give to anybody, and which may come with a warning in the body."""
    answer = parsed(body)
    if not recognized(call, body, answer):
        return UNKNOWN, f"Something answered, but not as {provider.label} does. Check the address, or test again later."
    parts = (answer, answer.get("checklist"), answer.get("data")) if isinstance(answer, dict) else ()
    for finding in FINDINGS.get(provider.slug, ()):
        if any(finding.speaks(part.get(finding.name)) for part in parts if isinstance(part, dict)):
            return finding.result, finding.reason
    return VALID, f"{provider.label} accepted the key."


def recognized(call: TestCall | None, body: bytes, answer: Any) -> bool:
    """Whether this is how the provider answers the call."""
    if call and call.says:
        return call.says.encode() in body
    return rows(answer) is not None if call and call.lists_models else isinstance(answer, dict)


def listed_models(provider: Provider, body: bytes) -> tuple[str, ...]:
    """The provider's own ids in an answer that lists models, sorted; none where it lists nothing."""
    ids = (named(row) for row in rows(parsed(body)) or () if isinstance(row, dict) and runs_on_demand(row))
    names = {name for name in ids if isinstance(name, str) and 0 < len(name) <= MAX_NAME}
    if provider.wire is Wire.GOOGLE:  # models/gemini-…, publishers/google/models/gemini-…
        names = {name.rpartition("models/")[2] for name in names} - {""}
    return tuple(sorted(names))[:MAX_MODELS]


LISTS = ("data", "models", "publisherModels", "modelSummaries", "inferenceProfileSummaries")
NAMES = ("id", "name", "modelId", "inferenceProfileId")


def rows(answer: Any) -> list[Any] | None:
    """What a listing holds, or None where it is none. Some wrap it in nothing."""
    if isinstance(answer, dict):
        answer = next((answer[name] for name in LISTS if name in answer), None)
    return answer if isinstance(answer, list) else None


def named(row: dict[str, Any]) -> Any:
    return next((row[name] for name in NAMES if name in row), None)


def runs_on_demand(row: dict[str, Any]) -> bool:
    """Bedrock also lists models that can be asked by an inference profile only, under the profile's own name."""
    return "ON_DEMAND" in (row.get("inferenceTypesSupported") or ("ON_DEMAND",))


def parsed(body: bytes) -> Any:
    """The JSON of a body, or None."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
