"""An owner looks up a request by the id that a program got: one that was answered, and one that was refused."""

from collections.abc import Callable

import pytest
from openai import APIStatusError, OpenAI

from tests.browser.conftest import Visitor
from tests.browser.test_first_walk import create_client_key
from tests.browser.test_thirteen import add, set_up
from tests.fake import FakeProvider
from tests.serving import Server

HELLO = [{"role": "user", "content": "Hello"}]


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts on", "scripts off"])
def test_a_request_is_found_by_its_id_and_tells_its_walk(
    keyhold: Server, fake_provider: FakeProvider, visit: Callable[..., Visitor], scripts: bool
) -> None:
    ada = visit(keyhold.link, scripts=scripts)
    set_up(ada)
    start = ada.page.url
    add(ada, f"{start}providers/add/openai/", fake_provider, "openai", "limited", "Limited")
    add(ada, f"{start}providers/add/azure/", fake_provider, "azure", "valid", "Good")
    ada.page.goto(start)
    client = OpenAI(base_url=f"{keyhold.url}/v1", api_key=create_client_key(ada), max_retries=0)
    answered = client.chat.completions.with_raw_response.create(model="openai/gpt-4o", messages=HELLO)  # type: ignore[arg-type]
    with pytest.raises(APIStatusError) as refused:
        client.chat.completions.create(model="nobody/nothing", messages=HELLO)  # type: ignore[arg-type]
    look_up(ada, answered.headers["x-request-id"])
    ada.sees("The answer went to the program")
    ada.sees("OpenAI Limited")
    ada.look()
    look_up(ada, refused.value.response.headers["x-request-id"])
    ada.sees("Keyhold refused the request")
    ada.sees("No key that serves this model was passed over.")
    ada.look()
    ada.press("link", "Usage")
    ada.sees("Requests")
    ada.look()
    ada.page.goto(f"{start}requests/?id=nonsense")
    ada.sees("This is not a request id")
    ada.look()


def look_up(ada: Visitor, request_id: str) -> None:
    """Requests arrive within seconds, so it may have to be asked for again."""
    for _ in range(20):
        ada.press("link", "Usage")
        ada.write("Find a request by its id", request_id)
        ada.press("button", "Find the request")
        ada.page.wait_for_url("**/requests/**")
        if ada.page.url.endswith(f"/requests/{request_id}/"):
            return
        ada.page.wait_for_timeout(250)
    raise AssertionError(f"{request_id} was not found")
