"""An owner changes the order: with buttons, with the keyboard and by dragging, and loses nothing to herself in a second tab."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Dialog, expect

from tests.browser.conftest import Visitor
from tests.browser.test_thirteen import add, set_up
from tests.fake import FakeProvider
from tests.serving import Server

KEYS = [("openai", "Production"), ("openai", "Batch"), ("groq", "Default"), ("anthropic", "Main")]


def furnish(keyhold: Server, fake: FakeProvider, visit: Callable[..., Visitor], *, scripts: bool) -> Visitor:
    """Ada with keys of three providers, on the routing page."""
    ada = visit(keyhold.link, scripts=scripts)
    set_up(ada)
    for provider, name in KEYS:
        add(ada, f"{keyhold.url}/o/acme/providers/add/{provider}/", fake, provider, "valid", name)
    ada.press("link", "Routing")
    expect(ada.page.get_by_role("heading", name="Routing", exact=True)).to_be_visible()
    return ada


def order(ada: Visitor) -> list[str]:
    return ada.page.locator(".route > li:not([hidden]) .name").all_inner_texts()


def subkeys(ada: Visitor) -> list[str]:
    return [re.split(r"\s", text)[0] for text in ada.page.locator(".subkeys .trunc").all_inner_texts()]


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts on", "scripts off"])
def test_an_order_is_staged_by_buttons_and_saved_once(
    keyhold: Server, fake_provider: FakeProvider, visit: Callable[..., Visitor], scripts: bool
) -> None:
    ada = furnish(keyhold, fake_provider, visit, scripts=scripts)
    assert order(ada) == ["OpenAI", "Groq", "Anthropic"]
    expect(ada.page.get_by_role("button", name="Save order")).to_be_hidden()
    ada.look()
    ada.press("button", "Move Groq up")
    ada.sees("Not live until you save")
    expect(ada.page.get_by_role("button", name="Move Groq up")).to_be_focused()
    ada.press("button", "Move OpenAI Batch up")
    expect(ada.page.get_by_role("button", name="Move OpenAI Batch up")).to_be_focused()
    ada.press("button", "More for Anthropic")
    ada.press("button", "Move to fallback")
    ada.sees("Tried after everything else.")
    expect(ada.page.get_by_role("button", name="More for Anthropic")).to_be_focused()
    ada.look()
    ada.press("button", "Save order")
    ada.sees("The order is saved.")
    assert (order(ada), subkeys(ada)) == (["Groq", "OpenAI", "Anthropic"], ["Batch", "Production"])
    expect(ada.page.get_by_role("region", name="Fallback keys").locator(".name")).to_have_text("Anthropic")
    expect(ada.page.get_by_role("button", name="Save order")).to_be_hidden()


def test_rows_are_lifted_with_the_keyboard_and_dragged(
    keyhold: Server, fake_provider: FakeProvider, visit: Callable[..., Visitor]
) -> None:
    ada = furnish(keyhold, fake_provider, visit, scripts=True)
    press, handle = ada.page.keyboard.press, ada.page.get_by_role("button", name="Reorder OpenAI")
    ada.reach(handle)
    for key in ("Space", "ArrowDown", "ArrowDown"):
        press(key)
    expect(handle).to_have_attribute("aria-pressed", "true")
    assert order(ada) == ["Groq", "Anthropic", "OpenAI"]
    expect(ada.page.get_by_role("status")).to_contain_text("OpenAI is now 3 of 3")
    press("Escape")
    assert order(ada) == ["OpenAI", "Groq", "Anthropic"]
    expect(ada.page.get_by_role("button", name="Save order")).to_be_hidden()
    for key in ("Space", "ArrowDown", "Space", "ArrowUp"):  # the last moves nothing, and at the top does not scroll either
        press(key)
    expect(handle).to_be_focused()
    expect(handle).to_have_attribute("aria-pressed", "false")
    assert order(ada) == ["Groq", "OpenAI", "Anthropic"]
    ada.page.get_by_role("button", name="Reorder Anthropic").hover()
    ada.page.mouse.down()
    box = ada.page.get_by_role("button", name="Reorder Groq").bounding_box()
    assert box
    ada.page.mouse.move(box["x"] + 5, box["y"] + 2, steps=5)
    ada.page.mouse.up()
    assert order(ada) == ["Anthropic", "Groq", "OpenAI"]
    assert ada.page.locator(".route .pos").all_inner_texts() == ["1", "2", "3"]
    ada.look()
    ada.press("button", "Save order")
    ada.sees("The order is saved.")
    assert order(ada) == ["Anthropic", "Groq", "OpenAI"]


def test_an_unsaved_order_is_not_left_without_asking_nor_lost_to_a_second_tab(
    keyhold: Server, fake_provider: FakeProvider, visit: Callable[..., Visitor]
) -> None:
    ada = furnish(keyhold, fake_provider, visit, scripts=True)
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    ada.page.on("dialog", stay)
    ada.page.get_by_role("button", name="Move Groq up").click()
    ada.page.get_by_role("link", name="Overview").click()
    ada.page.wait_for_timeout(100)
    assert (asked, order(ada)) == (["beforeunload"], ["Groq", "OpenAI", "Anthropic"])
    second = ada.page.context.new_page()
    second.goto(ada.page.url)
    second.get_by_role("button", name="Move Anthropic up").click()
    second.get_by_role("button", name="Save order").click()
    expect(second.get_by_text("The order is saved.")).to_be_visible()
    ada.page.get_by_role("button", name="Save order").click()
    ada.sees("Your changes were not saved.")
    ada.sees(re.compile("You changed the order"))
    ada.look()
    ada.press("button", "Save your order")
    ada.sees("The order is saved.")
    assert order(ada) == ["Groq", "OpenAI", "Anthropic"]
    assert asked == ["beforeunload"]
