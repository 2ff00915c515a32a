"""What staff are shown of what an audit event holds: no address of an organization's own endpoints. Pure."""

import json
import re
from collections.abc import Mapping
from typing import Any

KEPT_BACK = "(not shown to support)"
PRIVATE = {"public", "endpoint_url", "url", "issuer", "client_id"}
ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)


def plain(value: Any) -> Any:
    """The same, with what names private places, and every web address, kept back."""
    if isinstance(value, Mapping):
        return {name: KEPT_BACK if name in PRIVATE and each else plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return ADDRESS.sub(KEPT_BACK, value) if isinstance(value, str) else value


def text(value: Any) -> str:
    return json.dumps(plain(value), indent=1, ensure_ascii=False, default=str)
