"""Keys from a .env file: looked through first, then those that were chosen are tested together and saved."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods
from django.views.decorators.vary import vary_on_headers

from keys import data_keys, dotenv
from keys.actions import NameTaken, add_key
from keys.addresses import AllowList
from keys.credentials import parse
from keys.dotenv import Found
from keys.entries import CredentialError
from keys.forms.importing import ImportForm
from keys.models import ProviderKey
from keys.pace import too_many_tests, wait_for_test
from keys.providers import PROVIDERS, Credential, Provider
from keys.testing import TestResult, Verdict, examine_all
from keys.views.adding import GOOD, to_list
from orgs.access import org_view
from orgs.actions import Actor
from orgs.confirming import confirmed
from orgs.models import Organization

NONE_FOUND = "There is no provider key in this text. Lines look like OPENAI_API_KEY=…, one on each line."
NONE_CHOSEN = "Choose at least one key that can be saved."


@dataclass(slots=True)
class Entry:
    """A key of the text. `twin` says where the same secret is; `problem` says why it is not saved."""

    found: Found
    credential: Credential | None = field(default=None, repr=False)
    name: str = ""
    twin: str = ""
    problem: str = ""
    saved: bool = False
    chosen: bool = False

    @property
    def row(self) -> Provider:
        return PROVIDERS[self.found.provider]

    @property
    def value(self) -> str:
        return f"{self.found.line}:{self.found.variable}"


@sensitive_post_parameters()
@sensitive_variables()
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@vary_on_headers("HX-Request")
@org_view("keys.add_providerkey")
@confirmed()
def page(request: HttpRequest, organization: Organization) -> HttpResponse:
    """`do` is `save` for those that are ticked; otherwise the text is looked through. It never comes back from here."""
    form = ImportForm(request.POST if request.method == "POST" else None)
    entries: list[Entry] = []
    if form.is_bound and form.is_valid():
        entries = look_through(organization, form.cleaned_data["text"])
        if not entries:
            form.add_error("text", NONE_FOUND)
        elif request.POST.get("do") == "save" and save(request, organization, entries, form):
            return to_list(request, organization)
    context = {"page": "keys", "form": form, "entries": entries, "can_save": any(can_save(entry) for entry in entries)}
    context["saving"] = request.POST.get("do") == "save"  # what was not ticked then stays so
    template = "keys/import.html#form" if request.htmx else "keys/import.html"
    refused = form.errors or any(entry.chosen and not entry.saved for entry in entries)
    return render(request, template, context, status=422 if refused else 200)


def can_save(entry: Entry) -> bool:
    return entry.credential is not None and not entry.twin and not entry.saved


@sensitive_variables()
def look_through(organization: Organization, text: str) -> list[Entry]:
    """Each key with the name that it would get. One whose secret is there already, or stands twice, is told."""
    keys = list(ProviderKey.objects.for_org(organization))
    taken = {(key.provider, key.name) for key in keys}
    known = {key.fingerprint: f"saved as “{key}” already" for key in keys}
    opened = data_keys.of(organization)
    entries = [parsed(found) for found in dotenv.read(text)]
    for entry in entries:
        if entry.credential is not None:
            entry.name = free_name(entry.found, taken)
            taken.add((entry.found.provider, entry.name))
            fingerprint = data_keys.fingerprint(entry.found.provider, entry.credential, opened)
            entry.twin = known.get(fingerprint, "")
            known.setdefault(fingerprint, f"on line {entry.found.line} too")
    return entries


@sensitive_variables()
def parsed(found: Found) -> Entry:
    if found.problem:
        return Entry(found, problem=found.problem)
    try:
        credential, _ = parse(PROVIDERS[found.provider], found.fields, allow=AllowList.parse(settings.EGRESS_ALLOW))
    except CredentialError as refusal:
        return Entry(found, problem=refusal.problems[0].message)
    return Entry(found, credential)


def free_name(found: Found, taken: Collection[tuple[str, str]]) -> str:
    return next(name for name in names(found.variable) if (found.provider, name) not in taken)


def names(variable: str) -> Iterator[str]:
    yield variable
    number = 2
    while True:
        yield f"{variable[:50]} {number}"
        number += 1


@sensitive_variables()
def save(request: HttpRequest, organization: Organization, entries: Iterable[Entry], form: ImportForm) -> bool:
    """Test what is ticked, all at once, and save what passed. Whether that was everything."""
    ticked = set(request.POST.getlist("chosen"))
    chosen = [entry for entry in entries if entry.value in ticked and can_save(entry)]
    if not chosen:
        form.add_error(None, NONE_CHOSEN)
        return False
    for entry, result in zip(chosen, tested(organization, chosen), strict=True):
        entry.chosen = True
        add(entry, result, organization, Actor.of(request))
    saved = [entry for entry in chosen if entry.saved]
    if saved:
        messages.success(request, announcement(saved))
    return len(saved) == len(chosen)


def announcement(saved: Sequence[Entry]) -> str:
    if len(saved) == 1:
        return f"“{saved[0].name}” passed its test and is saved."
    return f"{len(saved)} keys passed their tests and are saved."


@sensitive_variables()
def tested(organization: Organization, chosen: Iterable[Entry]) -> list[TestResult]:
    """In their order. Those beyond what may be tested in a minute are not."""
    waits = [(entry, wait_for_test(organization)) for entry in chosen]
    now = [(entry.row, entry.credential) for entry, seconds in waits if not seconds and entry.credential]
    results = iter(examine_all(now))
    return [TestResult(Verdict.UNKNOWN, too_many_tests(seconds)) if seconds else next(results) for _, seconds in waits]


@sensitive_variables()
def add(entry: Entry, result: TestResult, organization: Organization, by: Actor) -> None:
    if result.verdict not in GOOD or entry.credential is None:
        entry.problem = result.reason
        return
    said = {"provider": entry.found.provider, "name": entry.name, "credential": entry.credential, "test": result}
    try:
        add_key(organization=organization, by=by, **said)
    except NameTaken as taken:
        entry.problem = str(taken)
    else:
        entry.saved = True
