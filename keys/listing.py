"""What the list of provider keys says about each key: its place in the order, its state, its models."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from string import ascii_lowercase

from keys.models import ProviderKey
from keys.providers import Provider, Shape

OFF = "off"
FILTERS = {
    "": "All",
    "attention": "Attention",
    "healthy": "Healthy",
    "off": "Off or not tested",
}
STATES = {
    "attention": {ProviderKey.Status.FAILING, ProviderKey.Status.LIMITED},
    "healthy": {ProviderKey.Status.HEALTHY},
    "off": {OFF, ProviderKey.Status.UNTESTED},
}


@dataclass(frozen=True, slots=True)
class Row:
    """One key as it stands in the list. `order` is empty while the key gets no traffic."""

    key: ProviderKey
    order: str

    @property
    def provider(self) -> Provider:
        return self.key.row

    @property
    def state(self) -> str:
        return self.key.status if self.key.enabled else OFF

    @property
    def reason(self) -> str:
        return self.key.status_reason if self.key.enabled else ""

    @property
    def models(self) -> list[str]:
        """By the provider's own names; empty where every model may be asked for."""
        if self.provider.shape is Shape.AZURE:
            return [deployment["model_slug"] for deployment in self.key.public["deployments"]]
        return list(self.key.discovered_models)

    def matches(self, words: str, status: str) -> bool:
        text = " ".join([self.provider.label, self.provider.slug, self.key.name, *self.models])
        return words in text.lower() and (status not in STATES or self.state in STATES[status])


def rows(keys: Iterable[ProviderKey]) -> list[Row]:
    """Rows of keys that come in routing order. Neighbors of one provider share a number: 1a, 1b, 2."""
    keys = list(keys)
    places = dict(place(key for key in keys if key.enabled and not key.needs_test))
    return [Row(key, places.get(key.pk, "")) for key in keys]


def row_of(listed: Sequence[Row], key: ProviderKey) -> Row:
    return next(row for row in listed if row.key.pk == key.pk)


def stand_in(listed: Sequence[Row], key: ProviderKey) -> ProviderKey | None:
    """The key of the same provider that is tried first once `key` is not."""
    others = (row.key for row in listed if row.order and row.key.pk != key.pk)
    return next((other for other in others if other.provider == key.provider), None)


def place(keys: Iterable[ProviderKey]) -> Iterable[tuple[object, str]]:
    for number, (_, group) in enumerate(groupby(keys, key=lambda key: key.provider), 1):
        neighbors = list(group)
        for index, key in enumerate(neighbors):
            yield key.pk, f"{number}{letter(index) if len(neighbors) > 1 else ''}"


def letter(index: int) -> str:
    """a to z, then aa, ab and so on."""
    before, last = divmod(index, len(ascii_lowercase))
    return (letter(before - 1) if before else "") + ascii_lowercase[last]


def counts(listed: Sequence[Row]) -> list[tuple[str, str, int]]:
    """Each filter with its label and how many rows it leaves."""
    return [(status, label, sum(row.matches("", status) for row in listed)) for status, label in FILTERS.items()]
