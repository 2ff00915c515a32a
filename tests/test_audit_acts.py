"""Every act leaves an audit event, and without one nothing happens: of each function that takes `by`, found in the code itself.

ACTS says with what each is called. One without a row fails.
"""

import inspect
import pkgutil
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from time import time
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.apps import apps
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

import byok_site
import gateway
import keys
import orgs
import usage
from keys import actions
from keys.actions.leaks import report_leak
from keys.actions.management_keys import issue_management_key
from keys.actions.openings import tell_hour
from keys.actions.replacing import destroy_if_due
from keys.actions.reporting import Report, report_health
from keys.actions.single_sign_on import confirm_domain, set_enforced, set_identity_provider
from keys.actions.webhooks import add_webhook
from keys.health import Health, State
from keys.models import ClientKey, Opening, ProviderKey, RetiredCredential
from keys.preferences import Preferences
from keys.providers import Credential
from keys.providers.errors import ErrorClass
from keys.sign_on import Person
from keys.testing import TestResult, Verdict
from orgs.actions import Actor
from orgs.actions.invitations import Letter, digest_of, invite
from orgs.actions.members import set_role
from orgs.actions.support import begin_visit, grant_support
from orgs.audit.words import ACTS as ACTS_IN_WORDS
from orgs.audit.words import SENTENCES, THINGS
from orgs.models import MEMBER, OWNER, AuditEvent, Delivery, Identity, IdentityProvider, Organization, User, Webhook
from usage.actions import set_budget, set_limit, set_model_price
from usage.actions_prices import set_invoices, set_key_price
from usage.invoices import Billed
from usage.models import Budget, Invoice, KeyPrice, Limit, ModelPrice, Period, Scope

pytestmark = [pytest.mark.django_db, pytest.mark.large]

DAY, DAYS = date(2026, 11, 1), timedelta(days=1)
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PASSED = TestResult(verdict=Verdict.VALID, reason="", status=200, latency_ms=9, models=("gpt-4o",))
# They write the event of the act that calls them
RECORDERS = {"orgs.actions.recording.record", "orgs.actions.recording.record_everywhere"}
ROOMS = (orgs, keys, usage, gateway, byok_site)
OURS = ("orgs", "keys", "usage", "account", "mfa", "usersessions", "auth", "sessions")


def modules(room: ModuleType) -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
        if "migrations" not in found.name and found.name != "byok_site.asgi":
            yield import_module(found.name)


def acts() -> dict[str, Callable[..., object]]:
    """By where they are defined: public functions that must be told who acts."""
    return {
        f"{module.__name__}.{name}": function
        for room in ROOMS
        for module in modules(room)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
        if (by := inspect.signature(function).parameters.get("by"))
        and by.kind is by.KEYWORD_ONLY
        and by.annotation is not str  # a name alone acts not
    }


FOUND = {name: function for name, function in acts().items() if name not in RECORDERS}


