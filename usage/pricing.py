"""The prices of organizations, and what an attempt costs by them: ingest books it so, and budgets count it so."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Self
from uuid import UUID
from zoneinfo import ZoneInfo

from keys.overrides import spelled
from keys.providers import PROVIDERS
from usage import prices
from usage.models import KeyPrice, ModelPrice
from usage.models.prices import LIST
from usage.periods import zone
from usage.prices import OwnPrice

UTC_ZONE = ZoneInfo("UTC")
MODEL_PRICE = (
    *("organization", "organization__timezone", "from_day", "provider", "model", "provider_key_id"),
    *("input_microusd", "cached_input_microusd", "output_microusd"),
)
KEY_PRICE = ("organization", "organization__timezone", "from_day", "provider_key_id", "thousandths")

type Whose = tuple[str, str, UUID | None]
"""A provider, a model as slugs are spelled, and one of its keys; without it, every key of the provider."""

type Steps[T] = Iterable[tuple[date, T]]
"""What counts from which day on, the latest first."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Of one organization.

    own: what models cost in place of the list price.
    negotiated: how many thousandths of the list a provider key pays.
    Days are those of `zone`.
    """

    own: Mapping[Whose, Steps[OwnPrice]] = field(default_factory=dict)
    negotiated: Mapping[UUID, Steps[int]] = field(default_factory=dict)
    zone: ZoneInfo = UTC_ZONE

    @classmethod
    def of(cls, organization: UUID) -> Self:
        return cls.of_all([organization])[organization]

    @classmethod
    def of_all(cls, organizations: Iterable[UUID]) -> dict[UUID, Self]:
        """Two queries, however many there are."""
        chosen = set(organizations)
        own: defaultdict[UUID, defaultdict[Whose, list[tuple[date, OwnPrice]]]] = defaultdict(lambda: defaultdict(list))
        negotiated: defaultdict[UUID, defaultdict[UUID, list[tuple[date, int]]]] = defaultdict(lambda: defaultdict(list))
        zones: dict[UUID, ZoneInfo] = {}
        rows = ModelPrice.objects.filter(organization__in=chosen).order_by("-from_day")
        for organization, name, first, provider, model, key_id, *rates in rows.values_list(*MODEL_PRICE):
            own[organization][provider, model, key_id].append((first, OwnPrice(*rates)))
            zones[organization] = zone(name)
        steps = KeyPrice.objects.filter(organization__in=chosen).order_by("-from_day")
        for organization, name, first, key_id, thousandths in steps.values_list(*KEY_PRICE):
            negotiated[organization][key_id].append((first, thousandths))
            zones[organization] = zone(name)
        return {each: cls(own[each], negotiated[each], zones.get(each, UTC_ZONE)) for each in chosen}

    def cost_microusd(
        self,
        *,
        provider: str,
        native_model: str,
        model: str,
        key_id: UUID,
        answered: bool,
        input_tokens: int,
        output_tokens: int,
        cached_input_tokens: int = 0,
        reasoning_tokens: int = 0,
        reported_cost_microusd: int | None = None,
        at: datetime,
    ) -> int | None:
        """What the provider reported, else by the own price, else by the list; None where no price is known.

        A failure that used no tokens cost nothing, whatever the model.
        """
        if reported_cost_microusd is None and not answered and not (input_tokens or output_tokens):
            return 0
        if reported_cost_microusd is not None or provider not in PROVIDERS:
            return reported_cost_microusd
        if own := self.own_price(provider, model, key_id, at):
            return own.cost_microusd(
                input_tokens=input_tokens, cached_input_tokens=cached_input_tokens, output_tokens=output_tokens
            )
        return prices.cost_microusd(
            PROVIDERS[provider],
            native_model,
            model=model,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cached_input_tokens=cached_input_tokens,
            reasoning_tokens=reasoning_tokens,
            at=at,
            thousandths=self.thousandths(key_id, at),
        )

    def own_price(self, provider: str, model: str, key_id: UUID, at: datetime) -> OwnPrice | None:
        """That of the key goes before that of every key."""
        if not self.own:
            return None
        slug = spelled(model)
        return self._at(at, self.own.get((provider, slug, key_id))) or self._at(at, self.own.get((provider, slug, None)))

    def thousandths(self, key_id: UUID, at: datetime) -> int:
        """Of the list price that the key pays at that time."""
        thousandths = self._at(at, self.negotiated.get(key_id))
        return LIST if thousandths is None else thousandths

    def _at[T](self, moment: datetime, steps: Steps[T] | None) -> T | None:
        """The step that counts at that time."""
        if not steps:
            return None
        day = moment.astimezone(self.zone).date()
        return next((step for first, step in steps if first <= day), None)
