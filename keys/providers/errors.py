"""What a provider's failure means for routing. Providers' statuses lie; what they say is read first."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, NamedTuple

from keys.providers.base import Provider

MAX_READ = 16 * 1024  # bytes of a body that are looked at


class ErrorClass(StrEnum):
    CLIENT = "client"  # the caller's own fault: no other key would help
    REFUSED = "refused"  # the provider does not know this key
    OUT_OF_MONEY = "out_of_money"
    LIMITED = "limited"  # works again after a while
    NO_PERMISSION = "no_permission"
    MISCONFIGURED = "misconfigured"  # the entry names something the provider does not have
    TROUBLE = "trouble"  # the provider's own, or no answer


class Telltale(NamedTuple):
    """Words in an error body that decide its class, whatever the rules for its status say.

    Codes are anchored to whole lines (see what_it_says): a message may quote the caller, who must not decide.
    """

    statuses: tuple[int, ...]
    words: str
    meaning: ErrorClass


CLOCK = "signature (expired|not yet current)|in a reasonable timeframe"  # It is our clock that is wrong.

TELLTALES: dict[str, tuple[Telltale, ...]] = {
    "openai": (
        Telltale(
            (429,), "^credit_balance_exhausted$|^(organization|project)_(spend|usage)_limit_exceeded$", ErrorClass.OUT_OF_MONEY
        ),
        Telltale((401,), "^mismatched_(organization|project)$|^(invalid|no such) organization", ErrorClass.MISCONFIGURED),
        Telltale((401,), "^ip_not_authorized$", ErrorClass.NO_PERMISSION),
    ),
    "azure": (
        Telltale(
            (404,), "^deploymentnotfound$|^resource not found$|^the api deployment .* does not exist", ErrorClass.MISCONFIGURED
        ),
        Telltale((400, 404), "^operationnotsupported$|^api version not supported", ErrorClass.MISCONFIGURED),
        Telltale((401,), "^permissiondenied$", ErrorClass.NO_PERMISSION),
    ),
    "xai": (
        Telltale((400, 401, 403), "^incorrect api key", ErrorClass.REFUSED),
        Telltale((403,), "usage guidelines", ErrorClass.CLIENT),
        Telltale((403, 429), "credits|licenses|spending limit", ErrorClass.OUT_OF_MONEY),
        Telltale((403,), "(key|team) .{0,60}(blocked|disabled)", ErrorClass.REFUSED),
    ),
    "groq": (
        Telltale((400, 403), "^organization_restricted$", ErrorClass.NO_PERMISSION),
        Telltale((400, 403), "^blocked_api_access$", ErrorClass.OUT_OF_MONEY),
    ),
    "deepinfra": (
        Telltale((403, 429), "balance|suspended|payment|overdue", ErrorClass.OUT_OF_MONEY),
        Telltale((403,), "not authenticated|invalid (api )?(key|token)", ErrorClass.REFUSED),
    ),
    "baseten": (
        Telltale((403, 429), "budget|credit|payment", ErrorClass.OUT_OF_MONEY),
        Telltale((403,), "invalid api key|authorization header", ErrorClass.REFUSED),
    ),
    "anthropic": (
        Telltale((400, 403), "^your credit balance is too low|^you have reached your specified", ErrorClass.OUT_OF_MONEY),
        Telltale((400, 403, 429), "^billing_error$|_spend_limit_reached$|_billing_unavailable$", ErrorClass.OUT_OF_MONEY),
        Telltale((400, 403, 429), "^organization_on_hold$", ErrorClass.NO_PERMISSION),
        Telltale((400, 403), "^ramp_limit_exceeded$", ErrorClass.LIMITED),
    ),
    "bedrock": (
        Telltale((403,), CLOCK, ErrorClass.TROUBLE),
        Telltale((403,), "unrecognizedclient|invalidclienttokenid|invalidsignature|signaturedoesnotmatch", ErrorClass.REFUSED),
        Telltale((403,), "incompletesignature|missingauthenticationtoken|expiredtoken", ErrorClass.REFUSED),
        Telltale((403,), "^authentication failed|^invalid api key|^bearer token has expired", ErrorClass.REFUSED),
        Telltale((403,), "^model access is denied due to invalid_payment_instrument", ErrorClass.OUT_OF_MONEY),
        Telltale((400,), "^(servicequotaexceeded|throttling)exception", ErrorClass.LIMITED),
        Telltale((400,), "^accessdeniedexception|^operation not allowed$", ErrorClass.NO_PERMISSION),
        Telltale(
            (400, 404),
            "^the provided model identifier is invalid|with on-demand throughput isn|isn.t supported on this route"
            "|^resourcenotfoundexception",
            ErrorClass.MISCONFIGURED,
        ),
    ),
    "fal": (
        Telltale((403,), "exhausted balance", ErrorClass.OUT_OF_MONEY),
        Telltale((403,), "^invalid authorization header|^no user found", ErrorClass.REFUSED),
    ),
    "aistudio": (
        Telltale((400, 403), "^api_key_invalid$|^api key expired|^your api key was reported as leaked", ErrorClass.REFUSED),
        Telltale((403,), "^billing_disabled$", ErrorClass.OUT_OF_MONEY),
        Telltale((429,), "^your prepayment credits are depleted", ErrorClass.OUT_OF_MONEY),
        Telltale((400,), "^failed_precondition$", ErrorClass.NO_PERMISSION),
    ),
    "vertex": (
        Telltale((400, 401), CLOCK, ErrorClass.TROUBLE),
        Telltale((400, 401), "^(invalid_grant|invalid_client|unauthorized_client)$", ErrorClass.REFUSED),
        Telltale((403,), "^billing_disabled$", ErrorClass.OUT_OF_MONEY),
        Telltale((400,), "^failed_precondition$", ErrorClass.NO_PERMISSION),
        Telltale((404,), "^publisher model .* not found", ErrorClass.MISCONFIGURED),
    ),
    "perplexity": (
        Telltale((403,), "^chat_completions_not_available$", ErrorClass.MISCONFIGURED),
        Telltale((401,), "^insufficient_quota$", ErrorClass.OUT_OF_MONEY),
    ),
    "pollo": (
        Telltale(
            (400, 403, 429),
            "^(not enough|insufficient) credits?|^credits? (are |is )?(not enough|insufficient)",
            ErrorClass.OUT_OF_MONEY,
        ),
        Telltale((400, 403), "^unauthorized$|^(invalid|missing) api key", ErrorClass.REFUSED),
    ),
}

GENERAL = (
    Telltale((403, 429), "^content_filter$|^context_length_exceeded$|^content_policy_violation$", ErrorClass.CLIENT),
    Telltale((400, 403), "^invalid_api_key$", ErrorClass.REFUSED),
    Telltale((400, 403, 429), "^(insufficient_quota|billing_hard_limit_reached|billing_not_active)$", ErrorClass.OUT_OF_MONEY),
)

STATUSES = {
    401: ErrorClass.REFUSED,
    402: ErrorClass.OUT_OF_MONEY,
    403: ErrorClass.NO_PERMISSION,
    407: ErrorClass.TROUBLE,
    408: ErrorClass.TROUBLE,
    424: ErrorClass.TROUBLE,
    425: ErrorClass.TROUBLE,
    429: ErrorClass.LIMITED,
    498: ErrorClass.LIMITED,  # Groq's, for lack of capacity
    529: ErrorClass.LIMITED,  # Anthropic's
}


def classify(
    provider: Provider, status: int | None, headers: Mapping[str, str], body: bytes, *, certain: bool = True
) -> ErrorClass:
    """Of an answer that is not a good one; `status` None means that there was none.

    certain: whether the key's test had found the model. If not, 404 is not held against the caller.
    """
    if status is None:
        return ErrorClass.TROUBLE
    said = what_it_says(headers, body)
    for telltale in TELLTALES.get(provider.slug, ()) + GENERAL:
        if status in telltale.statuses and re.search(telltale.words, said, re.MULTILINE):
            return telltale.meaning
    if status == 404 and not certain:
        return ErrorClass.MISCONFIGURED
    return STATUSES.get(status, ErrorClass.CLIENT if 400 <= status < 500 else ErrorClass.TROUBLE)


OUTRIGHT = re.compile(
    r"^invalid_api_key$|^(invalid|incorrect) (x-)?api[- ]key|invalid (bearer token|subscription key)|^api key not found"
    r"|^(expired|revoked|invalid)_token$|(key|token) (is |has been |was )?(expired|revoked|deleted|disabled)",
    re.MULTILINE,
)


def definite(provider: Provider, status: int | None, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether a refusal says outright that it is the credential that is wrong; a bare 401 may be a passing fault."""
    said = what_it_says(headers, body)
    telltales = (row for row in TELLTALES.get(provider.slug, ()) if row.meaning is ErrorClass.REFUSED)
    told = any(status in row.statuses and re.search(row.words, said, re.MULTILINE) for row in telltales)
    return told or bool(OUTRIGHT.search(said))


