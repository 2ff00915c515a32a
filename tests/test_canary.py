"""A secret that is submitted is found nowhere afterwards. Every form of every provider is swept, and so is a new one."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from sys import exc_info
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.core.signals import got_request_exception
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.views.debug import ExceptionReporter

from byok_site.api.urls import ROUTES
from keys.actions import add_key, issue_management_key
from keys.forms.credentials import FORMS, KeyForm, Unreturned
from keys.models import ClientKey, ProviderKey, RetiredCredential
from keys.providers import PROVIDERS, Credential
from keys.testing import TestResult, Verdict
from orgs.actions import Actor
from orgs.models import Delivery, Organization, User, Webhook
from tests.calling import Program
from tests.console_walk import Told, make_root, walk
from tests.fake import FakeProvider
from tests.fake.stages import STAGES
from tests.staff import give_second_factor
from tests.submissions import deployment, good, private_key

CANARY = "canary7Q2hX9vK4mR8tW3zB6nD1fG5jL0pS"
pytestmark = pytest.mark.large

ENDING = "tail"  # a hint may show the last four characters
SECRET = f"{CANARY}{ENDING}"
EVERY_FORM = [(slug, mode) for slug, row in PROVIDERS.items() for mode in FORMS[row.shape]]
WAYS = [{}, {"HX-Request": "true"}]
PAGES_OF_A_KEY = ("provider_key", "provider_key_disable", "provider_key_remove", "provider_key_replace", "provider_key_rename")


def tell_tales() -> list[str]:
    """What must not turn up: the canary, and a line from the middle of the private key."""
    return [CANARY, private_key().splitlines()[5]]


def assert_clean(text: str | bytes, where: str) -> None:
    text = text.decode(errors="replace") if isinstance(text, bytes) else text
    for tale in tell_tales():
        assert tale not in text, f"The secret is in {where}."


@pytest.fixture
def alices(client_of: Callable[[User], Client], alice: User, acme: Organization) -> Client:
    return client_of(alice)


@pytest.fixture
def program(acme: Organization, alice: User) -> Program:
    return Program(issue_management_key(organization=acme, name="terraform", by=Actor(label="Alice", user=alice))[1])


@pytest.fixture(autouse=True)
def at_debug_level(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG):
        yield
    assert_clean(caplog.text, "the log")


def submit(client: Client, provider: str, mode: str, fields: dict[str, Any], do: str, replaces: Any = None) -> None:
    """Post the form in a plain way and by htmx, and look at all that comes back. `replaces` is the id of a key."""
    name, place = ("provider_key_replace", replaces) if replaces else ("provider_key_add", provider)
    address = reverse(name, args=["acme", place]) + f"?mode={mode}"
    for number, way in enumerate(WAYS):
        answer = client.post(address, {"name": f"{mode} {do} {number}", **fields, "do": do}, headers=way)
        assert answer.status_code in (200, 302, 422)
        assert_clean(answer.content, f"the answer of {provider}")
        assert_clean(repr(answer.headers) + repr(answer.cookies), f"the headers of {provider}")
        assert_clean(repr(dict(client.session)), "the session")


def all_rows() -> Iterator[tuple[str, str]]:
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            for row in cursor.fetchall():
                yield table, repr([bytes(cell) if isinstance(cell, memoryview) else cell for cell in row])


# Saved


@pytest.mark.parametrize(("provider", "mode"), EVERY_FORM)
def test_a_saved_secret_is_in_no_answer_page_row_or_repr(provider: str, mode: str, alices: Client, acme: Organization) -> None:
    submit(alices, provider, mode, good(PROVIDERS[provider], mode, SECRET), "save")
    keys = list(ProviderKey.objects.for_org(acme))
    assert len(keys) == len(WAYS)
    for name, key in [("provider_key_list", None), ("provider_picker", None), ("overview", None), ("usage", None)] + [
        (name, key) for key in keys for name in PAGES_OF_A_KEY
    ]:
        address = reverse(name, args=["acme", *([key.pk] if key else [])])
        assert_clean(alices.get(address).content, address)
    for key in keys:
        assert_clean(f"{key!r} {key!s} {vars(key)} {ProviderKey.objects.filter(pk=key.pk).values()}", "the model object")
    for table, row in all_rows():
        assert_clean(row, table)


# Replaced


@pytest.fixture
def nobody_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test was one too many in this minute, so that it could not tell."""
    monkeypatch.setattr("keys.pace.TESTS_A_MINUTE", 0)


