"""An owner looks at a key, tests it, and limits what it serves, with a mistake at first."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visitor
from tests.browser.test_thirteen import add, set_up
from tests.fake import FakeProvider
from tests.serving import Server


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts on", "scripts off"])
def test_a_key_is_tested_and_limited(
    keyhold: Server, fake_provider: FakeProvider, visit: Callable[..., Visitor], scripts: bool
) -> None:
    ada = visit(keyhold.link, scripts=scripts)
    set_up(ada)
    add(ada, f"{ada.page.url}providers/add/openai/", fake_provider, "openai", "valid", "Main")
    ada.press("link", re.compile("OpenAI Main"))
    ada.sees("First of 1")
    ada.look()
    ada.press("button", "Test now")
    ada.sees("“Main” passed its test.")
    expect(ada.page.locator("#key-status")).to_have_text("Healthy")
    ada.look()
    ada.press("button", "More actions")
    ada.press("link", "Limits", within=ada.page.get_by_role("main"))
    ada.sees("Limits of “Main”")
    expect(ada.page.get_by_label("Models, one on each line")).to_be_hidden()
    choose(ada, "Only these models")
    choose(ada, "Only these client keys")
    ada.look()
    ada.write("Models, one on each line", "gpt*4*o*m*i*n*i")
    ada.press("button", "Save limits")
    ada.sees("Nothing was saved.")
    ada.sees(re.compile(r"Line 1: at most 4 \* can stand in one line\."))
    ada.sees(re.compile("Choose at least one client key"))
    ada.look()
    ada.write("Models, one on each line", "gpt 4o")
    ada.press("button", "Save limits")
    ada.sees(re.compile("Line 1: a model's name has no spaces"))
    expect(ada.page.locator(".err code")).to_have_text("openai/gpt-4o*")
    ada.look()
    ada.write("Models, one on each line", "openai/gpt-4o*")
    choose(ada, "All client keys")
    ada.press("button", "Save limits")
    ada.sees("The limits of “Main” are saved.")
    ada.sees("openai/gpt-4o*")
    ada.reach(ada.page.get_by_label("Always use this key for OpenAI"))
    ada.page.keyboard.press("Space")
    ada.press("button", "Save")
    ada.sees("Requests that “Main” may serve never go to shared keys.")
    ada.look()


def choose(ada: Visitor, label: str) -> None:
    """A radio, by keyboard: Tab leads to the group's checked one, arrows to the others."""
    group = ada.page.locator("fieldset").filter(has=ada.page.get_by_label(label, exact=True))
    ada.reach(group.locator("input[type=radio]:checked"))
    if not ada.page.get_by_label(label, exact=True).is_checked():
        ada.page.keyboard.press("ArrowDown")
    expect(ada.page.get_by_label(label, exact=True)).to_be_checked()