def moves_on(error_class: ErrorClass) -> bool:
    """Whether another key may fare better."""
    return error_class is not ErrorClass.CLIENT


def what_it_says(headers: Mapping[str, str], body: bytes) -> str:
    """The texts by which a body or its headers explain an error, in lower case, each on its own line."""
    text = body[:MAX_READ].decode(errors="replace")
    try:
        words = explanations(json.loads(text))
    except (ValueError, RecursionError):
        words = [text]
    return "\n".join(" ".join(word.split()) for word in (headers.get("x-amzn-errortype", ""), *words)).lower()


EXPLAINING = frozenset(
    "error errors code error_code type status message Message detail details reason error_description Error Code __type".split()
)


def explanations(value: Any, depth: int = 0) -> list[str]:
    """The texts under the names that error bodies use. Bodies are objects, or (Google's) lists of them."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = [part for name, part in value.items() if name in EXPLAINING]
    if not isinstance(value, list) or depth > 4:
        return []
    return [text for part in value for text in explanations(part, depth + 1)]


def retry_after(headers: Mapping[str, str], body: bytes = b"") -> float | None:
    """Seconds until the provider takes requests again, if it says so. Names of headers are in lower case."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        if (seconds := number(headers.get(name, ""))) is not None:
            return seconds / unit
    now = headers.get("date", "")
    if (wait := until(http_date(headers.get("retry-after", "")), now)) is not None:
        return wait
    resets = [
        until(timestamp(reset), now) if "T" in reset else duration(reset)
        for remaining, reset in budgets(headers)
        if remaining.strip() == "0"
    ]
    return max((reset for reset in resets if reset is not None), default=retry_delay(body))