def replaceable(organization: Organization, provider: str) -> ProviderKey:
    """A key of the provider, whose credential is of no use and no secret."""
    resource = {name: value for name, value in deployment("").items() if name != "api_key"}
    plain = Credential({"api_key": "of no worth", "api_keys": ["of no worth"]}, {"deployments": [resource]}, "…")
    by = Actor.command("test")
    return add_key(organization=organization, provider=provider, name="Main", credential=plain, test=None, by=by)


@pytest.mark.parametrize(("provider", "mode"), EVERY_FORM)
def test_a_secret_that_came_and_went_is_in_no_answer_page_or_row(
    provider: str, mode: str, alices: Client, acme: Organization, nobody_tests: None
) -> None:
    """Replaced twice without a test, and then the first comes back."""
    key = replaceable(acme, provider)
    for secret in (SECRET, f"{CANARY}other{ENDING}"):
        submit(alices, provider, mode, good(PROVIDERS[provider], mode, secret), "anyway", replaces=key.pk)
    key.refresh_from_db()
    assert key.secret_version == 3
    restore = reverse("provider_key_restore", args=["acme", key.pk, 2])
    for answer in (
        alices.get(restore),
        alices.post(restore, {"do": "test"}),
        alices.post(restore, {"do": "anyway"}, follow=True),
    ):
        assert_clean(answer.content, "the answer to a restore")
    key.refresh_from_db()
    assert key.secret_version == 4
    for name in PAGES_OF_A_KEY:
        assert_clean(alices.get(reverse(name, args=["acme", key.pk])).content, name)
    for table, row in all_rows():
        assert_clean(row, table)
    for retired in RetiredCredential.objects.all():
        assert_clean(f"{retired!r} {retired!s} {vars(retired)}", "the retired credential")


def told_to_staff(client_of: Callable[[User], Client]) -> Told:
    root = make_root()
    return walk(client_of(root), root, rows_each=len(EVERY_FORM))


@pytest.fixture
def one_of_each(alices: Client) -> None:
    for provider, mode in EVERY_FORM:
        submit(alices, provider, mode, good(PROVIDERS[provider], mode, SECRET), "save")


def test_dumpdata_and_the_staff_console_do_not_hold_it(one_of_each: None, client_of: Callable[[User], Client]) -> None:
    dump = StringIO()
    call_command("dumpdata", stdout=dump)
    assert "keys.providerkey" in dump.getvalue()
    assert_clean(dump.getvalue(), "dumpdata")
    swept = set()
    for where, text in told_to_staff(client_of):
        assert_clean(text, where)
        swept.add(where)
    assert swept >= {"turn_off", "keys_providerkey_history", "diagnostics"}


def test_every_model_object_prints_without_it(one_of_each: None) -> None:
    for model in apps.get_models():
        for row in model._default_manager.all():
            assert_clean(f"{row!r} {row!s}", model.__name__)


# Refused


def broken(text: str) -> list[str]:
    """JSON with a secret in it, broken in the ways people break it."""
    return [
        text[:-3],
        text.replace(",", "", 1),
        text.replace('": "', '" "', 1),
        text.replace('"', "'"),
        text.replace('"', "“"),
        text.replace(f'"{CANARY}', CANARY),
        text.replace(f'{ENDING}"', ENDING),
        text.replace('"', "", 1),
        text.replace("_", "", 1),
        text.replace('": "', '": ["', 1),
        text + text,
        f'{{"{SECRET}": 1}}',
        f'["{SECRET}"]',
        f'"{SECRET}"',
        SECRET,
        f'[{{"model_slug": "{SECRET}", "model_slug": "{SECRET}"}}]',
        f'[{{"api_key": "{SECRET}\n{SECRET}", "region": {SECRET}}}]',
        text.replace("\n", "\r").replace("}", ""),
    ]


