"""The lines round an error in pasted JSON, with everything hidden that could be a secret. Works on broken JSON too."""

import re
from collections.abc import Collection
from dataclasses import dataclass

DOTS = "••••"
WIDTH = 120
# Shown are the names of known fields, values that have the form of something public, and punctuation. All else is dots,
# so what stands in the wrong place stays hidden too. 31 is one less than the shortest key that providers make.
PUBLIC = {
    "model_slug": r"[a-z0-9._-]{1,31}/[a-z0-9._:-]{1,60}",
    "endpoint_url": r"(?:https?://)?[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})+(?:/[a-z0-9/._-]*)?",
    "model_id": r"[\w.-]{1,31}",
    "region": r"[\w-]{1,31}",
    "type": r"[a-z_]{1,31}",
    "project_id": r"[a-z0-9-]{1,31}",
    "client_email": r"[a-z0-9.-]{1,64}@[a-z0-9.-]{1,80}",
}
NAMES = [*PUBLIC, "api_key", "apiKey", "accessKeyId", "secretAccessKey", "sessionToken", "private_key", "private_key_id"]
PAIRS = "|".join(rf'"{name}"\s*:\s*"{form}"' for name, form in PUBLIC.items())
PARTS = re.compile(rf"""({PAIRS}|"(?:{"|".join(NAMES)})"|[\s\[\]{{}}:,]+)|("(?:[^"\\]|\\.)*"?)|[^\s\[\]{{}}:,"]+""", re.ASCII)


@dataclass(frozen=True, slots=True)
class Line:
    number: int
    text: str
    hit: bool


def around(text: str, hits: Collection[int]) -> list[Line]:
    """Each hit line with its neighbors, in order, every line once. Lines count from 1."""
    lines = text.split("\n")
    wanted = sorted({number for hit in hits for number in (hit - 1, hit, hit + 1) if 1 <= number <= len(lines)})
    return [Line(number, mask(lines[number - 1]), number in hits) for number in wanted]


def mask(line: str) -> str:
    return PARTS.sub(hide, line.rstrip())[:WIDTH]


def is_public(name: str, value: str) -> bool:
    """Whether the value of a field has the form of what may be shown."""
    return re.fullmatch(PUBLIC[name], value, re.ASCII) is not None


def hide(part: re.Match[str]) -> str:
    harmless, quoted = part.groups()
    return harmless or (f'"{DOTS}"' if quoted else DOTS)
