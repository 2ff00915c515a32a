"""An owner makes a client key for little, changes it and rolls it; and somebody who found it stops it."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visitor
from tests.browser.test_thirteen import set_up
from tests.serving import Server


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts on", "scripts off"])
def test_a_client_key_is_made_changed_rolled_and_reported(keyhold: Server, visit: Callable[..., Visitor], scripts: bool) -> None:
    ada = visit(keyhold.link, scripts=scripts)
    set_up(ada)
    ada.page.goto(f"{keyhold.url}/o/acme/client-keys/new/")
    ada.look()
    ada.page.get_by_label("Only these models").check()
    ada.page.get_by_label("Only from these networks").check()
    ada.write("Name", "web-app")
    ada.press("button", "Create client key")
    ada.sees("No key was created.")
    ada.look()
    ada.write("Models, one on each line", "openai/gpt-4o*")
    ada.write("Addresses and networks, one on each line", "10.0.0.0/8")
    ada.press("button", "Create client key")
    ada.sees("This is the only time it is shown.")
    ada.look()
    text = ada.page.locator("#newkey").inner_text()
    ada.press("link", "I have copied it")
    for said in ("openai/gpt-4o*", "10.0.0.0/8"):
        ada.sees(said)
    ada.look()
    ada.press("link", "Edit what it is for")
    ada.sees("Change “web-app”")
    ada.look()
    ada.page.get_by_label("From everywhere").check()
    ada.page.get_by_label("Last day").fill("2099-12-31")
    ada.press("button", "Save client key")
    ada.sees("1 Jan 2100, 00:00 UTC")
    ada.press("link", "hand over")
    ada.sees("Hand “web-app” over")
    ada.look()
    ada.page.go_back()
    ada.press("link", "Roll key")
    ada.sees("The key gets a new text")
    ada.look()
    ada.press("button", "Roll key")
    ada.sees("If you lose it, roll the key again.")
    assert ada.page.locator("#newkey").inner_text() != text
    ada.look()
    ada.press("link", "I have copied it")
    ada.sees("Two texts work.")
    ada.look()
    ada.page.goto(f"{keyhold.url}/o/acme/client-keys/")
    expect(ada.page.get_by_text("Rolled", exact=True)).to_be_visible()
    ada.look()
    finder = visit(f"{keyhold.url}/report/", scripts=scripts)
    finder.look()
    finder.write("The key", text)
    finder.press("button", "Stop this key")
    finder.sees("it is stopped now")
    finder.look()
    ada.page.reload()
    expect(ada.page.get_by_text("Rolled", exact=True)).to_be_hidden()
    ada.press("link", "web-app")
    ada.press("link", "All client keys of Ada")
    ada.sees("When somebody leaves, decide here")
    ada.look()
    ada.page.get_by_label("Revoke them: their programs are refused").check()
    ada.press("button", "Do this with this key")
    ada.sees("1 client key of Ada revoked.")
