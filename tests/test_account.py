"""A person's own account: another address, sessions, second factors, and what of it stands on record."""

import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from importlib import import_module
from typing import Any

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal import auth as totp
from allauth.usersessions.models import UserSession
from django.apps import apps
from django.contrib.auth.models import Group
from django.core import mail
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from keys import data_keys, second_factors
from keys.vault import VaultError
from orgs.actions import Actor, support
from orgs.actions.account import AddressTaken, change_email, end_sessions, require_second_factor, set_name, set_password
from orgs.actions.members import set_role
from orgs.models import MEMBER, OWNER, AuditEvent, Membership, Organization, User
from tests.races import RACES, at_once

pytestmark = pytest.mark.django_db
NEW = "alice@new.example"
NEW_PASSWORD = "a new and longer password"
SECOND_RING = "k2:" + "A" * 43 + "=,"
type SignIn = Callable[[User], Client]


@pytest.fixture(autouse=True)
def nobody_is_limited() -> None:
    cache.clear()


@pytest.fixture(autouse=True)
def mails_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens after a commit happens at once, as no test commits."""
    monkeypatch.setattr("django.db.transaction.on_commit", lambda act, **_: act())


@pytest.fixture
def by(alice: User) -> Actor:
    return Actor(label="Alice", user=alice)


def told(organization: Organization, tag: str) -> list[dict[str, Any]]:
    return list(AuditEvent.objects.filter(organization=organization, tag=tag).order_by("pk").values_list("changes", flat=True))


def code(secret: str) -> str:
    """What an authenticator app shows now."""
    return totp.format_hotp_value(totp.hotp_value(secret, next(totp.yield_hotp_counters_from_time())))


def is_signed_in(client: Client) -> bool:
    return client.get("/account/").status_code == 200


# Another address


def link_to(address: str, client: Client) -> str:
    assert b"A link is on its way" in client.post("/account/email/", {"email": address}).content
    message = mail.outbox[-1]
    assert message.to == [address.lower()]
    return re.search(r"http://testserver(/account/email/\S+)", str(message.body))[1]


def test_an_address_changes_when_its_link_is_opened(acme: Organization, alice: User, client_of: SignIn) -> None:
    here, elsewhere = client_of(alice), client_of(alice)
    link = link_to("Alice@NEW.example", here)
    assert b"Use this address?" in here.get(link).content
    assert User.objects.get(pk=alice.pk).email == "alice@example.com"
    assert here.post(link)["Location"] == "/account/"
    assert User.objects.get(pk=alice.pk).email == NEW
    assert is_signed_in(here)
    assert not is_signed_in(elsewhere)
    assert (mail.outbox[-1].to, mail.outbox[-1].subject) == (["alice@example.com"], "Keyhold: Your email was changed")
    assert NEW in str(mail.outbox[-1].body)
    assert told(acme, "account:email") == [{"before": {"email": "alice@example.com"}, "after": {"email": NEW}}]


def test_the_link_works_once_for_a_day_and_for_its_account(alice: User, bob: User, client_of: SignIn) -> None:
    client = client_of(alice)
    link = link_to(NEW, client)
    assert client_of(bob).post(link).status_code == 404
    with time_machine.travel(timezone.now() + timedelta(days=1, seconds=1)):
        assert client_of(alice).post(link).status_code == 404
    assert client.post(link).status_code == 302
    assert client.post(link).status_code == 404


def test_a_new_password_kills_the_link(alice: User, client_of: SignIn, by: Actor) -> None:
    link = link_to(NEW, client_of(alice))
    set_password(user=alice, password=NEW_PASSWORD, by=by)
    assert client_of(alice).post(link).status_code == 404


def test_only_who_opens_the_link_learns_that_the_address_is_taken(alice: User, bob: User, client_of: SignIn) -> None:
    client = client_of(alice)
    link = link_to(bob.email, client)
    answer = client.post(link)
    assert (answer.status_code, b"Another account has this address" in answer.content) == (409, True)
    assert User.objects.get(pk=alice.pk).email == "alice@example.com"
    assert mail.outbox[-1].subject == "Keyhold: Use this address"


@pytest.mark.parametrize("address", ["", "alice", "ALICE@example.com"])
def test_no_link_goes_to_no_new_address(address: str, alice: User, client_of: SignIn) -> None:
    assert client_of(alice).post("/account/email/", {"email": address}).status_code == 422
    assert not mail.outbox


def test_links_are_not_sent_without_end(alice: User, client_of: SignIn) -> None:
    client = client_of(alice)
    statuses = [client.post("/account/email/", {"email": NEW}).status_code for _ in range(11)]
    assert (statuses[0], statuses[-1]) == (200, 429)


def test_a_taken_address_is_refused_whatever_its_case(alice: User, bob: User, by: Actor) -> None:
    with pytest.raises(AddressTaken):
        change_email(user=alice, email=" BOB@example.com", by=by)
    assert alice.email == "alice@example.com"


# Their name


def test_another_name_is_on_record(acme: Organization, alice: User, client_of: SignIn) -> None:
    client = client_of(alice)
    for _ in range(2):
        assert client.post("/account/", {"name": "Alice  Ng"})["Location"] == "/account/"
    assert User.objects.get(pk=alice.pk).name == "Alice Ng"
    assert told(acme, "account:name") == [{"before": {"name": "Alice"}, "after": {"name": "Alice Ng"}}]


# Sessions


def test_each_session_can_be_signed_out_by_itself(alice: User, password: str) -> None:
    here, there = (Client(headers={"user-agent": f"Mozilla/5.0 (X11; Linux) Firefox/{n}"}) for n in (150, 151))
    for client in (here, there):
        client.post("/signin/", {"login": alice.email, "password": password})
    other = UserSession.objects.get(session_key=there.session.session_key)
    assert here.post(f"/account/security/sessions/{other.pk}/end/")["Location"] == "/account/security/sessions/"
    assert is_signed_in(here)
    assert not is_signed_in(there)


def test_nobody_signs_out_another_person(alice: User, bob: User, client: Client, client_of: SignIn, password: str) -> None:
    client.post("/signin/", {"login": alice.email, "password": password})
    assert client_of(bob).post(f"/account/security/sessions/{UserSession.objects.get().pk}/end/").status_code == 404
    assert is_signed_in(client)


def test_sessions_that_nobody_listed_end_with_the_others(acme: Organization, alice: User, client_of: SignIn) -> None:
    here, elsewhere = client_of(alice), client_of(alice)
    assert not UserSession.objects.exists()
    here.post("/account/security/sessions/")
    assert is_signed_in(here)
    assert not is_signed_in(elsewhere)
    assert told(acme, "account:sign_out") == [{}]


def test_support_may_end_every_session(alice: User, client_of: SignIn) -> None:
    client = client_of(alice)
    end_sessions(user=alice, by=Actor.command("tests"))
    assert not is_signed_in(client)


# Second factors


@pytest.fixture
def secret(alice: User) -> str:
    """Of Alice's authenticator app, which is on."""
    secret = totp.generate_totp_secret()
    totp.TOTP.activate(alice, secret)
    return secret


