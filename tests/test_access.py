"""Who may open what: one table of every address, so that a new one cannot be added without saying who it is for."""

import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
import time_machine
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from keys.actions import add_key, issue_client_key, issue_management_key
from keys.actions.webhooks import add_webhook
from keys.providers import Credential
from orgs.actions import Actor
from orgs.actions.invitations import invite
from orgs.models import MEMBER, Delivery, Membership, Organization, User
from tests.attempts import attempt, id_given
from tests.staff import give_second_factor
from usage.actions import set_model_price
from usage.actions_prices import set_invoices, set_key_price
from usage.ingest import book
from usage.invoices import Billed
from usage.models import Invoice

pytestmark = pytest.mark.django_db

PEOPLE = ("anonymous", "charlie", "bob", "alice", "sam")  # nobody, another's owner, a member, an owner, staff

# What each of PEOPLE gets for GET and for an empty POST. 302 for anonymous is the way to the sign-in page.
OWN = "302 200 200 200 200"  # a page of one's own account or a list of one's own things
AGAIN = "302 302 302 302 302"  # first confirm that it is you
NO_GET = "302 405 405 405 405"
MEMBERS = "302 404 200 200 404"
OWNERS = "302 404 403 200 404"
KEY_ONLY = "401 401 401 401 401"
NO_POST = "405 405 405 405 405"
TABLE = {
    "home": (AGAIN, NO_GET),
    "setup": ("410 410 410 410 410", "410 410 410 410 410"),
    "org_list": (OWN, NO_GET),
    "org_new": (OWN, "302 422 422 422 422"),
    "theme": (NO_GET, AGAIN),
    # Signing in
    "account_login": ("200 302 302 302 302", "200 302 302 302 302"),
    "account_signup": ("200 302 302 302 302", "200 302 302 302 302"),
    "account_inactive": ("200 200 200 200 200", "405 405 405 405 405"),
    "account_logout": ("302 200 200 200 200", AGAIN),
    "account_reauthenticate": (OWN, OWN),
    "mfa_authenticate": (AGAIN, AGAIN),
    "mfa_reauthenticate": (AGAIN, AGAIN),
    "mfa_login_webauthn": (AGAIN, AGAIN),
    "mfa_reauthenticate_webauthn": (AGAIN, AGAIN),
    "account_reset_password": ("200 200 200 200 200", "200 200 200 200 200"),
    "account_reset_password_done": ("200 200 200 200 200", "405 405 405 405 405"),
    "account_reset_password_from_key": ("200 200 200 200 200", "200 200 200 200 200"),
    "account_reset_password_from_key_done": ("200 200 200 200 200", "405 405 405 405 405"),
    "sso": ("200 302 302 302 302", "422 302 302 302 302"),
    "sso_back": ("400 400 400 400 400", "405 405 405 405 405"),
    # One's own account
    "account": (OWN, "302 422 422 422 422"),
    "account_new_email": (OWN, "302 422 422 422 422"),
    "account_email_confirm": ("302 404 404 404 404", "302 404 404 404 404"),  # not their link
    "account_change_password": (OWN, OWN),
    "account_set_password": (AGAIN, AGAIN),
    "usersessions_list": (OWN, AGAIN),
    "session_end": (NO_GET, "302 404 404 404 404"),  # not theirs
    "mfa_index": (OWN, NO_GET),
    "mfa_activate_totp": (OWN, OWN),
    "mfa_deactivate_totp": ("302 404 404 404 404", "302 404 404 404 404"),
    "mfa_view_recovery_codes": ("302 404 404 404 404", NO_GET),
    "mfa_generate_recovery_codes": (OWN, OWN),
    "mfa_list_webauthn": (OWN, NO_GET),
    "mfa_add_webauthn": (OWN, OWN),
    "mfa_edit_webauthn": ("302 404 404 404 404", "302 404 404 404 404"),  # not theirs
    "mfa_remove_webauthn": ("302 404 404 404 404", "302 404 404 404 404"),
    # Members, and joining them
    "members": (MEMBERS, NO_GET),
    "member": (OWNERS, "302 404 403 422 404"),
    "member_hand_over": (OWNERS, "302 404 403 302 404"),
    "member_remove": (OWNERS, "302 404 403 302 404"),
    "member_leave": (MEMBERS, "302 404 302 422 404"),  # Alice is the last owner
    "invitation_send": (OWNERS, "302 404 403 422 404"),
    "invitation_resend": (NO_GET, "302 404 403 302 404"),
    "invitation_withdraw": (NO_GET, "302 404 403 302 404"),
    "invitation_open": (AGAIN, "405 405 405 405 405"),
    "invitation": ("404 404 404 404 404", "404 404 404 404 404"),  # nobody here has opened the link of one
    # An organization
    "organization_delete": (OWNERS, "302 404 403 422 404"),
    "organization_keep": (NO_GET, "302 404 403 302 404"),
    "settings": (OWNERS, "302 404 403 422 404"),
    "audit": (OWNERS, NO_GET),
    "audit_csv": (OWNERS, NO_GET),
    "second_factor": (OWNERS, "302 404 403 422 404"),
    "support_grant": (NO_GET, "302 404 403 302 404"),
    "support_grant_end": (NO_GET, "302 404 403 302 404"),
    "sso_settings": (OWNERS, "302 404 403 422 404"),
    "overview": (MEMBERS, NO_GET),
    "provider_key_list": (MEMBERS, NO_GET),
    "provider_picker": (OWNERS, NO_GET),
    "provider_key_add": (OWNERS, "302 404 403 422 404"),
    "provider_key": (MEMBERS, NO_GET),
    "provider_key_remove": (OWNERS, "302 404 403 422 404"),
    "provider_key_disable": (OWNERS, "302 404 403 302 404"),
    "provider_key_enable": (NO_GET, "302 404 403 302 404"),
    "provider_key_import": (OWNERS, "302 404 403 422 404"),
    "provider_key_always": (NO_GET, "302 404 403 302 404"),
    "provider_key_limits": (OWNERS, "302 404 403 422 404"),
    "provider_key_models": (NO_GET, "302 404 403 302 404"),
    "provider_key_rename": (OWNERS, "302 404 403 422 404"),
    "provider_key_replace": (OWNERS, "302 404 403 422 404"),
    "provider_key_restore": ("302 404 403 302 404", "302 404 403 302 404"),  # nothing was replaced, so it leads to the key
    "provider_key_test": (NO_GET, "302 404 403 302 404"),
    "client_key_list": (OWNERS, NO_GET),
    "client_key_new": (OWNERS, "302 404 403 422 404"),
    "client_key": (OWNERS, NO_GET),
    "client_key_change": (OWNERS, "302 404 403 422 404"),
    "client_key_hand_over": (OWNERS, "302 404 403 422 404"),
    "client_key_pause": (OWNERS, "302 404 403 302 404"),
    "client_key_preferences": (OWNERS, "302 404 403 302 404"),
    "client_key_resume": (NO_GET, "302 404 403 302 404"),
    "client_key_revoke": (OWNERS, "302 404 403 302 404"),
    "client_key_roll": (OWNERS, "302 404 403 422 404"),
    "client_keys_of": (OWNERS, "302 404 403 422 404"),
    "management_key_list": (OWNERS, NO_GET),
    "management_key_new": (OWNERS, "302 404 403 422 404"),
    "management_key_revoke": (OWNERS, "302 404 403 302 404"),
    "report": ("200 200 200 200 200", "422 422 422 422 422"),  # for anybody who finds a client key
    "alerts": (OWNERS, "302 404 403 422 404"),
    "webhook": (OWNERS, NO_GET),
    "webhook_off": (NO_GET, "302 404 403 302 404"),
    "webhook_on": (NO_GET, "302 404 403 302 404"),
    "webhook_remove": (OWNERS, "302 404 403 302 404"),
    "webhook_test": (NO_GET, "302 404 403 302 404"),
    "delivery": (OWNERS, NO_GET),
    "delivery_replay": (NO_GET, "302 404 403 302 404"),
    "routing": (MEMBERS, NO_GET),
    "routing_order": (NO_GET, "302 404 403 409 404"),
    "routing_fallback": (NO_GET, "302 404 403 302 404"),
    "routing_own_keys_off": (OWNERS, "302 404 403 302 404"),
    "routing_own_keys_on": (NO_GET, "302 404 403 302 404"),
    "routing_pause": (OWNERS, "302 404 403 302 404"),
    "routing_preferences": (MEMBERS, NO_GET),
    "routing_preferences_set": (NO_GET, "302 404 403 302 404"),
    "routing_resume": (NO_GET, "302 404 403 302 404"),
    "routing_try": ("302 404 302 302 404", NO_GET),  # a part of the routing page, which says the same
    "provider_routing": (MEMBERS, NO_GET),
    "provider_routing_pause": (OWNERS, "302 404 403 302 404"),
    "provider_routing_resume": (NO_GET, "302 404 403 302 404"),
    "provider_routing_set": (NO_GET, "302 404 403 302 404"),
    "limits": (MEMBERS, NO_GET),
    "organization_limits": (OWNERS, "302 404 403 422 404"),
    "limits_of": (OWNERS, "302 404 403 422 404"),
    "request_find": (MEMBERS, NO_GET),
    "request_page": ("302 404 404 200 404", NO_GET),  # members see those of their own client keys
    "usage": (MEMBERS, NO_GET),
    "usage_csv": (MEMBERS, NO_GET),
    "usage_focus": (MEMBERS, NO_GET),
    "model_prices": (OWNERS, "302 404 403 422 404"),
    "model_price_remove": (NO_GET, "302 404 403 302 404"),
    "key_price_set": (NO_GET, "302 404 403 422 404"),
    "key_price_remove": (NO_GET, "302 404 403 302 404"),
    "invoices": (OWNERS, "302 404 403 422 404"),
    "invoice_import": (NO_GET, "302 404 403 422 404"),
    "invoice_remove": (NO_GET, "302 404 403 302 404"),
    # For programs, whose management key is all that counts; tests/test_api.py says what it opens
    "api_document": ("200 200 200 200 200", "405 405 405 405 405"),
    "api_provider_keys": (KEY_ONLY, NO_POST),
    "api_provider_key": (KEY_ONLY, NO_POST),
    "api_provider_key_test": (NO_POST, KEY_ONLY),
    "api_order": (KEY_ONLY, NO_POST),
    "api_client_keys": (KEY_ONLY, NO_POST),
    "api_client_key": (KEY_ONLY, NO_POST),
    "api_limits": (KEY_ONLY, NO_POST),
    "api_organization_limit": (KEY_ONLY, NO_POST),
    "api_limit": (KEY_ONLY, NO_POST),
    "api_budgets": (KEY_ONLY, NO_POST),
    "api_organization_budget": (KEY_ONLY, NO_POST),
    "api_budget": (KEY_ONLY, NO_POST),
    "api_members": (KEY_ONLY, NO_POST),
    "api_usage": (KEY_ONLY, NO_POST),
    "api_audit": (KEY_ONLY, NO_POST),
    "api_unknown": ("404 404 404 404 404", "404 404 404 404 404"),
}
EXPORTS = ("audit_csv", "usage_csv", "usage_focus")
# Of these the GET asks too, so that nobody types a secret first and loses it on the way
ASKING_AGAIN = {
    *("account_new_email", "account_set_password", "second_factor", "sso_settings", "organization_delete"),
    *("invitation_send", "member", "member_hand_over", "member_leave", "member_remove", "management_key_new"),
    *("provider_key_add", "provider_key_import", "provider_key_remove", "provider_key_replace", "provider_key_restore"),
    *("client_key_new", "client_key_roll", *EXPORTS),
}
STAFF = "302 302 302 302 200"  # every address under /staff/ has one door; signing in there is the product's own page


