"""Who may open what: one table of every address, so that a new one cannot be added without saying who it is for."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from datetime import timedelta
from functools import partial
from itertools import batched
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
import time_machine
from django.apps import apps
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import models, transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from keys.actions import add_key, issue_client_key, issue_management_key, revoke_management_key
from keys.actions.webhooks import add_webhook
from keys.models import ClientKey, ProviderKey
from keys.providers import Credential
from orgs.actions import Actor
from orgs.actions.account import require_second_factor
from orgs.actions.invitations import invite
from orgs.actions.members import remove_member, set_role
from orgs.actions.support import begin_visit, change_person, end_sessions
from orgs.models import AUDITOR, MEMBER, OWNER, Delivery, Membership, Organization, User
from tests.attempts import attempt, id_given
from tests.staff import join_support
from usage.actions import set_budget, set_limit, set_model_price
from usage.actions_prices import set_invoices, set_key_price
from usage.ingest import book
from usage.invoices import Billed
from usage.models import Invoice

pytestmark = [pytest.mark.django_db, pytest.mark.large]

PEOPLE = ("anonymous", "charlie", "bob", "alice", "sam")  # nobody, another's owner, a member, an owner, support that visits
# Whose ownership ended, in the browser in which they had it: they stand where one of PEOPLE does. So does a superuser.
ENDED = {"demoted": "bob", "removed": "charlie", "turned off": "anonymous", "signed out": "anonymous"}

# What each of PEOPLE gets for GET and for an empty POST. 302 for anonymous is the way to the sign-in page.
OWN = "302 200 200 200 200"  # a page of one's own account or a list of one's own things
AGAIN = "302 302 302 302 302"  # first confirm that it is you
NO_GET = "302 405 405 405 405"
MEMBERS = "302 404 200 200 404"
OWNERS = "302 404 403 200 404"
FACTOR_ONLY = "302 302 302 302 200"  # for who has a second factor
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
    "mfa_reauthenticate": (FACTOR_ONLY, FACTOR_ONLY),
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
    "mfa_activate_totp": ("302 200 200 200 302", "302 200 200 200 302"),  # Sam has one
    "mfa_deactivate_totp": ("302 404 404 404 200", "302 404 404 404 302"),
    "mfa_view_recovery_codes": ("302 404 404 404 404", NO_GET),
    "mfa_generate_recovery_codes": (OWN, "302 200 200 200 302"),
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
    # For programs, whose management key is all that counts; PROGRAMS below says what each opens
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
    "api_routing": (KEY_ONLY, NO_POST),
    "api_provider_routing": (KEY_ONLY, NO_POST),
    "api_client_key_roll": (NO_POST, KEY_ONLY),
    "api_unknown": ("404 404 404 404 404", "404 404 404 404 404"),
}
# What each of CALLERS gets from the management API, by method. Methods that are not named answer 405 to everybody.
CALLERS = ("nobody", "client key", "revoked", "globex", "acme")  # with no key, or with the key of a kind or an organization
READ = "401 401 401 200 200"
OWN_THING = "401 401 401 404 200"  # Globex has none of this name or id
GONE = "401 401 401 404 204"
UNREADABLE = "401 401 401 422 422"  # what it said makes no sense
PROGRAMS: dict[str, dict[str, str]] = {
    "api_document": {"GET": "200 200 200 200 200"},
    "api_provider_keys": {"GET": READ},
    "api_provider_key": {"GET": OWN_THING, "PUT": "401 401 401 422 200", "DELETE": GONE},  # a new one needs a credential
    "api_provider_key_test": {"POST": OWN_THING},
    "api_order": {"GET": READ, "PUT": UNREADABLE},
    "api_routing": {"GET": READ, "PUT": READ},
    "api_provider_routing": {"GET": READ, "PUT": READ},
    "api_client_keys": {"GET": READ},
    "api_client_key": {"GET": OWN_THING, "PUT": "401 401 401 412 200", "DELETE": GONE},  # If-Match: * wants one to be there
    "api_client_key_roll": {"POST": UNREADABLE},
    "api_limits": {"GET": READ},
    "api_organization_limit": {"GET": OWN_THING, "PUT": UNREADABLE, "DELETE": GONE},
    "api_limit": {"GET": OWN_THING, "PUT": UNREADABLE, "DELETE": GONE},
    "api_budgets": {"GET": READ},
    "api_organization_budget": {"GET": OWN_THING, "PUT": UNREADABLE, "DELETE": GONE},
    "api_budget": {"GET": OWN_THING, "PUT": UNREADABLE, "DELETE": GONE},
    "api_members": {"GET": READ},
    "api_usage": {"GET": "401 401 401 400 400"},  # it wants two days
    "api_audit": {"GET": READ},
    "api_unknown": dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE"), "404 404 404 404 404"),
}
EXPORTS = ("audit_csv", "usage_csv", "usage_focus")
# Of these the GET asks too, so that nobody types a secret first and loses it on the way
ASKING_AGAIN = {
    *("account_new_email", "account_set_password", "second_factor", "sso_settings", "organization_delete"),
    *("invitation_send", "member", "member_hand_over", "member_leave", "member_remove", "management_key_new"),
    *("provider_key_add", "provider_key_import", "provider_key_remove", "provider_key_replace", "provider_key_restore"),
    *("client_key_new", "client_key_roll", *EXPORTS),
}
CANARY = "canary-not-a-real-secret"
SECRET_FIELDS = ("api_key", "secret_access_key", "session_token", "json", "text", "client_secret", "password")


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
def clients(
    acme: Organization,
    alice: User,
    bob: User,
    charlie: User,
    sam: User,
    make_user: Callable[..., User],
    client_of: Callable[[User], Client],
) -> dict[str, Client]:
    """Sam and the superuser have opened Acme in the staff console."""
    root = make_user("Root", is_staff=True, is_superuser=True)
    for user in (sam, root):
        join_support(user)
        begin_visit(organization=acme, reason="Ticket 4711", by=Actor(label=user.name, user=user))
    people = {"charlie": charlie, "bob": bob, "alice": alice, "sam": sam, "root": root}
    return {"anonymous": Client()} | {name: client_of(user) for name, user in people.items()}


@pytest.fixture
def dora(make_user: Callable[..., User]) -> User:
    return make_user("Dora")


def end(how: str, acme: Organization, dora: User) -> None:
    """Dora, who owns Acme too, does so no longer."""
    Membership.objects.create(organization=acme, user=dora, role=Group.objects.get(name=OWNER))
    by = Actor.command("tests")
    match how:
        case "demoted":
            set_role(organization=acme, user=dora, role=MEMBER, by=by)
        case "removed":
            remove_member(organization=acme, user=dora, by=by)
        case "turned off":
            change_person(user=dora, is_active=False, by=by)
        case "signed out":
            end_sessions(user=dora, by=by)
        case "without a second factor":
            require_second_factor(organization=acme, since=timezone.now() - timedelta(days=1), by=by)


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
        "token": "x",
        "uidb36": "1",
        "key": "x",
        "version": 1,
    }
    return reverse(name, kwargs={part: values[part] for part in ADDRESSES[name]})


def test_every_address_has_a_row() -> None:
    assert set(ADDRESSES) == set(TABLE)


@pytest.fixture
def statuses(world: SimpleNamespace) -> Callable[..., list[str]]:
    """Of GET and POST, with the cookies of that moment. Afterwards nothing has happened."""

    def ask(name: str, client: Client, before: Callable[[], object] = lambda: None) -> list[str]:
        found, page = [], address(name, "acme", world.acme)
        for method in ("get", "post"):
            cache.clear()
            with transaction.atomic():
                before()
                once = Client()
                once.cookies = deepcopy(client.cookies)
                found.append(str(getattr(once, method)(page).status_code))
                transaction.set_rollback(True)
        return found

    return ask


@pytest.mark.parametrize("names", [*batched(TABLE, 20)])
def test_the_table_holds(names: Sequence[str], statuses: Callable[..., list[str]], clients: dict[str, Client]) -> None:
    people = (*PEOPLE, "root")
    found = {name: [statuses(name, clients[person]) for person in people] for name in names}
    rows = {name: [[*row.split(), row.split()[-1]] for row in TABLE[name]] for name in names}
    assert found == {name: [[get, post] for get, post in zip(*rows[name], strict=True)] for name in names}


@pytest.mark.parametrize("names", [*batched(TABLE, 20)])
def test_an_ownership_that_ended_opens_nothing(
    names: Sequence[str], statuses: Callable[..., list[str]], acme: Organization, dora: User, client_of: Callable[[User], Client]
) -> None:
    doras = client_of(dora)
    for name in names:
        for how, like in ENDED.items():
            expected = [row.split()[PEOPLE.index(like)] for row in TABLE[name]]
            assert statuses(name, doras, partial(end, how, acme, dora)) == expected, (name, how)
        if "org_slug" in ADDRESSES[name]:
            assert set(statuses(name, doras, partial(end, "without a second factor", acme, dora))) <= {"403", "405"}, name


def test_what_asks_again_is_written_down() -> None:
    assert set(askers(get_resolver())) == ASKING_AGAIN


@pytest.mark.parametrize("name", sorted(ASKING_AGAIN))
def test_an_old_sign_in_is_asked_again(name: str, world: SimpleNamespace, clients: dict[str, Client]) -> None:
    page = address(name, "acme", world.acme)
    with time_machine.travel(timezone.now() + timedelta(minutes=15, seconds=1)):
        for method in ("get",) if name in EXPORTS else ("get", "post"):
            answer = getattr(clients["alice"], method)(page, dict.fromkeys(SECRET_FIELDS, CANARY) if method == "post" else None)
            assert (answer.status_code, answer["Location"]) == (302, f"/signin/again/?next={quote(page, safe='')}")
    assert CANARY not in str([session.get_decoded() for session in Session.objects.all()])


def test_the_staff_console_has_no_sign_in_of_its_own(clients: dict[str, Client]) -> None:
    assert clients["anonymous"].get("/staff/login/")["Location"].startswith("/signin/")
    assert clients["alice"].get("/staff/login/").status_code == 403


def test_anothers_organization_answers_like_a_missing_one(
    world: SimpleNamespace, client_of: Callable[[User], Client], alice: User
) -> None:
    for name in (name for name, parts in ADDRESSES.items() if "org_slug" in parts):
        foreign, missing = (address(name, slug, world.globex) for slug in ("globex", "nowhere"))
        assert_alike(client_of(alice), foreign, missing)


def test_anothers_key_answers_like_a_missing_one(
    world: SimpleNamespace, client_of: Callable[[User], Client], alice: User
) -> None:
    nothing = dict.fromkeys(world.globex, uuid.uuid4())
    for name in (name for name, parts in ADDRESSES.items() if {"org_slug", "pk"} <= parts):
        assert_alike(client_of(alice), address(name, "acme", world.globex), address(name, "acme", nothing))


def assert_alike(client: Client, *pages: str) -> None:
    """Whoever asks for what is another's learns no more than that it is not there."""
    for method in ("get", "post"):
        foreign, missing = (getattr(client, method)(page) for page in pages)
        assert foreign.status_code in (404, 405), pages
        assert (foreign.status_code, foreign.content, dict(foreign.items())) == (
            missing.status_code,
            missing.content,
            dict(missing.items()),
        )
        assert not foreign.cookies


