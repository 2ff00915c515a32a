"""Which model of a key a program means, and what its provider calls it: by rules and by what tests discovered."""

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from keys.providers import PROVIDERS, Provider, Shape, azure

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
HOSTS = frozenset({"groq", "deepinfra", "baseten", "perplexity"})  # They serve models of many authors.
DATED = re.compile(r"(.+)[-@](?:20[0-9]{2}-[0-9]{2}-[0-9]{2}|20[0-9]{6}|[0-9]{4})")

MAX_MODEL = 400  # characters that are looked at; no provider's id is longer
MAX_COMPARED = 100  # names; each costs about 20 µs


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
    return Wanted(pinned, text, AUTHORS.get(author, author), name)


def match(
    provider: Provider, model: str, *, discovered: Collection[str], deployments: Sequence[Mapping[str, str]]
) -> Match | None:
    """How a key serves a model, or None when it does not."""
    wanted = read(model[:MAX_MODEL])
    if wanted.pinned is None or wanted.pinned == provider.slug:
        return serve(provider, wanted, discovered, deployments)
    return None


def serve(
    provider: Provider, wanted: Wanted, discovered: Collection[str], deployments: Sequence[Mapping[str, str]]
) -> Match | None:
    """As `match`, for a model that names this provider or none."""
    if provider.shape is Shape.AZURE:
        return match_deployment(wanted, deployments)
    if wanted.pinned:
        return Match(wanted.text, certain=wanted.text in discovered)
    if provider.slug in HOSTS:
        return match_host(wanted, discovered)
    return match_author(provider, wanted, discovered)


def match_deployment(wanted: Wanted, deployments: Sequence[Mapping[str, str]]) -> Match | None:
    """By an entry's slug; a pinned name is the name of a deployment."""
    for index, entry in enumerate(deployments):
        name = azure.deployment_name(entry)
        if name.lower() == wanted.text.lower() if wanted.pinned else read(entry["model_slug"]).slug == wanted.slug:
            return Match(name, index)
    return None


def match_host(wanted: Wanted, discovered: Collection[str]) -> Match | None:
    """Another author's model, by slug or, for ids without an author, by name."""
    if not discovered:
        return Match(wanted.text if "/" in wanted.text else wanted.slug, certain=False)
    known = index(frozenset(discovered))
    native = known.get(wanted.slug) or known.get(wanted.name)
    return Match(native) if native else None


def match_author(provider: Provider, wanted: Wanted, discovered: Collection[str]) -> Match | None:
    """The author's own models, under their bare names."""
    if provider.author is None or wanted.author != provider.author:
        return None
    name = wanted.name.replace(".", "-") if provider.author == "anthropic" else wanted.name
    if not discovered:
        return Match(name, certain=False)
    native = index(frozenset(discovered)).get(name)
    return Match(native) if native else None


@lru_cache(maxsize=512)
def index(discovered: frozenset[str]) -> Mapping[str, str]:
    """Ids by the slug or bare name that means them. A dated release also answers to its name without the date."""
    known: dict[str, str] = {}
    for native in sorted(discovered):
        known[spelled(native)] = native
    for native in sorted(discovered):
        if dated := DATED.fullmatch(native):
            known.setdefault(spelled(dated[1]), dated[1])
    return known


def spelled(native: str) -> str:
    """A provider's id as slugs spell it: lower case, and the author's usual name."""
    author, slash, name = native.lower().partition("/")
    return f"{AUTHORS.get(author, author)}/{name}" if slash else author


def slugs(provider: Provider, *, discovered: Collection[str], deployments: Sequence[Mapping[str, str]]) -> list[str]:
    """What a key serves, under names that `match` understands. Nothing for a key whose test found nothing."""
    if provider.shape is Shape.AZURE:
        return [entry["model_slug"] for entry in deployments]
    return sorted({slug(provider, native) for native in discovered})


def slug(provider: Provider, native: str) -> str:
    if provider.slug in HOSTS and "/" in native:
        return spelled(native)
    if provider.slug not in HOSTS and provider.author and "/" not in native:
        return f"{provider.author}/{native.lower()}"
    return f"{provider.slug}:{native}"


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
