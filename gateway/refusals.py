"""What a program is told when no key answered: what happened, on which key, with which status, and what to do next."""

from collections.abc import Sequence
from typing import NamedTuple

from gateway.attempts import Attempt
from gateway.errors import Refusal
from gateway.listing import reachable
from gateway.snapshot import Caller
from gateway.upstream import Failure
from keys import catalog
from keys.providers import PROVIDERS, Provider
from keys.providers.errors import ErrorClass
from keys.routing import LeftOut, Plan, RouteKey, Why

MOST_NAMED = 5


class Told(NamedTuple):
    status: int
    code: str
    advice: str


AN_OWNER = "An owner of the organization must"
TRY_AGAIN = "Try again; if it goes on, look at the provider's status page."
TOLD = {
    ErrorClass.REFUSED: Told(502, "provider_key_refused", f"{AN_OWNER} replace or test the key."),
    ErrorClass.OUT_OF_MONEY: Told(402, "provider_key_out_of_money", f"{AN_OWNER} add credit at the provider."),
    ErrorClass.LIMITED: Told(429, "provider_key_limited", "Wait a little and try again, or add a key of another account."),
    ErrorClass.NO_PERMISSION: Told(502, "provider_key_no_permission", f"{AN_OWNER} give the key permission at the provider."),
    ErrorClass.MISCONFIGURED: Told(502, "provider_key_misconfigured", f"{AN_OWNER} correct the key's entry."),
    ErrorClass.TROUBLE: Told(502, "provider_trouble", TRY_AGAIN),
}
TIMEOUT = Told(504, "provider_timeout", TRY_AGAIN)
UNKNOWN_MODEL = Told(404, "model_not_found", "GET /v1/models lists the names that can be reached.")
NO_RETRY = {"x-should-retry": "false"}
CLOSED = {
    Why.HEALTH: Told(503, "no_working_key", f"{AN_OWNER} replace or test the key."),
    Why.PAUSED: Told(403, "provider_paused", f"{AN_OWNER} resume the provider."),
    Why.POLICY: Told(403, "own_keys_off", f"{AN_OWNER} switch the use of own keys on, on the routing page."),
    Why.NOT_ALLOWED: Told(403, "model_not_allowed", f"{AN_OWNER} let the client key ask for it, or use another client key."),
    Why.RESTRICTED: Told(403, "key_restricted", f"{AN_OWNER} widen the key's limits."),
    Why.PREFERENCE: Told(404, "no_allowed_provider", "Change the preferences that leave these providers out."),
}
"""Why keys that have the model are not used: what is told, the most telling reason first."""
MAY_PASS = frozenset({ErrorClass.LIMITED, ErrorClass.TROUBLE})


def refusal_of(failed: Sequence[Attempt]) -> Refusal:
    """The last failure decides; if the request was at fault, it is told in the provider's words."""
    last = deciding(failed)
    assert last.failure is not None
    if last.failure.passed:
        return last.failure.passed
    if last.failure.error_class is ErrorClass.CLIENT:
        return refused_request(last, last.failure)
    told = TIMEOUT if last.failure.timed_out else UNKNOWN_MODEL if last.failure.unknown_model else TOLD[last.failure.error_class]
    happened = " ".join(f"{title(attempt.candidate.key)} {attempt.failure}." for attempt in failed)
    message = f"{happened} {told.advice}"
    return Refusal(told.status, told.code, message, kind="provider_error", headers=headers_of(last.failure))


def deciding(failed: Sequence[Attempt]) -> Attempt:
    """The last one, unless it does not have what a key may have that could not answer just now."""
    last = failed[-1]
    if last.failure is None or not last.failure.elsewhere:
        return last
    waits = (attempt for attempt in reversed(failed) if attempt.failure and attempt.failure.error_class in MAY_PASS)
    return next(waits, last)


def refused_request(attempt: Attempt, failure: Failure) -> Refusal:
    told = failure.told
    return Refusal(
        failure.status or 400,
        told.code or "invalid_request",
        told.message or f"{title(attempt.candidate.key)} {failure.reason}.",
        kind=told.type or "",
        param=told.param,
        headers=failure.headers,
    )


def headers_of(failure: Failure) -> dict[str, str]:
    """When to come back, if the provider says so, and whether at all: OpenAI's clients obey x-should-retry."""
    if failure.error_class in MAY_PASS:
        return failure.headers
    kept = {name: value for name, value in failure.headers.items() if not name.startswith("retry-after")}
    return {**kept, "x-should-retry": "false"}


def no_candidate(model: str, caller: Caller, plan: Plan, *, lent: bool) -> Refusal:
    """Says for each key why it cannot serve the model. lent: the operator's shared keys could, if the policy let them."""
    if not plan.left_out and not lent:
        message = "This organization has no provider key yet. An owner adds one in the dashboard, under Provider keys."
        return Refusal(404, "no_provider_key", message, param="model")
    reasons = " ".join(f"{title(left.key)} {left.reason}." for left in worth_telling(plan))
    if lent:
        code, message = "own_keys_only", f"No key of this organization can serve the model {model} now. {plan.closed_by}"
        return Refusal(403, code, f"{message} {reasons}".strip(), headers=NO_RETRY)
    for why in CLOSED:
        if any(left.why is why for left in plan.left_out):
            told = CLOSED[why]
            return Refusal(
                told.status, told.code, f"No key may serve the model {model}. {reasons} {told.advice}", headers=NO_RETRY
            )
    near = catalog.nearest(model, list(reachable(caller.tenant, caller.asking)))
    names = f" Did you mean {', '.join(near)}?" if near else ""
    return Refusal(404, "model_not_found", f"No key can serve the model {model}.{names} {reasons}", param="model")


def no_native_key(provider: Provider, plan: Plan) -> Refusal:
    found = [left for left in plan.left_out if left.key.provider == provider.slug]
    reasons = "".join(f" {title(left.key)} {left.reason}." for left in found[:MOST_NAMED])
    told = next((CLOSED[why] for why in CLOSED if any(left.why is why for left in found)), None)
    message = f"This organization has no key of {provider.label} that can be used.{reasons}"
    if told:
        return Refusal(told.status, told.code, f"{message} {told.advice}", headers=NO_RETRY)
    return Refusal(404, "no_provider_key", f"{message} An owner adds one in the dashboard.")


def worth_telling(plan: Plan) -> Sequence[LeftOut]:
    """What keeps a key from a model that it has goes before what keys simply lack."""
    return sorted(plan.left_out, key=lambda left: left.why is Why.MODEL)[:MOST_NAMED]


def title(key: RouteKey) -> str:
    return f"{PROVIDERS[key.provider].label} key “{key.name}”"
