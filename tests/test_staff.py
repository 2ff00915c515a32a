"""Support in the staff console: it finds an organization, says why it opens it, helps with little, and sees no secret."""

import io
import json
import re
import threading
import zipfile
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.core import mail
from django.db import close_old_connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from keys.actions import add_key, issue_client_key
from keys.models import ClientKey, ProviderKey
from keys.providers import Credential
from orgs.actions import Actor, set_organization, support
from orgs.actions.invitations import invite, withdraw_invitation
from orgs.models import AuditEvent, Organization, SupportGrant, SupportVisit, User
from tests.attempts import attempt, id_given
from tests.staff import give_second_factor, join_support
from usage.ingest import book

pytestmark = pytest.mark.django_db
ENDPOINT = "https://acme-east.openai.azure.com"


@pytest.fixture
def sams(sam: User, client_of: Callable[[User], Client]) -> Client:
    join_support(sam)
    return client_of(sam)


@pytest.fixture
def visiting(sams: Client, acme: Organization) -> Client:
    """Sam has opened Acme."""
    assert sams.post(f"/staff/open/{acme.pk}/", {"reason": "Ticket 4711"}).status_code == 302
    return sams


@pytest.fixture
def key(acme: Organization, alice: User) -> ProviderKey:
    deployments = [{"model_slug": "openai/gpt-4o", "endpoint_url": ENDPOINT, "model_id": "gpt-4o"}]
    credential = Credential({"api_keys": ["not-a-real-key-0000000AbCd"]}, {"deployments": deployments}, "…AbCd")
    by = Actor(label="Alice", user=alice)
    return add_key(organization=acme, provider="azure", name="Main", credential=credential, test=None, by=by)


@pytest.fixture
def client_key(acme: Organization, alice: User) -> ClientKey:
    return issue_client_key(organization=acme, name="web-app", by=Actor(label="Alice", user=alice))[0]


def ask(organization: Organization) -> None:
    set_organization(organization=organization, by=Actor.command("test"), support_needs_grant=True)


def run(client: Client, model: str, action: str, pk: object, confirmed: bool = True) -> Any:
    said = {"action": action, "_selected_action": str(pk)} | ({"confirmed": "yes"} if confirmed else {})
    return client.post(reverse(f"admin:{model}_changelist"), said)


def tags(organization: Organization) -> list[str]:
    return list(AuditEvent.objects.filter(organization=organization).order_by("pk").values_list("tag", flat=True))


# The door


def test_staff_without_a_second_factor_are_led_to_one(sam: User, client_of: Callable[[User], Client]) -> None:
    sam.groups.add(Group.objects.get(name="Support"))
    client = client_of(sam)
    assert client.get("/staff/")["Location"] == "/staff/login/?next=/staff/"
    assert client.get("/staff/login/?next=/staff/")["Location"] == reverse("mfa_index")
    give_second_factor(sam)
    assert client.get("/staff/login/?next=/staff/")["Location"] == "/staff/"
    assert client.get("/staff/").status_code == 200


def test_recovery_codes_alone_are_no_second_factor(sam: User, client_of: Callable[[User], Client]) -> None:
    Authenticator.objects.create(user=sam, type=Authenticator.Type.RECOVERY_CODES, data={})
    assert client_of(sam).get("/staff/").status_code == 302


@pytest.mark.parametrize(
    "elsewhere", ["//evil.example", "https://evil.example/staff/", "/staff/login/", "/o/acme/", "/staff/\\@x"]
)
def test_the_door_leads_into_the_console_only(elsewhere: str, sams: Client) -> None:
    going = sams.get("/staff/login/", {"next": elsewhere})["Location"]
    assert going.startswith("/staff/")
    assert going != "/staff/login/"


def test_signing_out_and_passwords_are_the_products_own(sams: Client) -> None:
    assert sams.post("/staff/logout/")["Location"] == reverse("account_logout")
    assert sams.get("/staff/password_change/")["Location"] == reverse("account_change_password")


def test_staff_outside_the_support_group_find_and_open_nothing(
    sam: User, acme: Organization, client_of: Callable[[User], Client]
) -> None:
    give_second_factor(sam)
    client = client_of(sam)
    assert client.post("/staff/search/", {"text": "Acme"}).status_code == 403
    assert client.get(f"/staff/open/{acme.pk}/").status_code == 403
    assert b"Find an organization" not in client.get("/staff/").content


# Finding


