"""An organization's own prices: of models without a list price, and of provider keys against the list. Set and removed."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
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
from usage.forms import ModelPriceForm
from usage.forms_prices import KeyPriceForm, labeled
from usage.models import KeyPrice, ModelPrice
from usage.periods import zone


@dataclass(frozen=True, slots=True)
class Negotiated:
    """A key's price from a day on. `state`: what it means today."""

    key: str
    price: KeyPrice
    day: str
    state: str


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view("usage.add_modelprice")
def model_prices(request: HttpRequest, organization: Organization) -> HttpResponse:
    form = ModelPriceForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        return save(request, organization, form)
    return page(request, organization, form, key_form(organization, None))


@require_POST
@never_cache
@org_view("usage.change_keyprice")
def key_price_set(request: HttpRequest, organization: Organization) -> HttpResponse:
    form = key_form(organization, request)
    if not form.is_valid():
        return page(request, organization, ModelPriceForm(), form)
    said, now = form.cleaned_data, today(organization)
    price = set_key_price(key=said["key"], from_day=said["from_day"], thousandths=said["multiplier"], by=Actor.of(request))
    when = "now on" if price.from_day == now else figures.day(price.from_day, now.year)
    messages.success(request, f"“{said['key']}”: {price.words.lower()}, from {when}.")
    return redirect("model_prices", organization.slug)


@require_POST
@never_cache
@org_view("usage.change_keyprice")
def key_price_remove(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    price = get_object_or_404(KeyPrice.objects.for_org(organization).select_related("organization"), pk=pk)
    remove_key_price(price=price, by=Actor.of(request))
    messages.success(request, "The negotiated price is removed. What is booked keeps its cost.")
    return redirect("model_prices", organization.slug)


def page(request: HttpRequest, organization: Organization, form: ModelPriceForm, negotiated: KeyPriceForm) -> HttpResponse:
    refused = next((each for each in (form, negotiated) if each.errors), None)
    context = {
        "page": "usage",
        "form": form,
        "key_form": negotiated,
        "refused": refused,
        "prices": ModelPrice.objects.for_org(organization),
        "negotiated": list(negotiations(organization)),
        "zone": figures.zone_name(zone(organization.timezone)),
    }
    return render(request, "usage/prices.html", context, status=422 if refused else 200)


def key_form(organization: Organization, request: HttpRequest | None) -> KeyPriceForm:
    """Only keys that have a list price: a multiplier of nothing known would have no effect."""
    keys = [key for key in ProviderKey.objects.for_org(organization).select_related("organization") if key.row.prices]
    return KeyPriceForm(request.POST if request else None, sorted(keys, key=lambda key: str(key).casefold()), today(organization))


def today(organization: Organization) -> date:
    return timezone.now().astimezone(zone(organization.timezone)).date()


def negotiations(organization: Organization) -> Iterator[Negotiated]:
    keys = {key.pk: key for key in ProviderKey.objects.filter(organization=organization)}
    prices = [price for price in KeyPrice.objects.for_org(organization) if price.provider_key_id in keys]
    prices.sort(key=lambda price: str(keys[price.provider_key_id]).casefold())
    now = today(organization)
    for pk, some in groupby(prices, key=lambda price: price.provider_key_id):
        counting = True
        for price in some:
            later = price.from_day > now
            state = "Later" if later else "Now" if counting else "Over"
            counting = counting and later
            yield Negotiated(labeled(keys[pk]), price, figures.day(price.from_day, now.year), state)


def save(request: HttpRequest, organization: Organization, form: ModelPriceForm) -> HttpResponse:
    said = form.cleaned_data
    price = set_model_price(
        organization=organization,
        provider=said["provider"],
        model=said["model"],
        input_microusd=said["input"],
        output_microusd=said["output"],
        by=Actor.of(request),
    )
    messages.success(request, f"Your price for {price} counts from now on.")
    return redirect("model_prices", organization.slug)


@require_POST
@never_cache
@org_view("usage.delete_modelprice")
def remove(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    price = get_object_or_404(ModelPrice.objects.for_org(organization).select_related("organization"), pk=pk)
    remove_model_price(price=price, by=Actor.of(request))
    messages.success(request, f"Your price for {price} is removed.")
    return redirect("model_prices", organization.slug)
