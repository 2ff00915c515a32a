"""What audit events say, in words. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SECRET = {"hint", "rolled_hint", "fingerprint"}  # for those who may see the hints of keys
ALWAYS = {"provider", "period"}  # said also where it stays the same, since it tells what the rest is about
MONEY = "_microusd"
LONGEST = 400
OPENED = "opened"  # told every hour, so they are shown only to who asks for them
TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d):\d\d\+00:00")

# Where the filter of the page leads, and with what its tags begin. The first that fits counts.
KINDS = {
    "provider-keys": ("Provider keys", ("provider_key:",)),
    "client-keys": ("Client keys", ("client_key:", "management_key:")),
    "routing": (
        "Routing",
        ("routing:", "provider_routing:", "provider:", "model_override:", "organization:pause", "organization:resume"),
    ),
    "costs": (
        "Limits and prices",
        ("organization:set_", "organization:remove_", "member:set_", "member:remove_", "model_price:"),
    ),
    "people": ("People", ("member:", "invitation:", "account:", "identity_provider:", "organization:second_factor")),
    "support": ("Support", ("support:", "admin:")),
    OPENED: ("Openings of secrets", ("credential:",)),
    "settings": ("Settings", ("organization:", "webhook:", "audit:", "costs:", "usage:", "data_key:")),
}
THINGS = {
    "client_key": "client key",
    "management_key": "management key",
    "model_price": "the price of",
    "provider_key": "provider key",
    "webhook": "webhook",
}
ACTS = {
    "add": "added",
    "change": "changed",
    "disable": "turned off",
    "enable": "turned on",
    "issue": "created",
    "off": "turned off",
    "on": "turned on",
    "pause": "paused",
    "remove": "deleted",
    "rename": "renamed",
    "replay": "sent an alert again to",
    "restrict": "changed the limits of",
    "resume": "resumed",
    "revoke": "revoked",
    "roll": "rolled",
    "set": "changed",
    "test": "tested",
}
# {} is what it was done to; without it the sentence is complete.
SENTENCES = {
    "account:email": "changed their e-mail address",
    "account:end_session": "signed out one of their browsers",
    "account:name": "changed their name",
    "account:password": "changed their password",
    "account:second_factor": "changed their second factor",
    "account:sign_out": "ended their other sessions",
    "audit:export": "exported the audit log",
    "costs:export": "exported costs",
    "usage:export": "exported usage",
    "credential:open": "opened secrets of the organization",
    "client_key:end_roll": "stopped the old text of client key {}",
    "client_key:give_up": "gave up the text of client key {}",
    "client_key:hand_over": "handed over client key {}",
    "client_key:preferences": "changed the preferences of client key {}",
    "data_key:add": "gave the organization a new data key",
    "data_key:give_up": "gave up secrets whose key is lost",
    "identity_provider:enforce": "changed who signs in by single sign-on",
    "identity_provider:remove": "removed single sign-on",
    "identity_provider:set": "set up single sign-on",
    "identity_provider:verify": "verified the domain of single sign-on",
    "identity_provider:vouch": "let {} in",
    "invitation:resend": "sent the invitation of {} again",
    "invitation:send": "invited {}",
    "invitation:withdraw": "withdrew the invitation of {}",
    "member:change": "changed the account of {}",
    "member:end_sessions": "ended the sessions of {}",
    "member:join": "joined",
    "member:leave": "left",
    "member:remove": "removed {}",
    "member:role": "changed the role of {}",
    "member:second_factor": "removed the second factor of {}",
    "member:set_limit": "set a rate limit for {}",
    "member:remove_limit": "removed the rate limit of {}",
    "member:set_budget": "set a budget for {}",
    "member:remove_budget": "removed a budget of {}",
    "organization:create": "created the organization",
    "organization:delete": "asked to delete the organization",
    "organization:keep": "called off the deletion of the organization",
    "organization:pause": "paused all requests",
    "organization:platform": "changed whether the keys are lent",
    "organization:resume": "resumed requests",
    "organization:second_factor": "changed who needs a second factor",
    "organization:set": "changed the settings",
    "organization:set_limit": "set a rate limit for the organization",
    "organization:remove_limit": "removed the rate limit of the organization",
    "organization:set_budget": "set a budget for the organization",
    "organization:remove_budget": "removed a budget of the organization",
    "provider_key:always": "changed whether {} rules out shared keys",
    "provider_key:destroy_retired": "destroyed the replaced credential of {}",
    "provider_key:failing": "took out {}, which is failing",
    "provider_key:recovered": "brought back {}, which works again",
    "provider_key:replace": "replaced the credential of {}",
    "provider_key:restore": "restored the credential of {}",
    "provider_key:set_budget": "set a budget for {}",
    "provider_key:set_invoice": "entered an invoice of {}",
    "provider_key:set_limit": "set a rate limit for {}",
    "provider_key:set_price": "set a negotiated price of {}",
    "provider_key:remove_budget": "removed a budget of {}",
    "provider_key:remove_invoice": "deleted an invoice of {}",
    "provider_key:remove_limit": "removed the rate limit of {}",
    "provider_key:remove_price": "removed a negotiated price of {}",
    "client_key:set_budget": "set a budget for client key {}",
    "client_key:set_limit": "set a rate limit for client key {}",
    "client_key:remove_budget": "removed a budget of client key {}",
    "client_key:remove_limit": "removed the rate limit of client key {}",
    "model_override:set": "changed names of models at a provider",
    "provider:pause": "paused a provider",
    "provider:resume": "resumed a provider",
    "provider_routing:set": "changed the preferences of a provider",
    "routing:reorder": "changed the order of keys",
    "routing:set": "changed the routing",
    "support:diagnostics": "downloaded diagnostics for support",
    "support:end_grant": "ended support access",
    "support:end_visit": "left the organization in the staff console",
    "support:grant": "allowed support access",
    "support:visit": "opened the organization in the staff console",
    "webhook:test": "sent a test to webhook {}",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One thing before and after, in words; empty where there was nothing."""

    name: str
    before: str
    after: str