def test_an_organization_is_found_by_what_its_people_can_tell(
    sams: Client, acme: Organization, globex: Organization, key: ProviderKey, client_key: ClientKey
) -> None:
    request_id = str(id_given(timezone.now()))
    book([attempt(acme, at=timezone.now(), request_id=request_id)])
    known = ["acm", "bob@example.com", str(acme.pk), "…AbCd", "AbCd", client_key.hint, key.fingerprint[:8].upper(), request_id]
    for text in known:
        page = sams.post("/staff/search/", {"text": f" {text} "}).content.decode()
        assert f"/staff/organization/{acme.pk}/" in page, text
        assert str(globex.pk) not in page, text


@pytest.mark.parametrize("text", ["", "ac", "%%%", "___", "bCd", "x" * 101, "\0\0\0", "nobody@example.com", "f" * 64])
def test_what_nobody_has_finds_nothing(text: str, sams: Client, acme: Organization, key: ProviderKey) -> None:
    page = sams.post("/staff/search/", {"text": text})
    assert page.status_code == 200
    assert b"No organization has that" in page.content


def test_what_was_searched_for_is_not_repeated(sams: Client, acme: Organization) -> None:
    assert b"byok_live_whole" not in sams.post("/staff/search/", {"text": "byok_live_whole-key-pasted-by-mistake"}).content
    assert sams.get("/staff/search/?text=acme").status_code == 405


# Visits


def test_opening_needs_a_reason_that_stands_in_the_audit(sams: Client, acme: Organization) -> None:
    page = f"/staff/organization/{acme.pk}/"
    assert sams.get(page)["Location"] == f"/staff/open/{acme.pk}/"
    assert sams.post(f"/staff/open/{acme.pk}/", {"reason": "  "}).status_code == 422
    assert sams.post(f"/staff/open/{acme.pk}/", {"reason": "Ticket 4711"})["Location"] == page
    assert sams.get(page).status_code == 200
    event = AuditEvent.objects.get(tag="support:visit")
    assert (event.organization, event.actor_label) == (acme, "Sam (support)")
    assert event.changes["after"]["reason"] == "Ticket 4711"


def test_a_visit_is_over_after_an_hour(visiting: Client, acme: Organization) -> None:
    with time_machine.travel(timezone.now() + timedelta(minutes=61), tick=False):
        assert not SupportVisit.objects.under_way(timezone.now()).exists()
    assert SupportVisit.objects.under_way(timezone.now()).exists()
    SupportVisit.objects.update(until=timezone.now())
    assert visiting.get(f"/staff/organization/{acme.pk}/").status_code == 302


def test_a_visit_opens_one_organization_to_one_person(
    visiting: Client, acme: Organization, globex: Organization, make_user: Any, client_of: Callable[[User], Client]
) -> None:
    tess = make_user("Tess", is_staff=True)
    join_support(tess)
    assert visiting.get(f"/staff/organization/{globex.pk}/").status_code == 302
    assert client_of(tess).get(f"/staff/organization/{acme.pk}/").status_code == 302


def test_rows_of_an_organization_are_there_during_a_visit_only(
    visiting: Client, acme: Organization, globex: Organization, key: ProviderKey, client_key: ClientKey, charlie: User
) -> None:
    theirs = add_key(
        organization=globex,
        provider="openai",
        name="Theirs",
        credential=Credential({"api_key": "x"}, {}, "…"),
        test=None,
        by=Actor(label="Charlie", user=charlie),
    )
    lists = {
        "keys_providerkey": "Main",
        "keys_clientkey": "web-app",
        "orgs_user": "bob@example.com",
        "orgs_membership": "Bob",
        "orgs_auditevent": "provider_key:add",
    }
    for name, text in lists.items():
        address = reverse(f"admin:{name}_changelist")
        page = visiting.get(address).content.decode()
        assert text in page
        assert "Globex" not in page
        assert "charlie@" not in page
    change = reverse("admin:keys_providerkey_change", args=[theirs.pk])
    assert visiting.get(change).status_code == 302
    SupportVisit.objects.update(until=timezone.now())
    for name, text in lists.items():
        assert text not in visiting.get(reverse(f"admin:{name}_changelist")).content.decode().split("</nav>")[-1]


def test_an_organization_that_is_not_open_leads_to_the_reason(sams: Client, acme: Organization) -> None:
    for page in ("change", "history"):
        assert sams.get(reverse(f"admin:orgs_organization_{page}", args=[acme.pk]))["Location"] == f"/staff/open/{acme.pk}/"
    assert sams.get("/staff/orgs/organization/nonsense/change/").status_code == 302


