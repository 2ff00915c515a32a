"""Client keys in full: until when, for what and from where one works, its texts, whose it is, and what stops it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.core.mail import EmailMessage
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from gateway.auth import authenticate, check
from gateway.directory import Directory
from gateway.errors import Refusal
from keys import client_keys
from keys.actions import (
    RestrictionError,
    RolledMeanwhile,
    Terms,
    change_client_key,
    hand_over_client_key,
    issue_client_key,
    pause_client_key,
    report_leak,
    revoke_of_member,
    roll_client_key,
)
from keys.models import ClientKey, DataKey, ProviderKey
from keys.networks import networks_of, reach, read_networks
from keys.pages.consequences import callers, of_key
from keys.pages.explaining import CLIENT_KEY_EXPIRED, stopped_by
from keys.reminding import remind
from keys.routes import asking
from keys.routes import of as routes_of
from keys.routing import Why
from keys.tasks import tick
from keys.upkeep import verify
from orgs.actions import Actor
from orgs.models import AuditEvent, Notice, Organization, User
from orgs.notices import send_due
from tests.attempts import make_keys
from tests.gateway_calls import GREETING, call, get
from tests.gateway_server import RunningGateway

pytest_plugins = ["tests.gateway_fixtures"]

pytestmark = pytest.mark.django_db

BY = Actor.command("test")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LIST, NEW, REPORT = "/o/acme/client-keys/", "/o/acme/client-keys/new/", "/report/"


def issue(organization: Organization, name: str = "web-app", owner: User | None = None, **terms: Any) -> tuple[ClientKey, str]:
    return issue_client_key(organization=organization, name=name, by=BY, owner=owner, terms=Terms(**terms))


def roll(key: ClientKey, grace: timedelta) -> str:
    key.refresh_from_db()
    return roll_client_key(key=key, public_id=key.public_id, grace=grace, by=BY)


def told(key: ClientKey) -> tuple[str, Any, Any]:
    event = AuditEvent.objects.filter(target_id=str(key.pk)).latest("pk")
    return event.tag, event.changes["before"], event.changes["after"]


def page(key: ClientKey, what: str = "") -> str:
    return reverse(f"client_key{what}", args=["acme", key.pk])


def put(key: ClientKey, **columns: Any) -> ClientKey:
    ClientKey.objects.filter(pk=key.pk).update(**columns)
    key.refresh_from_db()
    return key


@pytest.fixture
def alices(client_of: Callable[[User], Client], alice: User, acme: Organization) -> Client:
    return client_of(alice)


@pytest.fixture
def bobs(client_of: Callable[[User], Client], bob: User, acme: Organization) -> Client:
    """Of a member who may make own client keys."""
    Organization.objects.filter(pk=acme.pk).update(members_issue_keys=True)
    return client_of(bob)


def answer_to(text: str, *, address: str = "192.0.2.1", later: timedelta = timedelta()) -> str:
    """The code of the refusal, or nothing where the text is taken."""
    directory = Directory()
    directory.refresh()
    assert directory.snapshot
    try:
        caller = authenticate(directory.snapshot, [(b"x-api-key", text.encode())])
        check(caller, address, (timezone.now() + later).timestamp())
    except Refusal as refusal:
        return f"{refusal.status} {refusal.code}"
    return ""


# Until when, for what and from where


def test_a_key_expires(acme: Organization) -> None:
    key, text = issue(acme, expires_at=timezone.now() + DAY)
    assert [answer_to(text), answer_to(text, later=DAY - HOUR), answer_to(text, later=DAY)] == ["", "", "401 client_key_expired"]
    change_client_key(key=key, name="web-app", terms=Terms(), by=BY)
    assert answer_to(text, later=400 * DAY) == ""


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("2001:db8::1", True),
        ("11.0.0.1", False),
        ("2001:db9::1", False),
        ("", False),
        ("unknown", False),
    ],
)
def test_a_key_works_from_its_networks_only(acme: Organization, address: str, allowed: bool) -> None:
    _, text = issue(acme, networks=["10.0.0.0/8", "2001:db8::/32"])
    assert answer_to(text, address=address) == ("" if allowed else "403 network_not_allowed")


def test_networks_are_read_line_by_line() -> None:
    assert read_networks(" 10.0.0.0/8 \n\n192.0.2.7\n10.0.0.0/8") == (("10.0.0.0/8", "192.0.2.7/32"), [])
    _, problems = read_networks("10.0.0.0/8\n10.0.0.1/8\nhome\n10.0.0.0/33")
    assert [problem[:7] for problem in problems] == ["Line 2:", "Line 3:", "Line 4:"]
    assert "`10.0.0.0/8`" in problems[0]
    assert reach(networks_of(None), "anything")


def test_networks_of_ipv4_may_be_written_as_ipv6(acme: Organization) -> None:
    """As addresses are, by some servers and proxies."""
    assert read_networks("::ffff:192.0.2.7\n::ffff:10.0.0.0/104\n::/0")[0] == ("192.0.2.7/32", "10.0.0.0/8", "::/0")
    _, text = issue(acme, networks=["::ffff:10.0.0.0/104"])
    assert [answer_to(text, address=address) for address in ("10.1.2.3", "::ffff:10.1.2.3")] == ["", ""]


def test_a_network_of_one_machine_is_none() -> None:
    """No request would ever come from it."""
    found, problems = read_networks("fe80::%eth0/64")
    assert not found
    assert problems == ["Line 1: this is no address and no network. Write for example `10.0.0.0/8` or `2001:db8::/32`."]


@pytest.mark.parametrize(
    ("field", "terms"),
    [
        ("models", {"models": []}),
        ("models", {"models": ["two words"]}),
        ("provider_keys", {"provider_keys": []}),
        ("provider_keys", {"provider_keys": [uuid4()]}),
        ("networks", {"networks": []}),
        ("networks", {"networks": ["10.0.0.1/8"]}),
        ("expires_on", {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}),
    ],
)
def test_terms_that_make_no_sense_are_refused(acme: Organization, field: str, terms: dict[str, Any]) -> None:
    with pytest.raises(RestrictionError) as refused:
        issue(acme, **terms)
    assert refused.value.field == field
    assert not ClientKey.objects.exists()


def test_another_organizations_provider_key_and_people_are_refused(
    acme: Organization, globex: Organization, charlie: User
) -> None:
    theirs = make_keys(globex).provider
    for said in ({"provider_keys": [theirs.pk]}, {"owner": charlie}):
        with pytest.raises(RestrictionError):
            issue(acme, **said)


def test_the_audit_says_what_differs(acme: Organization) -> None:
    provider_key = make_keys(acme).provider
    key, _ = issue(acme, models=["openai/*"])
    assert told(key) == ("client_key:issue", {}, {"name": "web-app", "hint": key.hint, "models": ["openai/*"]})
    terms = Terms(models=["openai/*"], provider_keys=[provider_key.pk])
    for _ in range(2):
        change_client_key(key=key, name="web", terms=terms, by=BY)
    named = {str(provider_key.pk): "OpenAI Production"}
    assert told(key) == ("client_key:change", {"name": "web-app", "provider_keys": None}, {"name": "web", "provider_keys": named})
    assert AuditEvent.objects.filter(tag="client_key:change").count() == 1


# Through the gateway


def limit(gateway: RunningGateway, **columns: Any) -> None:
    put(gateway.client_key, **columns)
    gateway._bump()


def test_only_its_models_are_served_by_every_path(gateway: RunningGateway) -> None:
    gateway.add("openai", models=("gpt-4o", "gpt-4o-mini"))
    limit(gateway, allowed_models=["openai/gpt-4o-*"])
    assert call(gateway, {**GREETING, "model": "openai/gpt-4o-mini"}).status == 200
    native = {"model": "gpt-4o", "messages": GREETING["messages"]}
    for reply in (call(gateway), call(gateway, native, "/native/openai/chat/completions")):
        assert (reply.status, reply.error["code"]) == (403, "model_not_allowed")
        assert "the client key is for other models" in reply.error["message"]
        assert reply.headers["x-should-retry"] == "false"
    unnamed = get(gateway, "/native/openai/files")
    assert (unnamed.status, unnamed.error["code"]) == (403, "model_not_allowed")
    assert [model["id"] for model in json.loads(get(gateway, "/v1/models").body)["data"]] == ["openai/gpt-4o-mini"]


def test_only_its_provider_keys_are_used(gateway: RunningGateway) -> None:
    gateway.add("openai", name="first")
    second = gateway.add("openai", name="second")
    limit(gateway, allowed_provider_keys=[str(second.pk)])
    reply = call(gateway)
    assert (reply.status, reply.headers["x-keyhold-key"]) == (200, "second")
    assert "is not among the provider keys that the client key may use" in reply.headers["x-keyhold-walk"]
    limit(gateway, allowed_provider_keys=[str(uuid4())])
    assert (call(gateway).status, call(gateway).error["code"]) == (403, "key_restricted")
    assert json.loads(get(gateway, "/v1/models").body)["data"] == []


def test_where_a_request_comes_from_is_not_taken_from_its_headers(gateway: RunningGateway) -> None:
    gateway.add("openai")
    limit(gateway, allowed_networks=["10.0.0.0/8"])
    for header in ("x-forwarded-for", "x-real-ip", "forwarded", "x_forwarded_for"):
        reply = call(gateway, headers={header: "10.0.0.1"})
        assert (reply.status, reply.error["code"]) == (403, "network_not_allowed")
    assert not gateway.fake.requests
    limit(gateway, allowed_networks=["127.0.0.0/8"])
    assert call(gateway).status == 200


def test_the_owner_of_the_key_is_whose_request_it_is(gateway: RunningGateway, bob: User) -> None:
    gateway.add("openai")
    hand_over_client_key(key=gateway.client_key, to=bob, by=BY)
    gateway.directory.refresh()
    call(gateway)
    assert [ended.opened.member_id for ended in gateway.attempts()] == [bob.pk]


def test_shared_keys_are_closed_to_a_key_that_names_its_provider_keys(acme: Organization, globex: Organization) -> None:
    ours, lent = make_keys(acme).provider, make_keys(globex).provider
    ProviderKey.objects.update(needs_test=False)
    Organization.objects.filter(pk=globex.pk).update(is_platform=True)
    routes = routes_of(acme)
    key, _ = issue(acme, provider_keys=[ours.pk])
    plan = routes.plan("openai/gpt-4o", now=0, asking=asking(key))
    assert [each.key.id for each in plan.candidates] == [ours.pk]
    assert not [each for each in plan.candidates if each.key.id == lent.pk]


def test_the_explainer_and_consequences_know_what_a_key_is_for(acme: Organization) -> None:
    provider_key = make_keys(acme).provider
    ProviderKey.objects.update(needs_test=False, discovered_models=["gpt-4o", "o3"])
    ClientKey.objects.all().delete()
    issue(acme, "all")
    narrow, _ = issue(acme, "narrow", models=["openai/o3"])
    routes = routes_of(acme)
    left = routes.plan("openai/gpt-4o", now=0, asking=asking(narrow)).left_out
    assert [(each.key.id, each.why) for each in left] == [(provider_key.pk, Why.NOT_ALLOWED)]
    assert of_key(routes, provider_key.pk, callers=callers(acme), now=0).callers == ("all", "narrow")
    put(narrow, expires_at=timezone.now() - HOUR)
    assert stopped_by(narrow) == CLIENT_KEY_EXPIRED
    assert list(callers(acme)) == ["all"]


# Rolling


@pytest.mark.parametrize("grace", [timedelta(), HOUR, DAY, 7 * DAY])
def test_both_texts_of_a_rolled_key_work_for_as_long_as_was_said(acme: Organization, grace: timedelta) -> None:
    key, old = issue(acme, networks=["192.0.2.0/24"])
    new = roll(key, grace)
    assert client_keys.parse(new)
    assert answer_to(new) == ""
    assert answer_to(old) == ("" if grace else "401 invalid_api_key")
    assert answer_to(old, later=grace - timedelta(seconds=30)) == ("" if grace else "401 invalid_api_key")
    assert answer_to(old, later=grace) == "401 invalid_api_key"
    assert answer_to(old, address="198.51.100.1") == ("403 network_not_allowed" if grace else "401 invalid_api_key")
    assert answer_to(new, later=900 * DAY) == ""
    key.refresh_from_db()
    assert told(key)[2]["hint"] == key.hint == "byok_live_…" + new[-4:]


def test_rolling_again_stops_the_oldest_text_and_a_form_sent_twice_does_nothing(acme: Organization) -> None:
    key, first = issue(acme)
    before = key.public_id
    second = roll(key, DAY)
    with pytest.raises(RolledMeanwhile):
        roll_client_key(key=key, public_id=before, grace=DAY, by=BY)
    assert [answer_to(first), answer_to(second)] == ["", ""]
    third = roll(key, DAY)
    assert [answer_to(text) for text in (first, second, third)] == ["401 invalid_api_key", "", ""]


def test_pausing_and_revoking_stop_both_texts(acme: Organization) -> None:
    key, old = issue(acme)
    new = roll(key, DAY)
    pause_client_key(key=key, by=BY)
    assert [answer_to(old), answer_to(new)] == ["403 client_key_paused"] * 2
    report_leak(text=new, address=None)
    assert [answer_to(old), answer_to(new)] == ["401 invalid_api_key"] * 2


def test_an_owner_rolls_a_key_on_its_page(alices: Client, acme: Organization) -> None:
    key, old = issue(acme)
    assert "The present text stops" in alices.get(page(key, "_roll")).text
    sent = {"public_id": key.public_id, "grace": "24"}
    shown = alices.post(page(key, "_roll"), sent)
    assert shown.status_code == 200
    assert old not in shown.text
    assert f"{key.hint}</span>, works until" in shown.text
    again = alices.post(page(key, "_roll"), sent)
    assert (again.status_code, "byok_live_…" in again.text) == (409, True)
    assert "was rolled a moment ago" in again.text
    assert "Two texts work." in alices.get(page(key)).text
    assert alices.post(page(key, "_roll"), {"public_id": key.public_id, "grace": "5"}).status_code == 422


# Whose it is


def test_keys_of_somebody_who_leaves_are_revoked_or_handed_over(
    alices: Client, acme: Organization, alice: User, bob: User, charlie: User
) -> None:
    keys = [issue(acme, name, owner=bob)[0] for name in ("jobs", "notebook")]
    issue(acme, "web-app", owner=alice)
    address = reverse("client_keys_of", args=["acme", bob.pk])
    assert ">jobs</a>" in alices.get(address).text
    assert alices.post(address, {"choice": "hand-over"}).status_code == 422
    with pytest.raises(RestrictionError):
        revoke_of_member(organization=acme, user=bob, to=charlie, by=BY)
    alices_place = alice.memberships.get(organization=acme).pk
    assert "2 client keys of Bob handed over to Alice." in (
        alices.post(address, {"choice": "hand-over", "owner": alices_place}, follow=True).text
    )
    assert told(keys[0]) == ("client_key:hand_over", {"owner": "Bob"}, {"owner": "Alice"})
    assert alices.get(address).status_code == 404
    assert revoke_of_member(organization=acme, user=alice, by=BY) == 3
    assert not ClientKey.objects.live().exists()


def test_a_member_keeps_own_keys_where_the_organization_lets_them(bobs: Client, acme: Organization, bob: User) -> None:
    theirs, _ = issue(acme, "web-app")
    created = bobs.post(NEW, {"name": "notebook"})
    assert "byok_live_" in created.text
    mine = ClientKey.objects.get(name="notebook")
    assert (mine.owner, mine.created_by) == (bob, bob)
    listed = bobs.get(LIST).text
    assert ">notebook</a>" in listed
    assert "web-app" not in listed
    shown = bobs.get(page(mine)).text
    for what, there in (("_change", True), ("_roll", True), ("_revoke", True), ("_pause", False), ("_hand_over", False)):
        assert (page(mine, what) in shown) is there
        assert bobs.get(page(mine, what)).status_code == (200 if there else 403)
        assert bobs.get(page(theirs, what)).status_code == (404 if there else 403)
    assert bobs.get(page(theirs)).status_code == 404
    assert bobs.post(page(theirs, "_revoke")).status_code == 404
    pause_client_key(key=mine, by=BY)
    assert bobs.post(page(mine, "_resume")).status_code == 403
    assert bobs.post(page(mine, "_revoke")).status_code == 302
    assert ClientKey.objects.live().get() == theirs


def test_a_member_names_no_other_owner_and_has_nothing_once_it_is_not_allowed(
    bobs: Client, acme: Organization, alice: User, bob: User
) -> None:
    place = alice.memberships.get(organization=acme).pk
    assert 'name="owner"' not in bobs.get(NEW).text
    bobs.post(NEW, {"name": "notebook", "owner": place})
    key = ClientKey.objects.get()
    assert key.owner == bob
    assert ">Client keys</a>" in bobs.get("/o/acme/").text
    Organization.objects.filter(pk=acme.pk).update(members_issue_keys=False)
    assert ">Client keys</a>" not in bobs.get("/o/acme/").text
    for address in (LIST, NEW, page(key), page(key, "_roll"), page(key, "_revoke")):
        assert bobs.get(address).status_code == 403


# The pages


def test_an_owner_says_what_a_key_is_for_and_changes_it(alices: Client, acme: Organization, bob: User) -> None:
    Organization.objects.filter(pk=acme.pk).update(timezone="America/New_York")
    provider_key = make_keys(acme).provider
    said = {
        "name": "jobs",
        "owner": bob.memberships.get(organization=acme).pk,
        "expires_on": "2099-07-31",
        "every_models": "some",
        "models": "openai/gpt-4o\nopenai/o*",
        "every_provider_keys": "some",
        "provider_keys": [provider_key.pk],
        "every_networks": "some",
        "networks": "10.0.0.0/8",
    }
    assert alices.post(NEW, said).status_code == 200
    key = ClientKey.objects.get(name="jobs")
    assert key.owner == bob
    assert key.expires_at == datetime(2099, 8, 1, 4, tzinfo=UTC)
    text = alices.get(page(key)).text
    for shown in ("openai/gpt-4o, openai/o*", "OpenAI Production", "10.0.0.0/8", "1 Aug 2099, 04:00 UTC", "<dd>Bob"):
        assert shown in text
    form = alices.get(page(key, "_change")).text
    assert 'value="2099-07-31"' in form
    assert alices.post(page(key, "_change"), {"name": "jobs"}).status_code == 422  # says nothing of the lists
    kept = said | {"every_models": "", "every_provider_keys": "", "every_networks": "", "expires_on": ""}
    assert alices.post(page(key, "_change"), kept).status_code == 302
    key.refresh_from_db()
    assert (key.allowed_models, key.allowed_provider_keys, key.allowed_networks, key.expires_at) == (None, None, None, None)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"every_models": "some"}, "Name at least one model"),
        ({"every_networks": "some", "networks": "10.0.0.1/8"}, "The network would be <code>10.0.0.0/8</code>."),
        ({"every_provider_keys": "some"}, "Choose at least one provider key"),
        ({"expires_on": "2020-01-01"}, "This day is over already."),
        ({"expires_on": "soon"}, "Enter a day"),
        ({"expires_on": "9999-12-31"}, "Enter a day"),
        ({"owner": "0"}, "Choose a member of the organization."),
    ],
)
def test_a_mistake_keeps_the_form_and_makes_no_key(
    alices: Client, acme: Organization, said: dict[str, str], sentence: str
) -> None:
    answer = alices.post(NEW, {"name": "jobs"} | said)
    assert answer.status_code == 422
    assert sentence in answer.text
    assert 'value="jobs"' in answer.text
    assert not ClientKey.objects.exists()


def test_the_list_shows_what_needs_a_look(alices: Client, acme: Organization) -> None:
    now = timezone.now()
    states = {
        "soon": {"expires_at": now + 6 * DAY + HOUR},
        "over": {"expires_at": now - DAY},
        "idle": {"last_used_at": now - 61 * DAY},
        "never": {"created_at": now - 61 * DAY},
        "fresh": {"last_used_at": now},
        "stopped": {"paused_at": now},
    }
    for name, columns in states.items():
        put(issue(acme, name)[0], **columns)
    rolling, _ = issue(acme, "rolling")
    roll(rolling, DAY)
    rows = {row.split("</a>")[0].rpartition(">")[2]: row for row in alices.get(LIST).text.split("<tr ")[2:]}
    marks = {
        "soon": "In 6 days</time></span>",
        "over": "Expired <time",
        "idle": "Unused since",
        "never": ">Never used</span>",
        "stopped": "Paused <time",
        "rolling": ">Rolled</span>",
    }
    for name, mark in marks.items():
        assert {row for row, text in rows.items() if mark in text} == {name}, mark
    assert 'class="tag' not in rows["fresh"]


# Reports


def reported(client: Client, key: str, address: str = "192.0.2.1", **options: Any) -> Any:
    return client.post(REPORT, {"key": key}, REMOTE_ADDR=address, **options)


@pytest.fixture(autouse=True)
def no_report_yet() -> None:
    cache.clear()


def test_a_reported_key_is_revoked_and_nobody_learns_whether_it_was_one(acme: Organization, bob: User) -> None:
    key, text = issue(acme, "web-app", owner=bob)
    public = f"byok_live_{key.public_id}_{client_keys.random_text(32)}"
    strangers = [client_keys.generate().text, public + client_keys.checksum(public), "nonsense"]
    answers = {reported(Client(), each).content for each in strangers}
    assert ClientKey.objects.live().exists()
    answers |= {reported(Client(), f" {text}\n").content, reported(Client(), text).content}
    assert len(answers) == 1
    assert "it is stopped now" in answers.pop().decode()
    assert answer_to(text) == "401 invalid_api_key"
    event = AuditEvent.objects.get(tag="client_key:revoke")
    assert (event.actor, event.actor_label, event.address) == (None, "Somebody who found it", "192.0.2.1")
    notice = Notice.objects.get()
    assert (notice.tag, notice.path) == ("client_key:reported", page(key))
    assert notice.subject == "Client key “web-app” was found in public and is revoked"
    assert key.hint in notice.body
    assert text not in notice.body


def test_a_report_is_answered_alike_where_data_keys_do_not_open(acme: Organization) -> None:
    _, text = issue(acme)
    DataKey.objects.update(wrapped=b"nonsense")
    assert reported(Client(), text).status_code == 200


def test_programs_report_in_json_with_the_same_answer_for_all(acme: Organization) -> None:
    _, text = issue(acme)
    post = {"content_type": "application/json"}
    answers = [Client(enforce_csrf_checks=True).post(REPORT, {"key": each}, **post) for each in ("nonsense", text)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].content == answers[1].content
    assert not ClientKey.objects.live().exists()
    for body in ("{", "[]", "{}", '{"key": 1}', '{"key": ""}'):
        assert Client().post(REPORT, body, **post).status_code == 422


def test_of_a_rolled_key_a_found_old_text_stops_alone(acme: Organization) -> None:
    key, old = issue(acme)
    new = roll(key, DAY)
    report_leak(text=old, address=None)
    assert [answer_to(old), answer_to(new)] == ["401 invalid_api_key", ""]
    assert Notice.objects.get().subject == "The old text of client key “web-app” was found in public and is stopped"
    report_leak(text=old, address=None)
    assert Notice.objects.count() == 1


def test_reports_are_paced_by_address(acme: Organization) -> None:
    _, text = issue(acme)
    for _ in range(10):
        assert reported(Client(), "nonsense").status_code == 200
    refused = reported(Client(), text)
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert reported(Client(), text, headers={"x-forwarded-for": "192.0.2.9"}).status_code == 429
    assert ClientKey.objects.live().exists()
    for host in range(10):
        assert reported(Client(), "nonsense", f"2001:db8::{host:x}").status_code == 200
    assert reported(Client(), text, "2001:db8::ffff").status_code == 429
    assert reported(Client(), text, "192.0.2.2").status_code == 200
    assert not ClientKey.objects.live().exists()


def test_reports_from_ipv4_are_paced_alike_however_it_is_written(acme: Organization) -> None:
    _, text = issue(acme)
    for host in range(10):
        assert reported(Client(), "nonsense", f"::ffff:192.0.2.{host}").status_code == 200
    assert reported(Client(), text, "::ffff:198.51.100.7").status_code == 200
    assert not ClientKey.objects.live().exists()


@pytest.mark.parametrize("address", ["unknown", "192.0.2.1:x", ""])
def test_an_address_that_a_proxy_does_not_tell_stops_nobody(alices: Client, acme: Organization, address: str) -> None:
    _, text = issue(acme)
    assert reported(Client(), text, address).status_code == 200
    assert not ClientKey.objects.live().exists()
    assert alices.post(NEW, {"name": "jobs"}, REMOTE_ADDR=address).status_code == 200
    assert set(AuditEvent.objects.values_list("address", flat=True)) == {None}


def test_the_report_page_never_repeats_what_was_typed(acme: Organization) -> None:
    text = client_keys.generate().text
    long = reported(Client(), text * 9)
    assert long.status_code == 422
    for answer in (long, reported(Client(), text)):
        assert text not in answer.text


# Reminders


def test_of_an_end_that_comes_near_is_told_at_fourteen_three_and_one_day(acme: Organization, bob: User) -> None:
    now = timezone.now()
    key, _ = issue(acme, "web-app", owner=bob, expires_at=now + 30 * DAY)
    told_on = [day for day in range(31) if remind(now + day * DAY + HOUR)]
    assert told_on == [16, 27, 29]
    subjects = list(Notice.objects.order_by("pk").values_list("subject", flat=True))
    assert sorted(subjects) == [
        "Client key “web-app” expires in 14 days",
        "Client key “web-app” expires in 3 days",
        "Client key “web-app” expires within a day",
    ]
    assert "which is Bob’s" in Notice.objects.earliest("created_at").body
    change_client_key(key=key, name="web-app", terms=Terms(expires_at=now + 60 * DAY), by=BY)
    put(key, told_expiring_at=now + 30 * DAY)
    assert [day for day in range(30, 60) if remind(now + day * DAY + HOUR)] == [46, 57, 59]


def test_whoever_sets_a_near_end_is_not_reminded_of_it_at_once(acme: Organization) -> None:
    issue(acme, expires_at=timezone.now() + 2 * DAY)
    assert remind(timezone.now()) == 0
    assert remind(timezone.now() + DAY + HOUR) == 1


def test_of_a_key_that_nobody_uses_is_told_once_until_it_is_used_again(acme: Organization) -> None:
    now = timezone.now()
    key, _ = issue(acme)
    assert [remind(now + days * DAY) for days in (1, 59, 61, 62, 200)] == [0, 0, 1, 0, 0]
    put(key, last_used_at=now + 201 * DAY)
    assert [remind(now + days * DAY) for days in (202, 260, 262, 263)] == [0, 0, 1, 0]
    bodies = list(Notice.objects.order_by("created_at").values_list("body", flat=True))
    assert "has never been used" in bodies[0]
    assert "was last used on" in bodies[1]
    put(key, paused_at=now, told_unused_at=None)
    assert remind(now + 900 * DAY) == 0


def test_whose_key_it_is_gets_the_mail_too_while_a_member(acme: Organization, bob: User, mailoutbox: list[EmailMessage]) -> None:
    _, text = issue(acme, owner=bob, expires_at=timezone.now() + 9 * DAY)
    report_leak(text=text, address=None)
    send_due(timezone.now())
    assert sorted(mailoutbox[0].to) == ["alice@example.com", "bob@example.com"]
    assert "You belong to Acme there." in mailoutbox[0].body
    bob.memberships.all().delete()
    Notice.objects.update(due_at=timezone.now(), tries=0)
    send_due(timezone.now())
    assert mailoutbox[1].to == ["alice@example.com"]


def test_reminders_are_a_part_of_the_tick(acme: Organization) -> None:
    key, _ = issue(acme, expires_at=timezone.now() + 9 * DAY)
    put(key, told_expiring_at=None)
    tick.call()
    assert Notice.objects.get().tag == "client_key:expiring"


def test_the_vault_looks_after_both_texts_of_a_rolled_key(acme: Organization) -> None:
    key, _ = issue(acme)
    roll(key, DAY)
    for columns, sound in (({}, True), ({"rolled_pepper_version": 9}, False), ({"rolled_until": timezone.now()}, True)):
        put(key, **columns)
        assert all(visit.opened for visit in verify()) is sound
