"""Another credential for a key, the one before back in its place, and another name."""

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods
from django.views.decorators.vary import vary_on_headers
from django_htmx.http import HttpResponseClientRedirect

from keys import data_keys
from keys.actions import NameTaken, SameCredential, rename_key, replace_credential, restore_credential
from keys.entries import Problem
from keys.forms.credentials import FORMS, KeyForm, RenameForm, mode_of
from keys.models import ProviderKey, RetiredCredential
from keys.testing import TestResult, Verdict
from keys.vault import VaultError
from keys.views.adding import GOOD, form_of, paced_test, warn
from keys.views.provider_keys import find
from orgs.access import org_view
from orgs.actions import Actor
from orgs.confirming import confirmed, refill
from orgs.models import Organization

UNREADABLE = "Keyhold cannot open this credential. Paste it as a new one instead."
GONE = "That credential cannot be restored any more: it was restored already, or its hour is over."


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@vary_on_headers("HX-Request")
@org_view("keys.change_providerkey")
@confirmed("region")
def replace(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    """The form of the key's provider. What is refused answers 422; htmx swaps the form and keeps the secret fields."""
    key = find(organization, pk)
    form = form_of(request, key.provider, replaces=key.public)
    refill(form, request)
    refusal = None
    if request.method == "POST" and form.is_valid():
        refusal = test_and_replace(request, key, form)
        if form.is_valid() and not refusal:
            return to_key(request, key)
    tabs = [(mode, each.tab) for mode, each in FORMS[form.provider.shape].items()]
    context = {"page": "keys", "key": key, "form": form, "row": key.row, "tabs": tabs, "refusal": refusal}
    context["mode"] = mode_of(key.row, request.GET.get("mode", ""))
    template = "keys/_replacement.html" if request.htmx else "keys/replace.html"
    return render(request, template, context, status=422 if form.is_bound else 200)


@sensitive_variables()
def test_and_replace(request: HttpRequest, key: ProviderKey, form: KeyForm) -> TestResult | None:
    """Replace what the key holds by what the form holds, once a test has passed. A test that did not is the answer."""
    assert form.credential
    result = paced_test(key.organization, key.row, form.credential)
    if not may_take_over(request, result):
        return result
    try:
        retired = replace_credential(key=key, credential=form.credential, test=result, by=Actor.of(request))
    except SameCredential as same:
        form.refuse(Problem(str(same), form.main))
    except ProviderKey.DoesNotExist:
        raise Http404 from None
    else:
        announce(request, retired, result)
        warn(request, retired.key, form.warnings)
    return None


def may_take_over(request: HttpRequest, result: TestResult) -> bool:
    """A test that could not tell is overruled by the owner, one that was refused is not."""
    return result.verdict in GOOD or (result.verdict is Verdict.UNKNOWN and request.POST.get("do") == "anyway")


def announce(request: HttpRequest, retired: RetiredCredential, result: TestResult) -> None:
    name = retired.key.name
    before = f"The one before can be restored until {retired.destroy_at:%H:%M} UTC."
    if result.verdict is Verdict.UNKNOWN:
        messages.warning(request, f"“{name}” holds this credential now. It gets no traffic until it passes a test. {before}")
    elif result.verdict is Verdict.LIMITED:
        messages.success(request, f"{result.reason} “{name}” uses this credential from now on. {before}")
    else:
        messages.success(request, f"“{name}” passed its test and uses this credential from now on. {before}")


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view("keys.change_providerkey")
@confirmed()
def restore(request: HttpRequest, organization: Organization, pk: UUID, version: int) -> HttpResponse:
    key = find(organization, pk)
    retired = key.retired.restorable(timezone.now()).filter(secret_version=version).first()
    if retired is None:
        messages.warning(request, GONE)
        return to_key(request, key)
    retired.key = key
    refusal = test_and_restore(request, retired) if request.method == "POST" else None
    if request.method == "POST" and not refusal:
        return to_key(request, key)
    context = {"page": "keys", "key": key, "row": key.row, "retired": retired, "refusal": refusal}
    return render(request, "keys/restore.html", context, status=422 if refusal else 200)


@sensitive_variables()
def test_and_restore(request: HttpRequest, retired: RetiredCredential) -> TestResult | None:
    key = retired.key
    try:
        credential = data_keys.open_retired(retired, data_keys.of(key.organization))
        result = paced_test(key.organization, key.row, credential)
        if not may_take_over(request, result):
            return result
        replaced = restore_credential(retired=retired, test=result, by=Actor.of(request))
    except VaultError:
        return TestResult(Verdict.INVALID, UNREADABLE)
    except (RetiredCredential.DoesNotExist, ProviderKey.DoesNotExist):
        messages.warning(request, GONE)
    else:
        announce(request, replaced, result)
        warn(request, replaced.key, ())
    return None


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view("keys.change_providerkey")
def rename(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    key = find(organization, pk)
    form = RenameForm(request.POST if request.method == "POST" else None, initial={"name": key.name})
    if form.is_bound and form.is_valid():
        before = key.name
        try:
            rename_key(key=key, name=form.cleaned_data["name"], by=Actor.of(request))
        except NameTaken as taken:
            form.add_error("name", str(taken))
        else:
            messages.success(request, f"“{before}” is now called “{key.name}”.")
            return to_key(request, key)
    context = {"page": "keys", "key": key, "row": key.row, "form": form}
    return render(request, "keys/rename.html", context, status=422 if form.is_bound else 200)


def to_key(request: HttpRequest, key: ProviderKey) -> HttpResponse:
    address = reverse("provider_key", args=[key.organization.slug, key.pk])
    return HttpResponseClientRedirect(address) if request.htmx else redirect(address)
