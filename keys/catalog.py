"""Which model of a key a program means, and what its provider calls it: by rules and by what tests discovered."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from keys.providers import PROVIDERS, Provider, Shape, Wire, azure, bedrock
from keys.providers.names import CLAUDE, DATED, MINOR, dashed, usual

BARE_AUTHOR = "openai"  # whose a model without an author is: programs write "gpt-4o"

BACK = {"perplexity": {"x-ai": "xai"}}  # how a host itself spells an author, where slugs have another name for it
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

    region: the key's, on AWS. overrides: native ids by slug, spelled as `Wanted.slug` is; they go before rules.
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
    return None if wanted.pinned else overrides.get(wanted.slug)


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


def match_bedrock(wanted: Wanted, discovered: Collection[str], region: str) -> Match | None:
    """Any author's model, under an id that depends on the region."""
    if discovered:
        native = bedrock.find(wanted.author, wanted.name, frozenset(discovered), region)
    else:
        native = bedrock.guess(wanted.author, wanted.name, region)
    return Match(native, certain=bool(discovered)) if native else None


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


@lru_cache(maxsize=4096)
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


def slugs(
    provider: Provider,
    *,
    discovered: Collection[str],
    deployments: Sequence[Mapping[str, str]],
    overrides: Mapping[str, str] = NOTHING,
) -> list[str]:
    """What a key serves, under names that `match` understands. Without a test that found something, what overrides name."""
    if provider.shape is Shape.AZURE:
        named = {azure.deployment_name(entry).lower() for entry in deployments}
        meant = [name for name, native in overrides.items() if native.lower() in named]
        return list(dict.fromkeys([entry["model_slug"] for entry in deployments] + meant))
    return sorted({slug(provider, native) for native in discovered} | set(overrides))


def slug(provider: Provider, native: str) -> str:
    name = None
    if provider.shape is Shape.BEDROCK:
        name = bedrock.slug(native)
    elif hosts(provider):
        name = spelled(native) if "/" in native else None
    elif provider.author and "/" not in native:
        name = own_slug(provider, native)
    return name or f"{provider.slug}:{native}"


def own_slug(provider: Provider, native: str) -> str:
    """Claude's releases are known by their names without a date."""
    name = native.lower()
    if provider.author != CLAUDE and not (CLAUDE in sells(provider) and name.startswith("claude-")):
        return f"{provider.author}/{name}"
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
