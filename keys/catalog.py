"""Which model of a key a program means, and what its provider calls it: by rules and by what tests discovered."""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from keys.providers import PROVIDERS, Provider, Shape, Wire, azure
from keys.providers.regions import EVERYWHERE, geographies

BARE_AUTHOR = "openai"  # whose a model without an author is: programs write "gpt-4o"

# Hosts name models as on Hugging Face. Authors whose slug is another one:
AUTHORS = {
    "alibaba": "qwen",
    "coherelabs": "cohere",
    "deepseek-ai": "deepseek",
    "meta": "meta-llama",
    "minimaxai": "minimax",
    "mistral": "mistralai",
    "moonshot": "moonshotai",
    "thudm": "z-ai",
    "xai": "x-ai",
    "zai": "z-ai",
    "zai-org": "z-ai",
}
BACK = {"perplexity": {"x-ai": "xai"}}  # how a host itself spells an author, where slugs have another name for it
CLAUDE = "anthropic"
MINOR = re.compile(r"(?<=[0-9])-(?=[0-9]{1,2}(?![0-9]))")  # between the numbers of a version: 4-5, but not 4-20250514
DATED = re.compile(r"(.+)[-@](?:20[0-9]{2}-[0-9]{2}-[0-9]{2}|20[0-9]{6}|[0-9]{4})")

MAX_MODEL = 400  # characters that are looked at; no provider's id is longer
MAX_COMPARED = 100  # names; each costs about 20 µs
NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Match:
    """The provider's own name, and for Azure which entry. `certain`: a test or the owner said that the key serves it."""

    native_model: str
    deployment: int | None = None
    certain: bool = True


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model as a program wrote it, taken apart; `author` and `name` are in lower case, and the author as in slugs."""

    pinned: str | None
    text: str
    author: str
    name: str

    @property
    def slug(self) -> str:
        return f"{self.author}/{self.name}"


@lru_cache(maxsize=4096)
def read(model: str) -> Wanted:
    """provider:model-id where a provider of ours stands before the colon; else author/model or a bare name."""
    before, _, after = model.partition(":")
    pinned, text = (before, after) if after and before in PROVIDERS else (None, model)
    author, slash, name = text.lower().partition("/")
    if not slash:
        author, name = BARE_AUTHOR, author
    return Wanted(pinned, text, *usual(author, name))


def usual(author: str, name: str) -> tuple[str, str]:
    """Author and name, both in lower case, as slugs spell them."""
    author = AUTHORS.get(author, author)
    return author, MINOR.sub(".", name) if author == CLAUDE else name


def match(
    provider: Provider,
    model: str,
    *,
    discovered: Collection[str],
    deployments: Sequence[Mapping[str, str]],
    region: str = "",
    overrides: Mapping[str, str] = NOTHING,
) -> Match | None:
    """How a key serves a model, or None when it does not.

    region: the key's, on AWS. overrides: native ids by slug, of the organization over the operator's; they go before rules.
    """
    wanted = read(model[:MAX_MODEL])
    if wanted.pinned is None or wanted.pinned == provider.slug:
        return serve(provider, wanted, discovered, deployments, region, overrides)
    return None


def serve(
    provider: Provider,
    wanted: Wanted,
    discovered: Collection[str],
    deployments: Sequence[Mapping[str, str]],
    region: str = "",
    overrides: Mapping[str, str] = NOTHING,
) -> Match | None:
    """As `match`, for a model that names this provider or none."""
    if provider.shape is Shape.AZURE:
        return match_deployment(wanted, deployments, overridden(wanted, overrides))
    if wanted.pinned:
        return Match(wanted.text, certain=wanted.text in discovered)
    if native := overridden(wanted, overrides):
        return Match(native)
    if provider.shape is Shape.BEDROCK:
        return match_bedrock(wanted, discovered, region)
    if hosts(provider):
        return match_host(provider, wanted, discovered)
    return match_author(provider, wanted, discovered)


def overridden(wanted: Wanted, overrides: Mapping[str, str]) -> str | None:
    """The native id that somebody wrote down for this slug. A pinned name is native already."""
    if not overrides or wanted.pinned:
        return None
    return next((native for slug, native in overrides.items() if read(slug).slug == wanted.slug), None)


def hosts(provider: Provider) -> bool:
    """Whether a provider serves models of many authors under author/model."""
    return provider.author is None and provider.wire in (Wire.OPENAI, Wire.RESPONSES)


def match_deployment(wanted: Wanted, deployments: Sequence[Mapping[str, str]], meant: str | None) -> Match | None:
    """By an entry's slug; a pinned name is the name of a deployment, and so is what an override means."""
    named = wanted.text if wanted.pinned else meant
    for number, entry in enumerate(deployments):
        name = azure.deployment_name(entry)
        if name.lower() == named.lower() if named else read(entry["model_slug"]).slug == wanted.slug:
            return Match(name, number)
    return None