# Grants


def test_an_organization_that_asks_is_closed_until_an_owner_grants(
    sams: Client, acme: Organization, alice: User, client_of: Callable[[User], Client]
) -> None:
    ask(acme)
    opening = f"/staff/open/{acme.pk}/"
    assert sams.get(opening).status_code == sams.post(opening, {"reason": "Ticket"}).status_code == 403
    assert not SupportVisit.objects.exists()
    owner = client_of(alice)
    assert "Allow for 24 hours" in owner.get("/o/acme/settings/").content.decode()
    assert owner.post("/o/acme/settings/support/").status_code == 302
    assert "Alice lets support in until" in owner.get("/o/acme/settings/").content.decode()
    assert sams.post(opening, {"reason": "Ticket"}).status_code == 302
    assert tags(acme)[-2:] == ["support:grant", "support:visit"]


def test_ending_a_grant_ends_the_visit_and_a_later_grant_does_not_revive_it(
    sams: Client, acme: Organization, alice: User, client_of: Callable[[User], Client]
) -> None:
    ask(acme)
    owner = client_of(alice)
    owner.post("/o/acme/settings/support/")
    sams.post(f"/staff/open/{acme.pk}/", {"reason": "Ticket"})
    owner.post("/o/acme/settings/support/end/")
    assert sams.get(f"/staff/organization/{acme.pk}/").status_code == 302
    owner.post("/o/acme/settings/support/")
    assert sams.get(f"/staff/organization/{acme.pk}/").status_code == 302
    assert tags(acme)[-2:] == ["support:end_grant", "support:grant"]


def test_asking_from_now_on_ends_the_visit_that_nobody_granted(visiting: Client, acme: Organization) -> None:
    ask(acme)
    assert visiting.get(f"/staff/organization/{acme.pk}/").status_code == 302


def test_a_visit_is_no_longer_than_its_grant(acme: Organization, alice: User, sam: User) -> None:
    ask(acme)
    grant = support.grant_support(organization=acme, by=Actor(label="Alice", user=alice))
    SupportGrant.objects.update(until=timezone.now() + timedelta(minutes=5))
    grant.refresh_from_db()
    assert support.begin_visit(organization=acme, reason="x", by=Actor(label="Sam", user=sam)).until == grant.until


def test_owners_alone_say_when_support_comes(acme: Organization, bob: User, client_of: Callable[[User], Client]) -> None:
    assert client_of(bob).post("/o/acme/settings/support/").status_code == 403
    assert not SupportGrant.objects.exists()


def test_granting_twice_grants_once(acme: Organization, alice: User) -> None:
    by = Actor(label="Alice", user=alice)
    assert support.grant_support(organization=acme, by=by) == support.grant_support(organization=acme, by=by)
    assert tags(acme).count("support:grant") == 1


@pytest.mark.large
@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_no_visit_outlives_a_grant_that_ends_at_the_same_time(
    postgres_only: None, acme: Organization, alice: User, sam: User
) -> None:
    ask(acme)
    owner, staff = Actor(label="Alice", user=alice), Actor(label="Sam", user=sam)
    begun = 0
    for _ in range(100):
        support.grant_support(organization=acme, by=owner)
        barrier, refused = threading.Barrier(2), []
        race = [
            lambda: support.end_grant(organization=acme, by=owner),
            lambda: support.begin_visit(organization=acme, reason="x", by=staff),
        ]

        def go(act: Callable[[], object], barrier: threading.Barrier = barrier, refused: list[int] = refused) -> None:
            try:
                barrier.wait()
                act()
            except support.GrantNeeded:
                refused.append(1)
            finally:
                close_old_connections()

        threads = [threading.Thread(target=go, args=[act]) for act in race]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not SupportVisit.objects.under_way(timezone.now()).exists()
        begun += not refused
        assert SupportVisit.objects.count() == begun
    assert tags(acme).count("support:visit") == begun


# What staff may do