@pytest.fixture
def world(acme: Organization, globex: Organization, alice: User, charlie: User, settings: Any) -> SimpleNamespace:
    """Acme and Globex with a key of each kind, and providers that cannot be reached."""
    settings.UPSTREAM_OVERRIDES = {"openai": "http://127.0.0.1:9"}

    def furnish(organization: Organization, owner: User) -> dict[str, Any]:
        by = Actor(label=owner.name, user=owner)
        credential = Credential(secret={"api_key": "sk-proj-not-a-real-key-0000"}, public={}, hint="sk-…0000")
        fields: dict[str, Any] = {"organization": organization, "name": "Main", "by": by}
        provider_key = add_key(provider="openai", credential=credential, test=None, **fields)
        price: dict[str, Any] = {"provider": "openai", "model": "openai/gpt-99", "input_microusd": 1, "output_microusd": 1}
        today = timezone.now().date()
        price_pk = set_model_price(organization=organization, from_day=today, by=by, **price).pk
        key_price_pk = set_key_price(key=provider_key, from_day=today, thousandths=850, by=by).pk
        set_invoices(organization=organization, billed=[Billed(provider_key, today.replace(day=1), 1)], by=by)
        request_id = id_given(timezone.now())
        book([attempt(organization, at=timezone.now(), request_id=str(request_id))])
        client_pk = issue_client_key(**fields)[0].pk
        webhook_pk = add_webhook(organization=organization, url="https://hooks.example.com/", by=by)[0].pk
        delivery_pk = Delivery.objects.create(webhook_id=webhook_pk, tag="x", payload={"id": "1", "subject": "Hello"}).pk
        invoice_pk = Invoice.objects.get(organization=organization).pk
        invitation_pk = invite(organization=organization, emails=["erin@example.com"], role=MEMBER, by=by)[0].invitation.pk
        member_pk = Membership.objects.for_org(organization).order_by("-pk")[0].user_id
        people = {"owner": owner.pk, "member": member_pk, "invitation": invitation_pk}
        told = {"key": key_price_pk, "invoice": invoice_pk, "webhook": webhook_pk, "delivery": delivery_pk}
        told |= people
        return told | {
            "sso": organization.pk,
            "provider": provider_key.pk,
            "client": client_pk,
            "management": issue_management_key(**fields)[0].pk,
            "limits": client_pk,
            "model": price_pk,
            "request": request_id,
        }

    return SimpleNamespace(acme=furnish(acme, alice), globex=furnish(globex, charlie))