def turn_app_on(client: Client) -> None:
    page = client.get("/account/security/app/activate/").text
    shown = re.search(r"<code>([A-Z2-7]{32})</code>", page)[1]
    with time_machine.travel(timezone.now(), tick=False):  # so that it is still the code when it is read
        assert client.post("/account/security/app/activate/", {"code": code(shown)})["Location"] == "/account/security/codes/"


def test_a_second_factor_that_comes_or_goes_ends_other_sessions_and_is_told(
    acme: Organization, globex: Organization, alice: User, client_of: SignIn
) -> None:
    here, elsewhere = client_of(alice), client_of(alice)
    turn_app_on(here)
    assert is_signed_in(here)
    assert not is_signed_in(elsewhere)
    assert mail.outbox[-1].subject == "Keyhold: Authenticator app turned on"
    elsewhere = client_of(alice)
    assert here.post("/account/security/app/deactivate/")["Location"] == "/account/security/"
    assert is_signed_in(here)
    assert not is_signed_in(elsewhere)
    assert (mail.outbox[-1].to, mail.outbox[-1].subject) == ([alice.email], "Keyhold: Authenticator app turned off")
    both = ["totp", "recovery_codes"]
    assert told(acme, "account:second_factor") == [{"added": both, "removed": []}, {"added": [], "removed": both}]
    assert not told(globex, "account:second_factor")


def test_new_recovery_codes_are_on_record(acme: Organization, alice: User, client_of: SignIn, secret: str) -> None:
    RecoveryCodes.activate(alice)
    client_of(alice).post("/account/security/codes/generate/")
    assert told(acme, "account:second_factor") == [{"added": ["recovery_codes"], "removed": ["recovery_codes"]}]


