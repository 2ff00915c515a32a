"""Bedrock's ids of models, (geography.)author.name(-date)(-version): us.anthropic.claude-sonnet-4-5-20250929-v1:0."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from keys.providers.names import AUTHORS, CLAUDE, DATED, dashed, usual
from keys.providers.regions import EVERYWHERE, geographies

ID = re.compile(
    r"(?:(?P<geography>us-gov|us|eu|apac|jp|au|ca|global)\.)?(?P<author>[a-z0-9-]+)\.(?P<name>.+?)(?P<version>(?:-v?[0-9]+)?:[0-9]+|-v[0-9]+)?",
    re.DOTALL,
)
PUNCTUATION = re.compile(r"[^a-z0-9]+")
LLAMA = re.compile(r"^llama([0-9])(?:-([0-9])(?=-))?")
RULES = {
    "amazon": "{geography}.amazon.{name}:0",
    "anthropic": "{geography}.anthropic.{name}",
    "meta-llama": "{geography}.meta.{name}-v1:0",
    "openai": "openai.{name}-1:0",
}
"""Ids of the authors whose naming is regular, for a key that may not list models. A guess, and treated as one."""


def find(author: str, name: str, discovered: frozenset[str], region: str) -> str | None:
    """The id for a slug among those that a key found."""
    return index(discovered, region).get(squeezed(author, name))


def guess(author: str, name: str, region: str) -> str | None:
    """The id that a slug would have by the rules."""
    rule = RULES.get(author)
    if rule is None or (author == "openai" and not name.startswith("gpt-oss")):
        return None
    geography = next(iter(geographies(region)), EVERYWHERE)
    return rule.format(geography=geography, name=dashed(name).replace("llama-", "llama"))


@lru_cache(maxsize=512)
def index(discovered: frozenset[str], region: str) -> Mapping[str, str]:
    """Ids by everything that means them. The newest release answers to the name without a date.

    Of ids that differ by geography only, that of the region's own part of the world comes first, and everywhere last.
    """
    near = (*geographies(region), None)
    order = {geography: place for place, geography in enumerate(near)} | {EVERYWHERE: len(near) + 1}
    found = [(taken, native) for native in sorted(discovered, reverse=True) if (taken := ID.fullmatch(native.lower()))]
    found.sort(key=lambda row: order.get(row[0]["geography"], len(near)))
    found.sort(key=lambda row: row[0]["name"] + (row[0]["version"] or ""), reverse=True)
    known: dict[str, str] = {}
    for taken, native in found:
        for name in spellings(taken):
            known.setdefault(squeezed(AUTHORS.get(taken["author"], taken["author"]), name), native)
    return known


def spellings(taken: re.Match[str]) -> Iterator[str]:
    """Name with version, name alone, name without its date."""
    version = (taken["version"] or "").partition(":")[0]
    yield taken["name"] + version
    yield taken["name"]
    if dated := DATED.fullmatch(taken["name"]):
        yield dated[1]


def squeezed(author: str, name: str) -> str:
    """Without the punctuation, in which slugs and ids differ: llama-3.3 is llama3-3 here."""
    return f"{author}/{PUNCTUATION.sub('', name)}"


def slug(native: str) -> str | None:
    """None for an id of another form, such as that of an inference profile of one's own."""
    taken = ID.fullmatch(native.lower())
    if not taken:
        return None
    versioned, name, *undated = spellings(taken)
    if taken["author"] == "amazon":  # whose slugs say the version
        name = versioned
    if taken["author"] == CLAUDE and undated:
        name = undated[0]
    name = LLAMA.sub(lambda found: f"llama-{found[1]}" + (f".{found[2]}" if found[2] else ""), name)
    return "/".join(usual(taken["author"], name))