def match_host(provider: Provider, wanted: Wanted, discovered: Collection[str]) -> Match | None:
    """Another author's model, by slug or, for ids without an author, by name."""
    if not discovered:
        return Match(trusted(provider, wanted), certain=False)
    known = index(frozenset(discovered))
    native = known.get(wanted.slug) or known.get(wanted.name)
    return Match(native) if native else None


def trusted(provider: Provider, wanted: Wanted) -> str:
    """What a host is asked for that has not said what it serves."""
    if wanted.author == CLAUDE:
        return f"{CLAUDE}/{dashed(wanted.name)}"
    if author := BACK.get(provider.slug, {}).get(wanted.author):
        return f"{author}/{wanted.name}"
    return wanted.text if "/" in wanted.text else wanted.slug


def dashed(name: str) -> str:
    """Of a Claude model, as Anthropic writes its version."""
    return name.replace(".", "-")


def match_author(provider: Provider, wanted: Wanted, discovered: Collection[str]) -> Match | None:
    """The author's own models, under their bare names. Vertex AI sells Claude too, and never lists it."""
    if wanted.author not in sells(provider):
        return None
    if native := index(frozenset(discovered)).get(wanted.name):
        return Match(native)
    if discovered and wanted.author == provider.author:
        return None
    return Match(dashed(wanted.name) if wanted.author == CLAUDE else wanted.name, certain=False)


def sells(provider: Provider) -> tuple[str | None, ...]:
    return (provider.author, CLAUDE) if provider.shape is Shape.VERTEX else (provider.author,)


@lru_cache(maxsize=512)
def index(discovered: frozenset[str]) -> Mapping[str, str]:
    """Ids by the slug or bare name that means them. A dated release also answers to its name without the date."""
    known: dict[str, str] = {}
    for native in sorted(discovered):
        known[spelled(native)] = native
    for native in sorted(discovered):
        dated = DATED.fullmatch(native)
        for name in (native, dated[1]) if dated else (native,):
            known.setdefault(spelled(name), name)
            known.setdefault(MINOR.sub(".", spelled(name)), name)
    return known


def spelled(native: str) -> str:
    """A provider's id as slugs spell it: lower case, and the author's usual name."""
    author, slash, name = native.lower().partition("/")
    return "/".join(usual(author, name)) if slash else author


# Bedrock: (geography.)author.name(-date)(-version), such as us.anthropic.claude-sonnet-4-5-20250929-v1:0

BEDROCK_ID = re.compile(
    r"(?:(?P<geography>us-gov|us|eu|apac|jp|au|ca|global)\.)?(?P<author>[a-z0-9-]+)\.(?P<name>.+?)(?P<version>(?:-v?[0-9]+)?:[0-9]+|-v[0-9]+)?",
    re.DOTALL,
)
PUNCTUATION = re.compile(r"[^a-z0-9]+")
VERSION = re.compile(r"-v[0-9]+$")
LLAMA = re.compile(r"^llama([0-9])(?:-([0-9])(?=-))?")
BEDROCK_RULES = {
    "amazon": "{geography}.amazon.{name}:0",
    "anthropic": "{geography}.anthropic.{name}",
    "meta-llama": "{geography}.meta.{name}-v1:0",
    "openai": "openai.{name}-1:0",
}
"""Ids of the authors whose naming is regular, for a key that may not list models. A guess, and treated as one."""


def match_bedrock(wanted: Wanted, discovered: Collection[str], region: str) -> Match | None:
    """Among ids that differ by geography only, the key's own part of the world comes first, and everywhere last."""
    if not discovered:
        native = guessed(wanted, region)
        return Match(native, certain=False) if native else None
    known = profiles(frozenset(discovered), region)
    native = known.get(squeezed(wanted.author, wanted.name)) or known.get(squeezed(wanted.author, VERSION.sub("", wanted.name)))
    return Match(native) if native else None


