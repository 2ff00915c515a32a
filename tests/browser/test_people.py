"""The whole way of an owner: invited, in with a new account, a passkey set up and lost, back in, and no owner any more."""

from collections.abc import Callable

from tests.browser.conftest import Visitor
from tests.browser.test_account import PASSWORD, Device, add_passkey, recover, remove_passkey, sign_out, turn_app_on
from tests.browser.test_small_pages import link_in_mail
from tests.browser.test_thirteen import set_up
from tests.serving import Server

TOMAS = "tomas@example.com"


def test_an_owner_comes_loses_a_passkey_gets_back_in_and_is_demoted(keyhold: Server, visit: Callable[..., Visitor]) -> None:
    ada = visit(keyhold.link)
    set_up(ada)
    ada.press("link", "Members")
    ada.write("Email addresses", TOMAS)
    ada.page.get_by_role("combobox", name="Role").select_option("Owner")
    ada.press("button", "Send invitations")
    ada.sees("The invitation is sent.")

    tomas = visit(link_in_mail(keyhold, "invite"))
    tomas.write("Your name", "Tomás Rivera")
    tomas.write("Password", PASSWORD)
    tomas.press("button", "Create account and join")
    tomas.sees("Welcome to Acme.")

    device = Device(tomas)
    codes = turn_app_on(tomas, keyhold)
    add_passkey(tomas, keyhold)
    sign_out(tomas, keyhold)
    tomas.press("button", "Use a passkey")
    tomas.sees("Bring your first key")
    device.is_lost()
    recover(tomas, keyhold, codes[0], TOMAS)
    remove_passkey(tomas, keyhold)

    tomas.page.goto(f"{keyhold.url}/o/acme/settings/")
    tomas.sees("Delete organization")
    ada.press("link", "Members")
    ada.press("link", "Change Tomás Rivera")
    ada.page.get_by_role("combobox", name="Role").select_option("Member")
    ada.press("button", "Save the role")
    ada.sees("Tomás Rivera is a Member now.")
    tomas.press("link", "Delete organization")
    tomas.sees("Only owners can see this")
    tomas.complaints.clear()  # 403 is what was asked for
    tomas.look()
