"""Somebody is invited, joins with a new account, and loses ownership in one browser while using it in another."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visitor
from tests.browser.test_small_pages import link_in_mail
from tests.browser.test_thirteen import set_up
from tests.serving import Server


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts on", "scripts off"])
def test_an_owner_comes_and_goes(keyhold: Server, visit: Callable[..., Visitor], scripts: bool) -> None:
    ada = visit(keyhold.link, scripts=scripts)
    set_up(ada)
    ada.press("link", "Members")
    ada.look()
    ada.write("Email addresses", "tomas@example.com\nerin@")
    ada.press("button", "Send invitations")
    ada.sees("Line 2: “erin@” is not a whole email address.")
    ada.look()
    ada.write("Email addresses", "tomas@example.com")
    ada.page.get_by_role("combobox", name="Role").select_option("Owner")
    ada.press("button", "Send invitations")
    ada.sees("The invitation is sent.")
    ada.look()

    link = link_in_mail(keyhold, "invite")
    tomas = visit(link, scripts=scripts)
    expect(tomas.page).to_have_url(f"{keyhold.url}/invite/")
    tomas.look()
    tomas.write("Your name", "Tomás Rivera")
    tomas.write("Password", "short")
    tomas.press("button", "Create account and join")
    tomas.sees("at least 10 characters")
    tomas.look()
    tomas.write("Password", "correct horse battery staple")
    tomas.press("button", "Create account and join")
    tomas.sees("Welcome to Acme.")
    tomas.press("link", "Settings")
    tomas.sees("Delete organization")
    late = visit(f"{keyhold.url}/report/", scripts=scripts)
    late.page.goto(link)
    late.sees("This invitation does not work")
    late.complaints.clear()  # its address answers 404
    late.look()

    ada.page.reload()
    ada.press("link", "Change Tomás Rivera")
    ada.look()
    ada.press("link", "Hand over")
    ada.sees("You become a member.")
    ada.look()
    ada.page.go_back()
    ada.press("link", "Remove Tomás Rivera")
    ada.look()
    ada.page.go_back()
    ada.page.get_by_role("combobox", name="Role").select_option("Member")
    ada.press("button", "Save the role")
    ada.sees("Tomás Rivera is a Member now.")
    tomas.press("link", "Settings")
    tomas.sees("Only owners can see this")
    tomas.complaints.clear()  # 403 is what was asked for
    tomas.page.goto(f"{keyhold.url}/o/acme/members/")
    tomas.look()
    tomas.press("link", "Leave Acme")
    tomas.look()
    tomas.press("button", "Leave Acme")
    tomas.sees("You left Acme.")

    ada.press("link", "Settings")
    ada.press("link", "Delete organization")
    ada.look()
    ada.write("Type acme to confirm", "acme")
    ada.press("button", "Delete organization")
    ada.sees("Erased on")
    ada.look()
    ada.page.goto(f"{keyhold.url}/o/acme/")
    ada.sees("Acme is being deleted.")
    ada.look()
    ada.press("link", "Keep it")
    ada.sees("Acme is being deleted")
    ada.look()
    ada.press("button", "Keep Acme")
    ada.sees("Acme is kept.")