@pytest.fixture
def programs(world: SimpleNamespace, acme: Organization, globex: Organization, alice: User, charlie: User) -> dict[str, str]:
    """What each of CALLERS sends. Acme has a limit and a budget where addresses lead, Globex nothing that is called the same."""
    by, theirs = Actor(label="Alice", user=alice), Actor(label="Charlie", user=charlie)
    for scope, target in (("organization", ""), ("client_key", str(world.acme["client"]))):
        where: dict[str, Any] = {"organization": acme, "scope": scope, "target_id": target, "by": by}
        set_limit(**where, concurrent=5)
        set_budget(**where, period="month", amount_microusd=5_000_000)
    for model in (ProviderKey, ClientKey):
        model.objects.filter(organization=globex).update(name="Theirs")
    revoked, text = issue_management_key(organization=acme, name="Revoked", by=by)
    revoke_management_key(key=revoked, by=by)
    return {
        "nobody": "",
        "client key": issue_client_key(organization=acme, name="Another", by=by)[1],
        "revoked": text,
        "globex": issue_management_key(organization=globex, name="Program", by=theirs)[1],
        "acme": issue_management_key(organization=acme, name="Program", by=by)[1],
    }


def test_every_address_of_the_api_says_what_keys_open() -> None:
    assert set(PROGRAMS) == {name for name in TABLE if name.startswith("api_")}


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_each_key_opens(name: str, world: SimpleNamespace, programs: dict[str, str]) -> None:
    page = address(name, "acme", world.acme)

    def status(method: str, caller: str) -> str:
        said = {"HTTP_AUTHORIZATION": f"Bearer {programs[caller]}"} if programs[caller] else {}
        with transaction.atomic():
            answer = Client().generic(method, page, "{}", content_type="application/json", HTTP_IF_MATCH="*", **said)
            transaction.set_rollback(True)
        assert answer.status_code < 400 or answer["Content-Type"] == "application/problem+json"
        return str(answer.status_code)

    methods = ("GET", "POST", "PUT", "PATCH", "DELETE")
    found = {method: " ".join(status(method, caller) for caller in CALLERS) for method in methods}
    assert found == dict.fromkeys(methods, "405 405 405 405 405") | PROGRAMS[name]


