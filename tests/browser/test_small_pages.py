"""Pages that no other walk comes by: around the sign-in, of an account, and for whoever opens an invitation."""

import re
from collections.abc import Callable

from tests.browser.conftest import Visitor
from tests.browser.test_thirteen import set_up
from tests.serving import Server

GATES = ("signin/", "signin/off/", "signin/sso/", "signup/", "reset/", "reset/sent/", "reset/1-gone/", "reset/done/")
OWN = ("signin/again/", "signout/", "orgs/new/", "account/security/passkeys/", "o/acme/settings/", "o/acme/members/leave/")
PASSWORD = "correct horse battery staple"


def test_pages_around_the_sign_in_and_of_an_account(keyhold: Server, visit: Callable[..., Visitor]) -> None:
    ada = visit(keyhold.link)
    set_up(ada)
    for path in OWN:
        ada.page.goto(f"{keyhold.url}/{path}")
        ada.look()
    ada.page.goto(f"{keyhold.url}/account/security/password/")
    for label in ("Current password", "New password", "New password again"):
        ada.write(label, "wrong")
    ada.press("button", "Save the password")
    ada.sees("That is not your current password.")
    ada.look()
    ada.page.goto(f"{keyhold.url}/account/email/")
    ada.write("New email", "ada@globex.example.com")
    ada.press("button", "Send the link")
    ada.sees("Check your email")
    ada.look()
    ada.page.goto(link_in_mail(keyhold, "account/email"))
    ada.look()
    ada.press("button", "Use this address")
    ada.sees("You sign in with it")

    nobody = visit(f"{keyhold.url}/signin/")
    for path in GATES:
        nobody.page.goto(f"{keyhold.url}/{path}")
        nobody.look()
    nobody.page.goto(f"{keyhold.url}/signin/")
    sign_in(nobody, "ada@example.com")
    nobody.sees("do not belong together")  # the address of before
    nobody.look()


def test_an_invitation_says_who_may_use_it(keyhold: Server, visit: Callable[..., Visitor]) -> None:
    ada = visit(keyhold.link)
    set_up(ada)
    bob = visit(invite_bob(ada, keyhold, "acme"))
    bob.write("Your name", "Bob")
    bob.write("Password", PASSWORD)
    bob.press("button", "Create account and join")
    bob.sees("Welcome to Acme.")
    bob.page.goto(f"{keyhold.url}/o/acme/settings/")
    bob.sees("Only owners can see this")
    bob.look()
    bob.complaints.clear()  # 403 is what was asked for

    ada.page.goto(f"{keyhold.url}/orgs/new/")
    ada.write("Name", "Globex")
    ada.press("button", "Create organization")
    ada.sees("Bring your first key")
    link = invite_bob(ada, keyhold, "globex")
    ada.page.goto(link)
    ada.sees("This invitation is for bob@example.com")
    ada.look()
    ada.complaints.clear()  # 403 as well
    elsewhere = visit(link)
    elsewhere.sees("Sign in as bob@example.com first.")
    elsewhere.look()
    bob.page.goto(link)
    bob.look()
    bob.press("button", "Join Globex")
    bob.sees("Welcome to Globex.")


def invite_bob(ada: Visitor, keyhold: Server, organization: str) -> str:
    """Returns the link in the mail."""
    ada.page.goto(f"{keyhold.url}/o/{organization}/members/")
    ada.write("Email addresses", "bob@example.com")
    ada.press("button", "Send invitations")
    ada.sees("The invitation is sent.")
    return link_in_mail(keyhold, "invite")


def link_in_mail(keyhold: Server, path: str) -> str:
    """Where no mail server is set, mails are printed, long lines in parts."""
    assert keyhold.process.stdout is not None
    begun = ""
    for part in keyhold.process.stdout:
        line = begun + part.removesuffix("=\n")
        begun = line if part.endswith("=\n") else ""
        if not begun and (found := re.search(rf"http://\S+/{path}/\S+/", line)):
            return found[0]
    raise AssertionError("No mail was sent.")


def sign_in(visitor: Visitor, email: str) -> None:
    visitor.write("Email", email)
    visitor.write("Password", PASSWORD)
    visitor.press("button", "Sign in")
