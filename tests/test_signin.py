"""Signing in and out, second factors, and the ways back to a lost password."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal import auth as totp
from allauth.usersessions.models import UserSession
from django.core import mail
from django.core.cache import cache
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from orgs.models import Organization, User

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nobody_is_limited() -> None:
    cache.clear()


@pytest.fixture(autouse=True)
def mails_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens after a commit happens at once, as no test commits."""
    monkeypatch.setattr("django.db.transaction.on_commit", lambda act, **_: act())


def sign_in(client: Client, email: str, password: str, **more: str) -> HttpResponse:
    return client.post("/signin/", {"login": email, "password": password} | more)


def code(secret: str) -> str:
    """What an authenticator app shows now."""
    return totp.format_hotp_value(totp.hotp_value(secret, next(totp.yield_hotp_counters_from_time())))


@pytest.fixture
def still(time_machine: Any) -> None:
    """So that a code is still the code when it is read."""
    time_machine.move_to(timezone.now(), tick=False)


@pytest.fixture
def secret(alice: User, still: None) -> str:
    """Of Alice's authenticator app, which is on."""
    secret = totp.generate_totp_secret()
    totp.TOTP.activate(alice, secret)
    return secret


def without_tokens(page: HttpResponse) -> str:
    return re.sub(r'(name="csrfmiddlewaretoken" value|name="login" type="email" value)="[^"]*"', "", page.content.decode())


def test_a_person_signs_in_and_lands_where_they_were_going(acme: Organization, client: Client, password: str) -> None:
    assert client.get("/account/")["Location"] == "/signin/?next=/account/"
    assert sign_in(client, "ALICE@example.com", password, next="/account/")["Location"] == "/account/"
    assert client.get("/account/").status_code == 200


def test_signing_in_changes_the_session_and_ends_after_twelve_hours(alice: User, client: Client, password: str) -> None:
    client.get("/signin/")
    client.session.save()
    before = client.session.session_key
    answer = sign_in(client, alice.email, password)
    assert client.session.session_key != before
    cookie = answer.cookies["session"]
    assert (cookie["httponly"], cookie["samesite"], int(cookie["max-age"])) == (True, "Lax", 12 * 60 * 60)


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "https:evil.example"])
def test_signing_in_never_leads_to_another_site(elsewhere: str, alice: User, client: Client, password: str) -> None:
    assert sign_in(client, alice.email, password, next=elsewhere)["Location"] == "/"


def test_a_wrong_password_and_an_unknown_person_look_the_same(alice: User) -> None:
    known, unknown = (sign_in(Client(), email, "wrong password") for email in (alice.email, "nobody@example.com"))
    assert "do not belong together" in without_tokens(known)
    assert without_tokens(known) == without_tokens(unknown)


def test_guessing_is_slowed_down_for_the_account(alice: User, client: Client, password: str) -> None:
    for _ in range(5):
        sign_in(client, alice.email, "wrong password")
    assert b"Too many wrong passwords" in sign_in(client, alice.email, password).content


def test_guessing_is_slowed_down_for_where_it_comes_from(alice: User, client: Client, password: str) -> None:
    for number in range(10):
        sign_in(client, f"{number}@example.com", "wrong password")
    assert b"Too many" in sign_in(client, alice.email, password).content
    assert client.get("/account/").status_code == 302
    elsewhere = Client(REMOTE_ADDR="192.0.2.7")
    sign_in(elsewhere, alice.email, password)
    assert elsewhere.get("/account/").status_code == 200


def test_a_person_who_was_turned_off_does_not_get_in(alice: User, client: Client, password: str) -> None:
    User.objects.update(is_active=False)
    sign_in(client, alice.email, password)
    assert client.get("/account/").status_code == 302


def test_signing_out_takes_a_post_and_empties_the_browser(alice: User, client_of: Callable[[User], Client]) -> None:
    client = client_of(alice)
    client.get("/signout/")
    assert client.get("/account/").status_code == 200
    assert client.post("/signout/")["Clear-Site-Data"] == '"cache", "storage"'
    assert client.get("/account/").status_code == 302


def test_nobody_signs_up(client: Client) -> None:
    page = client.post("/signup/", {"email": "eve@example.com", "password1": "correct horse battery staple"})
    assert b"Accounts come by invitation" in page.content
    assert not User.objects.exists()


# A lost password


def reset_link(client: Client, email: str) -> str:
    client.post("/reset/", {"email": email})
    return re.search(r"http://testserver(/reset/\S+)", str(mail.outbox[-1].body))[1]


def test_a_reset_goes_by_mail_and_ends_every_session(
    alice: User, client: Client, client_of: Callable[[User], Client], password: str
) -> None:
    elsewhere = client_of(alice)
    form = client.get(reset_link(client, alice.email), follow=True)
    path = form.redirect_chain[-1][0]
    new = {"password1": "a new and longer password", "password2": "a new and longer password"}
    assert client.post(path, new)["Location"] == "/reset/done/"
    assert elsewhere.get("/account/").status_code == 302
    assert "signin" in sign_in(client, alice.email, password).content.decode()
    assert sign_in(client, alice.email, new["password1"])["Location"] == "/"
    assert mail.outbox[-1].subject == "Keyhold: Your password was reset"


