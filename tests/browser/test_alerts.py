"""An owner adds a webhook, sends a test to it, looks at what became of it, and deletes it again."""

from collections.abc import Callable

import pytest

from tests.browser.conftest import Visitor
from tests.browser.test_thirteen import set_up
from tests.serving import Server


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts on", "scripts off"])
def test_a_webhook_from_its_address_to_its_end(keyhold: Server, visit: Callable[..., Visitor], scripts: bool) -> None:
    ada = visit(keyhold.link, scripts=scripts)
    set_up(ada)
    ada.press("link", "Alerts")
    ada.sees("Nothing yet.")
    ada.look()
    ada.write("Address", "http://hooks.example.invalid/keyhold")
    ada.press("button", "Add webhook")
    ada.sees("No webhook was added.")
    ada.look()
    ada.write("Address", "https://hooks.example.invalid/keyhold")
    ada.press("button", "Add webhook")
    ada.sees("This is the only time it is shown.")
    ada.look()
    ada.press("link", "I have copied it")
    ada.sees("Nothing was sent yet")
    ada.look()
    ada.press("button", "Send a test")
    ada.sees("hooks.example.invalid did not take it. No connection could be made.")
    ada.look()
    ada.press("link", "A test of this webhook")
    ada.press("button", "Send again")
    ada.sees("What was sent")
    ada.look()
    ada.press("link", "hooks.example.invalid")
    ada.press("button", "Turn off")
    ada.sees("This webhook is off.")
    ada.look()
    ada.press("link", "Alerts")
    ada.sees("Webhooks")
    ada.look()
    ada.press("link", "hooks.example.invalid")
    ada.press("link", "Delete webhook")
    ada.sees("It gets no more alerts")
    ada.look()
    ada.press("button", "Delete webhook")
    ada.sees("The webhook at hooks.example.invalid is deleted.")