def guessed(wanted: Wanted, region: str) -> str | None:
    rule = BEDROCK_RULES.get(wanted.author)
    if rule is None or (wanted.author == BARE_AUTHOR and not wanted.name.startswith("gpt-oss")):
        return None
    name = wanted.name.replace(".", "-").replace("llama-", "llama")
    return rule.format(geography=next(iter(geographies(region)), EVERYWHERE), name=name)


@lru_cache(maxsize=512)
def profiles(discovered: frozenset[str], region: str) -> Mapping[str, str]:
    """Bedrock's ids by everything that means them, squeezed. The newest release answers to the name without a date."""
    near = (*geographies(region), None)
    order = {geography: place for place, geography in enumerate(near)} | {EVERYWHERE: len(near) + 1}
    found = [(taken, native) for native in sorted(discovered, reverse=True) if (taken := BEDROCK_ID.fullmatch(native.lower()))]
    found.sort(key=lambda row: order.get(row[0]["geography"], len(near)))
    found.sort(key=lambda row: row[0]["name"] + (row[0]["version"] or ""), reverse=True)
    known: dict[str, str] = {}
    for taken, native in found:
        for name in bedrock_names(taken):
            known.setdefault(squeezed(AUTHORS.get(taken["author"], taken["author"]), name), native)
    return known


def bedrock_names(taken: re.Match[str]) -> Iterator[str]:
    """Name with version, name alone, name without its date."""
    version = (taken["version"] or "").partition(":")[0]
    yield taken["name"] + version
    yield taken["name"]
    if dated := DATED.fullmatch(taken["name"]):
        yield dated[1]


def squeezed(author: str, name: str) -> str:
    return f"{author}/{PUNCTUATION.sub('', name)}"


def bedrock_slug(native: str) -> str | None:
    taken = BEDROCK_ID.fullmatch(native.lower())
    if not taken:
        return None
    versioned, name, *undated = bedrock_names(taken)
    if taken["author"] == "amazon":  # whose slugs say the version
        name = versioned
    if taken["author"] == CLAUDE and undated:
        name = undated[0]
    name = LLAMA.sub(lambda found: f"llama-{found[1]}" + (f".{found[2]}" if found[2] else ""), name)
    return "/".join(usual(taken["author"], name))


# What a key serves


def slugs(
    provider: Provider,
    *,
    discovered: Collection[str],
    deployments: Sequence[Mapping[str, str]],
    overrides: Mapping[str, str] = NOTHING,
) -> list[str]:
    """What a key serves, under names that `match` understands. Without a test that found something, what overrides name."""
    if provider.shape is Shape.AZURE:
        return [entry["model_slug"] for entry in deployments]
    return sorted({slug(provider, native) for native in discovered} | {read(name).slug for name in overrides})


def slug(provider: Provider, native: str) -> str:
    name = None
    if provider.shape is Shape.BEDROCK:
        name = bedrock_slug(native)
    elif hosts(provider):
        name = spelled(native) if "/" in native else None
    elif provider.author and "/" not in native:
        name = own_slug(provider.author, native)
    return name or f"{provider.slug}:{native}"


def own_slug(author: str, native: str) -> str:
    """Claude's releases are known by their names without a date."""
    name = native.lower()
    if author != CLAUDE and not name.startswith("claude-"):
        return f"{author}/{name}"
    dated = DATED.fullmatch(name)
    return "/".join(usual(CLAUDE, dated[1] if dated else name))


def nearest(model: str, known: Collection[str]) -> list[str]:
    """At most three names close to one that nobody serves, the closest first."""
    wanted = read(model[:MAX_MODEL])
    text = f"{wanted.pinned}:{wanted.text}".lower() if wanted.pinned else wanted.slug
    spellings = {name.lower(): name for name in known}
    alike = sorted(spellings, key=lambda name: -shared_start(name, text) - shared_start(name[::-1], text[::-1]))
    return [spellings[near] for near in difflib.get_close_matches(text, alike[:MAX_COMPARED], n=3, cutoff=0.6)]


def shared_start(one: str, other: str) -> int:
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