def test_a_reset_link_works_once(alice: User, client: Client) -> None:
    link = reset_link(client, alice.email)
    path = client.get(link, follow=True).redirect_chain[-1][0]
    client.post(path, {"password1": "a new and longer password", "password2": "a new and longer password"})
    assert b"This link no longer works" in Client().get(link).content


def test_asking_for_a_reset_does_not_tell_who_has_an_account(alice: User) -> None:
    for email in (alice.email, "nobody@example.com"):
        answer = Client().post("/reset/", {"email": email}, follow=True)
        assert answer.redirect_chain == [("/reset/sent/", 302)]
        assert b"If that address has an account" in answer.content
    assert [message.subject for message in mail.outbox] == ["Keyhold: Reset your password", "Keyhold: You have no account here"]


def test_changing_the_password_ends_the_other_sessions_and_is_mailed(
    alice: User, client_of: Callable[[User], Client], password: str
) -> None:
    here, elsewhere = client_of(alice), client_of(alice)
    new = {"oldpassword": password, "password1": "a new and longer password", "password2": "a new and longer password"}
    assert here.post("/account/security/password/", new)["Location"] == "/account/security/"
    assert here.get("/account/").status_code == 200
    assert elsewhere.get("/account/").status_code == 302
    assert mail.outbox[-1].to == [alice.email]
    assert mail.outbox[-1].subject == "Keyhold: Your password was changed"


# The second factor


def test_with_an_authenticator_app_the_password_is_not_enough(alice: User, client: Client, password: str, secret: str) -> None:
    assert sign_in(client, alice.email, password)["Location"] == "/signin/code/"
    assert client.get("/account/").status_code == 302
    assert b"That code is wrong or too old" in client.post("/signin/code/", {"code": "000000"}).content
    assert client.post("/signin/code/", {"code": code(secret)})["Location"] == "/"
    assert client.get("/account/").status_code == 200


@pytest.mark.parametrize("spelling", ["{}", " {} ", "{:.3} {:.0}"])
def test_a_code_works_once(spelling: str, alice: User, password: str, secret: str) -> None:
    first, second = Client(), Client()
    now = code(secret)
    for client in (first, second):
        sign_in(client, alice.email, password)
    assert first.post("/signin/code/", {"code": now}).status_code == 302
    again = f"{now[:3]} {now[3:]}" if ":" in spelling else spelling.format(now)
    assert second.post("/signin/code/", {"code": again}).status_code == 200


def test_a_reset_does_not_skip_the_second_factor(alice: User, client: Client, secret: str) -> None:
    path = client.get(reset_link(client, alice.email), follow=True).redirect_chain[-1][0]
    client.post(path, {"password1": "a new and longer password", "password2": "a new and longer password"})
    assert client.get("/account/").status_code == 302
    assert sign_in(client, alice.email, "a new and longer password")["Location"] == "/signin/code/"


@pytest.mark.usefixtures("still")
def test_turning_the_app_on_asks_who_you_are_and_shows_recovery_codes_once(alice: User, client: Client, password: str) -> None:
    sign_in(client, alice.email, password)
    client.post("/signin/again/", {"password": password})
    page = client.get("/account/security/app/activate/").content.decode()
    shown = re.search(r"<code>([A-Z2-7]{32})</code>", page)[1]
    assert client.post("/account/security/app/activate/", {"code": code(shown)})["Location"] == "/account/security/codes/"
    codes = RecoveryCodes(Authenticator.objects.get(type="recovery_codes")).get_unused_codes()
    assert codes[0] in client.get("/account/security/codes/").content.decode()
    assert codes[0] not in client.get("/account/security/codes/").content.decode()


def test_a_recovery_code_lets_in_once(alice: User, client: Client, password: str, secret: str) -> None:
    one = RecoveryCodes.activate(alice).get_unused_codes()[0]
    for status in (302, 200):
        other = Client()
        sign_in(other, alice.email, password)
        assert other.post("/signin/code/", {"code": one}).status_code == status


def test_the_passkey_challenge_is_open_to_whoever_is_signed_out(client: Client) -> None:
    answer = client.get("/signin/passkey/", headers={"accept": "application/json"})
    assert answer.json()["request_options"]["publicKey"]["challenge"]


# Sessions


def test_other_sessions_can_be_signed_out(alice: User, password: str) -> None:
    here, elsewhere = Client(), Client(headers={"user-agent": "Mozilla/5.0 (X11; Linux) Firefox/150.0"})
    for client in (here, elsewhere):
        sign_in(client, alice.email, password)
    assert b"Firefox on Linux" in here.get("/account/security/sessions/").content
    here.post("/account/security/sessions/")
    assert UserSession.objects.count() == 1
    assert here.get("/account/").status_code == 200
    assert elsewhere.get("/account/").status_code == 302