def test_a_wrong_code_changes_nothing(acme: Organization, alice: User, client_of: SignIn) -> None:
    here, elsewhere = client_of(alice), client_of(alice)
    here.get("/account/security/app/activate/")
    assert here.post("/account/security/app/activate/", {"code": "000000"}).status_code == 200
    assert is_signed_in(elsewhere)
    assert not told(acme, "account:second_factor")


def refuse(*args: Any, **kwargs: Any) -> None:
    raise OSError("no audit")


def test_what_cannot_be_recorded_does_not_happen(
    acme: Organization, alice: User, client_of: SignIn, by: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AuditEvent, "save", refuse)
    client = client_of(alice)
    for act in (
        lambda: set_name(user=User.objects.get(pk=alice.pk), name="Alice Ng", by=by),
        lambda: change_email(user=User.objects.get(pk=alice.pk), email=NEW, by=by),
        lambda: set_password(user=User.objects.get(pk=alice.pk), password=NEW_PASSWORD, by=by),
        lambda: end_sessions(user=User.objects.get(pk=alice.pk), by=by),
        lambda: require_second_factor(organization=acme, since=timezone.now(), by=by),
        lambda: turn_app_on(client),
    ):
        with pytest.raises(OSError, match="no audit"):
            act()
    now = User.objects.get(pk=alice.pk)
    for name in ("name", "email", "password", "session_version"):
        assert getattr(now, name) == getattr(alice, name)
    assert not Authenticator.objects.exists()
    assert Organization.objects.get(pk=acme.pk).second_factor_from is None
    assert is_signed_in(client)


