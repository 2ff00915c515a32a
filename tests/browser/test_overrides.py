"""An owner writes down what a provider calls a model, with a mistake at first."""

import re
from collections.abc import Callable

import pytest

from tests.browser.conftest import Visitor
from tests.browser.test_thirteen import add, set_up
from tests.fake import FakeProvider
from tests.serving import Server


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts on", "scripts off"])
def test_a_mistake_is_found_by_its_line_and_corrected(
    keyhold: Server, fake_provider: FakeProvider, visit: Callable[..., Visitor], scripts: bool
) -> None:
    ada = visit(keyhold.link, scripts=scripts)
    set_up(ada)
    add(ada, f"{ada.page.url}providers/add/bedrock/", fake_provider, "bedrock", "valid", "Good")
    ada.press("link", re.compile("Bedrock Good"))
    ada.page.get_by_text("Add names").click()
    ada.look()
    ada.write("Your names", "anthropic/claude-opus-5.5 = us.anthropic.claude-opus-5-5\nmistralai/large")
    ada.press("button", "Save names")
    ada.sees(re.compile("Line 2: put = between the model and its name at AWS Bedrock."))
    ada.look()
    if scripts:
        ada.press("link", re.compile("Line 2"))
        ada.page.keyboard.press("End")
        ada.page.keyboard.type(" = mistral.large-v1:0")
    else:
        ada.write("Your names", "mistralai/large = mistral.large-v1:0")
    ada.press("button", "Save names")
    ada.sees("Your names for models of AWS Bedrock are saved.")
    ada.look()