@pytest.fixture
def clients(alice: User, bob: User, charlie: User, sam: User, client_of: Callable[[User], Client]) -> dict[str, Client]:
    people = {"charlie": charlie, "bob": bob, "alice": alice, "sam": sam}
    return {"anonymous": Client()} | {name: client_of(user) for name, user in people.items()}


def addresses(resolver: URLResolver, parts: frozenset[str] = frozenset()) -> Iterator[tuple[str, frozenset[str]]]:
    """Every address as its name and the names of its parts. The staff console's are tested below."""
    for entry in resolver.url_patterns:
        whole = parts | entry.pattern.regex.groupindex.keys()
        if isinstance(entry, URLPattern):
            yield str(entry.name), whole
        elif entry.namespace != "admin":
            yield from addresses(entry, whole)


ADDRESSES = dict(addresses(get_resolver()))


def askers(resolver: URLResolver) -> Iterator[str]:
    """The names of the addresses that want a sign-in of late, or that somebody confirms who they are."""
    for entry in resolver.url_patterns:
        if isinstance(entry, URLResolver):
            yield from askers(entry) if entry.namespace != "admin" else ()
        elif getattr(entry.callback, "asks_again", False):
            yield str(entry.name)


def address(name: str, org_slug: str, keys: dict[str, uuid.UUID]) -> str:
    """The address with something real in each of its places."""
    pk: Any = keys.get(name.partition("_")[0], 1)
    values = {
        "org_slug": org_slug,
        "pk": pk,
        "request_id": pk,
        "user_id": keys.get("member" if name.startswith("member") else "owner", 1),
        "provider": "openai",
        "scope": "client-keys",
        "name": "Main",
        "target": keys.get("client", "1"),
        "period": "month",
        "rest": "nowhere",
        "token": "x",
        "uidb36": "1",
        "key": "x",
        "version": 1,
    }
    return reverse(name, kwargs={part: values[part] for part in ADDRESSES[name]})


