"""An owner connects the organization's identity provider, somebody new comes in by it, and passwords are refused."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.browser.conftest import Visitor
from tests.browser.test_thirteen import set_up
from tests.fake_dns import FakeNameServer
from tests.fake_oidc import FakeIdentityProvider
from tests.serving import Server, stop


@pytest.fixture
def fake() -> Iterator[FakeIdentityProvider]:
    fake = FakeIdentityProvider(person={"sub": "1", "email": "dora@example.com", "name": "Dora"}).start()
    yield fake
    fake.stop()
    assert not fake.violations


@pytest.fixture
def names() -> Iterator[FakeNameServer]:
    server = FakeNameServer().start()
    yield server
    server.stop()


@pytest.fixture
def keyhold(tmp_path: Path, names: FakeNameServer) -> Iterator[Server]:
    """One that may reach loopback and asks the name server there."""
    host, port = names.address
    server = Server.start(tmp_path / "data", {}, EGRESS_ALLOW="127.0.0.1", DNS_SERVERS=f"{host}:{port}")
    yield server
    _, errors = stop(server.process)
    assert errors == ""


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts on", "scripts off"])
def test_single_sign_on_from_its_setup_to_the_end_of_passwords(
    keyhold: Server, visit: Callable[..., Visitor], fake: FakeIdentityProvider, names: FakeNameServer, scripts: bool
) -> None:
    ada = visit(keyhold.link, scripts=scripts)
    set_up(ada)
    ada.press("link", "Settings")
    ada.press("link", "Set up single sign-on")
    ada.sees("People of your domain sign in by your own identity provider")
    ada.look()
    fill_in(ada, fake)
    ada.write("Issuer", "http://login.example.com")
    ada.press("button", "Save identity provider")
    ada.sees("Nothing was saved.")
    ada.look()
    fill_in(ada, fake)
    ada.press("button", "Save identity provider")
    ada.sees("Until then nobody signs in by your provider.")
    ada.look()
    names.texts["_keyhold.example.com"] = [ada.page.get_by_text("keyhold-verification=").inner_text()]
    ada.press("button", "Check now")
    ada.sees("Everybody whom your provider lets in joins at their first sign-in.")
    ada.look()

    dora = visit(f"{keyhold.url}/signin/", scripts=scripts)
    dora.press("link", "Use single sign-on")
    dora.look()
    dora.write("Email", "dora@example.com")
    dora.press("button", "Continue")
    dora.page.wait_for_url(f"{keyhold.url}/o/acme/")
    dora.page.goto(f"{keyhold.url}/account/")
    assert dora.page.get_by_label("Name").first.input_value() == "Dora"

    ada.press("button", "Refuse passwords")
    ada.sees("Passwords and passkeys are refused.")
    ada.look()
    other = visit(f"{keyhold.url}/signin/", scripts=scripts)
    other.write("Email", "ada@example.com")
    other.write("Password", "correct horse battery staple")
    other.press("button", "Sign in")
    other.sees("Your organization signs in with its own provider.")
    other.look()


def fill_in(ada: Visitor, fake: FakeIdentityProvider) -> None:
    fake.redirect_uri = ada.page.get_by_text("/signin/sso/").last.inner_text()
    ada.write("Issuer", fake.issuer)
    ada.write("Client ID", fake.client_id)
    ada.write("Client secret", fake.client_secret)
    ada.write("Domain", "example.com")
