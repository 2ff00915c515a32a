"""Which headers cross the gateway, and in which form. What is not named here goes no further."""

from collections.abc import Iterable, Mapping
from urllib.parse import quote

PASSED_ON = frozenset({"anthropic-beta", "idempotency-key", "openai-beta", "x-session-affinity"})
BUDGET = ("limit", "remaining", "reset")
ANTHROPICS_UNITS = ("requests", "tokens", "input-tokens", "output-tokens")
PASSED_BACK = frozenset(
    [f"x-ratelimit-{what}-{unit}" for what in BUDGET for unit in ("requests", "tokens")]
    + [f"anthropic-ratelimit-{unit}-{what}" for what in BUDGET for unit in ANTHROPICS_UNITS]
) | {"openai-processing-ms", "retry-after", "retry-after-ms"}
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


def plain(value: str) -> bool:
    return 0 < len(value) <= 200 and value.isascii() and value.isprintable()


def printable(value: str) -> str:
    """A header's value of any text, such as the name of a key: percent-encoded unless it is plain ASCII."""
    return value if value.isascii() and value.isprintable() else quote(value, safe=" ")