def spoiled(text: str) -> list[str]:
    is_json = text.startswith(("[", "{"))
    return [*(broken(text) if is_json else [f"{SECRET} {SECRET}", f"Bearer {SECRET}"]), f"ABSK{SECRET}"]


def refused(form: type[KeyForm], fields: dict[str, str]) -> Iterator[dict[str, str]]:
    """The good fields, each secret one of them spoiled in turn."""
    for name, field in form.base_fields.items():
        if isinstance(field.widget, Unreturned) and name in fields:
            yield from ({**fields, name: text} for text in spoiled(fields[name]))
    yield {**fields, "name": ""}
    yield {**fields, "region": "nowhere", "location": "nowhere", "wrap": "on"}
    yield {**fields, "organization": SECRET, "project": f"proj_ {SECRET}"}


@pytest.mark.parametrize(("provider", "mode"), EVERY_FORM)
def test_a_refused_secret_is_in_no_answer(provider: str, mode: str, alices: Client, acme: Organization) -> None:
    row = PROVIDERS[provider]
    for fields in refused(FORMS[row.shape][mode], good(row, mode, SECRET)):
        submit(alices, provider, mode, fields, "save")
    submit(alices, provider, mode, good(row, mode, SECRET), "test")  # answered by nobody
    for table, line in all_rows():
        assert_clean(line, table)


@pytest.mark.parametrize(("provider", "mode"), EVERY_FORM)
def test_a_refused_replacement_is_in_no_answer(
    provider: str, mode: str, alices: Client, acme: Organization, nobody_tests: None
) -> None:
    row, key = PROVIDERS[provider], replaceable(acme, provider)
    for fields in refused(FORMS[row.shape][mode], good(row, mode, SECRET)):
        submit(alices, provider, mode, fields, "test", replaces=key.pk)
    key.refresh_from_db()
    assert key.secret_version == 1
    for table, line in all_rows():
        assert_clean(line, table)


@pytest.mark.parametrize("provider", [slug for slug in PROVIDERS if slug in STAGES])
@pytest.mark.parametrize("behavior", ["echoes", "refused", "forbidden", "html", "cuts", "valid"])
def test_a_secret_is_not_repeated_from_what_the_provider_answers(
    provider: str, behavior: str, alices: Client, acme: Organization, settings: Any, fake_provider: FakeProvider
) -> None:
    settings.UPSTREAM_OVERRIDES = fake_provider.overrides()
    row, mode = PROVIDERS[provider], next(iter(FORMS[PROVIDERS[provider].shape]))
    fields = good(row, mode, fake_provider.key(provider, behavior) + SECRET)
    submit(alices, provider, mode, fields, "test")
    submit(alices, provider, mode, fields, "test", replaces=replaceable(acme, provider).pk)
    assert fake_provider.requests
    for key in ProviderKey.objects.all():
        answer = alices.post(reverse("provider_key_test", args=["acme", key.pk]), follow=True)
        assert_clean(answer.content, "the list")


# Broken


@contextmanager
def reports() -> Iterator[list[str]]:
    """Django's own reports of the exceptions that happen meanwhile, as its mails to admins hold them."""
    written: list[str] = []

    def write(request: Any, **rest: Any) -> None:
        reporter = ExceptionReporter(request, *exc_info(), is_email=True)
        written.extend([reporter.get_traceback_html(), reporter.get_traceback_text()])

    got_request_exception.connect(write, weak=False, dispatch_uid="canary")
    yield written
    got_request_exception.disconnect(dispatch_uid="canary")


