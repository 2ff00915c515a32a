"""Ada sets up an app and a passkey, loses both, and gets back in by a recovery code. Then everyone at Acme needs them."""

from collections.abc import Callable
from typing import Any

from allauth.mfa.totp.internal import auth as totp
from playwright.sync_api import CDPSession, expect

from tests.browser.conftest import Visitor
from tests.browser.test_thirteen import set_up
from tests.serving import Server

PASSWORD = "correct horse battery staple"
DEVICE = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


class Device:
    """A fingerprint reader in Ada's browser, until she loses it."""

    def __init__(self, ada: Visitor) -> None:
        self.session: CDPSession = ada.page.context.new_cdp_session(ada.page)
        self.session.send("WebAuthn.enable")
        found: dict[str, Any] = self.session.send("WebAuthn.addVirtualAuthenticator", {"options": DEVICE})
        self.id = found["authenticatorId"]

    def is_lost(self) -> None:
        self.session.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": self.id})


def test_second_factors_are_set_up_lost_and_recovered(keyhold: Server, visit: Callable[..., Visitor]) -> None:
    ada = visit(keyhold.link)
    set_up(ada)
    device = Device(ada)
    codes = turn_app_on(ada, keyhold)
    add_passkey(ada, keyhold)
    for path in ("account/security/codes/", "account/security/codes/generate/", "signin/again/code/", "signin/again/passkey/"):
        ada.page.goto(f"{keyhold.url}/{path}")
        ada.look()
    ada.page.goto(f"{keyhold.url}/account/security/passkeys/")
    ada.look()
    ada.press("link", "Rename Passkey")
    ada.look()
    sign_out(ada, keyhold)
    ada.press("button", "Use a passkey")
    ada.sees("Bring your first key")
    device.is_lost()
    recover(ada, keyhold, codes[0])
    remove_passkey(ada, keyhold)
    ada.page.goto(f"{keyhold.url}/account/security/app/deactivate/")
    ada.look()
    ada.press("button", "Turn off")
    ada.sees("With it, a stolen password is not enough")
    ada.look()


def test_an_owner_wants_everyone_to_have_one(keyhold: Server, visit: Callable[..., Visitor]) -> None:
    ada = visit(keyhold.link)
    set_up(ada)
    ada.page.goto(f"{keyhold.url}/o/acme/settings/")
    ada.press("link", "Change who needs a second factor")
    ada.look()
    ada.reach(ada.page.get_by_label("Nobody has to"))
    ada.page.keyboard.press("ArrowDown")
    ada.press("button", "Save")
    ada.sees("Set up a second factor of your own first")
    ada.look()
    turn_app_on(ada, keyhold)
    ada.page.goto(f"{keyhold.url}/o/acme/settings/second-factor/")
    ada.sees("Everyone has one.")
    ada.reach(ada.page.get_by_label("Nobody has to"))
    ada.page.keyboard.press("ArrowDown")
    ada.press("button", "Save")
    ada.sees("Everyone needs one, from")
    ada.page.goto(f"{keyhold.url}/account/security/app/deactivate/")
    ada.press("button", "Turn off")
    ada.sees("With it, a stolen password is not enough")
    ada.page.goto(f"{keyhold.url}/o/acme/")
    ada.sees("Acme wants a second factor")
    ada.look()
    ada.press("link", "Set up an app")
    ada.sees("Scan the square")
    assert ada.complaints.pop().endswith("(Forbidden)")  # the page that kept her out


def test_an_address_and_the_sessions_are_looked_after(keyhold: Server, visit: Callable[..., Visitor]) -> None:
    ada = visit(keyhold.link)
    set_up(ada)
    ada.page.goto(f"{keyhold.url}/account/")
    ada.look()
    ada.press("link", "Change email")
    ada.look()
    ada.write("New email", "ada@example.com")
    ada.press("button", "Send the link")
    ada.sees("That is your address already.")
    ada.look()
    elsewhere = visit(f"{keyhold.url}/signin/")
    fill_in(elsewhere)
    elsewhere.sees("Bring your first key")
    ada.page.goto(f"{keyhold.url}/account/security/sessions/")
    ada.look()
    rows = ada.page.get_by_role("row").filter(has_not_text="This one")
    ada.press("button", "Sign out Chrome on Linux at 127.0.0.1", within=rows)
    ada.sees("That browser is signed out.")
    elsewhere.page.reload()
    elsewhere.sees("Sign in")
    expect(elsewhere.page.get_by_label("Password", exact=True)).to_be_visible()


def turn_app_on(ada: Visitor, keyhold: Server) -> list[str]:
    """The recovery codes that she is shown, once."""
    ada.page.goto(f"{keyhold.url}/account/security/")
    ada.press("link", "Set up")
    ada.look()
    secret = ada.page.get_by_text("No camera?").locator("code").inner_text()
    while "activate" in ada.page.url:  # again, where the next code came before this one was sent
        ada.write("Code from the app", code(secret))
        with ada.page.expect_navigation():
            ada.press("button", "Turn on")
    ada.sees("This is the only time they are shown.")
    ada.look()
    return ada.page.get_by_role("region", name="Recovery codes").inner_text().split()


def code(secret: str) -> str:
    """What the app shows now."""
    return totp.format_hotp_value(totp.hotp_value(secret, next(totp.yield_hotp_counters_from_time())))


def add_passkey(ada: Visitor, keyhold: Server) -> None:
    ada.page.goto(f"{keyhold.url}/account/security/")
    ada.press("link", "Add a passkey")
    ada.look()
    ada.press("button", "Add passkey")
    ada.sees("You have 1 passkey.")
    ada.look()


def remove_passkey(ada: Visitor, keyhold: Server) -> None:
    ada.page.goto(f"{keyhold.url}/account/security/passkeys/")
    ada.press("link", "Remove Passkey")
    ada.look()
    ada.press("button", "Remove passkey")
    ada.sees("No passkeys yet")


def sign_out(ada: Visitor, keyhold: Server) -> None:
    ada.page.goto(f"{keyhold.url}/signout/")
    ada.press("button", "Sign out")


def fill_in(visitor: Visitor, email: str = "ada@example.com") -> None:
    visitor.write("Email", email)
    visitor.write("Password", PASSWORD)
    visitor.press("button", "Sign in")


def recover(ada: Visitor, keyhold: Server, recovery_code: str, email: str = "ada@example.com") -> None:
    sign_out(ada, keyhold)
    fill_in(ada, email)
    ada.sees("One more step")
    ada.look()
    ada.write("Code", recovery_code)
    ada.press("button", "Sign in")
    ada.sees("Bring your first key")
