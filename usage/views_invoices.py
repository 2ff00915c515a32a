"""What providers billed in a month beside what was booked, and the two ways to enter it."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from orgs.access import org_view
from orgs.actions import Actor
from orgs.models import Organization
from usage import figures
from usage.actions_prices import remove_invoice, set_invoices
from usage.figures import NONE, counted, dollars, percent
from usage.forms_prices import InvoiceFileForm, InvoiceForm, labeled
from usage.invoices import Line, Month, after, before, keys_of, latest_month, month, month_of
from usage.models import Invoice
from usage.periods import zone


@dataclass(frozen=True, slots=True)
class Row:
    """A key, or all that can be compared, in words. `note`: what the booked amount leaves open."""

    name: str
    booked: str
    billed: str
    difference: str
    share: str
    note: str = ""
    invoice: Invoice | None = None


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view("usage.change_invoice")
def invoices(request: HttpRequest, organization: Organization) -> HttpResponse:
    posted = request.method == "POST"
    now, keys = this_month(organization), keys_of(organization)
    shown = month_of(request.GET.get("month", "")) or latest_month(organization, now)
    form = InvoiceForm(request.POST if posted else None, keys, shown, now)
    if posted and form.is_valid():
        billed = form.billed
        set_invoices(organization=organization, billed=[billed], by=Actor.of(request))
        messages.success(request, f"The invoice of “{billed.key}” for {called(billed.month)} is saved.")
        return redirect(address(organization, billed.month))
    return page(request, organization, shown, form, InvoiceFileForm(None, keys, now))


@require_POST
@never_cache
@org_view("usage.change_invoice")
def invoice_import(request: HttpRequest, organization: Organization) -> HttpResponse:
    now, keys = this_month(organization), keys_of(organization)
    files = InvoiceFileForm(request.FILES, keys, now)
    if not files.is_valid():
        shown = latest_month(organization, now)
        return page(request, organization, shown, InvoiceForm(None, keys, shown, now), files)
    billed = files.cleaned_data["file"]
    changed = set_invoices(organization=organization, billed=billed, by=Actor.of(request))
    messages.success(request, f"{counted(len(billed), 'invoice')} read, {changed:,} of them new or changed.")
    return redirect(address(organization, max(each.month for each in billed)))


@require_POST
@never_cache
@org_view("usage.change_invoice")
def invoice_remove(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    invoice = get_object_or_404(Invoice.objects.for_org(organization).select_related("organization"), pk=pk)
    remove_invoice(invoice=invoice, by=Actor.of(request))
    messages.success(request, f"The invoice for {called(invoice.month)} is deleted.")
    return redirect(address(organization, invoice.month))


def page(
    request: HttpRequest, organization: Organization, shown: date, form: InvoiceForm, files: InvoiceFileForm
) -> HttpResponse:
    refused = next((each for each in (form, files) if each.errors), None)
    found = month(organization, shown, files.keys)
    later = after(shown)
    context = {
        "page": "invoices",
        "form": form,
        "files": files,
        "refused": refused,
        "month": called(shown),
        "rows": [row_of(line) for line in found.lines],
        "total": total(found),
        "earlier": (called(before(shown)), address(organization, before(shown))),
        "later": (called(later), address(organization, later)) if later <= files.latest else None,
        "zone": figures.zone_name(zone(organization.timezone)),
    }
    return render(request, "usage/invoices.html", context, status=422 if refused else 200)


def this_month(organization: Organization) -> date:
    return timezone.now().astimezone(zone(organization.timezone)).date().replace(day=1)


def called(first: date) -> str:
    return f"{first:%B} {first.year}"


def address(organization: Organization, first: date) -> str:
    return f"{reverse('invoices', args=[organization.slug])}?month={first:%Y-%m}"


def row_of(line: Line) -> Row:
    unpriced = line.booked.unpriced
    return Row(
        name=labeled(line.key),
        booked=dollars(line.booked.cost_microusd) if line.known else NONE,
        billed=dollars(line.invoice.total_microusd) if line.invoice else NONE,
        difference=NONE if line.difference is None else signed(line.difference),
        share=NONE if line.difference is None else share(line.difference, line.booked.cost_microusd),
        note=f"No price known for {counted(unpriced, 'request')}" if unpriced else "",
        invoice=line.invoice,
    )


def total(found: Month) -> Row | None:
    """Of the keys of which both amounts are known; with less than two of them it says nothing new."""
    if len(found.compared) < 2:
        return None
    more = found.billed - found.booked
    name = "All keys" if len(found.compared) == len(found.lines) else f"{len(found.compared)} keys with both amounts"
    return Row(name, dollars(found.booked), dollars(found.billed), signed(more), share(more, found.booked))


def signed(microusd: int) -> str:
    sign = "+" if microusd > 0 else "−" if microusd else ""
    return sign + dollars(abs(microusd))


def share(difference: int, booked: int) -> str:
    """Of what was booked."""
    if not booked:
        return NONE
    sign = "+" if difference > 0 else "−" if difference else ""
    return sign + percent(abs(difference) / booked)