def fail(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError("forced")


FAULTS = [
    ("keys.actions.writing.record", "save"),
    ("keys.vault._binding", "save"),
    ("keys.credentials.finish", "save"),
    ("keys.views.adding.wait_for_test", "test"),
    ("keys.testing.Egress", "test"),
]


@pytest.mark.parametrize(("provider", "mode"), EVERY_FORM)
def test_a_report_of_a_crash_does_not_hold_it(
    provider: str, mode: str, alices: Client, acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    alices.raise_request_exception = False
    address = reverse("provider_key_add", args=["acme", provider]) + f"?mode={mode}"
    for fault, do in FAULTS:
        with monkeypatch.context() as patch, reports() as written:
            patch.setattr(fault, fail)
            answer = alices.post(address, {"name": fault, **good(PROVIDERS[provider], mode, SECRET), "do": do})
        assert written
        assert_clean(answer.content, "the error page")
        for report in written:
            assert_clean(report, f"the report of {fault}")


FAULTS_IN_REPLACING = (
    *("keys.actions.writing.record", "keys.vault._binding", "keys.credentials.finish", "keys.views.adding.wait_for_test"),
    *("keys.actions.replacing.retire", "keys.actions.replacing.apply_test", "keys.data_keys.fingerprint"),
)


@pytest.mark.parametrize(("provider", "mode"), EVERY_FORM)
def test_a_report_of_a_crash_while_replacing_does_not_hold_it(
    provider: str, mode: str, alices: Client, acme: Organization, nobody_tests: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    alices.raise_request_exception = False
    key = replaceable(acme, provider)
    new = (reverse("provider_key_replace", args=["acme", key.pk]) + f"?mode={mode}", good(PROVIDERS[provider], mode, SECRET))
    assert alices.post(new[0], {**good(PROVIDERS[provider], mode, f"{SECRET}first"), "do": "anyway"}).status_code == 302
    restored = (reverse("provider_key_restore", args=["acme", key.pk, 1]), {})
    for fault in FAULTS_IN_REPLACING:
        for address, fields in (new, restored)[: 1 if fault == "keys.credentials.finish" else 2]:
            with monkeypatch.context() as patch, reports() as written:
                patch.setattr(fault, fail)
                answer = alices.post(address, {**fields, "do": "anyway"})
            assert written, fault
            assert_clean(answer.content, "the error page")
            for report in written:
                assert_clean(report, f"the report of {fault}")
    key.refresh_from_db()
    assert key.secret_version == 2


FAULTS_OF_STAFF = (
    "keys.actions.writing.record",
    "byok_site.diagnosis.health",
    "byok_site.diagnosis.errors",
    "orgs.redaction.text",
)


def test_a_report_of_a_crash_in_the_staff_console_does_not_hold_it(
    alices: Client, acme: Organization, client_of: Callable[[User], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(alices, "azure", "json", good(PROVIDERS["azure"], "json", SECRET), "save")
    root = User.objects.create_superuser("root@example.com", "correct horse battery staple")
    give_second_factor(root)
    staff = client_of(root)
    staff.post(reverse("admin:open", args=[acme.pk]), {"reason": "Ticket 4711"})
    staff.raise_request_exception = False
    key = ProviderKey.objects.first()
    page = reverse("admin:organization", args=[acme.pk])
    for fault in FAULTS_OF_STAFF:
        with monkeypatch.context() as patch, reports() as written:
            patch.setattr(fault, fail)
            turn_off = {"action": "turn_off", "_selected_action": str(key.pk), "confirmed": "yes"}
            answers = [
                staff.post(reverse("admin:keys_providerkey_changelist"), turn_off),
                staff.get(reverse("admin:keys_providerkey_change", args=[key.pk])),
                staff.get(page),
                staff.post(f"{page}diagnostics/"),
            ]
        assert written, fault
        assert 500 in [answer.status_code for answer in answers]
        for report in (*written, *(answer.content for answer in answers)):
            assert_clean(report, f"the report of {fault}")


# Sent by programs, and imported


def told_to_programs(program: Program) -> Iterator[HttpResponse]:
    """Every address that can be read without a name, and those of the keys that there are."""
    today = timezone.now().date()
    for route in (each for each in ROUTES if "{" not in each.path and each.path != "usage"):
        yield program.call("GET", route.path)
    yield program.call("GET", f"usage?from={today}&to={today}&by=key")
    for key in ProviderKey.objects.all():
        for path in (f"provider-keys/{key.provider}/{key.name}", f"limits/provider-keys/{key.pk}"):
            yield program.call("GET", path)
        yield program.call("POST", f"provider-keys/{key.provider}/{key.name}/test")


def sent_wrongly(fields: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Method, path and body, with the secret in each place where it does not belong."""
    text = json.dumps({"credential": fields})
    yield from (("PUT", "provider-keys/openai/Wrong", each) for each in (*broken(text), SECRET, f'"{SECRET}"'))
    for body in (
        {"credential": SECRET},
        {"credential": {SECRET: "x"}},
        {"credential": {"api_key": [SECRET]}},
        {"credential": fields | {"nothing": SECRET}},
        {"credential": {"api_key": f"Bearer {SECRET}"}},
        {"credential": fields, "enabled": SECRET},
        {"credential": fields, "models": [f"{SECRET} {SECRET}"]},
        {"credential": fields, "members": [SECRET]},
        {SECRET: fields},
    ):
        yield "PUT", "provider-keys/openai/Wrong", body
    yield "PUT", "client-keys/web-app", {"owner": SECRET, "networks": [SECRET]}
    yield "PUT", "client-keys/web-app", {"networks": [SECRET]}
    yield "PUT", "routing", {"order": [SECRET], "move_on": [SECRET]}
    yield "PUT", "order", {"prioritized": [{"provider": "openai", "name": SECRET}], "fallback": []}
    yield "PUT", "limits/organization", {"concurrent": SECRET}
    yield "PUT", "budgets/organization/month", {"amount_microusd": 1_000_000, "unpriced": SECRET}
    yield "GET", f"members?limit={SECRET}", None
    yield "GET", f"usage?from={SECRET}&to={SECRET}&{SECRET}=1", None
    for path in (f"provider-keys/{SECRET}/x", f"limits/members/{SECRET}", f"budgets/organization/{SECRET}", SECRET):
        yield "GET", path, None


@pytest.mark.parametrize(("provider", "mode"), EVERY_FORM)
def test_what_programs_send_is_in_no_answer_and_no_row(provider: str, mode: str, program: Program, acme: Organization) -> None:
    fields, path = good(PROVIDERS[provider], mode, SECRET), f"provider-keys/{provider}/Main"
    made = program.call("PUT", path, {"credential": fields, "skip_test": True})
    assert made.status_code == 201, made.content
    answers = [made, program.call("PUT", path, {"credential": fields, "always": True}, if_match="*")]
    answers += [program.call("PUT", path, {"credential": fields}, if_match=SECRET)]
    answers += told_to_programs(program)
    for number, answer in enumerate(answers):
        assert_clean(answer.content + repr(answer.headers).encode(), f"answer {number}")
    for table, row in all_rows():
        assert_clean(row, table)


def test_what_programs_send_wrongly_is_in_no_answer_and_no_row(program: Program, acme: Organization) -> None:
    for method, path, body in sent_wrongly(good(PROVIDERS["openai"], "", SECRET)):
        answer = program.call(method, path, body)
        assert 400 <= answer.status_code < 500, (path, answer.content)
        assert_clean(answer.content + repr(answer.headers).encode(), f"the answer to {method} {path}")
    assert_clean(program.call("GET", "members", authorization=f"Bearer {SECRET}").content, "the answer to no key of ours")
    for table, row in all_rows():
        assert_clean(row, table)


@pytest.mark.parametrize("fault", ["record", "holds", "parse", "test_credential", "write_rest"])
def test_a_report_of_a_crash_of_the_api_does_not_hold_it(
    fault: str, program: Program, acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaceable(acme, "openai")
    program.client.raise_request_exception = False
    place = "keys.actions.writing.record" if fault == "record" else f"byok_site.api.provider_keys.{fault}"
    said = {"credential": {"api_key": SECRET}, "skip_test": fault != "test_credential"}
    with monkeypatch.context() as patch, reports() as written:
        patch.setattr(place, fail)
        answer = program.call("PUT", "provider-keys/openai/Main", said, if_match="*")
    assert answer.status_code == 500
    assert len(written) == 2
    for text in (answer.text, *written):
        assert_clean(text, f"the report of {fault}")


IMPORTED = (
    f"OPENAI_API_KEY=sk-proj-{SECRET}",
    f"OPENAI_API_KEY=sk-proj-{SECRET}\nANTHROPIC_API_KEY='sk-ant-api03-{SECRET}'\nGROQ_API_KEY=gsk_{SECRET}",
    f"AWS_ACCESS_KEY_ID=ASIAIOSFODNN7EXAMPLE\nAWS_SECRET_ACCESS_KEY={SECRET}\nAWS_REGION=us-east-1",
    f"AWS_BEARER_TOKEN_BEDROCK=ABSK{SECRET}\nAWS_REGION=nowhere-{SECRET}",
    f"AZURE_OPENAI_API_KEY={SECRET}\nGOOGLE_APPLICATION_CREDENTIALS=/{SECRET}.json\nVERTEX_KEY={{{SECRET}",
    f"OPENAI_API_KEY=Bearer {SECRET}\nXAI_API_KEY={SECRET} {SECRET}",
    f"SECRET_KEY={SECRET}",
    f"{SECRET}",
    f"OPENAI_API_KEY=sk-{SECRET}\n" * 900,
)


@pytest.mark.parametrize("text", IMPORTED, ids=range(len(IMPORTED)))
@pytest.mark.parametrize("way", WAYS)
def test_an_imported_secret_is_in_no_answer_and_no_row(
    text: str, way: dict[str, str], alices: Client, acme: Organization, settings: Any, fake_provider: FakeProvider
) -> None:
    settings.UPSTREAM_OVERRIDES = fake_provider.overrides()
    page = reverse("provider_key_import", args=["acme"])
    looked = alices.post(page, {"text": text, "do": "look"}, headers=way)
    chosen = re.findall(r'name="chosen" value="([^"]+)"', looked.text)
    saved = alices.post(page, {"text": text, "do": "save", "chosen": chosen}, headers=way)
    for answer in (looked, saved, alices.get(page), alices.get(reverse("audit", args=["acme"]))):
        assert_clean(answer.content, "the import")
        assert_clean(repr(answer.headers) + repr(answer.cookies), "the headers of the import")
    assert_clean(repr(dict(alices.session)), "the session")
    for table, row in all_rows():
        assert_clean(row, table)


def test_an_imported_secret_that_is_saved_is_in_no_answer_and_no_row(
    alices: Client, acme: Organization, settings: Any, fake_provider: FakeProvider
) -> None:
    settings.UPSTREAM_OVERRIDES = fake_provider.overrides()
    text = f"OPENAI_API_KEY={fake_provider.key('openai', 'valid')}{SECRET}"
    said = {"text": text, "do": "save", "chosen": "1:OPENAI_API_KEY"}
    assert_clean(alices.post(reverse("provider_key_import", args=["acme"]), said, follow=True).content, "the list")
    assert ProviderKey.objects.for_org(acme).get().status == "healthy"
    for table, row in all_rows():
        assert_clean(row, table)


@pytest.mark.parametrize("fault", ["free_name", "parse", "examine_all", "add"])
def test_a_report_of_a_crash_of_the_import_does_not_hold_it(
    fault: str, alices: Client, acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    alices.raise_request_exception = False
    said = {"text": f"OPENAI_API_KEY=sk-proj-{SECRET}", "do": "save", "chosen": "1:OPENAI_API_KEY"}
    with monkeypatch.context() as patch, reports() as written:
        patch.setattr(f"keys.views.importing.{fault}", fail)
        if fault == "add":
            patch.setattr("keys.views.importing.tested", lambda *_: [TestResult(Verdict.VALID, "")])
        answer = alices.post(reverse("provider_key_import", args=["acme"]), said)
    assert len(written) == 2
    for text in (answer.text, *written):
        assert_clean(text, f"the report of {fault}")


# Made here: the texts of client keys, and the secrets of webhooks

MADE = re.compile(r"byok_live_[0-9A-Za-z]{12}_[0-9A-Za-z]{38}|khwh_[\w-]{43}")


def issue(client: Client, name: str = "web-app") -> HttpResponse:
    return client.post("/o/acme/client-keys/new/", {"name": name})


def roll(client: Client, key: ClientKey) -> HttpResponse:
    return client.post(f"/o/acme/client-keys/{key.pk}/roll/", {"public_id": key.public_id, "grace": "24"})


def add_webhook(client: Client) -> HttpResponse:
    return client.post("/o/acme/alerts/", {"url": "https://127.0.0.1:9/"})


def made_in(answer: HttpResponse) -> str:
    """The one secret that the answer shows."""
    assert answer.status_code == 200
    [found] = set(MADE.findall(answer.content.decode()))
    return found


def test_a_secret_that_is_made_is_in_one_answer_and_nowhere_else(
    alices: Client, acme: Organization, settings: Any, client_of: Callable[[User], Client], caplog: pytest.LogCaptureFixture
) -> None:
    settings.EGRESS_ALLOW = ["127.0.0.1"]
    first = made_in(issue(alices))
    key = ClientKey.objects.get()
    secrets = [first, made_in(roll(alices, key)), made_in(add_webhook(alices))]
    webhook = Webhook.objects.get()
    alices.post(f"/o/acme/alerts/{webhook.pk}/test/")  # answered by nobody
    delivery = Delivery.objects.get()
    reported = Client().post("/report/", {"key": first})
    dump = StringIO()
    call_command("dumpdata", stdout=dump)
    pages = [f"client-keys/{key.pk}/{each}" for each in ("", "change/", "roll/", "pause/", "revoke/", "hand-over/")]
    pages += ["client-keys/", "alerts/", f"alerts/{webhook.pk}/", f"alerts/deliveries/{delivery.pk}/", "usage/", "limits/"]
    found = {f"/o/acme/{page}": alices.get(f"/o/acme/{page}").content.decode() for page in pages}
    found |= {"the report": reported.content.decode(), "dumpdata": dump.getvalue(), "the log": caplog.text}
    found |= {"rows": str(list(all_rows())), "objects": repr([(each, vars(each)) for each in (key, webhook, delivery)])}
    found["staff"] = "".join(text.decode() for _, text in told_to_staff(client_of))
    for where, text in found.items():
        for secret in secrets:
            assert secret[-32:] not in text, where


FAULTS_IN_MAKING: list[tuple[str, Callable[[Client], HttpResponse]]] = [
    ("keys.actions.writing.record", lambda client: issue(client, "another")),
    ("keys.actions.client_keys.stamp", lambda client: roll(client, ClientKey.objects.get())),
    ("keys.actions.webhooks.record", add_webhook),
    ("keys.views.client_keys.render", lambda client: issue(client, "another")),
    ("keys.views.client_keys.render", lambda client: roll(client, ClientKey.objects.get())),
    ("keys.views.alerts.render", add_webhook),
]


@pytest.mark.parametrize(("fault", "act"), FAULTS_IN_MAKING)
def test_a_report_of_a_crash_does_not_hold_what_was_made(
    fault: str,
    act: Callable[[Client], HttpResponse],
    alices: Client,
    acme: Organization,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.EGRESS_ALLOW = ["127.0.0.1"]
    issue(alices)
    alices.raise_request_exception = False
    with monkeypatch.context() as patch, reports() as written:
        patch.setattr(fault, fail)
        answer = act(alices)
    assert len(written) == 2
    for text in (answer.content.decode(), *written):
        assert not MADE.search(text)


@pytest.mark.parametrize("fault", ["keys.actions.leaks.stop", "keys.actions.leaks.is_text_of", "keys.views.leaks.told"])
@pytest.mark.parametrize("way", [{}, {"content_type": "application/json"}])
def test_a_report_of_a_crash_does_not_hold_a_key_that_was_found(
    fault: str, way: dict[str, str], alices: Client, acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = made_in(issue(alices))
    with monkeypatch.context() as patch, reports() as written:
        patch.setattr(fault, fail)
        Client(raise_request_exception=False).post("/report/", {"key": text}, **way)
    assert len(written) == 2
    assert not MADE.search("".join(written))
