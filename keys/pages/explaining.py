"""A plan in words for people: what is tried, when, what is skipped and why, what comes last, and who decided what."""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from keys.models import ClientKey
from keys.preferences import ALL_MOVES, FIELDS, IN_REQUESTS, Move, Preferences, Settled, Source
from keys.providers import PROVIDERS, Provider
from keys.routes import Routes
from keys.routing import (
    FALLBACK,
    IN_ORDER,
    MOST_ATTEMPTS,
    PLATFORM,
    Asking,
    Candidate,
    LeftOut,
    Mark,
    Patience,
    Plan,
    ProviderPolicy,
    RouteKey,
    Why,
    placing,
    settle_provider,
)

SECONDS = re.compile(r"(?<=\b\d\d:\d\d):\d\d UTC\b")  # reasons name times to the second, for programs
BEYOND = f"beyond the {MOST_ATTEMPTS} keys that one request may try"
NOTHING_DECIDED = ProviderPolicy()
NOT_ASKED_FOR = frozenset({Why.MODEL, Why.OFF, Why.UNTESTED})  # such keys are not part of the story
ORGANIZATION_PAUSED = "The organization is paused"
CLIENT_KEY_PAUSED = "The client key is paused"
CLIENT_KEY_EXPIRED = "The client key has expired"
TAGS = {FALLBACK: "Fallback", PLATFORM: "Shared"}
FAILS = {Move.REFUSED: "refuses the key", Move.LIMITED: "limits it", Move.TROUBLE: "fails or times out"}
MOVES = {Move.LIMITED: "rate limit", Move.TROUBLE: "server error or timeout", Move.REFUSED: "refused credential"}
BY = {
    Source.REQUEST: "Request",
    Source.CLIENT_KEY: "Client key",
    Source.PROVIDER: "Organization, for the provider",
    Source.ORGANIZATION: "Organization",
    Source.DEFAULT: "Default",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One key. `note` says when it is tried, or why it is not. native_model: what the provider calls the model."""

    key: RouteKey
    note: str
    tried: bool
    native_model: str = ""

    @property
    def provider(self) -> Provider:
        return PROVIDERS[self.key.provider]

    @property
    def tag(self) -> str:
        return TAGS.get(self.key.tier, "")


@dataclass(frozen=True, slots=True)
class Setting:
    """`overruled`: what others said of it, who would have been heard next."""

    name: str
    value: str
    by: str
    overruled: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """`steps`: the walk. `rest`: keys that it does not come to. `end` and `end_note`: what happens when nothing answered."""

    steps: tuple[Step, ...]
    rest: tuple[Step, ...]
    end: str
    end_note: str
    settings: tuple[Setting, ...]


def stopped_by(key: ClientKey | None) -> str:
    """Why requests with a client key are refused before any plan is made. Where it may be used from, nobody asks here."""
    if key is None or not (key.is_expired or key.paused_at):
        return ""
    return CLIENT_KEY_EXPIRED if key.is_expired else CLIENT_KEY_PAUSED


def explain(routes: Routes, plan: Plan, asking: Asking, *, stopped: str = "") -> Explanation:
    """plan: of these routes, for whoever is asking. stopped: why nothing is tried at all, beside what the routes say."""
    stopped = ORGANIZATION_PAUSED if routes.policy.paused else stopped
    settings = settings_of(plan, routes, asking)
    if stopped:
        return Explanation((), (), "Return an error", stopped, settings)
    walk = in_place(routes, plan)
    notes = notes_of(plan)
    chain = [step_of(each, notes) for each in walk if isinstance(each, Candidate) or each.why not in NOT_ASKED_FOR]
    reached = reach(chain)
    beyond = [Step(step.key, f"Not tried, {BEYOND}", tried=False) if step.tried else step for step in chain[reached:]]
    others = [step_of(each, notes) for each in walk if isinstance(each, LeftOut) and each.why in NOT_ASKED_FOR]
    end = "Return the error" if plan.candidates else "Return an error"
    return Explanation(tuple(chain[:reached]), (*beyond, *others), end, end_note(routes, plan), settings)


def in_place(routes: Routes, plan: Plan) -> list[Candidate | LeftOut]:
    """Candidates in their order; each key that is left out where it would have come."""
    place = placing(routes.keys, routes.policy, plan.settings)

    def where(each: Candidate | LeftOut) -> Any:
        return place(Candidate(each.key, "", None)) if place else IN_ORDER(each.key)

    return sorted((*plan.candidates, *plan.left_out), key=where)


def reach(chain: Sequence[Step]) -> int:
    """How much of the chain one request can see."""
    places = [place for place, step in enumerate(chain) if step.tried]
    return places[MOST_ATTEMPTS - 1] + 1 if len(places) > MOST_ATTEMPTS else len(chain)


type Notes = Callable[[Candidate], str]


def step_of(each: Candidate | LeftOut, notes: Notes) -> Step:
    if isinstance(each, LeftOut):
        return Step(each.key, f"Skipped, {SECONDS.sub('', each.reason.removeprefix('is '))}", tried=False)
    return Step(each.key, notes(each), tried=True, native_model=each.native_model)


def notes_of(plan: Plan) -> Notes:
    """When each candidate is tried."""
    before = dict(zip((each.key.id for each in plan.candidates[1:]), plan.candidates, strict=False))
    own = [each.key.id for each in plan.candidates if each.key.tier != PLATFORM]

    def note(each: Candidate) -> str:
        if each.mark is Mark.LAST_RESORT:
            return "Tried although it is out, as no other key is left"
        said = "Tried first" if each.key.id not in before else after(before[each.key.id], each, plan, own[-1:] == [each.key.id])
        return f"{said}, to see whether it works again" if each.mark is Mark.PROBE else said

    return note


def after(one: Candidate, following: Candidate, plan: Plan, last: bool) -> str:
    """On which failures of one candidate the following one is tried. last: of the organization's own."""
    moves = plan.patience.get(one.key.provider, Patience()).move_on
    who = f"“{one.key.name}”" if one.key.provider == following.key.provider else PROVIDERS[one.key.provider].label
    if moves == ALL_MOVES:
        return "Last of your keys" if last else f"If {who} refuses or times out"
    failures = [FAILS[move] for move in FAILS if move in moves]
    only = f"nly if {who} {' or '.join(failures) or 'does not have the model'}"
    return f"Last of your keys, o{only}" if last else f"O{only}"


def end_note(routes: Routes, plan: Plan) -> str:
    if not plan.candidates:
        return f"No key may serve this. {about_shared(routes, plan)}"
    return about_shared(routes, plan)


def about_shared(routes: Routes, plan: Plan) -> str:
    if routes.policy.own_keys_only:
        return "Shared keys are off"
    if plan.closed_by:
        return f"Shared keys are not used: {plan.closed_by.removesuffix('.')}"
    if any(each.key.tier == PLATFORM for each in plan.candidates):
        return "Nothing comes after your keys and the shared ones"
    return "No shared key may serve it"


type Said = tuple[tuple[Source, Preferences], ...]


def settings_of(plan: Plan, routes: Routes, asking: Asking) -> tuple[Setting, ...]:
    said = (
        (Source.REQUEST, asking.of_request),
        (Source.CLIENT_KEY, asking.of_client_key),
        (Source.ORGANIZATION, routes.policy.preferences),
    )
    common = [setting(name, plan.settings, said) for name in IN_REQUESTS]
    return (*common, *patience("timeout_seconds", plan, routes, said), *patience("move_on", plan, routes, said))


def patience(name: str, plan: Plan, routes: Routes, said: Said) -> Iterable[Setting]:
    """One line for all providers that may be tried, or one for each where they differ."""
    lines = {slug: of_provider(name, slug, routes, said) for slug in sorted(plan.patience)}
    if len(set(lines.values())) < 2:
        return [next(iter(lines.values()), setting(name, plan.settings, said))]
    return [replace(line, name=f"{line.name}, {PROVIDERS[slug].label}") for slug, line in lines.items()]


def of_provider(name: str, slug: str, routes: Routes, said: Said) -> Setting:
    decided = routes.policy.providers.get(slug, NOTHING_DECIDED).preferences
    settled = settle_provider(slug, said, routes.policy)
    return setting(name, settled, (*said[:-1], (Source.PROVIDER, decided), said[-1]))


def setting(name: str, settled: Settled, said: Said) -> Setting:
    label, words = WORDS[name]
    value, source = settled[name]
    heard = [(by, wish) for by, preferences in said if (wish := getattr(preferences, name)) is not None]
    return Setting(label, words(value), BY[source], tuple((BY[by], words(wish)) for by, wish in heard if by is not source))


def wishes_of(preferences: Preferences) -> list[tuple[str, str]]:
    """What is said, by the names of settings; what is not said is left out."""
    said = ((name, getattr(preferences, name)) for name in FIELDS)
    return [(WORDS[name][0], WORDS[name][1](wish)) for name, wish in said if wish is not None]


def labels(nothing: str) -> Callable[[Any], str]:
    return lambda slugs: ", ".join(PROVIDERS[slug].label for slug in slugs or ()) or nothing


def moves(chosen: Collection[Move]) -> str:
    words = [MOVES[move] for move in MOVES if move in chosen]
    return ", ".join(words).capitalize() or "Nothing"


def seconds(count: int | None) -> str:
    return "The gateway’s own" if count is None else f"{count} second{'' if count == 1 else 's'}"


WORDS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "order": ("Order", labels("As your keys are ordered")),
    "only": ("Only", labels("All providers")),
    "ignore": ("Never", labels("None")),
    "allow_fallbacks": ("Other providers as fallback", lambda allowed: "Allowed" if allowed else "Not allowed"),
    "timeout_seconds": ("Timeout", seconds),
    "move_on": ("Next key after", moves),
}