class World:
    """Acme, where Alice acts. What an act needs is made when it is asked for."""

    def __init__(self, acme: Organization, alice: User, bob: User, charlie: User) -> None:
        self.acme, self.alice, self.bob, self.charlie = acme, alice, bob, charlie
        self.by = Actor(label="Alice", user=alice)
        self.org = {"organization": acme}

    def credential(self, end: str = "0000") -> Credential:
        return Credential(secret={"api_key": f"sk-proj-not-a-real-key-{end}"}, public={}, hint=f"sk-…{end}")

    def key(self, name: str = "Main") -> ProviderKey:
        said: dict[str, Any] = {"provider": "openai", "name": name, "credential": self.credential(), "test": PASSED}
        return actions.add_key(**self.org, **said, by=self.by)

    def sealed_factor(self) -> str:
        """The id of the key of the ring that sealed Alice's second factor."""
        Authenticator.objects.create(user=self.alice, type="totp", data={"secret": "k1:x"})
        return "k1"

    def off(self) -> ProviderKey:
        key = self.key()
        actions.disable_key(key=key, by=self.by)
        return key

    def retired(self) -> RetiredCredential:
        return actions.replace_credential(key=self.key(), credential=self.credential("1111"), test=PASSED, by=self.by)

    def order(self) -> dict[str, Any]:
        one, two = self.key("One"), self.key("Two")
        return {"order": [(two.pk, two.tier), (one.pk, one.tier)], "version": 2}

    def client(self, owner: User | None = None) -> ClientKey:
        return actions.issue_client_key(**self.org, name="web-app", owner=owner, by=self.by)[0]

    def paused(self) -> ClientKey:
        key = self.client()
        actions.pause_client_key(key=key, by=self.by)
        return key

    def management(self) -> Any:
        return import_module("keys.actions.management_keys").issue_management_key(**self.org, name="terraform", by=self.by)[0]

    def webhook(self) -> Webhook:
        return add_webhook(**self.org, url="https://hooks.example.com/", by=self.by)[0]

    def delivery(self) -> Delivery:
        return Delivery.objects.create(webhook=self.webhook(), tag="x", payload={"id": "1", "subject": "Hello"})

    def letter(self, email: str = "erin@example.com") -> Letter:
        return invite(**self.org, emails=[email], role=MEMBER, by=self.by)[0]

    def invited(self) -> dict[str, Any]:
        return {"digest": digest_of(self.letter(self.charlie.email).token), "by": Actor(label="Charlie", user=self.charlie)}

    def stopped(self, pause: Callable[..., None], **said: Any) -> dict[str, Any]:
        pause(**self.org, **said, by=self.by)
        return self.org | said

    def provider(self) -> IdentityProvider:
        return set_identity_provider(**self.org, **self.single_sign_on(), by=self.by)

    def single_sign_on(self) -> dict[str, Any]:
        said = {"issuer": "https://id.example.com", "client_id": "keyhold", "domain": "example.com"}
        return {"said": said | {"groups_claim": "groups", "owner_groups": []}, "secret": "not-a-real-secret"}

    def verified(self) -> IdentityProvider:
        provider = self.provider()
        confirm_domain(provider=provider, texts=[provider.proof], by=self.by)
        Identity.objects.create(provider=provider, issuer=provider.issuer, subject="alice", user=self.alice)
        provider.refresh_from_db()
        return provider

    def enforced(self) -> IdentityProvider:
        provider = self.verified()
        set_enforced(provider=provider, enforced=True, by=self.by)
        return provider

    def granted(self) -> dict[str, Any]:
        grant_support(**self.org, by=self.by)
        return self.org

    def visited(self) -> dict[str, Any]:
        begin_visit(**self.org, reason="Ticket 20418", by=self.by)
        return self.org

    def owners(self) -> dict[str, Any]:
        set_role(**self.org, user=self.bob, role=OWNER, by=self.by)
        return self.org

    def session(self) -> UserSession:
        return UserSession.objects.create(user=self.alice, ip="192.0.2.7", session_key="x", user_agent="Firefox")

    def second_factor(self) -> dict[int, str]:
        """What Alice had before she lost it."""
        return {Authenticator.objects.create(user=self.alice, type="totp", data={}).pk + 1: "totp"}

    def price(self) -> ModelPrice:
        return set_model_price(**self.org, **PRICE, by=self.by)

    def key_price(self) -> KeyPrice:
        return set_key_price(key=self.key(), from_day=DAY, thousandths=850, by=self.by)

    def invoice(self) -> Invoice:
        set_invoices(**self.org, billed=[Billed(self.key(), DAY, 1)], by=self.by)
        return Invoice.objects.get()

    def limit(self) -> Limit:
        set_limit(**self.org, scope=Scope.ORGANIZATION, concurrent=5, by=self.by)
        return Limit.objects.get()

    def budget(self) -> Budget:
        return set_budget(**self.org, **BUDGET, by=self.by)