def test_every_address_has_a_row() -> None:
    assert set(ADDRESSES) == set(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_the_table_holds(name: str, world: SimpleNamespace, clients: dict[str, Client]) -> None:
    def statuses(method: str) -> str:
        found = []
        for person in PEOPLE:
            with transaction.atomic():
                found.append(str(getattr(clients[person], method)(address(name, "acme", world.acme)).status_code))
                transaction.set_rollback(True)
        return " ".join(found)

    assert (statuses("get"), statuses("post")) == TABLE[name]


def test_what_asks_again_is_written_down() -> None:
    assert set(askers(get_resolver())) == ASKING_AGAIN


@pytest.mark.parametrize("name", sorted(ASKING_AGAIN))
def test_an_old_sign_in_is_asked_again(name: str, world: SimpleNamespace, clients: dict[str, Client]) -> None:
    page = address(name, "acme", world.acme)
    with time_machine.travel(timezone.now() + timedelta(minutes=15, seconds=1)):
        for method in ("get",) if name in EXPORTS else ("get", "post"):
            answer = getattr(clients["alice"], method)(page)
            assert (answer.status_code, answer["Location"]) == (302, f"/signin/again/?next={quote(page, safe='')}")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "orgs/user/",
        "orgs/organization/",
        "orgs/auditevent/",
        "orgs/invitation/",
        "keys/providerkey/",
        "keys/modeloverride/",
        "jsi18n/",
        "nowhere/",
    ],
)
def test_the_staff_console_is_for_staff(path: str, clients: dict[str, Client], sam: User) -> None:
    User.objects.filter(pk=sam.pk).update(is_superuser=True)
    give_second_factor(sam)
    expected = STAFF.replace("200", "404") if path == "nowhere/" else STAFF
    assert " ".join(str(clients[person].get(f"/staff/{path}").status_code) for person in PEOPLE) == expected


