"""The newcomer's way, by keyboard alone: from the printed link to a request on the usage page."""

import re
from collections.abc import Callable

import pytest
from openai import OpenAI
from playwright.sync_api import expect

from tests.browser.conftest import Visitor
from tests.fake import FakeProvider
from tests.serving import Server

AZURE = """[
  {
    "model_slug": "openai/gpt-4o",
    "endpoint_url": "https://acme-eu.openai.azure.com",
    "api_key": "%(key)s",
    "model_id": "gpt-4o"
  },
  {
    "model_slug": "openai/o3-mini",
    "endpoint_url": "https://acme-eu.openai.azure.com",
    "api_key": "%(key)s",
    "model_id": "o3-mini"
  }
]"""
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYzExampleOnly"[:40]


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts on", "scripts off"])
def test_a_newcomer_walks_from_the_link_to_usage(
    keyhold: Server, fake_provider: FakeProvider, visit: Callable[..., Visitor], scripts: bool
) -> None:
    ada = visit(keyhold.link, scripts=scripts)
    set_up(ada)
    add_openai_key(ada, fake_provider.key("openai"))
    add_azure_key(ada, fake_provider.key("azure"))
    add_bedrock_key(ada)
    key = create_client_key(ada)
    ask(keyhold, key)
    see_usage(ada)


def set_up(ada: Visitor) -> None:
    ada.look()
    ada.write("Organization", "Acme")
    ada.reach(ada.page.get_by_label("Your name"))
    ada.page.keyboard.insert_text("Ada Okafor")
    ada.write("Email", "ada@example.com")
    ada.write("Password", "correct horse battery staple")
    ada.press("button", "Create organization")
    ada.sees("Bring your first key")
    ada.look()


def add_openai_key(ada: Visitor, key: str) -> None:
    ada.press("link", re.compile("OpenAI$"), within=ada.page.get_by_role("main"))
    ada.look()
    ada.write("Name", "Production")
    ada.write("API key", key)
    ada.press("button", "Test and save")
    ada.sees("“Production” passed its test")
    ada.look()


def add_azure_key(ada: Visitor, key: str) -> None:
    """A comma is missing at first. The page says on which line, and the line is where it leads."""
    right = AZURE % {"key": key}
    start_adding(ada, "Azure")
    ada.write("Name", "Europe")
    ada.write("Deployments", right.replace('.com",', '.com"', 1))
    ada.press("button", "Test and save")
    ada.sees(re.compile(r"Line 4: a comma is missing"))
    ada.look()
    if ada.scripts:
        ada.press("link", re.compile("Line 4"))
        ada.page.keyboard.press("End")
        ada.page.keyboard.type(",")
    else:
        ada.write("Deployments", right)
    ada.press("button", "Test and save")
    ada.sees("“Europe” passed its test")
    ada.look()


def add_bedrock_key(ada: Visitor) -> None:
    start_adding(ada, "AWS Bedrock")
    ada.look()
    ada.write("Name", "us-east-1")
    ada.write("Access key ID", "AKIAIOSFODNN7EXAMPLE")
    ada.write("Secret access key", SECRET)
    ada.write("Region", "us-east-1")
    ada.press("button", "Save without testing")
    ada.sees("It gets no traffic until it passes a test")
    ada.look()


def start_adding(ada: Visitor, provider: str) -> None:
    ada.press("link", "Provider keys")
    ada.press("link", "Add key")
    ada.press("link", re.compile(f"{provider}"), within=ada.page.get_by_role("main").get_by_role("list"))


def create_client_key(ada: Visitor) -> str:
    ada.press("link", "Client keys")
    ada.press("link", "Create client key")
    ada.look()
    ada.write("Name", "web-app")
    ada.press("button", "Create client key")
    ada.sees("This is the only time it is shown")
    ada.look()
    key = ada.page.get_by_label("New client key").inner_text()
    ada.press("link", "I have copied it")
    ada.look()
    return key


def ask(keyhold: Server, key: str) -> None:
    client = OpenAI(base_url=f"{keyhold.url}/v1", api_key=key, max_retries=2)
    answer = client.chat.completions.create(model="openai/gpt-4o", messages=[{"role": "user", "content": "Hello"}])
    assert answer.choices[0].message.content


def see_usage(ada: Visitor) -> None:
    """Usage arrives within seconds, so the page may have to be loaded again."""
    for _ in range(20):
        ada.press("link", "Usage")
        if ada.page.get_by_role("table").filter(has_text="OpenAI").count():
            break
        ada.page.wait_for_timeout(250)
    ada.sees("Breakdown")
    ada.press("link", "Client key", within=ada.page.get_by_role("navigation", name="Break down by"))
    expect(ada.page.get_by_role("rowheader", name="web-app")).to_be_visible()
    ada.look()