def sentence(tag: str) -> tuple[str, bool, str]:
    """What stands between who and what, whether what it was done to is named, and what stands behind it."""
    thing, _, act = tag.partition(":")
    spoken = f"{ACTS.get(act, act.replace('_', ' '))} {THINGS.get(thing, thing.replace('_', ' '))} {{}}"
    start, named, end = SENTENCES.get(tag, spoken).partition("{}")
    return start.strip(), bool(named), end


def changes(said: Mapping[str, Any], *, secrets: bool) -> Iterator[Change]:
    """What differs. secrets: whether hints and fingerprints are among it."""
    paired = bool(said) and said.keys() <= {"before", "after"}
    before, after = (said.get("before") or {}, said.get("after") or {}) if paired else ({}, said)
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name), after.get(name)
        if name in SECRET and not secrets:
            continue
        if old != new and not (is_nothing(old) and is_nothing(new)):
            yield Change(spoken(name), shown(name, old, name in before), shown(name, new, name in after))
        elif name in ALWAYS:
            yield Change(spoken(name), "", shown(name, new, there=True))


def is_nothing(value: Any) -> bool:
    return value is None or value in ("", [], {})


def spoken(name: str) -> str:
    return name.removesuffix(MONEY).replace("_", " ")


def without_secrets(said: Mapping[str, Any]) -> dict[str, Any]:
    """As it is kept, but for hints and fingerprints."""
    kept = {name: value for name, value in said.items() if name not in SECRET}
    return {name: without_secrets(value) if isinstance(value, dict) else value for name, value in kept.items()}


def shown(name: str, value: Any, there: bool) -> str:
    if not there:
        return ""
    if name == "fingerprint" and value:
        return f"fingerprint {str(value)[:4]} {str(value)[4:8]}"
    if name.endswith(MONEY) and isinstance(value, int):
        return f"${value / 1_000_000:,.6f}".rstrip("0").rstrip(".")
    return words(value)[:LONGEST]


def words(value: Any) -> str:
    match value:
        case _ if is_nothing(value):
            return "nothing"
        case bool():
            return "yes" if value else "no"
        case dict():
            return ", ".join(f"{key}: {words(each)}" for key, each in value.items())
        case list():
            return ", ".join(map(words, value))
        case str() if time := TIME.fullmatch(value):
            return f"{time[1]} {time[2]} UTC"
    return str(value)