# What is closed to the key of an owner who became this, besides all that writes
CLOSED_TO = {MEMBER: {"api_client_keys", "api_client_key", "api_audit"}, AUDITOR: {"api_routing", "api_provider_routing"}}


@pytest.mark.parametrize("role", CLOSED_TO)
def test_a_key_opens_what_its_maker_may_open_now(
    role: str, world: SimpleNamespace, programs: dict[str, str], acme: Organization, dora: User
) -> None:
    membership = Membership.objects.create(organization=acme, user=dora, role=Group.objects.get(name=OWNER))
    text = issue_management_key(organization=acme, name="Dora's", by=Actor(label="Dora", user=dora))[1]
    membership.role = Group.objects.get(name=role)
    membership.save()
    refused, expected = set(), set()
    for name in PROGRAMS.keys() - {"api_unknown"}:
        for method in PROGRAMS[name]:
            said = {"HTTP_AUTHORIZATION": f"Bearer {text}", "HTTP_IF_MATCH": "*", "content_type": "application/json"}
            answer = Client().generic(method, address(name, "acme", world.acme), "{}", **said)
            refused |= {(name, method)} if answer.status_code == 403 else set()
            expected |= {(name, method)} if method != "GET" or name in CLOSED_TO[role] else set()
    assert refused == expected


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_management_key_is_nobody_to_the_dashboard(method: str, world: SimpleNamespace, programs: dict[str, str]) -> None:
    said = {"HTTP_AUTHORIZATION": f"Bearer {programs['acme']}"}
    found, expected = {}, {}
    for name in TABLE.keys() - PROGRAMS.keys():
        with transaction.atomic():
            found[name] = str(getattr(Client(), method)(address(name, "acme", world.acme), **said).status_code)
            transaction.set_rollback(True)
        expected[name] = TABLE[name][method == "post"].split()[0]
    assert found == expected