def test_support_turns_a_key_off_and_never_on(visiting: Client, acme: Organization, key: ProviderKey) -> None:
    asked = run(visiting, "keys_providerkey", "turn_off", key.pk, confirmed=False)
    assert b"Only an owner can turn it on again" in asked.content
    key.refresh_from_db()
    assert key.enabled
    run(visiting, "keys_providerkey", "turn_off", key.pk)
    key.refresh_from_db()
    assert not key.enabled
    event = AuditEvent.objects.get(tag="provider_key:disable")
    assert (event.actor_label, event.changes["after"]) == ("Sam (support)", {"enabled": False})
    assert LogEntry.objects.get().get_change_message() == "Turn off."
    run(visiting, "keys_providerkey", "turn_off", key.pk)
    run(visiting, "keys_providerkey", "enable_key", key.pk)
    change = reverse("admin:keys_providerkey_change", args=[key.pk])
    for said in ({"enabled": "on"}, {"enabled": "on", "_save": "Save"}, {"sealed": "x", "public": "{}"}):
        assert visiting.post(change, said).status_code == 403
    key.refresh_from_db()
    assert not key.enabled


def test_support_revokes_a_client_key(visiting: Client, client_key: ClientKey) -> None:
    run(visiting, "keys_clientkey", "revoke", client_key.pk)
    client_key.refresh_from_db()
    assert client_key.revoked_at
    assert AuditEvent.objects.get(tag="client_key:revoke").actor_label == "Sam (support)"


def test_the_page_of_a_key_offers_the_act_too(visiting: Client, key: ProviderKey) -> None:
    address = reverse("admin:keys_providerkey_change", args=[key.pk])
    asked = visiting.post(address, {"CHANGE_FORM-action": "turn_off", "_selected_action": str(key.pk)})
    assert b"Only an owner can turn it on again" in asked.content


def test_nothing_is_done_without_a_visit(sams: Client, key: ProviderKey, client_key: ClientKey, bob: User) -> None:
    for model, action, row in (
        ("keys_providerkey", "turn_off", key),
        ("keys_clientkey", "revoke", client_key),
        ("orgs_user", "end_sessions", bob),
    ):
        run(sams, model, action, row.pk)
    key.refresh_from_db()
    client_key.refresh_from_db()
    assert key.enabled
    assert client_key.revoked_at is None
    assert not AuditEvent.objects.filter(actor_label__contains="support").exists()


def test_support_signs_a_person_out_everywhere(
    visiting: Client, acme: Organization, bob: User, client_of: Callable[[User], Client]
) -> None:
    bobs = client_of(bob)
    assert bobs.get("/account/").status_code == 200
    run(visiting, "orgs_user", "end_sessions", bob.pk)
    assert bobs.get("/account/").status_code == 302
    assert tags(acme)[-1] == "member:end_sessions"


def test_support_sends_an_invitation_again_without_seeing_its_link(
    visiting: Client, acme: Organization, alice: User, django_capture_on_commit_callbacks: Any
) -> None:
    [letter] = invite(organization=acme, emails=["dora@example.com"], role="Member", by=Actor(label="Alice", user=alice))
    with django_capture_on_commit_callbacks(execute=True):
        assert run(visiting, "orgs_invitation", "resend", letter.invitation.pk).status_code == 302
    [sent] = mail.outbox
    assert sent.to == ["dora@example.com"]
    token = sent.body.split("/invite/")[1].split("/")[0]
    assert token != letter.token
    shown = visiting.get(reverse("admin:orgs_invitation_change", args=[letter.invitation.pk])).content.decode()
    assert token not in shown
    assert tags(acme)[-1] == "invitation:resend"


def test_an_invitation_that_is_over_is_not_sent_again_and_sam_is_told(visiting: Client, acme: Organization, alice: User) -> None:
    by = Actor(label="Alice", user=alice)
    [letter] = invite(organization=acme, emails=["dora@example.com"], role="Member", by=by)
    withdraw_invitation(invitation=letter.invitation, by=by)
    run(visiting, "orgs_invitation", "resend", letter.invitation.pk)
    assert b"It is used, withdrawn or over." in visiting.get("/staff/").content
    assert tags(acme)[-1] == "invitation:withdraw"