PRICE = {"provider": "openai", "model": "openai/gpt-99", "from_day": DAY, "input_microusd": 1, "output_microusd": 1}
INITECH = {"organization_name": "Initech"}
BUDGET = {"scope": Scope.ORGANIZATION, "period": Period.MONTH, "amount_microusd": 1}
ACTS: dict[str, Callable[[World], dict[str, Any]]] = {
    "orgs.actions.organizations.create_organization": lambda w: {"name": "Initech", "owner": w.alice},
    "orgs.actions.organizations.record_export": lambda w: w.org | {"what": "audit", "filters": {}},
    "orgs.actions.organizations.set_organization": lambda w: w.org | {"name": "Acme Labs"},
    "orgs.actions.organizations.set_platform": lambda w: w.org | {"is_platform": True},
    "orgs.actions.organizations.set_up_first_owner": lambda w: {
        "email": "d@example.com",
        "password": "x",
        "organization_name": "Initech",
    },
    "orgs.actions.account.change_email": lambda w: {"user": w.alice, "email": "alice@example.org"},
    "orgs.actions.account.end_session": lambda w: {"session": w.session()},
    "orgs.actions.account.end_sessions": lambda w: {"user": w.alice},
    "orgs.actions.account.note_second_factors": lambda w: {"user": w.alice, "before": w.second_factor()},
    "orgs.actions.account.require_second_factor": lambda w: w.org | {"since": NOW},
    "orgs.actions.account.set_name": lambda w: {"user": w.alice, "name": "Alice Ng"},
    "orgs.actions.account.set_password": lambda w: {"user": w.alice, "password": "another horse battery"},
    "orgs.actions.invitations.invite": lambda w: w.org | {"emails": ["erin@example.com"], "role": MEMBER},
    "orgs.actions.invitations.join": lambda w: w.invited(),
    "orgs.actions.invitations.resend_invitation": lambda w: {"invitation": w.letter().invitation},
    "orgs.actions.invitations.withdraw_invitation": lambda w: {"invitation": w.letter().invitation},
    "orgs.actions.members.hand_over_ownership": lambda w: w.org | {"to": w.bob},
    "orgs.actions.members.remove_member": lambda w: w.org | {"user": w.bob},
    "orgs.actions.members.set_role": lambda w: w.org | {"user": w.bob, "role": OWNER},
    "orgs.actions.support.begin_visit": lambda w: w.org | {"reason": "Ticket 20418"},
    "orgs.actions.support.change_person": lambda w: {"user": w.bob, "name": "Robert"},
    "orgs.actions.support.end_grant": lambda w: w.granted(),
    "orgs.actions.support.end_sessions": lambda w: {"user": w.bob},
    "orgs.actions.support.end_visits": lambda w: w.visited(),
    "orgs.actions.support.grant_support": lambda w: w.org,
    "orgs.actions.support.record_diagnostics": lambda w: w.org,
    "keys.actions.client_keys.change_client_key": lambda w: {"key": w.client(), "name": "api", "terms": actions.Terms()},
    "keys.actions.client_keys.hand_over_client_key": lambda w: {"key": w.client(), "to": w.bob},
    "keys.actions.client_keys.issue_client_key": lambda w: w.org | {"name": "web-app"},
    "keys.actions.client_keys.pause_client_key": lambda w: {"key": w.client()},
    "keys.actions.client_keys.resume_client_key": lambda w: {"key": w.paused()},
    "keys.actions.client_keys.revoke_client_key": lambda w: {"key": w.client()},
    "keys.actions.client_keys.revoke_of_member": lambda w: w.org | {"user": w.client(w.bob).owner},
    "keys.actions.client_keys.roll_client_key": lambda w: {"key": (key := w.client()), "public_id": key.public_id, "grace": DAYS},
    "keys.actions.client_keys.set_client_key_preferences": lambda w: {
        "key": w.client(),
        "preferences": Preferences(only=("openai",)),
    },
    "keys.actions.data_keys.add_data_key": lambda w: {"organization": w.key().organization},
    "keys.actions.deleting.delete_organization": lambda w: w.org,
    "keys.actions.deleting.keep_organization": lambda w: w.stopped(import_module("keys.actions.deleting").delete_organization),
    "keys.actions.giving_up.give_up_data_keys": lambda w: {"organization": w.key().organization, "kek_id": "k1"},
    "keys.actions.giving_up.give_up_second_factors": lambda w: {"kek_id": w.sealed_factor()},
    "keys.actions.health.record_test": lambda w: {"key": w.key(), "result": PASSED},
    "keys.actions.leaving.end_membership": lambda w: w.org | {"user": w.bob},
    "keys.actions.management_keys.issue_management_key": lambda w: w.org | {"name": "terraform"},
    "keys.actions.management_keys.revoke_management_keys_of": lambda w: w.org | {"maker": w.management().created_by},
    "keys.actions.management_keys.revoke_management_key": lambda w: {"key": w.management()},
    "keys.actions.ordering.reorder_keys": lambda w: w.org | w.order(),
    "keys.actions.overrides.set_overrides": lambda w: w.org | {"provider": "openai", "overrides": {"openai/gpt-99": "x"}},
    "keys.actions.provider_keys.add_key": lambda w: (
        w.org | {"provider": "openai", "name": "Main", "credential": w.credential(), "test": None}
    ),
    "keys.actions.provider_keys.disable_key": lambda w: {"key": w.key()},
    "keys.actions.provider_keys.enable_key": lambda w: {"key": w.off()},
    "keys.actions.provider_keys.remove_key": lambda w: {"key": w.key()},
    "keys.actions.provider_keys.rename_key": lambda w: {"key": w.key(), "name": "Other"},
    "keys.actions.replacing.replace_credential": lambda w: {"key": w.key(), "credential": w.credential("1111"), "test": PASSED},
    "keys.actions.replacing.restore_credential": lambda w: {"retired": w.retired(), "test": PASSED},
    "keys.actions.restricting.set_always": lambda w: {"key": w.key(), "always": True},
    "keys.actions.restricting.set_restrictions": lambda w: {
        "key": w.key(),
        "models": ["openai/*"],
        "members": None,
        "client_keys": None,
    },
    "keys.actions.routing.pause_organization": lambda w: w.org,
    "keys.actions.routing.pause_provider": lambda w: w.org | {"provider": "openai"},
    "keys.actions.routing.resume_organization": lambda w: w.stopped(actions.pause_organization),
    "keys.actions.routing.resume_provider": lambda w: w.stopped(actions.pause_provider, provider="openai"),
    "keys.actions.routing.set_provider_routing": lambda w: w.org | {"provider": "openai", "use_own_keys": False},
    "keys.actions.routing.set_routing": lambda w: w.org | {"own_keys_only": False},
    "keys.actions.single_sign_on.admit": lambda w: {
        "provider": w.verified(),
        "person": Person("erin", "erin@example.com", "Erin", None),
    },
    "keys.actions.single_sign_on.confirm_domain": lambda w: {"provider": (one := w.provider()), "texts": [one.proof]},
    "keys.actions.single_sign_on.remove_identity_provider": lambda w: {"provider": w.provider()},
    "keys.actions.single_sign_on.set_enforced": lambda w: {"provider": w.verified(), "enforced": True},
    "keys.actions.single_sign_on.set_identity_provider": lambda w: w.org | w.single_sign_on(),
    "keys.actions.webhooks.add_webhook": lambda w: w.org | {"url": "https://hooks.example.com/"},
    "keys.actions.webhooks.remove_webhook": lambda w: {"webhook": w.webhook()},
    "keys.actions.webhooks.replay_delivery": lambda w: {"delivery": w.delivery()},
    "keys.actions.webhooks.set_webhook_enabled": lambda w: {"webhook": w.webhook(), "enabled": False},
    "keys.actions.webhooks.test_webhook": lambda w: {"webhook": w.webhook()},
    "usage.actions.remove_budget": lambda w: {"budget": w.budget()},
    "usage.actions.remove_limit": lambda w: {"limit": w.limit()},
    "usage.actions.remove_model_price": lambda w: {"price": w.price()},
    "usage.actions.set_budget": lambda w: w.org | BUDGET,
    "usage.actions.set_limit": lambda w: w.org | {"scope": Scope.ORGANIZATION, "concurrent": 5},
    "usage.actions.set_model_price": lambda w: w.org | PRICE,
    "usage.actions_prices.remove_invoice": lambda w: {"invoice": w.invoice()},
    "usage.actions_prices.remove_key_price": lambda w: {"price": w.key_price()},
    "usage.actions_prices.set_invoices": lambda w: w.org | {"billed": [Billed(w.key(), DAY, 1)]},
    "usage.actions_prices.set_key_price": lambda w: {"key": w.key(), "from_day": DAY, "thousandths": 850},
}


