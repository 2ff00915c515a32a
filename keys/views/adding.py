"""Choosing a provider and adding a key for it."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.datastructures import MultiValueDict
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers
from django_htmx.http import HttpResponseClientRedirect

from keys.actions import NameTaken, add_key
from keys.entries import Problem
from keys.forms.credentials import FORMS, KeyForm, mode_of
from keys.models import ProviderKey
from keys.pace import too_many_tests, wait_for_test
from keys.providers import PROVIDERS, Credential, Provider
from keys.testing import TestResult, Verdict, test_credential
from orgs.access import org_view
from orgs.actions import Actor
from orgs.confirming import confirmed, refill
from orgs.models import Organization

GOOD = {Verdict.VALID, Verdict.LIMITED}


@require_safe
@org_view("keys.add_providerkey")
def picker(request: HttpRequest, organization: Organization) -> HttpResponse:
    q = request.GET.get("q", "").strip()[:100]
    have = Counter(ProviderKey.objects.for_org(organization).values_list("provider", flat=True))
    found = [(row, have[row.slug]) for row in PROVIDERS.values() if q.lower() in f"{row.label} {row.slug}".lower()]
    return render(request, "keys/picker.html", {"page": "keys", "found": found, "total": len(PROVIDERS), "q": q})


@sensitive_post_parameters()
@never_cache
@vary_on_headers("HX-Request")
@org_view("keys.add_providerkey")
@confirmed("name", "region")
def add(request: HttpRequest, organization: Organization, provider: str) -> HttpResponse:
    """The form of one provider. A refused form answers 422; htmx swaps the form in place and keeps the secret fields."""
    if provider not in PROVIDERS:
        raise Http404
    form = form_of(request, provider)
    refill(form, request)
    refusal = None
    if request.method == "POST" and form.is_valid():
        refusal = test_and_save(request, organization, form)
        if form.is_valid() and not refusal:
            return to_list(request, organization)
    template = "keys/add.html#form" if request.htmx else "keys/add.html"
    tabs = [(mode, each.tab) for mode, each in FORMS[form.provider.shape].items()]
    context = {"page": "keys", "form": form, "row": form.provider, "tabs": tabs, "refusal": refusal}
    return render(request, template, context, status=422 if form.is_bound else 200)


def form_of(request: HttpRequest, provider: str, replaces: Mapping[str, Any] | None = None) -> KeyForm:
    row = PROVIDERS[provider]
    form_class = FORMS[row.shape][mode_of(row, request.GET.get("mode", ""))]
    posted = request.method == "POST"
    files: MultiValueDict | None = request.FILES if posted else None
    data = request.POST if posted else None
    return form_class(data, files, provider=row, kept=bool(request.htmx), replaces=replaces)


@sensitive_variables()
def test_and_save(request: HttpRequest, organization: Organization, form: KeyForm) -> TestResult | None:
    """Save what the form holds, after a test unless the person chose otherwise. A test that refuses it is the answer."""
    assert form.credential
    result = None
    if request.POST.get("do") != "save":
        result = paced_test(organization, form.provider, form.credential)
        if result.verdict not in GOOD:
            return result
    try:
        key = add_key(
            organization=organization,
            provider=form.provider.slug,
            name=form.cleaned_data["name"],
            credential=form.credential,
            test=result,
            by=Actor.of(request),
        )
    except NameTaken as taken:
        form.refuse(Problem(str(taken), "name"))
    else:
        announce(request, key, result, form.warnings)
    return None


@sensitive_variables()
def paced_test(organization: Organization, provider: Provider, credential: Credential) -> TestResult:
    if seconds := wait_for_test(organization):
        return TestResult(verdict=Verdict.UNKNOWN, reason=too_many_tests(seconds), status=None, latency_ms=0, models=())
    return test_credential(provider, credential)


def announce(request: HttpRequest, key: ProviderKey, result: TestResult | None, warnings: tuple[str, ...]) -> None:
    """What became of the key, and what looks odd about it. The page that follows shows it."""
    if result is None:
        messages.success(request, f"“{key.name}” is saved. It gets no traffic until it passes a test.")
    elif result.verdict is Verdict.LIMITED:
        messages.success(request, f"{result.reason} “{key.name}” is saved and is now {standing(key)} in the order.")
    else:
        messages.success(request, f"“{key.name}” passed its test and is now {standing(key)} in the order.")
    warn(request, key, warnings)


def warn(request: HttpRequest, key: ProviderKey, warnings: tuple[str, ...]) -> None:
    for warning in warnings:
        messages.warning(request, warning)
    if twin := ProviderKey.objects.same_secret(key).first():
        messages.warning(
            request, f"The same secret is saved as “{twin.name}” too. Both count against the same limits at {key.row.label}."
        )


def standing(key: ProviderKey) -> str:
    """Where the key came: behind its provider's other keys, or behind all prioritized ones."""
    present = list(ProviderKey.objects.for_org(key.organization))
    at = present.index(key)
    if at == len(present) - 1:
        return "last"
    return f"behind “{present[at - 1]}”" if at else "first"


def to_list(request: HttpRequest, organization: Organization) -> HttpResponse:
    address = reverse("provider_key_list", args=[organization.slug])
    return HttpResponseClientRedirect(address) if request.htmx else redirect(address)
