"""JSON of which some part was changed, as nobody would send it who means well."""

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

Json = Any
texts = st.text(max_size=5) | st.just("\ud83d")
scalars = st.one_of(st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.floats(), texts)
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))


def places(value: Json, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a value but its root."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield (*path, name)
        yield from places(inner, (*path, name))


def replaced(value: Json, path: tuple[str | int, ...], other: Json) -> Json:
    """A copy with something else in one place."""
    if not path:
        return other
    name, *rest = path
    inner = replaced(value[name], tuple(rest), other)
    if isinstance(value, dict):
        return {**value, name: inner}
    return [inner if place == name else item for place, item in enumerate(value)]


@st.composite
def mutated(draw: st.DrawFn, originals: list[Json]) -> Json:
    """One of the originals with one or two places that hold anything at all."""
    value = draw(st.sampled_from(originals))
    for _ in range(draw(st.integers(1, 2))):
        value = replaced(value, draw(st.sampled_from([(), *places(value)])), draw(anything))
        if not isinstance(value, dict | list):
            return value
    return value