class Unasked(NamedTuple):
    """What Keyhold does by itself, or whoever found a key: makes what it needs, and gives what is then called."""

    by: str
    act: Callable[[World], Callable[[], object]]


def too_old(w: World) -> Callable[[], object]:
    retired = w.retired()
    return lambda: destroy_if_due(retired, timezone.now() + 2 * DAYS)


def failing(w: World) -> Callable[[], object]:
    key = w.key()
    health = Health(state=State.FAILING, error_class=str(ErrorClass.REFUSED), trips=1)
    return lambda: report_health(Report(key.pk, key.secret_version, health, None, time(), {"status": 401}))


def opened(w: World) -> Callable[[], object]:
    Opening.objects.create(organization=w.acme, hour=NOW, purpose="tests", count=3)
    return lambda: tell_hour(w.acme.pk, NOW)


def found_in_public(w: World) -> Callable[[], object]:
    _, text = actions.issue_client_key(**w.org, name="web-app", by=w.by)
    return lambda: report_leak(text=text, address=None)


def found_with_programs(w: World) -> Callable[[], object]:
    _, text = issue_management_key(**w.org, name="terraform", by=w.by)
    return lambda: report_leak(text=text, address=None)


UNASKED = {
    "keys.actions.replacing.destroy_if_due": Unasked("Keyhold", too_old),
    "keys.actions.reporting.take": Unasked("Keyhold", failing),
    "keys.actions.openings.tell_hour": Unasked("Keyhold", opened),
    "keys.actions.leaks.stop": Unasked("Somebody who found it", found_in_public),
    "keys.actions.leaks.stop_management": Unasked("Somebody who found it", found_with_programs),
}


