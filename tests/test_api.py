"""The management API, as a program of Alice's uses it."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import BytesIO
from threading import Barrier
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Group, Permission
from django.core.cache import cache
from django.core.handlers.asgi import ASGIRequest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from byok_site.api.door import body_of
from byok_site.api.problems import Refused
from byok_site.api.routing import RoutingBody
from byok_site.api.urls import ROUTES
from gateway.auth import authenticate
from gateway.errors import Refusal
from gateway.snapshot import Snapshot
from keys import client_keys, pace
from keys.actions import add_key, issue_client_key, issue_management_key, revoke_management_key
from keys.actions.leaving import end_membership
from keys.models import ClientKey, ManagementKey, ProviderKey, RoutingPreference
from keys.providers import Credential
from orgs.actions import Actor
from orgs.models import AUDITOR, MEMBER, OWNER, AuditEvent, Membership, Notice, Organization, User
from tests.attempts import attempt
from tests.calling import Program
from tests.fake import FakeProvider
from usage.actions import set_limit
from usage.ingest import book
from usage.models import Budget, Limit

MAIN, WEB = "provider-keys/openai/Main", "client-keys/web-app"
EVERYTHING_OFF = {"enabled": False, "always": True, "models": ["openai/gpt-4o*"]}


@pytest.fixture(autouse=True)
def nothing_counted() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def by(alice: User) -> Actor:
    return Actor(label="Alice", user=alice)


@pytest.fixture
def text(acme: Organization, by: Actor) -> str:
    return issue_management_key(organization=acme, name="terraform", by=by)[1]


@pytest.fixture
def program(text: str) -> Program:
    return Program(text)


@pytest.fixture
def fake(settings: Any, fake_provider: FakeProvider) -> FakeProvider:
    settings.UPSTREAM_OVERRIDES = fake_provider.overrides()
    return fake_provider


def make_key(
    organization: Organization, by: Actor, name: str = "Main", secret: str = "sk-proj-of-acme-000000000000"
) -> ProviderKey:
    credential = Credential(secret={"api_key": secret}, public={}, hint="sk-proj-…0000")
    return add_key(organization=organization, provider="openai", name=name, credential=credential, test=None, by=by)


def events(organization: Organization) -> int:
    return AuditEvent.objects.filter(organization=organization).count()


def problem(answer: HttpResponse, status: int, code: str = "", field: str | None = None) -> str:
    """What the answer says, which is the problem that it should be."""
    said = answer.json()
    assert answer["Content-Type"] == "application/problem+json"
    assert (answer.status_code, said["status"]) == (status, status), said
    assert not code or said["code"] == code
    assert field is None or field in [error["field"] for error in said["errors"]], said
    return str(said["detail"])


# Management keys


def test_an_owner_creates_a_management_key_and_sees_it_once(
    client_of: Callable[[User], Client], alice: User, acme: Organization
) -> None:
    alices = client_of(alice)
    page = reverse("management_key_list", args=["acme"])
    assert "No management keys yet" in alices.get(page).text
    shown = alices.post(f"{page}new/", {"name": "terraform"})
    key = ManagementKey.objects.get()
    made = [word for word in shown.text.replace("<", " ").replace(">", " ").replace('"', " ").split() if "byok_admin_" in word]
    assert client_keys.parse(made[0], client_keys.MANAGEMENT)
    assert Program(made[0]).get("members")["items"]
    listed = alices.get(page).text
    assert key.hint in listed
    assert made[0] not in listed
    assert alices.post(f"{page}new/", {"name": "terraform"}).status_code == 422
    assert "“terraform” is revoked" in alices.post(f"{page}{key.pk}/revoke/", follow=True).text
    assert Program(made[0]).call("GET", "members").status_code == 401
    tags = AuditEvent.objects.filter(organization=acme, tag__startswith="management_key").values_list("tag", flat=True)
    assert sorted(tags) == ["management_key:issue", "management_key:revoke"]


def test_a_call_without_a_good_key_is_refused(acme: Organization, by: Actor, text: str) -> None:
    client_key = issue_client_key(organization=acme, name="web-app", by=by)[1]
    assert "Send a management key" in problem(Program().call("GET", "members"), 401)
    assert "calls models" in problem(Program(client_key).call("GET", "members"), 401)
    wrong = text[:-1] + ("a" if text[-1] != "a" else "b")
    for bad in (wrong, "byok_admin_x", client_keys.generate(client_keys.MANAGEMENT).text):
        answer = Program(bad).call("GET", "members")
        assert "not valid here" in problem(answer, 401)
        assert answer["WWW-Authenticate"] == "Bearer"
    assert problem(Program().call("GET", "members", authorization=f"Basic {text}"), 401)


def test_a_management_key_calls_no_models_and_opens_no_page(text: str, acme: Organization) -> None:
    with pytest.raises(Refusal) as refusal:
        authenticate(Snapshot({}, {}), [(b"authorization", f"Bearer {text}".encode())])
    assert refusal.value.status == 401
    for name in ("overview", "settings", "provider_key_list", "client_key_list"):
        answer = Client().get(reverse(name, args=["acme"]), HTTP_AUTHORIZATION=f"Bearer {text}")
        assert answer["Location"].startswith("/signin/")


def test_a_session_opens_nothing_of_the_api(client_of: Callable[[User], Client], alice: User, acme: Organization) -> None:
    assert client_of(alice).get("/api/v1/members").status_code == 401


def test_a_key_may_do_what_its_maker_may_do_now(program: Program, alice: User, bob: User, acme: Organization, by: Actor) -> None:
    make_key(acme, by)
    Membership.objects.filter(user=alice).update(role=Group.objects.get(name=MEMBER))
    assert program.call("GET", "provider-keys").json()["items"][0]["hint"] is None
    problem(program.call("DELETE", MAIN, if_match="*"), 403, "forbidden")
    problem(program.call("GET", "audit"), 403)
    Membership.objects.filter(user=alice).delete()
    problem(program.call("GET", "provider-keys"), 401)


def test_the_keys_of_an_owner_who_is_removed_end(program: Program, acme: Organization, alice: User, bob: User) -> None:
    owners = Group.objects.get(name=OWNER)
    Membership.objects.filter(user=bob).update(role=owners)
    end_membership(organization=acme, user=alice, by=Actor(label="Bob", user=bob))
    problem(program.call("GET", "members"), 401)
    Membership.objects.create(organization=acme, user=alice, role=owners)
    problem(program.call("GET", "members"), 401)
    assert AuditEvent.objects.filter(organization=acme, tag="management_key:revoke", actor_label="Bob").exists()


def test_owners_see_which_key_has_lost_its_owner(
    client_of: Callable[[User], Client], program: Program, acme: Organization, alice: User, bob: User
) -> None:
    bobs, page = client_of(bob), reverse("management_key_list", args=["acme"])
    Membership.objects.filter(user=bob).update(role=Group.objects.get(name=OWNER))
    assert "who is no owner now" not in bobs.get(page).text
    Membership.objects.filter(user=alice).update(role=Group.objects.get(name=MEMBER))
    assert "Alice, who is no owner now" in bobs.get(page).text


def test_a_maker_without_the_second_factor_that_everyone_needs_is_kept_out(program: Program, acme: Organization) -> None:
    Organization.objects.filter(pk=acme.pk).update(second_factor_from=timezone.now() + timedelta(days=1))
    assert program.get("members")
    Organization.objects.filter(pk=acme.pk).update(second_factor_from=timezone.now())
    problem(program.call("GET", "members"), 403, "second_factor_missing")


def test_an_organization_that_is_being_deleted_is_only_read(program: Program, acme: Organization, by: Actor) -> None:
    make_key(acme, by)
    Organization.objects.filter(pk=acme.pk).update(delete_at=timezone.now() + timedelta(days=7))
    assert program.get(MAIN)
    before = events(acme)
    for method, path, body in (
        ("PUT", MAIN, {"enabled": False}),
        ("DELETE", MAIN, None),
        ("POST", f"{MAIN}/test", None),
        ("PUT", "routing", {"paused": False}),
    ):
        problem(program.call(method, path, body, if_match="*"), 409, "being_deleted")
    assert events(acme) == before


def test_a_key_ends_with_its_day_and_when_its_maker_may_not_sign_in(acme: Organization, by: Actor, alice: User) -> None:
    until = timezone.now() + timedelta(days=1)
    program = Program(issue_management_key(organization=acme, name="short", expires_at=until, by=by)[1])
    assert program.get("members")
    with time_machine.travel(until):
        problem(program.call("GET", "members"), 401)
    User.objects.filter(pk=alice.pk).update(is_active=False)
    problem(program.call("GET", "members"), 401)


def test_a_key_that_is_reported_stops_and_owners_are_told(program: Program, text: str, acme: Organization) -> None:
    assert Client().post("/report/", {"key": text}).status_code == 200
    problem(program.call("GET", "members"), 401)
    notice = Notice.objects.get(organization=acme)
    assert (notice.tag, notice.person) == ("management_key:reported", notice.organization.memberships.earliest("pk").user)
    assert text not in notice.body
    assert AuditEvent.objects.filter(organization=acme, tag="management_key:revoke", actor_label="Somebody who found it").exists()


def test_a_key_that_calls_too_often_waits(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "CALLS_A_MINUTE", 1)
    with time_machine.travel("2026-11-23T12:00:10Z", tick=False):
        assert program.get("members")
        answer = program.call("GET", "members")
    problem(answer, 429)
    assert answer["Retry-After"] == "50"


def test_what_another_organization_has_is_not_there(program: Program, globex: Organization, charlie: User) -> None:
    theirs = Actor(label="Charlie", user=charlie)
    key = make_key(globex, theirs, "Theirs")
    client_key = issue_client_key(organization=globex, name="theirs", by=theirs)[0]
    for path in (
        "provider-keys/openai/Theirs",
        "client-keys/theirs",
        f"limits/provider-keys/{key.pk}",
        f"limits/members/{charlie.pk}",
    ):
        for method in ("GET", "DELETE"):
            problem(program.call(method, path, if_match="*"), 404)
    said = {"requests_per_minute": 1}
    problem(program.call("PUT", f"limits/client-keys/{client_key.pk}", said), 404)
    problem(program.call("PUT", WEB, {"owner": charlie.pk}), 422, field="owner")
    problem(program.call("PUT", WEB, {"provider_keys": [str(key.pk)]}), 422, field="provider_keys")
    for path in ("provider-keys", "client-keys", "limits", "budgets"):
        assert program.get(path)["items"] == []


def test_every_address_refuses_what_it_does_not_know(program: Program) -> None:
    problem(program.call("GET", "nowhere"), 404)
    problem(program.call("POST", "members"), 405)
    problem(program.call("GET", "members?limit=0"), 400, field="limit")
    problem(program.call("GET", "members?lmit=5"), 400)
    problem(program.call("PUT", WEB, "{"), 400, "malformed")
    problem(program.call("PUT", WEB, {"pausd": True}), 422, field="pausd")
    problem(program.call("PUT", WEB, {"paused": "no"}), 422, field="paused")
    problem(program.call("PUT", WEB, {"models": ["x" * 100_001]}), 413)
    assert "sk-proj-lost" not in problem(program.call("PUT", MAIN, {"sk-proj-lost": 1}), 422)
    answer = program.client.put("/api/v1/" + WEB, {}, HTTP_AUTHORIZATION=f"Bearer {program._key}", content_type="text/plain")
    problem(answer, 415)


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/v2/members", "/api/v1", "/api/v1/", "/api/v1/members/", "/api/v1/%00"])
def test_an_address_that_nobody_has_is_answered_with_a_problem(path: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE"):
        problem(Client(enforce_csrf_checks=True).generic(method, path), 404, "not_found")


def test_the_document_is_only_read(client: Client) -> None:
    answer = client.post("/api/v1/openapi.json")
    problem(answer, 405)
    assert answer["Allow"] == "GET"


def test_what_breaks_is_a_problem_that_says_nothing_of_it(
    program: Program, acme: Organization, by: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: Any) -> None:
        raise RuntimeError("The database of 10.0.0.7 is gone.")

    make_key(acme, by)
    program.client.raise_request_exception = False
    monkeypatch.setattr("byok_site.api.provider_keys.set_always", fail)
    answer = program.call("PUT", MAIN, {"always": True}, if_match="*")
    assert "10.0.0.7" not in problem(answer, 500, "failed") + answer.text


def test_what_django_refuses_is_a_problem_too(text: str) -> None:
    stranger = Client(raise_request_exception=False).get("/api/v1/members", HTTP_HOST="elsewhere.example.com")
    problem(stranger, 400, "malformed")
    many = "&".join(f"a{number}=1" for number in range(1001))
    problem(Program(text).call("GET", f"members?{many}"), 400)


def test_a_person_still_gets_pages_for_what_is_not_there(client_of: Callable[[User], Client], alice: User) -> None:
    answer = client_of(alice).get("/nowhere/")
    assert (answer.status_code, answer["Content-Type"]) == (404, "text/html; charset=utf-8")


def test_a_body_is_measured_and_not_only_announced() -> None:
    """One that comes in pieces announces nothing."""
    said = {"method": "PUT", "path": "/api/v1/routing", "headers": [(b"content-type", b"application/json")]}
    with pytest.raises(Refused) as refusal:
        body_of(ASGIRequest(said, BytesIO(b" " * 100_001)), RoutingBody)
    assert refusal.value.problem.status == 413


OPERATIONS = [(route, method) for route in ROUTES for method in route.operations]


@pytest.mark.parametrize(("route", "method"), OPERATIONS, ids=lambda each: getattr(each, "name", each))
def test_every_operation_asks_what_the_maker_of_the_key_may_do(
    route: Any, method: str, program: Program, alice: User, acme: Organization
) -> None:
    nothing = Group.objects.create(name="May do nothing")
    Membership.objects.filter(user=alice).update(role=nothing)
    path = re.sub("{.*?}", "x", route.path)
    problem(program.call(method, path, {}), 403, "forbidden")
    problem(Program().call(method, path, {}), 401, "unauthorized")
    app, codename = route.operations[method].permission.split(".")
    nothing.permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    assert program.call(method, path, {}).status_code not in (401, 403, 500)


# Routing


ROUTING = {"own_keys_only": False, "order": ["azure", "openai"], "timeout_seconds": 30, "move_on": ["limited", "trouble"]}


def test_a_program_says_how_requests_are_routed(program: Program, acme: Organization) -> None:
    default = program.get("routing")
    assert default.items() >= {"own_keys_only": True, "use_own_keys": True, "paused": False, "order": None}.items()
    answer = program.change("routing", ROUTING)
    assert answer.json() == default | ROUTING
    assert RoutingPreference.objects.get().preferences["order"] == ["azure", "openai"]
    problem(program.call("PUT", "routing", {"order": ["groq"]}), 428)
    problem(program.call("PUT", "routing", {"order": ["groq"]}, if_match='"x"'), 412)
    before = events(acme)
    shuffled = ROUTING | {"order": ["azure", "openai", "azure"], "move_on": ["trouble", "limited"], "ignore": []}
    assert program.call("PUT", "routing", shuffled).json() == answer.json()
    assert events(acme) == before
    assert program.change("routing", {"paused": True}).json() == default | {"paused": True, "own_keys_only": True}
    tags = AuditEvent.objects.filter(organization=acme).order_by("pk").values_list("tag", flat=True)
    assert list(tags)[before:] == ["routing:set", "organization:pause"]


def test_a_program_says_how_one_provider_is_used(program: Program) -> None:
    answer = program.change("routing/openai", {"use_own_keys": False, "paused": True, "move_on": []})
    said = {"use_own_keys": False, "paused": True, "timeout_seconds": None, "move_on": []}
    assert answer.json() == program.get("routing/openai") == said
    assert program.get("routing/groq")["use_own_keys"]
    problem(program.call("GET", "routing/nobody"), 404)
    problem(program.call("PUT", "routing/nobody", {}), 404)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"order": ["openai", "sk-lost"]}, "order[1]"),
        ({"only": ["sk-lost"]}, "only[0]"),
        ({"only": []}, "only"),
        ({"ignore": ["sk-lost"]}, "ignore[0]"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"move_on": ["sk-lost"]}, "move_on[0]"),
    ],
)
def test_routing_that_makes_no_sense_is_refused(program: Program, body: dict[str, Any], field: str) -> None:
    answer = program.change("routing", body)
    problem(answer, 422, field=field)
    assert "sk-lost" not in answer.text
    assert not RoutingPreference.objects.exists()


# Provider keys


def test_a_program_adds_a_key_that_passes_its_test(program: Program, fake: FakeProvider, acme: Organization, alice: User) -> None:
    secret = fake.key("openai")
    answer = program.call("PUT", MAIN, {"credential": {"api_key": secret}, "models": ["openai/GPT-4o*"]})
    assert answer.status_code == 201, answer.content
    assert secret not in answer.text
    assert {"status": "healthy", "models": ["openai/gpt-4o*"], "priority": 1}.items() <= answer.json().items()
    event = AuditEvent.objects.filter(organization=acme, tag="provider_key:add").get()
    assert (event.actor, event.actor_label) == (alice, "Alice by the management key terraform")
    assert secret not in program.call("GET", MAIN).text + program.call("GET", "audit").text


def test_applying_the_same_twice_changes_nothing_the_second_time(
    program: Program, fake: FakeProvider, acme: Organization
) -> None:
    fake_key = {"api_key": fake.key("openai")}
    first = program.call("PUT", MAIN, {"credential": fake_key, **EVERYTHING_OFF})
    key_id = first.json()["id"]
    wanted = {
        MAIN: {"credential": fake_key, **EVERYTHING_OFF},
        WEB: {"models": ["openai/GPT-4o*"], "networks": ["10.0.0.0/8"], "provider_keys": [key_id], "paused": True},
        "order": {"prioritized": [], "fallback": [{"provider": "openai", "name": "Main"}]},
        "limits/organization": {"requests_per_minute": 60},
        f"limits/provider-keys/{key_id}": {"concurrent": 3},
        "budgets/organization/month": {"amount_microusd": 50_000_000, "assumed_microusd": 7},
        "routing": ROUTING | {"paused": True},
        "routing/openai": {"timeout_seconds": 20},
    }
    there = {"order", "routing", "routing/openai"}
    for path, body in wanted.items():
        answer = program.call("PUT", path, body, **({"if_match": program.call("GET", path)["ETag"]} if path in there else {}))
        assert answer.status_code in (200, 201), answer.content
    seen, before = {path: program.call("GET", path) for path in wanted}, state(acme, fake)
    for path, body in wanted.items():
        for condition in ({}, {"if_match": seen[path]["ETag"]}, {"if_match": "*"}):
            answer = program.call("PUT", path, body, **condition)
            assert answer.status_code == 200, answer.content
            assert (answer["ETag"], answer.json()) == (seen[path]["ETag"], seen[path].json())
    assert state(acme, fake) == before


def state(organization: Organization, fake: FakeProvider) -> tuple[int, int, int]:
    """What rises when something is done: events, versions of routing, requests to the provider."""
    version = Organization.objects.get(pk=organization.pk).routing_version
    return events(organization), version, len(fake.requests)


def test_a_credential_that_is_refused_or_wrong_is_not_saved(program: Program, fake: FakeProvider, acme: Organization) -> None:
    secret = fake.key("openai", "refused")
    problem(program.call("PUT", MAIN, {"credential": {"api_key": secret}}), 422, "credential_not_accepted", "credential")
    problem(program.call("PUT", MAIN, {}), 422, field="credential")
    problem(program.call("PUT", MAIN, {"credential": {"api_key": "Bearer lost-secret"}}), 422, field="credential.api_key")
    said = problem(program.call("PUT", MAIN, {"credential": {"apikey": "lost-secret"}}), 422, field="credential")
    assert "lost-secret" not in said
    problem(program.call("PUT", "provider-keys/openai/%20Main", {"credential": {"api_key": secret}}), 422, field="name")
    problem(program.call("PUT", "provider-keys/nobody/Main", {}), 404)
    assert not ProviderKey.objects.for_org(acme).exists()


def test_a_key_can_be_saved_untested_and_tested_later(program: Program, fake: FakeProvider) -> None:
    made = program.call("PUT", MAIN, {"credential": {"api_key": fake.key("openai")}, "skip_test": True}).json()
    assert made["needs_test"]
    assert not fake.requests
    tested = program.call("POST", f"{MAIN}/test").json()
    assert (tested["verdict"], tested["key"]["needs_test"]) == ("valid", False)


def test_nothing_is_written_over_unseen(program: Program, acme: Organization, by: Actor) -> None:
    make_key(acme, by)
    seen = program.call("GET", MAIN)["ETag"]
    problem(program.call("PUT", MAIN, {"enabled": False}), 428)
    problem(program.call("DELETE", MAIN), 428)
    assert program.call("PUT", MAIN, {"enabled": False}, if_match=seen).status_code == 200
    problem(program.call("PUT", MAIN, {"always": True}, if_match=seen), 412, "changed")
    problem(program.call("DELETE", MAIN, if_match=seen), 412)
    problem(program.call("PUT", MAIN, {"always": True}, if_none_match="*"), 412, "exists")
    problem(program.call("PUT", "limits/organization", {"concurrent": 1}, if_match='"x"'), 412)
    assert not ProviderKey.objects.get().enabled
    assert program.call("DELETE", MAIN, if_match="*").status_code == 204
    problem(program.call("GET", MAIN), 404)
    assert bytes(ProviderKey.objects.get().sealed) == b""


def test_the_state_of_a_key_is_no_change_of_it(program: Program, fake: FakeProvider) -> None:
    program.call("PUT", MAIN, {"credential": {"api_key": fake.key("openai")}, "skip_test": True})
    before = program.call("GET", MAIN)["ETag"]
    program.call("POST", f"{MAIN}/test")
    assert program.call("GET", MAIN)["ETag"] == before


def test_a_program_replaces_a_credential(program: Program, fake: FakeProvider, acme: Organization, by: Actor) -> None:
    key = make_key(acme, by)
    answer = program.change(MAIN, {"credential": {"api_key": fake.key("openai")}})
    assert (answer.status_code, answer.json()["secret_version"]) == (200, 2)
    assert key.retired.count() == 1
    refused = program.change(MAIN, {"credential": {"api_key": fake.key("openai", "refused")}})
    problem(refused, 422, "credential_not_accepted")
    assert program.get(MAIN)["secret_version"] == 2


def test_a_restriction_that_cannot_be_saved_leaves_everything_as_it_was(
    program: Program, acme: Organization, by: Actor, charlie: User
) -> None:
    make_key(acme, by)
    before = events(acme)
    for said, field in (({"models": []}, "models"), ({"members": [charlie.pk]}, "members"), ({"client_keys": []}, "client_keys")):
        problem(program.change(MAIN, {"enabled": False, **said}), 422, field=field)
    assert ProviderKey.objects.get().enabled
    assert events(acme) == before


def test_a_program_changes_the_order(program: Program, acme: Organization, by: Actor) -> None:
    first, second = make_key(acme, by, "First"), make_key(acme, by, "Second", "sk-proj-another-0000000000000")
    one, two = ({"provider": "openai", "name": key.name} for key in (first, second))
    assert program.get("order") == {"prioritized": [one, two], "fallback": []}
    answer = program.change("order", {"prioritized": [two], "fallback": [one]})
    assert answer.json() == {"prioritized": [two], "fallback": [one]}
    assert [(key.name, key.tier) for key in ProviderKey.objects.for_org(acme)] == [
        ("Second", "prioritized"),
        ("First", "fallback"),
    ]
    problem(program.call("PUT", "order", {"prioritized": [one, two], "fallback": []}), 428)
    problem(program.call("PUT", "order", {"prioritized": [one, two], "fallback": []}, if_match='"0"'), 412)
    problem(program.change("order", {"prioritized": [one], "fallback": []}), 422, "incomplete")
    nobody = {"provider": "openai", "name": "Nobody"}
    problem(program.change("order", {"prioritized": [one, two], "fallback": [nobody]}), 422, field="fallback[0]")


# Client keys, limits and budgets


def test_a_program_creates_a_client_key_and_gets_its_text_once(
    program: Program, acme: Organization, alice: User, bob: User
) -> None:
    made = program.call("PUT", WEB, {"owner": bob.pk, "expires_at": "2030-01-01T00:00:00Z"})
    assert made.status_code == 201
    assert client_keys.parse(made.json()["key"])
    key = ClientKey.objects.get()
    assert (key.owner, key.created_by) == (bob, alice)
    assert "key" not in program.get(WEB)
    changed = program.change(WEB, {"owner": alice.pk, "networks": ["10.0.0.0/8"], "paused": True}).json()
    assert (changed["owner"], changed["expires_at"], changed["paused"]) == (alice.pk, None, True)
    assert "key" not in changed
    problem(program.change(WEB, {"expires_at": "2020-01-01T00:00:00Z"}), 422, field="expires_at")
    problem(program.change(WEB, {"expires_at": "2030-01-01T00:00:00"}), 422, field="expires_at")
    assert program.call("DELETE", WEB, if_match="*").status_code == 204
    problem(program.call("GET", WEB), 404)
    assert program.get("client-keys")["items"] == []


def test_a_program_rolls_a_client_key_once(program: Program, acme: Organization) -> None:
    first = program.call("PUT", WEB, {}).json()
    seen = program.call("GET", WEB)["ETag"]
    problem(program.call("POST", f"{WEB}/roll", {"grace_hours": 1}), 428)
    problem(program.call("POST", f"{WEB}/roll", {"grace_hours": 169}, if_match=seen), 422, field="grace_hours")
    problem(program.call("POST", f"{WEB}/roll", {}, if_match=seen), 422, field="grace_hours")
    rolled = program.call("POST", f"{WEB}/roll", {"grace_hours": 24}, if_match=seen)
    assert client_keys.parse(rolled.json()["key"])
    assert rolled.json()["key"] != first["key"]
    assert rolled.json()["rolled_until"]
    problem(program.call("POST", f"{WEB}/roll", {"grace_hours": 24}, if_match=seen), 412)
    assert "key" not in program.get(WEB)
    assert program.call("GET", WEB)["ETag"] == rolled["ETag"] != seen
    assert AuditEvent.objects.filter(organization=acme, tag="client_key:roll").count() == 1
    problem(program.call("POST", "client-keys/nobody/roll", {"grace_hours": 0}, if_match="*"), 404)


def test_a_budget_says_what_is_spent_of_it(program: Program, acme: Organization) -> None:
    path = "budgets/organization/month"
    before = program.call("PUT", path, {"amount_microusd": 5_000_000})
    assert before.json()["spent_microusd"] == 0
    book([attempt(acme, at=timezone.now())])
    today = timezone.now().date()
    spent = program.get(f"usage?from={today}&to={today}")["total"]["estimated_cost_microusd"]
    assert spent
    after = program.call("GET", path)
    assert after.json()["spent_microusd"] == program.get("budgets")["items"][0]["spent_microusd"] == spent
    assert after["ETag"] == before["ETag"]


def test_a_program_sets_limits_and_budgets(program: Program, acme: Organization, bob: User) -> None:
    path = f"limits/members/{bob.pk}"
    assert program.call("PUT", path, {"requests_per_minute": 5}).status_code == 201
    assert program.change(path, {"tokens_per_minute": 900}).json()["requests_per_minute"] is None
    problem(program.change(path, {}), 422)
    problem(program.change(path, {"concurrent": 0}), 422, field="concurrent")
    assert program.get("limits")["items"][0]["scope"] == "members"
    assert program.call("DELETE", path, if_match="*").status_code == 204
    assert not Limit.objects.exists()
    path = f"budgets/members/{bob.pk}/month"
    assert program.call("PUT", path, {"amount_microusd": 5_000_000, "hard": False}).status_code == 201
    problem(program.change(path, {"amount_microusd": 5_000_000, "unpriced": "assume"}), 422, field="assumed_microusd")
    problem(program.change(path, {"amount_microusd": 1}), 422, field="amount_microusd")
    problem(program.call("GET", f"budgets/members/{bob.pk}/year"), 404)
    problem(program.call("GET", "limits/nobody/1"), 404)
    assert program.get("budgets")["items"][0]["amount_microusd"] == 5_000_000
    assert program.call("DELETE", path, if_match="*").status_code == 204
    assert not Budget.objects.exists()


# What can be read


def test_lists_come_in_pages(program: Program, acme: Organization, by: Actor) -> None:
    for name in ("a", "b", "c"):
        issue_client_key(organization=acme, name=name, by=by)
    first = program.get("client-keys?limit=2")
    rest = program.get(f"client-keys?limit=2&after={first['next']}")
    assert sorted(key["name"] for key in first["items"] + rest["items"]) == ["a", "b", "c"]
    assert rest["next"] is None


def test_a_program_reads_members_usage_and_the_audit_log(program: Program, acme: Organization, by: Actor) -> None:
    assert [(one["name"], one["role"]) for one in program.get("members")["items"]] == [("Alice", "Owner"), ("Bob", "Member")]
    book([attempt(acme, at=timezone.now())])
    today = timezone.now().date()
    usage = program.get(f"usage?from={today}&to={today}&by=model")
    assert usage["total"]["requests"] == 1
    assert [item["sums"]["requests"] for item in usage["items"]] == [1]
    problem(program.call("GET", f"usage?from={today}&to=2026-01-01"), 422, field="to")
    problem(program.call("GET", f"usage?from=2020-01-01&to={today}"), 422, field="from")
    problem(program.call("GET", "usage?from=monday&to=2026-01-01"), 400, field="from")
    set_limit(organization=acme, scope="organization", concurrent=1, by=by)
    log = program.get("audit?limit=1")
    assert log["items"][0]["tag"] == "organization:set_limit"
    rest = [event["tag"] for event in program.get(f"audit?after={log['next']}")["items"]]
    assert rest == ["usage:export", "management_key:issue", "organization:create"]


def test_what_a_program_reads_is_told_once_an_hour(program: Program, acme: Organization) -> None:
    cache.clear()
    with time_machine.travel("2026-11-23T12:00:10Z", tick=False):
        for path in ("usage?from=2026-11-01&to=2026-11-02", "usage?from=2026-11-01&to=2026-11-03", "audit", "audit?limit=1"):
            program.get(path)
            program.get(path)
    told = AuditEvent.objects.filter(organization=acme, tag__endswith=":export").order_by("pk")
    assert [event.tag for event in told] == ["usage:export", "usage:export", "audit:export"]
    assert told[0].changes == {"after": {"from": "2026-11-01", "to": "2026-11-02", "by": "provider"}}
    assert told[0].actor_label == "Alice by the management key terraform"


def test_a_maker_who_may_see_no_hints_reads_none_in_the_log(program: Program, acme: Organization, by: Actor, alice: User) -> None:
    make_key(acme, by)
    added = {"tag": "provider_key:add"}.items()
    [event] = [one for one in program.get("audit")["items"] if added <= one.items()]
    assert event["changes"]["after"]["hint"] == "sk-proj-…0000"
    Membership.objects.filter(user=alice).update(role=Group.objects.get(name=AUDITOR))
    [event] = [one for one in program.get("audit")["items"] if added <= one.items()]
    assert event["changes"]["after"].keys().isdisjoint({"hint", "fingerprint"})


def test_the_last_use_of_a_key_is_noted_to_the_minute(program: Program) -> None:
    with time_machine.travel("2026-11-23T12:00:10Z", tick=False):
        program.get("members")
    with time_machine.travel("2026-11-23T12:00:50Z", tick=False):
        program.get("members")
        assert ManagementKey.objects.get().last_used_at == timezone.now() - timedelta(seconds=40)


def test_a_revoked_key_leaves_its_name_free(acme: Organization, by: Actor) -> None:
    key, _ = issue_management_key(organization=acme, name="terraform", by=by)
    revoke_management_key(key=key, by=by)
    again, _ = issue_management_key(organization=acme, name="terraform", by=by)
    assert list(ManagementKey.objects.for_org(acme)) == [again, key]


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
@pytest.mark.usefixtures("postgres_only")
def test_of_two_who_change_the_same_at_once_one_is_told(text: str, acme: Organization, by: Actor) -> None:
    make_key(acme, by)

    def change(body: dict[str, Any], seen: str, together: Barrier) -> int:
        try:
            together.wait()
            return Program(text).call("PUT", MAIN, body, if_match=seen).status_code
        finally:
            connection.close()

    for number in range(20):
        seen, together = Program(text).call("GET", MAIN)["ETag"], Barrier(2)
        bodies = ({"models": [f"mine-{number}"]}, {"models": [f"yours-{number}"]})
        with ThreadPoolExecutor(2) as people:
            statuses = list(people.map(change, bodies, [seen] * 2, [together] * 2))
        assert sorted(statuses) == [200, 412]
        assert ProviderKey.objects.get().allowed_models == bodies[statuses.index(200)]["models"]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_the_document_tells_of_every_address(route: Any, client: Client) -> None:
    written = client.get("/api/v1/openapi.json").json()["paths"][f"/{route.path}"]
    assert {method.upper() for method in written} - {"PARAMETERS"} == set(route.operations)
