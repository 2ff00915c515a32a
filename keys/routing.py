"""Which of an organization's keys may serve a request, in which order, and why the others may not. Pure and total."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from keys import catalog
from keys.providers import PROVIDERS
from keys.providers.paths import wire_of

PRIORITIZED = "prioritized"

# Why a key is left out; its name is the subject.
OFF = "is off"
WAITS = "waits for a test"
NOT_ASKED = "is not of the provider that the request names"
OTHER_MODELS = "does not serve this model"
UNKNOWN_PROVIDER = "is of a provider that is not served any more"


@dataclass(frozen=True, slots=True)
class RouteKey:
    """What routing knows of a provider key. `tested` False: it waits for a test.

    region: on AWS. overrides: native ids by slug, which go before the catalog's rules.
    """

    id: UUID
    provider: str
    name: str
    priority: int
    tier: str
    enabled: bool
    tested: bool
    discovered: frozenset[str]
    deployments: tuple[Mapping[str, str], ...]
    region: str = ""
    overrides: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidate:
    """May be tried. `certain` as in catalog.Match: if not, "unknown model" is no answer yet."""

    key: RouteKey
    native_model: str
    deployment: int | None
    certain: bool = True


@dataclass(frozen=True, slots=True)
class LeftOut:
    key: RouteKey
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    candidates: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...]


def plan(keys: Sequence[RouteKey], model: str, *, operation: str = "chat") -> Plan:
    """Prioritized keys by priority, then fallback keys by priority. Keys may come in any order.

    operation: a name of keys/providers/paths.py. A key whose provider does not offer it for the model is left out.
    """
    wanted = catalog.read(model[: catalog.MAX_MODEL])
    candidates: list[Candidate] = []
    left_out: list[LeftOut] = []
    for key in sorted(keys, key=place):
        outcome = judge(key, wanted, operation)
        if isinstance(outcome, str):
            left_out.append(LeftOut(key, outcome))
        else:
            candidates.append(Candidate(key, outcome.native_model, outcome.deployment, outcome.certain))
    return Plan(tuple(candidates), tuple(left_out))


def place(key: RouteKey) -> tuple[bool, int, UUID]:
    return key.tier != PRIORITIZED, key.priority, key.id


def judge(key: RouteKey, wanted: catalog.Wanted, operation: str) -> catalog.Match | str:
    """How a key serves a model, or why it does not."""
    if not key.enabled:
        return OFF
    if not key.tested:
        return WAITS
    if wanted.pinned is not None and wanted.pinned != key.provider:
        return NOT_ASKED
    provider = PROVIDERS.get(key.provider)
    if provider is None:
        return UNKNOWN_PROVIDER
    match = catalog.serve(provider, wanted, key.discovered, key.deployments, key.region, key.overrides)
    if match is None:
        return OTHER_MODELS
    try:
        wire_of(provider, operation, match.native_model)
    except LookupError as error:
        return str(error)
    return match
