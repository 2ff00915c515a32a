"""Whom and what a provider key serves. Nothing said means everything; a list means what stands in it, and nothing else. Pure."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

MOST_PATTERNS = 100
LONGEST_PATTERN = 200
MOST_STARS = 4  # each multiplies the time that a name takes
PATTERN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Restrictions:
    """models: patterns in lower case, * for any characters. members, client_keys: ids."""

    models: tuple[str, ...] | None = None
    members: frozenset[int] | None = None
    client_keys: frozenset[UUID] | None = None

    def forbid_caller(self, member: int | None, client_key: UUID | None) -> str | None:
        """Why not, with the key's name as the subject; None where it is allowed."""
        if self.client_keys is not None and client_key not in self.client_keys:
            return "is limited to other client keys"
        if self.members is not None and member not in self.members:
            return "is limited to other members"
        return None

    def allow_model(self, names: Iterable[str]) -> bool:
        """names: everything that the model is called, in lower case."""
        return self.models is None or matches(self.models, names)


ANYTHING = Restrictions()


def matches(patterns: tuple[str, ...], names: Iterable[str]) -> bool:
    """names: everything that one model is called, in lower case."""
    pattern = compiled(patterns)
    return any(pattern.fullmatch(name) for name in names)


@lru_cache(maxsize=4096)
def compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(".*".join(map(re.escape, pattern.split("*"))) for pattern in patterns))


def read_patterns(text: str) -> tuple[tuple[str, ...], list[str]]:
    """Patterns, one on each line, and what is wrong with which line."""
    lines = [(number, line.strip().lower()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    problems = [said for number, line in lines if (said := flaw(number, line))]
    if len(lines) > MOST_PATTERNS:
        problems.append(f"These are {len(lines)} models. At most {MOST_PATTERNS} can be kept.")
    return tuple(dict.fromkeys(line for _, line in lines)), problems


def flaw(number: int, line: str) -> str | None:
    if not PATTERN.fullmatch(line):
        return f"Line {number}: a model's name has no spaces. Write one model on each line, for example `openai/gpt-4o*`."
    if len(line) > LONGEST_PATTERN:
        return f"Line {number}: this is too long to be a model's name."
    if line.count("*") > MOST_STARS:
        return f"Line {number}: at most {MOST_STARS} * can stand in one line."
    return None


def of(models: Sequence[str] | None, members: Collection[int] | None, client_keys: Collection[str] | None) -> Restrictions:
    """As the database keeps them."""
    return Restrictions(
        None if models is None else tuple(models),
        None if members is None else frozenset(members),
        None if client_keys is None else frozenset(map(UUID, client_keys)),
    )