# Whose POST asks for no cookie, and so for no token: programs', and the report of a key that was found
WITHOUT_TOKEN = {"report", *(name for name in TABLE if name.startswith("api_"))}


def test_a_form_without_its_token_does_nothing(world: SimpleNamespace, alice: User) -> None:
    alices = Client(enforce_csrf_checks=True)
    alices.force_login(alice)
    for name, (_, post) in TABLE.items():
        if post != NO_POST and name not in WITHOUT_TOKEN:
            answer = alices.post(address(name, "acme", world.acme))
            assert (answer.status_code, "This form is too old" in answer.text) == (403, True), name


# No form takes more than its fields


def every_column(organization: Organization) -> dict[str, str]:
    """Something for each column of every table, by the column's name. What points to another row points to the last one."""
    said: dict[str, str] = {}
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if field.related_model is Organization:
                told: object = organization.pk
            elif field.related_model:
                told = field.related_model._base_manager.order_by("pk").values_list("pk", flat=True).last()  # type: ignore[union-attr]
            elif field.choices:
                told = field.flatchoices[-1][0]
            elif isinstance(field, models.DateField):
                told = timezone.now().isoformat()
            else:
                told = "on" if isinstance(field, models.BooleanField) else "7"
            said |= dict.fromkeys((field.name, field.attname), str(told))
    return said | {"role": OWNER}


def what_no_form_of_acmes_changes(globex: Organization) -> dict[str, Any]:
    """All that Globex has, and who is staff or signs in with what."""
    owned = [model for model in apps.get_models() if "organization" in {field.name for field in model._meta.fields}]
    people = User.objects.order_by("pk").values("pk", "password", "is_staff", "is_superuser", "groups", "user_permissions")
    rows = {model: list(model._base_manager.filter(organization=globex).order_by("pk").values()) for model in owned}
    return {"Globex": Organization.objects.filter(pk=globex.pk).values().get(), "rows": rows, "people": list(people)}


@pytest.mark.parametrize("names", [*batched(TABLE, 20)])
@pytest.mark.parametrize("person", ["alice", "bob"])
def test_no_form_takes_more_than_its_fields(
    names: Sequence[str], person: str, world: SimpleNamespace, clients: dict[str, Client], globex: Organization
) -> None:
    said, before = every_column(globex), what_no_form_of_acmes_changes(globex)
    for name in names:
        with transaction.atomic():
            once = Client()
            once.cookies = deepcopy(clients[person].cookies)
            assert once.post(address(name, "acme", world.acme), said).status_code < 500, name
            assert what_no_form_of_acmes_changes(globex) == before, name
            transaction.set_rollback(True)