@pytest.fixture
def world(acme: Organization, alice: User, bob: User, charlie: User) -> World:
    return World(acme, alice, bob, charlie)


def prepared(name: str, world: World) -> dict[str, Any]:
    """With what the act is called. The very first owner is set up where there is nobody."""
    if name == "orgs.actions.organizations.set_up_first_owner":
        User.objects.all().delete()
    return {"by": world.by} | ACTS[name](world)


def everything() -> dict[str, list[dict[str, Any]]]:
    tables = [model for label in OURS for model in apps.get_app_config(label).get_models()]
    return {model._meta.label: list(model._default_manager.order_by("pk").values()) for model in tables}


def refuse_events() -> None:
    """From now on the database takes no audit event."""
    if connection.vendor == "postgresql":
        made = """CREATE FUNCTION refuse_events() RETURNS trigger LANGUAGE plpgsql AS
                  $$ BEGIN RAISE EXCEPTION 'The audit log is full.'; END $$;
                  CREATE TRIGGER refuse_events BEFORE INSERT ON orgs_auditevent FOR EACH ROW EXECUTE FUNCTION refuse_events()"""
    else:
        made = """CREATE TRIGGER refuse_events BEFORE INSERT ON orgs_auditevent
                  BEGIN SELECT RAISE(ABORT, 'The audit log is full.'); END"""
    with connection.cursor() as cursor:
        cursor.execute(made)


def is_worded(tag: str) -> bool:
    """Whether it is a sentence that somebody wrote, or a known act on a known thing."""
    thing, _, act = tag.partition(":")
    return tag in SENTENCES or (thing in THINGS and act in ACTS_IN_WORDS)


def test_every_act_of_the_code_has_a_row() -> None:
    assert set(ACTS) == set(FOUND)


@pytest.mark.parametrize("name", FOUND)
def test_an_act_leaves_an_event_that_says_who_acted(name: str, world: World) -> None:
    said = prepared(name, world)
    before = AuditEvent.objects.count()
    FOUND[name](**said)
    left = list(AuditEvent.objects.order_by("pk"))[before:]
    assert left
    assert {event.tag for event in left if not is_worded(event.tag)} == set()
    assert {event.actor_label for event in left} == {said["by"].label}


@pytest.mark.parametrize("name", FOUND)
def test_an_act_that_cannot_be_recorded_does_not_happen(name: str, world: World) -> None:
    said = prepared(name, world)
    before = everything()
    refuse_events()
    with pytest.raises(DatabaseError, match="The audit log is full"), transaction.atomic():
        FOUND[name](**said)
    assert everything() == before


@pytest.mark.parametrize("name", UNASKED)
def test_what_nobody_asked_for_leaves_an_event_too(name: str, world: World) -> None:
    by, act = UNASKED[name]
    happen = act(world)
    before = AuditEvent.objects.count()
    happen()
    assert [event.actor_label for event in AuditEvent.objects.order_by("pk")[before:]] == [by]


@pytest.mark.parametrize("name", UNASKED)
def test_what_nobody_asked_for_does_not_happen_unrecorded(name: str, world: World) -> None:
    happen = UNASKED[name].act(world)
    before = everything()
    refuse_events()
    with pytest.raises(DatabaseError, match="The audit log is full"), transaction.atomic():
        happen()
    assert everything() == before