def test_a_password_is_recorded_without_a_trace_of_it(acme: Organization, alice: User, client_of: SignIn, password: str) -> None:
    new = {"oldpassword": password, "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    client_of(alice).post("/account/security/password/", new)
    event = AuditEvent.objects.get(tag="account:password")
    assert (event.actor, event.address, event.changes) == (alice, "127.0.0.1", {})


# Second factors at rest


def test_the_database_holds_no_second_factor_in_clear(alice: User, secret: str) -> None:
    seed = data_keys.open_second_factor(RecoveryCodes.activate(alice).instance.data["seed"])
    rows = str(list(Authenticator.objects.values_list("data", flat=True)))
    assert secret not in rows
    assert seed not in rows
    assert totp.TOTP(Authenticator.objects.get(type="totp")).validate_code(code(secret))


def test_second_factors_of_the_version_before_are_sealed_once_and_work_on(alice: User, secret: str) -> None:
    seed = data_keys.open_second_factor(RecoveryCodes.activate(alice).instance.data["seed"])
    clear = {"totp": {"secret": secret}, "recovery_codes": {"seed": seed, "used_mask": 1}}
    for kind, data in clear.items():
        Authenticator.objects.filter(type=kind).update(data=data)
    for _ in range(2):  # whoever runs it again seals nothing twice
        import_module("keys.migrations.0009_sealed_second_factors").seal(apps, None)
    kept = dict(Authenticator.objects.values_list("type", "data"))
    assert data_keys.open_second_factor(kept["totp"]["secret"]) == secret
    assert data_keys.open_second_factor(kept["recovery_codes"]["seed"]) == seed
    assert kept["recovery_codes"]["used_mask"] == 1
    assert totp.TOTP(Authenticator.objects.get(type="totp")).validate_code(code(secret))


@pytest.mark.parametrize("spoiled", ["", "k1:", "k9:AAAA", "k1:AAAA", "k1:äää", "JBSWY3DPEHPK3PXP"])
def test_a_spoiled_second_factor_does_not_open(spoiled: str) -> None:
    with pytest.raises(VaultError):
        data_keys.open_second_factor(spoiled)


def test_who_has_a_spoiled_second_factor_is_told_and_not_let_in(alice: User, client: Client, password: str, secret: str) -> None:
    Authenticator.objects.update(data={"secret": secret})  # as somebody would write it who has the database, and no more
    client.post("/signin/", {"login": alice.email, "password": password})
    assert b"cannot be read" in client.post("/signin/code/", {"code": code(secret)}).content
    assert not is_signed_in(client)


def test_a_key_of_the_ring_is_kept_while_it_seals_a_second_factor(alice: User, secret: str, settings: Any) -> None:
    settings.VAULT_KEYS = SECOND_RING + settings.VAULT_KEYS
    with pytest.raises(CommandError, match="Second factors that it seals: 1"):
        call_command("vault", "retire", "k1")
    call_command("vault", "rewrap")
    assert second_factors.sealed_by() == {"k2": 1}
    call_command("vault", "retire", "k1")
    call_command("vault", "verify")
    assert totp.TOTP(Authenticator.objects.get()).validate_code(code(secret))


# Everyone needs a second factor


PAGE = "/o/acme/settings/second-factor/"


def test_an_owner_wants_everyone_to_have_a_second_factor(acme: Organization, alice: User, client_of: SignIn, secret: str) -> None:
    client = client_of(alice)
    assert "bob@example.com" in client.get(PAGE).text
    with time_machine.travel("2026-11-23T12:00Z", tick=False):
        client = client_of(alice)
        assert client.post(PAGE, {"who": "7"})["Location"] == "/o/acme/settings/"
    after = {"second_factor_from": "2026-11-30T12:00:00+00:00"}
    assert told(acme, "organization:second_factor") == [{"before": {"second_factor_from": None}, "after": after}]


def test_an_owner_without_one_does_not_lock_themselves_out(acme: Organization, alice: User, client_of: SignIn) -> None:
    answer = client_of(alice).post(PAGE, {"who": "0"})
    assert (answer.status_code, "of your own first" in answer.text) == (422, True)
    assert Organization.objects.get(pk=acme.pk).second_factor_from is None


def test_the_day_stays_when_nothing_else_is_chosen(acme: Organization, alice: User, client_of: SignIn, by: Actor) -> None:
    since = timezone.now() + timedelta(days=3)
    require_second_factor(organization=acme, since=since, by=by)
    client = client_of(alice)
    client.post(PAGE, {"who": "as it is"})
    assert Organization.objects.get(pk=acme.pk).second_factor_from == since
    assert len(told(acme, "organization:second_factor")) == 1
    client.post(PAGE, {"who": "off"})
    assert Organization.objects.get(pk=acme.pk).second_factor_from is None


def test_until_the_day_people_are_reminded_and_then_led_to_set_one_up(
    acme: Organization, bob: User, client_of: SignIn, by: Actor
) -> None:
    require_second_factor(organization=acme, since=timezone.now() + timedelta(days=7), by=by)
    page = client_of(bob).get("/o/acme/")
    assert (page.status_code, "wants everyone to have a second factor" in page.text) == (200, True)
    with time_machine.travel(timezone.now() + timedelta(days=7, seconds=1)):
        client = client_of(bob)
        page = client.get("/o/acme/providers/")
        assert (page.status_code, "/account/security/app/activate/" in page.text) == (403, True)
        turn_app_on(client)
        page = client.get("/o/acme/providers/")
        assert (page.status_code, "second factor" in page.text) == (200, False)


def test_recovery_codes_alone_are_no_second_factor(acme: Organization, bob: User) -> None:
    RecoveryCodes.activate(bob)
    assert bob.pk in Membership.objects.for_org(acme).lacking_second_factor().values_list("user", flat=True)


def test_another_organization_asks_for_nothing(
    acme: Organization, globex: Organization, bob: User, charlie: User, client_of: SignIn, by: Actor
) -> None:
    require_second_factor(organization=acme, since=timezone.now(), by=by)
    assert client_of(charlie).get("/o/globex/").status_code == 200
    assert client_of(charlie).get("/o/acme/").status_code == 404


# Races


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_acts_about_people_of_the_same_organizations_do_not_wait_for_each_other_for_ever(
    postgres_only: None, make_user: Callable[..., User]
) -> None:
    """The organizations are in one order by name and in the other by id."""
    alice, bob = make_user("Alice"), make_user("Bob")
    names = ["Zenith", "Acme"]
    for name, pk in zip(names, (uuid.UUID(int=1), uuid.UUID(int=2)), strict=True):
        organization = Organization.objects.create(pk=pk, name=name, slug=name.lower())
        for person in (alice, bob):
            Membership.objects.create(organization=organization, user=person, role=Group.objects.get(name=OWNER))
    tests = Actor.command("tests")
    for number in range(RACES):
        role = MEMBER if number % 2 else OWNER
        at_once(
            [
                partial(support.end_sessions, user=alice, by=tests),
                partial(end_sessions, user=User.objects.get(pk=bob.pk), by=tests),
                partial(change_email, user=User.objects.get(pk=bob.pk), email=f"bob{number}@example.com", by=tests),
                partial(set_role, organization=organization, user=bob, role=role, by=tests),
            ]
        )
    assert len(told(organization, "account:sign_out")) == len(told(organization, "account:email")) == RACES
