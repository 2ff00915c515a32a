"""An organization's own prices: the page with its form, and removing one."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from orgs.access import org_view
from orgs.actions import Actor
from orgs.models import Organization
from usage.actions import remove_model_price, set_model_price
from usage.forms import ModelPriceForm
from usage.models import ModelPrice


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view("usage.add_modelprice")
def model_prices(request: HttpRequest, organization: Organization) -> HttpResponse:
    form = ModelPriceForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        return save(request, organization, form)
    prices = ModelPrice.objects.for_org(organization)
    context = {"page": "usage", "form": form, "prices": prices}
    return render(request, "usage/prices.html", context, status=422 if form.is_bound else 200)


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
