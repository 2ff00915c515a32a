"""The lines round an error in pasted JSON, with everything hidden that could be a secret. Works on broken JSON too."""

import re
from collections.abc import Collection
from dataclasses import dataclass

DOTS = "••••"
WIDTH = 120
# Shown are these names, the values of the open ones, and punctuation. All else is dots, so an unknown field stays hidden.
OPEN = "model_slug|endpoint_url|model_id|region|type|project_id|client_email"
CLOSED = "api_key|accessKeyId|secretAccessKey|sessionToken|private_key|private_key_id"
PARTS = re.compile(
    rf'("(?:{OPEN})"\s*:\s*"[^"\\\s]*"|"(?:{OPEN}|{CLOSED})"|[\s\[\]{{}}:,]+)|("(?:[^"\\]|\\.)*"?)|[^\s\[\]{{}}:,"]+'
)


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


def hide(part: re.Match[str]) -> str:
    harmless, quoted = part.groups()
    return harmless or (f'"{DOTS}"' if quoted else DOTS)
