"""What the list of provider keys says about each key: its place in the order, its state, its models."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from string import ascii_lowercase

from keys.models import ProviderKey
from keys.pages.takeover import Share, share
from keys.providers import Provider, Shape
from keys.providers.errors import ErrorClass

OFF = "off"
FILTERS = {
    "": "All",
    "attention": "Attention",
    "healthy": "Healthy",
    "off": "Off or not tested",
}
STATES: dict[str, set[str]] = {
    "attention": {ProviderKey.Status.FAILING, ProviderKey.Status.LIMITED},
    "healthy": {ProviderKey.Status.HEALTHY},
    "off": {OFF, ProviderKey.Status.UNTESTED},
}
HAPPENED = {  # completed by how long ago that was
    ErrorClass.REFUSED: "{label} refused “{name}”",
    ErrorClass.OUT_OF_MONEY: "{label} “{name}” ran out of credit",
    ErrorClass.TROUBLE: "{label} stopped answering “{name}”",
    "": "{label} “{name}” stopped working",
}
LONG_AGO = datetime.min.replace(tzinfo=UTC)


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
    def since(self) -> datetime | None:
        """Since when it is limited or failing."""
        return self.key.status_since if self.state in STATES["attention"] else None

    @property
    def models(self) -> list[str]:
        """By the provider's own names; empty where every model may be asked for."""
        if self.provider.shape is Shape.AZURE:
            return [deployment["model_slug"] for deployment in self.key.public["deployments"]]
        return list(self.key.discovered_models)

    def matches(self, words: str, status: str) -> bool:
        text = " ".join([self.provider.label, self.provider.slug, self.key.name, *self.models])
        return words in text.lower() and (status not in STATES or self.state in STATES[status])


@dataclass(frozen=True, slots=True)
class StandIn:
    """A key that takes over from another: all that the other could serve, or what it may itself."""

    key: ProviderKey
    everything: bool

    @property
    def name(self) -> str:
        return self.key.name


@dataclass(frozen=True, slots=True)
class Failing:
    """A key that is failing, and the one that has its requests now."""

    row: Row
    stand_in: StandIn | None

    @property
    def happened(self) -> str:
        words = HAPPENED.get(self.row.key.error_class, HAPPENED[""])
        return words.format(label=self.row.provider.label, name=self.row.key.name)

    @property
    def moved(self) -> str:
        """Where its requests went."""
        if not self.row.order:
            return "It gets no traffic until it passes a test."
        if self.stand_in is None:
            return f"No other {self.row.provider.label} key can take over. Requests that no other key can answer fail."
        if self.stand_in.everything:
            return f"Requests moved to “{self.stand_in.name}”."
        return f"Requests that “{self.stand_in.name}” may serve go there. Others fail if no other key can answer them."


def rows(keys: Iterable[ProviderKey]) -> list[Row]:
    """Rows of keys that come in routing order. Neighbors of one provider and tier share a number: 1a, 1b, 2."""
    keys = list(keys)
    places = dict(place(key for key in keys if key.enabled and not key.needs_test))
    return [Row(key, places.get(key.pk, "")) for key in keys]


def row_of(listed: Sequence[Row], key: ProviderKey) -> Row:
    return next(row for row in listed if row.key.pk == key.pk)


def stand_in(listed: Sequence[Row], key: ProviderKey) -> StandIn | None:
    """The key of the same provider that works, may serve what `key` does, and is tried first once `key` is not."""
    others = (row.key for row in listed if row.order and row.key.pk != key.pk and row.state != ProviderKey.Status.FAILING)
    shares = ((other, share(key, other)) for other in others if other.provider == key.provider)
    return next((StandIn(other, found is Share.EVERYTHING) for other, found in shares if found is not Share.NOTHING), None)


def failing(listed: Sequence[Row]) -> list[Failing]:
    """The newest first."""
    found = [Failing(row, stand_in(listed, row.key)) for row in listed if row.state == ProviderKey.Status.FAILING]
    return sorted(found, key=lambda each: each.row.since or LONG_AGO, reverse=True)


def checked(listed: Iterable[Row]) -> datetime | None:
    """When a key was tested last."""
    return max((row.key.tested_at for row in listed if row.key.tested_at), default=None)


def place(keys: Iterable[ProviderKey]) -> Iterable[tuple[object, str]]:
    for number, (_, group) in enumerate(groupby(keys, key=lambda key: (key.tier, key.provider)), 1):
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
