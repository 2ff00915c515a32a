"""What an owner or the operator wrote down about names: one line for each model, `author/model = the provider's name`."""

import re

from keys import catalog
from keys.credentials import SLUG
from keys.entries import Problem
from keys.providers import Provider

FIELD = "overrides"
MAX_LINES = 200
MAX_SLUG = 200
MAX_NATIVE = catalog.MAX_MODEL
NATIVE = re.compile(r"[\x21-\x7e]+")


def read(text: str, provider: Provider) -> tuple[dict[str, str], list[Problem]]:
    """The provider's names by slug, as slugs are spelled, and what is wrong with which line. Empty lines are passed over."""
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if len(lines) > MAX_LINES:
        return {}, [Problem(f"These are {len(lines)} models. At most {MAX_LINES} can be kept.", FIELD)]
    found: dict[str, str] = {}
    places: dict[str, int] = {}
    problems = []
    for number, line in lines:
        slug, equals, native = map(str.strip, line.partition("="))
        name = spelled(slug)
        if said := flaw(slug, native, provider) if equals else no_equals(provider):
            problems.append(Problem(f"Line {number}: {said[0]}", FIELD, number, said[1]))
        elif name in found:
            problems.append(
                Problem(f"`{name}` appears twice, on lines {places[name]} and {number}. Keep one.", FIELD, number, "Twice")
            )
        else:
            found[name], places[name] = native, number
    return found, problems


def spelled(slug: str) -> str:
    return catalog.read(slug).slug


def written(overrides: dict[str, str]) -> str:
    """As `read` understands it."""
    return "\n".join(f"{slug} = {native}" for slug, native in sorted(overrides.items()))


def no_equals(provider: Provider) -> tuple[str, str]:
    return f"put = between the model and its name at {provider.label}.", "= missing"


def flaw(slug: str, native: str, provider: Provider) -> tuple[str, str] | None:
    """What is wrong with one of them, in lower case for a place may come before it, and a word for the margin."""
    if not SLUG.fullmatch(slug):
        return "write the model as author/model, for example `anthropic/claude-sonnet-4.5`.", "author/model"
    if not native:
        return f"write the name that the model has at {provider.label} after the =.", "Name missing"
    if not NATIVE.fullmatch(native):
        return f"a model's name at {provider.label} has no spaces. Write one model on each line.", "One name"
    if len(slug) > MAX_SLUG or len(native) > MAX_NATIVE:
        return "this is too long to be a model's name.", "Too long"
    return None
