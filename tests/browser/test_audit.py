"""An owner reads the audit log: by day, in detail, filtered, and finds nothing."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visitor
from tests.browser.test_thirteen import set_up
from tests.serving import Server


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts on", "scripts off"])
def test_the_log_is_read_and_filtered(keyhold: Server, visit: Callable[..., Visitor], scripts: bool) -> None:
    ada = visit(keyhold.link, scripts=scripts)
    set_up(ada)
    ada.press("link", "Audit log")
    ada.sees("Today")
    ada.reach(ada.page.locator("summary").first)
    ada.page.keyboard.press("Enter")
    expect(ada.page.locator(".diff").first).to_be_visible()
    ada.look()
    ada.reach(ada.page.get_by_label("Kind of event"))
    ada.page.keyboard.type("People")
    if not scripts:
        ada.press("button", "Apply")
    ada.sees("Nothing matches these filters.")
    expect(ada.page).to_have_url(re.compile("what=people"))
    expect(ada.page.get_by_role("link", name="Export CSV")).to_have_attribute("href", re.compile("what=people"))
    ada.look()
    ada.press("link", "Clear filters")
    ada.sees("Today")
