"""What happened to a key, in a few words for each event of the audit. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

SENTENCES = {
    "provider_key:add": "Added",
    "provider_key:always": "Shared keys allowed again for its requests",
    "provider_key:destroy_retired": "Replaced credential destroyed",
    "provider_key:disable": "Turned off",
    "provider_key:enable": "Turned on",
    "provider_key:failing": "Failing, taken out",
    "provider_key:recovered": "Works again",
    "provider_key:remove_invoice": "Invoice deleted",
    "provider_key:remove_limit": "Rate limit removed",
    "provider_key:remove_price": "Negotiated price removed",
    "provider_key:replace": "Credential replaced",
    "provider_key:restore": "Credential restored",
    "provider_key:set_invoice": "Invoice entered",
    "provider_key:set_limit": "Rate limit set",
    "provider_key:set_price": "Negotiated price set",
}
MARKS = {"provider_key:failing": "failing", "provider_key:recovered": "healthy"}
TESTS = {
    "valid": ("healthy", "Test passed"),
    "limited": ("limited", "Test passed, limited by the provider"),
    "invalid": ("failing", "Test failed"),
    "unknown": ("", "Test could not tell"),
}
CAPS = {"day": "Daily", "week": "Weekly", "month": "Monthly", "lifetime": "Lifetime"}
LIMITS = {"models": "model", "members": "member", "client_keys": "client key"}


@dataclass(frozen=True, slots=True)
class Line:
    """`mark`: one of the states that the `status` tag draws, or nothing."""

    text: str
    mark: str
    who: str
    at: datetime


def line(tag: str, changes: Mapping[str, Any], who: str, at: datetime) -> Line:
    before, after = changes.get("before") or {}, changes.get("after") or {}
    mark, text = MARKS.get(tag, ""), SENTENCES.get(tag) or plain(tag)
    match tag:
        case "provider_key:test":
            mark, text = TESTS.get(str(after.get("verdict")), ("", "Tested"))
        case "provider_key:rename":
            text = f"Renamed from “{before.get('name', '')}” to “{after.get('name', '')}”"
        case "provider_key:restrict":
            text = f"Limits changed: {', '.join(limit(name, allowed) for name, allowed in after.items() if name in LIMITS)}"
        case "provider_key:set_budget" | "provider_key:remove_budget":
            text = budget(before, after)
        case "provider_key:always" if after.get("always"):
            text = "Shared keys ruled out for its requests"
    return Line(text, mark, who, at)


def limit(name: str, allowed: Any) -> str:
    """all models, 2 client keys."""
    one = LIMITS[name]
    return f"all {one}s" if allowed is None else f"{len(allowed)} {one}{'' if len(allowed) == 1 else 's'}"


def budget(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Monthly cap changed from $250 to $400."""
    said = after or before
    name = f"{CAPS.get(str(said.get('period')), '')} {'cap' if said.get('hard') else 'budget'}".strip().capitalize()
    if not after:
        return f"{name} removed"
    was, now = (dollars(each["amount_microusd"]) if "amount_microusd" in each else "" for each in (before, after))
    return f"{name} of {now} set" if not was else f"{name} changed" if was == now else f"{name} changed from {was} to {now}"


def dollars(microusd: int) -> str:
    return f"${microusd / 1_000_000:,.2f}".removesuffix(".00")


def plain(tag: str) -> str:
    """Of an event that nobody wrote a sentence for: provider_key:set_aside is “Set aside”."""
    return tag.partition(":")[2].replace("_", " ").capitalize()
