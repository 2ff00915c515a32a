"""An owner replaces a credential by keyboard: refused at first, then taken, then the one before comes back."""

import re
from collections.abc import Callable

import pytest

from tests.browser.conftest import Visitor
from tests.browser.test_thirteen import add, set_up
from tests.fake import FakeProvider
from tests.serving import Server


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts on", "scripts off"])
def test_a_credential_is_replaced_and_comes_back(
    keyhold: Server, fake_provider: FakeProvider, visit: Callable[..., Visitor], scripts: bool
) -> None:
    ada = visit(keyhold.link, scripts=scripts)
    set_up(ada)
    add(ada, f"{ada.page.url}providers/add/openai/", fake_provider, "openai", "valid", "Main")
    ada.press("link", re.compile("OpenAI Main"))
    ada.look()
    for behavior, told in (("refused", "Nothing changed: “Main” still uses"), ("broken", "If you replace it anyway")):
        ada.write("New API key", fake_provider.key("openai", behavior))
        ada.press("button", "Test and replace")
        ada.sees(re.compile(told))
        ada.look()
    ada.write("New API key", fake_provider.key("openai", number=2))
    ada.press("button", "Test and replace")
    ada.sees(re.compile("“Main” passed its test and uses this credential from now on."))
    ada.look()
    ada.press("link", re.compile("Restore sk-"))
    ada.look()
    ada.press("button", "Test and restore")
    ada.sees(re.compile("“Main” passed its test and uses this credential from now on."))


def test_the_pages_of_larger_credentials_and_of_a_name_look_right(
    keyhold: Server, fake_provider: FakeProvider, visit: Callable[..., Visitor]
) -> None:
    ada = visit(keyhold.link)
    set_up(ada)
    home = ada.page.url
    for provider, label in (("bedrock", "Bedrock"), ("azure", "Azure"), ("vertex", "Vertex")):
        add(ada, f"{home}providers/add/{provider}/", fake_provider, provider, "valid", "Main")
        ada.press("link", re.compile(f"{label}.* Main"))
        ada.page.locator("#credential a").click()
        ada.sees(re.compile("Requests use it until the new one has passed its test."))
        ada.look()
    ada.write("Service account", "{}")
    ada.press("button", "Test and replace")
    ada.sees(re.compile("fixing before this can be saved"))
    ada.look()
    ada.page.goto(ada.page.url.replace("credential", "rename"))
    ada.write("Name", "Spare")
    ada.look()
    ada.press("button", "Rename")
    ada.sees("“Main” is now called “Spare”.")
