"""What a person or an organization may be called, so that no name can pass for another or bend the page it stands on."""

import re
import unicodedata
from collections.abc import Iterator

from django.utils.text import slugify

TOGETHER = (
    {"LATIN", "CJK", "HIRAGANA", "KATAKANA"},
    {"LATIN", "CJK", "HANGUL"},
    {"LATIN", "CJK", "BOPOMOFO"},
)  # scripts that are written together; all others stand alone


def clean(text: str) -> str:
    """The name in one spelling (NFKC, single spaces). ValueError says what is wrong with it."""
    name = " ".join(unicodedata.normalize("NFKC", text).split())
    if any(unicodedata.category(letter).startswith("C") for letter in name):
        raise ValueError("Remove the invisible characters from this name.")
    if len(scripts(name)) > 1 and not any(scripts(name) <= allowed for allowed in TOGETHER):
        raise ValueError("Use the letters of one alphabet in this name.")
    return name


def scripts(name: str) -> set[str]:
    """The alphabets of the letters, told from the names that Unicode gives them."""
    letters = (letter for letter in name if unicodedata.category(letter).startswith("L"))
    return {re.split("[ -]", unicodedata.name(letter))[0] for letter in letters}


def slugs(name: str) -> Iterator[str]:
    """Addresses to try for an organization of that name, the best first."""
    base = slugify(name)[:36].strip("-") or "organization"
    yield base
    for number in range(2, 1000):
        yield f"{base}-{number}"