def budgets(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What remains of each budget and when it is whole again, in OpenAI's headers (6m0s) and Anthropic's (a time)."""
    for what in ("requests", "tokens", "input-tokens", "output-tokens"):
        yield headers.get(f"x-ratelimit-remaining-{what}", ""), headers.get(f"x-ratelimit-reset-{what}", "")
        name = f"anthropic-ratelimit-{what}"
        yield headers.get(f"{name}-remaining", ""), headers.get(f"{name}-reset", "")


RETRY_DELAY = re.compile(rb'"retryDelay"\s*:\s*"([0-9]{1,6}(?:\.[0-9]{1,9})?s)"')


def retry_delay(body: bytes) -> float | None:
    """Google's RetryInfo, which is in the body."""
    found = RETRY_DELAY.search(body[:MAX_READ])
    return duration(found[1].decode()) if found else None


def number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def until(then: datetime | None, now: str) -> float | None:
    """Seconds from `now`, an HTTP date: the answer's own stands for ours."""
    begun = http_date(now)
    if then is None or begun is None:
        return None
    try:
        return max(0.0, (then - begun).total_seconds())
    except TypeError:  # one of them without a time zone
        return None


def http_date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None


def timestamp(text: str) -> datetime | None:
    """Of a text as in RFC 3339."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


DURATION = re.compile(
    r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6}(?:\.\d{1,9})?)s)?(?:(\d{1,6}(?:\.\d{1,9})?)ms)?", re.ASCII
)


def duration(text: str) -> float | None:
    """Seconds of a text such as 6m0s or 88ms."""
    found = DURATION.fullmatch(text.strip())
    if not text.strip() or not found:
        return None
    return sum(float(part or 0) * unit for part, unit in zip(found.groups(), (86400, 3600, 60, 1, 0.001), strict=True))
