"""What matters is asked again once a sign-in is 15 minutes old, and nothing that was typed gets lost but secrets."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from keys.models import ClientKey, ProviderKey
from orgs.models import Organization, User

pytestmark = pytest.mark.django_db
ADD = "/o/acme/providers/add/openai/"
NEW = "/o/acme/client-keys/new/"
SECRET = "sk-proj-Zx0not-a-real-key-9999"
TYPED = {"name": "Production", "api_key": SECRET, "do": "save"}


@pytest.fixture(autouse=True)
def nobody_is_limited() -> None:
    cache.clear()


@pytest.fixture
def alices(acme: Organization, alice: User, client_of: Callable[[User], Client]) -> Client:
    return client_of(alice)


@pytest.fixture
def later(alices: Client) -> Iterator[None]:
    """A quarter of an hour after Alice signed in."""
    with time_machine.travel(timezone.now() + timedelta(minutes=15, seconds=1)):
        yield


def again(path: str) -> str:
    return f"/signin/again/?next={path.replace('/', '%2F')}"


def confirm(client: Client, path: str, password: str) -> str:
    """Where it leads."""
    return str(client.post(again(path), {"password": password, "next": path}).headers.get("Location"))


def kept_by_sessions() -> str:
    return str([session.get_decoded() for session in Session.objects.all()])


def test_somebody_who_has_just_signed_in_is_not_asked(acme: Organization, alice: User, client: Client, password: str) -> None:
    client.post("/signin/", {"login": alice.email, "password": password})
    assert client.get(ADD).status_code == 200
    with time_machine.travel(timezone.now() + timedelta(minutes=14)):
        assert client.get(ADD).status_code == 200
    with time_machine.travel(timezone.now() + timedelta(minutes=16)):
        assert client.get(ADD)["Location"] == again(ADD)


@pytest.mark.usefixtures("later")
def test_a_form_is_asked_for_before_anything_is_typed_and_then_shown(alices: Client, password: str) -> None:
    assert alices.get(ADD)["Location"] == again(ADD)
    assert "Confirm that it is you" in alices.get(again(ADD)).text
    assert confirm(alices, ADD, password) == ADD
    page = alices.get(ADD)
    assert (page.status_code, "Nothing is saved yet" in page.text) == (200, False)


@pytest.mark.usefixtures("later")
def test_a_form_that_was_sent_late_comes_back_without_its_secret(alices: Client, password: str) -> None:
    assert alices.post(ADD, TYPED)["Location"] == again(ADD)
    assert "Production" in kept_by_sessions()
    assert SECRET not in kept_by_sessions()
    assert confirm(alices, ADD, password) == ADD
    page = alices.get(ADD).text
    assert re.search(r'name="name"[^>]* value="Production"|value="Production"[^>]* name="name"', page)
    assert "Nothing is saved yet" in page
    assert SECRET not in page
    assert not ProviderKey.objects.exists()
    assert alices.post(ADD, TYPED).status_code == 302
    assert ProviderKey.objects.get().name == "Production"


@pytest.mark.usefixtures("later")
def test_what_was_typed_is_shown_once_and_on_its_own_page_only(alices: Client, password: str) -> None:
    alices.post(ADD, TYPED)
    confirm(alices, ADD, password)
    assert "Production" not in alices.get("/o/acme/providers/add/groq/").text
    assert "Production" in alices.get(ADD).text
    assert "Production" not in alices.get(ADD).text
    assert "Production" not in kept_by_sessions()


@pytest.mark.usefixtures("later")
def test_every_choice_of_a_client_key_comes_back(alices: Client, password: str) -> None:
    said = {"name": "web-app", "expires_on": "2099-03-31", "every_models": "some", "models": "openai/*\ngroq/*"}
    alices.post(NEW, said | {"every_provider_keys": "all", "every_networks": "all"})
    assert not ClientKey.objects.exists()
    confirm(alices, NEW, password)
    page = alices.get(NEW).text
    for shown in ('value="web-app"', 'value="2099-03-31"', "openai/*\ngroq/*"):
        assert shown in page
    assert re.search(r'name="every_models"[^>]*value="some"[^>]*checked', page)


@pytest.mark.usefixtures("later")
def test_a_wrong_password_confirms_nothing(alices: Client) -> None:
    assert "That is not your password" in alices.post(again(ADD), {"password": "wrong", "next": ADD}).text
    assert alices.get(ADD)["Location"] == again(ADD)


@pytest.mark.usefixtures("later")
def test_passwords_are_not_guessed_here_either(alices: Client, password: str) -> None:
    for _ in range(10):
        alices.post(again(ADD), {"password": "wrong", "next": ADD})
    assert alices.post(again(ADD), {"password": password, "next": ADD}).status_code == 429


@pytest.mark.usefixtures("later")
def test_confirming_never_leads_to_another_site(alices: Client, password: str) -> None:
    for elsewhere in ("https://evil.example/", "//evil.example"):
        assert confirm(alices, elsewhere, password) == "/"


def test_a_code_of_the_app_confirms_as_well(acme: Organization, alice: User, client_of: Callable[[User], Client]) -> None:
    secret = totp.generate_totp_secret()
    totp.TOTP.activate(alice, secret)
    client = client_of(alice)
    with time_machine.travel(timezone.now() + timedelta(hours=1), tick=False):
        now = totp.format_hotp_value(totp.hotp_value(secret, next(totp.yield_hotp_counters_from_time())))
        assert client.get(ADD)["Location"] == again(ADD)
        assert client.post("/signin/again/code/", {"code": now, "next": ADD})["Location"] == ADD
        assert client.get(ADD).status_code == 200


@pytest.mark.usefixtures("later")
def test_htmx_moves_the_whole_window(alices: Client) -> None:
    answer = alices.post(ADD, TYPED, headers={"hx-request": "true"})
    assert (answer.status_code, answer["HX-Redirect"], answer.content) == (200, again(ADD), b"")
    assert SECRET not in kept_by_sessions()


@pytest.mark.usefixtures("later")
def test_who_has_nothing_to_confirm_with_signs_in_anew(alices: Client, alice: User) -> None:
    session = alices.session
    User.objects.filter(pk=alice.pk).update(password="!")
    alice.refresh_from_db()
    session["_auth_user_hash"] = alice.get_session_auth_hash()  # they signed in by another way than a password
    session.save()
    assert alices.get(ADD)["Location"] == "/signin/?next=%2Fo%2Facme%2Fproviders%2Fadd%2Fopenai%2F"
    assert alices.get("/account/")["Location"].startswith("/signin/")


@pytest.mark.usefixtures("later")
def test_outsiders_and_members_are_refused_and_not_asked(
    acme: Organization, bob: User, charlie: User, client_of: Callable[[User], Client]
) -> None:
    bobs, charlies = client_of(bob), client_of(charlie)
    with time_machine.travel(timezone.now() + timedelta(hours=1)):
        assert bobs.get(ADD).status_code == 403
        assert charlies.get(ADD).status_code == 404


def test_second_factors_are_asked_for_too(alices: Client, alice: User) -> None:
    """Whether they come or go."""
    kept = {
        Authenticator.objects.create(user=alice, type=kind, data={}).pk
        for kind in (Authenticator.Type.RECOVERY_CODES, Authenticator.Type.WEBAUTHN)
    }
    addresses = ["app/activate/", "passkeys/add/", f"passkeys/{max(kept)}/remove/", "codes/", "codes/generate/"]
    with time_machine.travel(timezone.now() + timedelta(minutes=15, seconds=1)):
        for path in [f"/account/security/{address}" for address in addresses]:
            assert alices.get(path)["Location"].endswith(f"?next={path.replace('/', '%2F')}")
            assert alices.post(path).status_code in (302, 405)
    assert set(Authenticator.objects.values_list("pk", flat=True)) == kept


def test_an_app_is_not_turned_off_without_it(acme: Organization, alice: User, client_of: Callable[[User], Client]) -> None:
    totp.TOTP.activate(alice, totp.generate_totp_secret())
    client, path = client_of(alice), "/account/security/app/deactivate/"
    with time_machine.travel(timezone.now() + timedelta(minutes=15, seconds=1)):
        for answer in (client.get(path), client.post(path)):
            assert answer["Location"].endswith(f"?next={path.replace('/', '%2F')}")
    assert Authenticator.objects.filter(user=alice).exists()
