"""Which headers cross the gateway, and in which form. What is not named here goes no further."""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

PASSED_ON = frozenset({"anthropic-beta", "idempotency-key", "openai-beta", "x-session-affinity"})
BUDGET = ("limit", "remaining", "reset")
ANTHROPICS_UNITS = ("requests", "tokens", "input-tokens", "output-tokens")
PASSED_BACK = frozenset(
    [f"x-ratelimit-{what}-{unit}" for what in BUDGET for unit in ("requests", "tokens")]
    + [f"anthropic-ratelimit-{unit}-{what}" for what in BUDGET for unit in ANTHROPICS_UNITS]
) | {"openai-processing-ms", "retry-after", "retry-after-ms"}
NATIVE_ON = frozenset({"accept", "content-type"}) | PASSED_ON
NATIVE_PREFIXES = {
    "anthropic": ("anthropic-version",),
    "azure": ("anthropic-version",),
    "bedrock": ("x-amzn-bedrock-",),
    "fal": ("x-fal-",),
    "aistudio": ("x-goog-",),
    "vertex": ("x-goog-", "anthropic-version"),
}
NEVER_ON = re.compile(r"key|token|auth|secret|credential|cookie|user|iam")  # who asks and who pays is the owner's to say
NATIVE_PREFIXES_BACK = ("x-fal-", "x-amzn-", "x-ratelimit-", "anthropic-ratelimit-")
REQUEST_IDS = ("x-request-id", "request-id", "apim-request-id")


def passed_on(headers: Iterable[tuple[bytes, bytes]], *, stream: bool) -> dict[str, str]:
    """The client's headers that a provider gets to see, and ours that say what we send and take."""
    theirs = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    kept = {name: value for name, value in theirs.items() if name in PASSED_ON and plain(value)}
    return {**kept, "content-type": "application/json", "accept": "text/event-stream" if stream else "application/json"}


def passed_back(headers: Mapping[str, str]) -> dict[str, str]:
    """The provider's headers that the client gets to see."""
    kept = {name: value for name, value in headers.items() if name in PASSED_BACK and plain(value)}
    request_id = next((headers[name] for name in REQUEST_IDS if plain(headers.get(name, ""))), "")
    return {**kept, "x-provider-request-id": request_id} if request_id else kept


def native_on(headers: Iterable[tuple[bytes, bytes]], slug: str) -> dict[str, str]:
    """The client's headers that a provider gets to see on its own paths."""
    prefixes = NATIVE_PREFIXES.get(slug, ())
    theirs = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    return {
        name: value
        for name, value in theirs.items()
        if (name in NATIVE_ON or (name.startswith(prefixes) and not NEVER_ON.search(name))) and plain(value, 4096)
    }


def native_back(headers: Mapping[str, str]) -> dict[str, str]:
    """The provider's headers that the client gets to see on its own paths."""
    kept = {name: value for name, value in headers.items() if name.startswith(NATIVE_PREFIXES_BACK) and plain(value)}
    return {**kept, **passed_back(headers)}


def plain(value: str, most: int = 200) -> bool:
    return 0 < len(value) <= most and value.isascii() and value.isprintable()


def printable(value: str) -> str:
    """A header's value of any text, such as the name of a key: percent-encoded unless it is plain ASCII."""
    return value if value.isascii() and value.isprintable() else quote(value, safe=" ")