def test_an_act_that_cannot_be_written_down_is_not_done(
    visiting: Client, key: ProviderKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("django.contrib.admin.models.LogEntryManager.log_actions", fail)
    visiting.raise_request_exception = False
    assert run(visiting, "keys_providerkey", "turn_off", key.pk).status_code == 500
    key.refresh_from_db()
    assert key.enabled


def test_support_changes_nobody_and_makes_nobody_staff(visiting: Client, bob: User, sam: User) -> None:
    assert visiting.post(reverse("admin:orgs_user_change", args=[bob.pk]), {"is_staff": "on"}).status_code == 403


# What staff see


def test_the_page_of_an_organization_tells_how_it_fares(visiting: Client, acme: Organization, key: ProviderKey) -> None:
    at, request_id = timezone.now(), str(id_given(timezone.now()))
    failure = {"outcome": "error", "status": 500, "error_class": "trouble", "first_byte_ms": None}
    book([attempt(acme, at=at, key=key.pk, request_id=request_id, **failure)])
    page = visiting.get(f"/staff/organization/{acme.pk}/").content.decode()
    assert "Azure Main" in page
    assert request_id in page
    walk = visiting.get(f"/staff/organization/{acme.pk}/requests/{request_id}/").content.decode()
    assert "Azure Main" in walk
    assert "had an error of its own" in walk
    assert visiting.get(f"/staff/organization/{acme.pk}/requests/{id_given(at)}/").status_code == 404


def test_no_address_of_an_endpoint_is_told(visiting: Client, acme: Organization, key: ProviderKey) -> None:
    ProviderKey.objects.update(status_reason=f"No answer from {ENDPOINT}/x", last_error={"message": f"at {ENDPOINT}"})
    event = AuditEvent.objects.get(tag="provider_key:add")
    assert ENDPOINT in json.dumps(event.changes)
    for address in (
        reverse("admin:keys_providerkey_change", args=[key.pk]),
        reverse("admin:orgs_auditevent_change", args=[event.pk]),
        f"/staff/organization/{acme.pk}/",
    ):
        page = visiting.get(address).content.decode()
        assert "acme-east" not in page, address
        assert ("not shown to support" in page) == ("/change/" in address)


def test_the_bundle_tells_how_things_are_and_no_secret_person_or_endpoint(
    visiting: Client, acme: Organization, key: ProviderKey, client_key: ClientKey, settings: Any
) -> None:
    settings.UPSTREAM_OVERRIDES = {"openai": "https://user:hunter2@upstream.internal/"}
    book([attempt(acme, at=timezone.now(), key=key.pk, outcome="error", status=500, error_class="trouble")])
    answer = visiting.post(f"/staff/organization/{acme.pk}/diagnostics/")
    assert answer["Content-Type"] == "application/zip"
    assert answer["Content-Disposition"].startswith('attachment; filename="keyhold-acme-')
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    told = {name: json.loads(archive.read(name)) for name in archive.namelist()}
    assert sorted(told) == ["about.json", "errors.json", "health.json", "keys.json", "settings.json", "usage.json"]
    assert told["about.json"]["organization"]["people"] == {"Owner": 1, "Member": 1}
    assert told["keys.json"]["provider_keys"][0]["fingerprint"] == key.fingerprint
    assert told["errors.json"][0]["error_class"] == "trouble"
    assert told["usage.json"][0]["sum_requests"] == 1
    assert told["settings.json"]["UPSTREAM_OVERRIDES"] is True
    whole = json.dumps(told)
    for kept_back in (
        "hunter2",
        "acme-east",
        "not-a-real-key",
        "@example.com",
        "Alice",
        settings.SECRET_KEY,
        settings.VAULT_KEYS,
    ):
        assert kept_back not in whole
    assert tags(acme)[-1] == "support:diagnostics"


def test_the_bundle_is_for_those_who_are_still_there(visiting: Client, acme: Organization) -> None:
    page = f"/staff/organization/{acme.pk}/"
    with time_machine.travel(timezone.now() + timedelta(minutes=16)):
        answer = visiting.post(f"{page}diagnostics/")
        assert (answer.status_code, answer["Location"]) == (302, f"/signin/again/?{urlencode({'next': page})}")
    assert "support:diagnostics" not in tags(acme)


def test_the_bundle_is_for_those_who_visit(sams: Client, acme: Organization) -> None:
    assert sams.post(f"/staff/organization/{acme.pk}/diagnostics/")["Location"] == f"/staff/open/{acme.pk}/"
    assert sams.get(f"/staff/organization/{acme.pk}/diagnostics/").status_code == 405
    assert "support:diagnostics" not in tags(acme)


GUESSES = [
    ("keys_providerkey", "sealed__startswith"),
    ("keys_providerkey", "public__deployments__0__endpoint_url__startswith"),
    ("keys_clientkey", "digest"),
    ("orgs_user", "password__startswith"),
    ("orgs_invitation", "digest"),
    ("orgs_auditevent", "changes__after__public__icontains"),
    ("orgs_auditevent", "organization__webhooks__url__icontains"),
]


@pytest.mark.parametrize(("model", "lookup"), GUESSES)
def test_no_list_can_be_asked_what_a_hidden_column_begins_with(model: str, lookup: str, visiting: Client) -> None:
    assert visiting.get(reverse(f"admin:{model}_changelist"), {lookup: "x"}).status_code == 400


def test_the_links_of_an_organization_lead_to_its_rows(
    visiting: Client, acme: Organization, key: ProviderKey, client_key: ClientKey
) -> None:
    links = re.findall(r'<li><a href="([^"]+)"', visiting.get(f"/staff/organization/{acme.pk}/").content.decode())
    own = [link for link in links if str(acme.pk) in link]
    assert len(own) == 6
    for link in own:
        assert visiting.get(link).status_code == 200


@pytest.mark.parametrize("count", [1, 3])
def test_a_list_of_keys_costs_the_same_for_one_and_for_many(
    count: int, visiting: Client, acme: Organization, alice: User, django_assert_num_queries: Any
) -> None:
    for number in range(count):
        credential = Credential({"api_key": f"x{number}"}, {}, "…")
        by = Actor(label="Alice", user=alice)
        add_key(organization=acme, provider="openai", name=f"Key {number}", credential=credential, test=None, by=by)
    with django_assert_num_queries(10):
        visiting.get(reverse("admin:keys_providerkey_changelist"))


# Superusers


def test_superusers_need_a_reason_like_everybody(sam: User, acme: Organization, client_of: Callable[[User], Client]) -> None:
    give_second_factor(sam)
    User.objects.filter(pk=sam.pk).update(is_superuser=True)
    assert client_of(sam).get(f"/staff/organization/{acme.pk}/").status_code == 302


def test_superusers_put_staff_into_the_support_group(
    sam: User, bob: User, acme: Organization, client_of: Callable[[User], Client]
) -> None:
    give_second_factor(sam)
    User.objects.filter(pk=sam.pk).update(is_superuser=True)
    group = Group.objects.get(name="Support")
    said = {"name": "Bob", "is_active": "on", "is_staff": "on", "groups": [str(group.pk)]}
    address = reverse("admin:orgs_user_change", args=[bob.pk])
    assert client_of(sam).post(address, said).status_code == 302
    bob.refresh_from_db()
    assert bob.is_staff
    assert list(bob.groups.all()) == [group]
    owners = Group.objects.get(name="Owner")
    assert client_of(sam).post(address, said | {"groups": [str(owners.pk)]}).status_code == 200
    assert list(bob.groups.all()) == [group]
    assert "member:change" not in tags(acme)


def test_no_superuser_turns_themselves_off(sam: User, client_of: Callable[[User], Client]) -> None:
    give_second_factor(sam)
    User.objects.filter(pk=sam.pk).update(is_superuser=True)
    client = client_of(sam)
    assert client.post(reverse("admin:orgs_user_change", args=[sam.pk]), {"name": "Sam"}).status_code == 403
    assert client.get("/staff/").status_code == 200


def test_turning_somebody_off_signs_them_out_and_their_organizations_hear_it(
    sam: User, bob: User, acme: Organization, client_of: Callable[[User], Client]
) -> None:
    give_second_factor(sam)
    User.objects.filter(pk=sam.pk).update(is_superuser=True)
    bobs = client_of(bob)
    client_of(sam).post(reverse("admin:orgs_user_change", args=[bob.pk]), {"name": "Bob"})
    assert bobs.get("/account/").status_code == 302
    assert tags(acme)[-2:] == ["member:change", "member:end_sessions"]
    assert AuditEvent.objects.get(tag="member:change").changes["after"] == {"is_active": False}


def test_turning_the_last_owner_off_says_so(
    sam: User, alice: User, bob: User, acme: Organization, client_of: Callable[[User], Client]
) -> None:
    give_second_factor(sam)
    User.objects.filter(pk=sam.pk).update(is_superuser=True)
    client, warning = client_of(sam), "Nobody who can sign in owns Acme any more."
    assert warning not in client.post(reverse("admin:orgs_user_change", args=[bob.pk]), {"name": "Bob"}, follow=True).text
    alices = reverse("admin:orgs_user_change", args=[alice.pk])
    assert warning in client.post(alices, {"name": "Alice"}, follow=True).text
    assert warning not in client.post(alices, {"name": "Alice", "is_active": "on"}, follow=True).text
