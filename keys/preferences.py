"""What may be wished of routing: by an organization, for a provider, for a client key, and in a request.

Each field is decided by the first that says anything of it: request, client key, organization. Preferences move traffic;
they never lift a pause, a restriction of a key or the policy "own keys only".
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from keys.providers import PROVIDERS
from keys.providers.errors import ErrorClass
from keys.providers.names import HOSTS

SHORTEST_SECONDS = 1
LONGEST_SECONDS = 600
IN_REQUESTS = ("order", "only", "ignore", "allow_fallbacks")


class Move(StrEnum):
    """Failures after which the next key is tried, as owners choose them."""

    LIMITED = "limited"
    TROUBLE = "trouble"
    REFUSED = "refused"


MOVES = {
    ErrorClass.LIMITED: Move.LIMITED,
    ErrorClass.TROUBLE: Move.TROUBLE,
    ErrorClass.REFUSED: Move.REFUSED,
    ErrorClass.OUT_OF_MONEY: Move.REFUSED,
    ErrorClass.NO_PERMISSION: Move.REFUSED,
}
ALL_MOVES = frozenset(Move)


class PreferenceError(ValueError):
    """What is wrong with which field, in a sentence."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Preferences:
    """None: nothing is said of it. Providers by slug. `timeout_seconds` is the time until the first byte of an answer."""

    order: tuple[str, ...] | None = None
    only: tuple[str, ...] | None = None
    ignore: tuple[str, ...] | None = None
    allow_fallbacks: bool | None = None
    timeout_seconds: int | None = None
    move_on: frozenset[Move] | None = None


NONE = Preferences()
FIELDS = tuple(field.name for field in fields(Preferences))


class Source(StrEnum):
    """Who decided a field."""

    REQUEST = "request"
    CLIENT_KEY = "client key"
    PROVIDER = "provider"
    ORGANIZATION = "organization"
    DEFAULT = "default"


type Settled = Mapping[str, tuple[Any, Source]]
"""Value and source by the names of the fields."""

DEFAULTS = Preferences(order=(), ignore=(), allow_fallbacks=True, move_on=ALL_MOVES)


def settle(*said: tuple[Source, Preferences]) -> Settled:
    """The first that says anything of a field decides it. `only` and `timeout_seconds` may stay None: all, and the gateway's."""
    ranked = (*said, (Source.DEFAULT, DEFAULTS))
    return {name: first(name, ranked) for name in FIELDS}


def first(name: str, ranked: tuple[tuple[Source, Preferences], ...]) -> tuple[Any, Source]:
    found = ((getattr(preferences, name), source) for source, preferences in ranked if getattr(preferences, name) is not None)
    return next(found, (None, Source.DEFAULT))


def moves_on(error_class: ErrorClass, chosen: frozenset[Move]) -> bool:
    """Whether it is the owner's choice to try another key after this failure. What a key simply lacks, another may have."""
    return error_class not in MOVES or MOVES[error_class] in chosen


def read(told: object, *, allowed: tuple[str, ...] = FIELDS, prefix: str = "") -> Preferences:
    """Of JSON, as a request, a form or the database has it. Raises PreferenceError; `prefix` goes before names of fields."""
    if told is None:
        return NONE
    if not isinstance(told, Mapping):
        raise PreferenceError(prefix.rstrip("."), f"`{prefix.rstrip('.') or 'preferences'}` must be an object.")
    found: dict[str, Any] = {}
    for name, value in told.items():
        if name not in allowed:
            known = ", ".join(f"`{each}`" for each in allowed)
            raise PreferenceError(f"{prefix}{name}", f"`{prefix}{name}` is not supported. {known} are.")
        if value is not None:
            found[name] = READERS[name](value, f"{prefix}{name}")
    return Preferences(**{name: value for name, value in found.items() if value is not None})


def providers(value: object, field: str) -> tuple[str, ...] | None:
    """An empty list says nothing."""
    if not isinstance(value, list | tuple):
        raise PreferenceError(field, f'`{field}` must be a list of providers, such as ["openai", "azure"].')
    return tuple(dict.fromkeys(provider(each, f"{field}[{number}]") for number, each in enumerate(value))) or None


def only(value: object, field: str) -> tuple[str, ...]:
    if (found := providers(value, field)) is None:
        raise PreferenceError(field, f"`{field}` is empty, so no provider would be left. Name one, or leave it out to allow all.")
    return found


def provider(value: object, field: str) -> str:
    slug = HOSTS.get(value.lower(), value.lower()) if isinstance(value, str) else ""
    if slug not in PROVIDERS:
        raise PreferenceError(field, f"`{field}`: “{str(value)[:40]}” is not a provider. Providers are {', '.join(PROVIDERS)}.")
    return slug


def boolean(value: object, field: str) -> bool:
    if not isinstance(value, bool):
        raise PreferenceError(field, f"`{field}` must be true or false.")
    return value


def seconds(value: object, field: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not SHORTEST_SECONDS <= value <= LONGEST_SECONDS:
        raise PreferenceError(field, f"`{field}` must be a number of seconds from {SHORTEST_SECONDS} to {LONGEST_SECONDS}.")
    return value


def moves(value: object, field: str) -> frozenset[Move]:
    """An empty list says that no other key is tried."""
    try:
        return frozenset(Move(each) for each in value)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise PreferenceError(field, f"`{field}` must be a list of {', '.join(Move)}.") from None


READERS = {
    "order": providers,
    "only": only,
    "ignore": providers,
    "allow_fallbacks": boolean,
    "timeout_seconds": seconds,
    "move_on": moves,
}


def written(preferences: Preferences) -> dict[str, Any]:
    """As `read` understands it; what is not said is left out."""
    said = {name: getattr(preferences, name) for name in FIELDS}
    return {
        name: sorted(value) if isinstance(value, frozenset) else list(value) if isinstance(value, tuple) else value
        for name, value in said.items()
        if value is not None
    }
