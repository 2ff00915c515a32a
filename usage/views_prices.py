"""An organization's own prices from a day on: of models, and of provider keys against the list. Set and removed."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from keys.models import ProviderKey
from orgs.access import org_view
from orgs.actions import Actor
from orgs.models import Organization
from usage import figures
from usage.actions import remove_model_price, set_model_price
from usage.actions_prices import remove_key_price, set_key_price
from usage.forms_prices import EVERY, KeyPriceForm, ModelPriceForm, labeled
from usage.invoices import keys_of
from usage.models import KeyPrice, ModelPrice
from usage.periods import zone


@dataclass(frozen=True, slots=True)
class Row[T: (KeyPrice, ModelPrice)]:
    """A price from a day on, and with which key. `state`: what it means today."""

    key: str
    price: T
    day: str
    state: str


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view("usage.add_modelprice")
def model_prices(request: HttpRequest, organization: Organization) -> HttpResponse:
    keys = keys_of(organization)
    form = model_form(organization, keys, request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        return save(request, organization, form)
    return page(request, organization, keys, form, key_form(organization, keys))


@require_POST
@never_cache
@org_view("usage.change_keyprice")
def key_price_set(request: HttpRequest, organization: Organization) -> HttpResponse:
    keys = keys_of(organization)
    form = key_form(organization, keys, request.POST)
    if not form.is_valid():
        return page(request, organization, keys, model_form(organization, keys), form)
    said = form.cleaned_data
    price = set_key_price(key=said["key"], from_day=said["from_day"], thousandths=said["multiplier"], by=Actor.of(request))
    messages.success(request, f"“{said['key']}”: {price.words.lower()}, from {begins(price, form.today)}.")
    return redirect("model_prices", organization.slug)


@require_POST
@never_cache
@org_view("usage.change_keyprice")
def key_price_remove(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    price = get_object_or_404(KeyPrice.objects.for_org(organization).select_related("organization"), pk=pk)
    remove_key_price(price=price, by=Actor.of(request))
    messages.success(request, "The negotiated price is removed. What is booked keeps its cost.")
    return redirect("model_prices", organization.slug)


@require_POST
@never_cache
@org_view("usage.delete_modelprice")
def remove(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    price = get_object_or_404(ModelPrice.objects.for_org(organization).select_related("organization"), pk=pk)
    remove_model_price(price=price, by=Actor.of(request))
    messages.success(request, f"Your price for {price} is removed. What is booked keeps its cost.")
    return redirect("model_prices", organization.slug)


def page(
    request: HttpRequest, organization: Organization, keys: list[ProviderKey], form: ModelPriceForm, negotiated: KeyPriceForm
) -> HttpResponse:
    refused = next((each for each in (form, negotiated) if each.errors), None)
    models, negotiations = ModelPrice.objects.for_org(organization), KeyPrice.objects.for_org(organization)
    context = {
        "page": "usage",
        "form": form,
        "key_form": negotiated,
        "refused": refused,
        "prices": list(rows(models, lambda price: (price.provider, price.model), keys, form.today)),
        "negotiated": list(rows(negotiations, lambda price: (), keys, form.today)),
        "zone": figures.zone_name(zone(organization.timezone)),
    }
    return render(request, "usage/prices.html", context, status=422 if refused else 200)


def model_form(organization: Organization, keys: Iterable[ProviderKey], data: QueryDict | None = None) -> ModelPriceForm:
    return ModelPriceForm(data, [key for key in keys if not key.removed_at], today(organization))


def key_form(organization: Organization, keys: Iterable[ProviderKey], data: QueryDict | None = None) -> KeyPriceForm:
    """Only keys that have a list price: a multiplier of nothing known would have no effect."""
    return KeyPriceForm(data, [key for key in keys if not key.removed_at and key.row.prices], today(organization))


def today(organization: Organization) -> date:
    return timezone.now().astimezone(zone(organization.timezone)).date()


def begins(price: KeyPrice | ModelPrice, now: date) -> str:
    """As in "from now on"."""
    return "now on" if price.from_day == now else figures.day(price.from_day, now.year)


def rows[T: (KeyPrice, ModelPrice)](
    prices: Iterable[T], model: Callable[[T], tuple[str, ...]], keys: Iterable[ProviderKey], now: date
) -> Iterator[Row[T]]:
    """By model, and first what counts with every key. Prices of one thing stay as they come, the latest first."""
    names = {None: EVERY[1]} | {key.pk: labeled(key) for key in keys}
    places = {key_id: place for place, key_id in enumerate(names)}

    def thing(price: T) -> tuple[*tuple[str, ...], int]:
        return *model(price), places[price.provider_key_id]

    known = [price for price in prices if price.provider_key_id in names]
    for _, some in groupby(sorted(known, key=thing), key=thing):
        counting = True
        for price in some:
            later = price.from_day > now
            state = "Later" if later else "Now" if counting else "Over"
            counting = counting and later
            yield Row(names[price.provider_key_id], price, figures.day(price.from_day, now.year), state)


def save(request: HttpRequest, organization: Organization, form: ModelPriceForm) -> HttpResponse:
    said = form.cleaned_data
    price = set_model_price(
        organization=organization,
        provider=said["provider"],
        model=said["model"],
        key=said["key"],
        from_day=said["from_day"],
        input_microusd=said["input"],
        cached_input_microusd=said["cached_input"],
        output_microusd=said["output"],
        by=Actor.of(request),
    )
    where = f" with “{said['key']}”" if said["key"] else ""
    messages.success(request, f"Your price for {price}{where} counts from {begins(price, form.today)}.")
    return redirect("model_prices", organization.slug)
