"""An owner imports a .env file, and creates a key for a program that manages the organization."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visitor
from tests.browser.test_thirteen import set_up
from tests.fake import FakeProvider
from tests.serving import Server


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts on", "scripts off"])
def test_a_file_is_looked_through_and_its_good_keys_are_saved(
    keyhold: Server, fake_provider: FakeProvider, visit: Callable[..., Visitor], scripts: bool
) -> None:
    ada = visit(keyhold.link, scripts=scripts)
    set_up(ada)
    home = ada.page.url
    ada.page.goto(f"{home}providers/add/")
    ada.press("link", "Import a .env file")
    good, bad = fake_provider.key("openai"), fake_provider.key("groq", "refused")
    text = f"OPENAI_API_KEY={good}\nGROQ_API_KEY={bad}\nAZURE_OPENAI_API_KEY=x\nPORT=8000"
    label = "Contents of the .env file"
    ada.write(label, text)
    ada.press("button", "Look through")
    ada.sees(re.compile("Line 3: An Azure key needs its deployments too"))
    ada.look()
    if not scripts:
        expect(ada.page.get_by_label(label, exact=True)).to_have_value("")
        ada.write(label, text)
    ada.press("button", "Test and save")
    ada.sees(re.compile("Line 2: Groq"))
    ada.sees("Saved")
    ada.look()
    assert good not in ada.page.content().replace(text, "")
    ada.page.goto(f"{home}providers/")
    expect(ada.page.get_by_role("link", name=re.compile("OPENAI_API_KEY")).first).to_be_visible()


def test_an_owner_creates_and_revokes_a_management_key(keyhold: Server, visit: Callable[..., Visitor]) -> None:
    ada = visit(keyhold.link)
    set_up(ada)
    ada.page.goto(f"{ada.page.url}settings/")
    ada.press("link", "Manage management keys")
    ada.look()
    ada.press("link", re.compile("Create management key"))
    ada.look()
    ada.write("Name", "terraform")
    ada.press("button", "Create management key")
    ada.sees("Copy the key for “terraform” now")
    ada.look()
    ada.press("link", "I have copied it")
    ada.look()
    ada.press("link", "Revoke terraform")
    ada.look()
    ada.press("button", "Revoke key")
    ada.sees("“terraform” is revoked.")
    ada.look()
