"""The list of provider keys, and one of them: read it, test it, turn it off and on, delete it."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from keys import data_keys, routes
from keys.actions import disable_key, enable_key, record_test, remove_key, set_overrides
from keys.forms.credentials import OverridesForm, TypedNameForm
from keys.models import ProviderKey
from keys.pace import too_many_tests, wait_for_test
from keys.pages import consequences as losses
from keys.pages import listing, portrait
from keys.providers import PROVIDERS
from keys.testing import Verdict, test_credential
from keys.vault import VaultError
from orgs.access import org_view
from orgs.actions import Actor
from orgs.confirming import confirmed
from orgs.models import Organization


@require_safe
@never_cache
@vary_on_headers("HX-Request")
@org_view("keys.view_providerkey")
def key_list(request: HttpRequest, organization: Organization) -> HttpResponse:
    """`?q=` searches, `?status=` filters. The counts beside the filters are those of all keys."""
    q, status = request.GET.get("q", "").strip()[:100], request.GET.get("status", "")
    listed = rows_of(organization)
    context = {
        "page": "keys",
        "rows": [row for row in listed if row.matches(q.lower(), status)],
        "failing": listing.failing(listed),
        "checked": listing.checked(listed),
        "counts": listing.counts(listed),
        "total": len(listed),
        "providers_used": len({row.key.provider for row in listed}),
        "providers_known": len(PROVIDERS),
        "q": q,
        "status": status,
    }
    fragment = request.htmx and not request.htmx.history_restore_request
    return render(request, "keys/list.html#found" if fragment else "keys/list.html", context)


@require_safe
@never_cache
@org_view("keys.view_providerkey")
def key_page(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    return show(request, organization, find(organization, pk))


@require_POST
@never_cache
@org_view("keys.change_providerkey")
def set_models(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    """What the organization calls models of the key's provider. A mistake leads to the key's page with the form."""
    key = find(organization, pk)
    form = OverridesForm(request.POST, provider=key.row)
    if not form.is_valid():
        return show(request, organization, key, form)
    overrides = form.cleaned_data["overrides"]
    set_overrides(organization=organization, provider=key.provider, overrides=overrides, by=Actor.of(request))
    messages.success(request, f"Your names for models of {key.row.label} are saved. Requests use them within 2 seconds.")
    return redirect("provider_key", organization.slug, key.pk)


@require_POST
@vary_on_headers("HX-Request")
@org_view("keys.change_providerkey")
def test(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    """htmx swaps the key's row in the list, or on its page what a test changes. Otherwise the page is shown anew."""
    key = find(organization, pk)
    level, words = run_test(request, key)
    from_page = request.POST.get("from") == "key"
    if request.htmx and not from_page:
        return render(request, "keys/_row.html", {"row": listing.row_of(rows_of(organization), key), "said": words})
    messages.add_message(request, level, words)
    if request.htmx:
        context = {"key": key, "swapped": True, **portrait.of(key, rows_of(organization), timezone.now())}
        return render(request, "keys/key.html#tested", context)
    return back(request, key)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view("keys.change_providerkey")
def turn_off(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    key = find(organization, pk)
    if request.method == "POST":
        disable_key(key=key, by=Actor.of(request))
        messages.success(request, f"“{key.name}” is off. It gets no requests until you turn it on.")
        return back(request, key)
    return render(request, "keys/turn_off.html", {"page": "keys", **consequences(organization, key)})


@require_POST
@org_view("keys.change_providerkey")
def turn_on(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    key = find(organization, pk)
    enable_key(key=key, by=Actor.of(request))
    untested = " It gets no traffic until it passes a test." if key.needs_test else ""
    messages.success(request, f"“{key.name}” is on.{untested}")
    return back(request, key)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view("keys.delete_providerkey")
@confirmed()
def remove(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    """The name of the key, typed, confirms it."""
    key = find(organization, pk)
    form = TypedNameForm(request.POST if request.method == "POST" else None, name=key.name)
    if form.is_bound and form.is_valid():
        remove_key(key=key, by=Actor.of(request))
        messages.success(request, f"{key} is deleted. Its stored secret is erased.")
        return redirect("provider_key_list", organization.slug)
    context = {"page": "keys", "form": form, **consequences(organization, key)}
    return render(request, "keys/remove.html", context, status=422 if form.is_bound else 200)


def find(organization: Organization, pk: UUID) -> ProviderKey:
    return get_object_or_404(ProviderKey.objects.for_org(organization).select_related("organization", "created_by"), pk=pk)


def show(request: HttpRequest, organization: Organization, key: ProviderKey, form: OverridesForm | None = None) -> HttpResponse:
    """The key's page; with a form that was refused, as an error."""
    context = {"page": "keys", "key": key, **portrait.of(key, rows_of(organization), timezone.now())}
    context["form"] = form or OverridesForm(initial={"overrides": context["own"]}, provider=key.row)
    return render(request, "keys/key.html", context, status=422 if form else 200)


def rows_of(organization: Organization) -> list[listing.Row]:
    return listing.rows(ProviderKey.objects.for_org(organization))


def consequences(organization: Organization, key: ProviderKey) -> dict[str, object]:
    """What the page that asks for a confirmation tells: has the key traffic to lose, who takes it over, what nobody does."""
    listed = rows_of(organization)
    callers = losses.callers(organization)
    return {
        "key": key,
        "row": listing.row_of(listed, key),
        "stand_in": listing.stand_in(listed, key),
        "loss": losses.of_key(routes.of(organization), key.pk, callers=callers, now=timezone.now().timestamp()),
    }


@sensitive_variables("credential")
def run_test(request: HttpRequest, key: ProviderKey) -> tuple[int, str]:
    """Test the stored credential and note what came of it. The level and the words of a message."""
    if seconds := wait_for_test(key.organization):
        return messages.WARNING, too_many_tests(seconds)
    try:
        credential = data_keys.open_credential(key, data_keys.of(key.organization))
    except VaultError:
        return messages.ERROR, f"Keyhold cannot open the stored secret of “{key.name}”. Replace its credential."
    result = test_credential(key.row, credential)
    record_test(key=key, result=result, by=Actor.of(request))
    if result.verdict is Verdict.VALID:
        return messages.SUCCESS, f"“{key.name}” passed its test."
    key.refresh_from_db(fields=["status_reason"])
    return messages.WARNING, key.status_reason or result.reason


def back(request: HttpRequest, key: ProviderKey) -> HttpResponse:
    match request.POST.get("from"):
        case "key":
            return redirect("provider_key", key.organization.slug, key.pk)
        case "routing":
            return redirect("routing", key.organization.slug)
    return redirect("provider_key_list", key.organization.slug)
