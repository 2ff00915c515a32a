"""An owner limits a client key, with a mistake at first, and decides on the settings of the organization."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visitor
from tests.browser.test_thirteen import set_up
from tests.serving import Server


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts on", "scripts off"])
def test_limits_are_set_and_settings_saved(keyhold: Server, visit: Callable[..., Visitor], scripts: bool) -> None:
    ada = visit(keyhold.link, scripts=scripts)
    set_up(ada)
    ada.press("link", "Limits")
    ada.sees("All its requests together")
    ada.look()
    ada.press("link", re.compile("Edit the limits of"))
    ada.write("Requests a minute optional", "6000")
    ada.press("button", "Save limits")
    ada.sees("Requests follow them within 2 seconds.")
    ada.write("Dollars", "2000")
    expect(ada.page.get_by_label("Assumed price")).to_be_hidden()
    ada.reach(ada.page.get_by_label("A request without a known price"))
    ada.page.keyboard.type("Counts an")
    expect(ada.page.get_by_label("Assumed price")).to_be_visible()
    ada.press("button", "Add budget")
    ada.sees("Nothing was saved.")
    ada.sees("Enter what such a request is assumed to cost, for example 0.02.")
    ada.look()
    ada.write("Assumed price optional", "0.02")
    ada.press("button", "Add budget")
    ada.sees("Monthly cap")
    ada.sees("$0.00 of $2,000")
    ada.look()
    ada.press("link", "Back to all limits")
    ada.sees("6,000 requests a minute")
    ada.look()
    ada.press("link", "Settings")
    ada.reach(ada.page.get_by_label("Let members create client keys"))
    ada.page.keyboard.press("Space")
    ada.press("button", "Save what members may do")
    ada.sees("Your settings are saved.")
    expect(ada.page.get_by_label("Let members create client keys")).to_be_checked()
    ada.look()