def test_the_staff_console_has_no_sign_in_of_its_own(clients: dict[str, Client]) -> None:
    assert clients["anonymous"].get("/staff/login/")["Location"].startswith("/signin/")
    assert clients["alice"].get("/staff/login/").status_code == 403


@pytest.mark.parametrize("name", [name for name, parts in ADDRESSES.items() if "org_slug" in parts])
@pytest.mark.parametrize("method", ["get", "post"])
def test_anothers_organization_answers_like_a_missing_one(
    name: str, method: str, world: SimpleNamespace, clients: dict[str, Client]
) -> None:
    foreign = getattr(clients["alice"], method)(address(name, "globex", world.globex))
    missing = getattr(clients["alice"], method)(address(name, "nowhere", world.globex))
    assert foreign.status_code in (404, 405)
    assert (foreign.status_code, foreign.content, dict(foreign.items())) == (
        missing.status_code,
        missing.content,
        dict(missing.items()),
    )
    assert not foreign.cookies


@pytest.mark.parametrize("name", [name for name, parts in ADDRESSES.items() if {"org_slug", "pk"} <= parts])
@pytest.mark.parametrize("method", ["get", "post"])
def test_anothers_key_answers_like_a_missing_one(
    name: str, method: str, world: SimpleNamespace, clients: dict[str, Client]
) -> None:
    nothing = dict.fromkeys(world.globex, uuid.uuid4())
    foreign = getattr(clients["alice"], method)(address(name, "acme", world.globex))
    missing = getattr(clients["alice"], method)(address(name, "acme", nothing))
    assert foreign.status_code in (404, 405)
    assert (foreign.status_code, foreign.content, dict(foreign.items())) == (
        missing.status_code,
        missing.content,
        dict(missing.items()),
    )


# Whose POST asks for no cookie, and so for no token: programs', and the report of a key that was found
WITHOUT_TOKEN = {"report", *(name for name in TABLE if name.startswith("api_"))}


def test_a_form_without_its_token_does_nothing(world: SimpleNamespace, alice: User) -> None:
    alices = Client(enforce_csrf_checks=True)
    alices.force_login(alice)
    for name, (_, post) in TABLE.items():
        if post != NO_POST and name not in WITHOUT_TOKEN:
            answer = alices.post(address(name, "acme", world.acme))
            assert (answer.status_code, "This form is too old" in answer.text) == (403, True), name
