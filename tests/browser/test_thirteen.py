"""Every provider's form with a good, a bad, a limited and an unreachable credential: what the page says, word for word."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from keys.providers import PROVIDERS
from tests.browser.conftest import Visitor
from tests.fake import FakeProvider
from tests.fake.credentials import RESOURCE
from tests.serving import Server, free_port, stop

NAMES = {"valid": "Good", "refused": "Bad", "limited": "Limited"}
PASSED = "“Good” passed its test and is now last in the order."
REFUSED = "{} refused this key ({}). Check that you copied all of it, then paste it again. Nothing was saved."
LIMITED = (
    "{} accepted the key and is limiting it now (429). Test again in a few minutes. "
    "“Limited” is saved and is now last in the order."
)
SILENT = "{} could not be reached. Nothing was saved."
CHANGE = "Not saved. Change the credential and test again, or save without testing."
AGAIN = "Not saved. Test again, or save without testing."


def fill(page: Page, fake: FakeProvider, provider: str, behavior: str) -> None:
    """Type what the provider's owner would."""
    key = fake.key(provider, behavior)
    match provider:
        case "azure":
            entry = {"model_slug": "openai/gpt-4o", "endpoint_url": RESOURCE, "api_key": key, "model_id": "gpt-4o"}
            fields = {"Deployments": json.dumps([entry], indent=2)}
        case "bedrock":
            given = fake.credential(provider, behavior)
            fields = {"Access key ID": given.public["access_key_id"], "Secret access key": given.secret["secret_access_key"]}
            fields["Region"] = given.public["region"]
        case "vertex":
            fields = {"Service account": key}
        case _:
            fields = {"API key": key}
    for label, text in fields.items():
        page.get_by_label(label, exact=True).fill(text)


def add(ada: Visitor, address: str, fake: FakeProvider, provider: str, behavior: str, name: str) -> tuple[str, str]:
    """What the page says in the end: its notice or message, and beside the form what became of the credential."""
    ada.page.goto(address)
    ada.page.get_by_label("Name", exact=True).fill(name)
    fill(ada.page, fake, provider, behavior)
    ada.page.get_by_role("button", name="Test and save").click()
    ended = ada.page.locator("#errors, .toast, .notice").first
    expect(ended).to_be_visible(timeout=15_000)
    beside = ada.page.locator("#test-result .no")
    return words(ended.inner_text()), words(beside.inner_text()) if beside.count() else ""


def words(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def set_up(ada: Visitor) -> None:
    for label, text in (
        ("Organization", "Acme"),
        ("Your name", "Ada"),
        ("Email", "ada@example.com"),
        ("Password", "correct horse battery staple"),
    ):
        ada.page.get_by_label(label).first.fill(text)
    ada.page.get_by_role("button", name="Create organization").click()
    ada.sees("Bring your first key")


def new_organization(ada: Visitor, keyhold: Server, name: str) -> str:
    """One for each provider, as tests are counted for each organization. Its address."""
    ada.page.goto(f"{keyhold.url}/orgs/new/")
    ada.page.get_by_label("Name").fill(name)
    ada.page.get_by_role("button", name="Create organization").click()
    ada.sees("Bring your first key")
    return ada.page.url


def kept(ada: Visitor, organization: str) -> list[str]:
    ada.page.goto(f"{organization}providers/")
    return [words(text) for text in ada.page.locator("#key-table tbody .name em").all_inner_texts()]


def said(provider: str, behavior: str) -> tuple[str, str]:
    label = PROVIDERS[provider].label
    special = {
        ("fal", "limited"): (PASSED.replace("Good", "Limited"), ""),  # fal limits what runs at once, and a test runs nothing
        ("bedrock", "refused"): (REFUSED.format(label, 403), CHANGE),
        ("azure", "refused"): (
            "openai/gpt-4o: Azure refused this key (401). Check that it belongs to the resource in endpoint_url, "
            "then paste it again. Nothing was saved.",
            CHANGE,
        ),
        ("azure", "limited"): (f"openai/gpt-4o: {LIMITED.format(label)}", ""),
        ("vertex", "refused"): (
            "Google Vertex AI does not know this service account or its key (400). It may be deleted or turned off; "
            "add a new key. Nothing was saved.",
            CHANGE,
        ),
    }
    general = {"valid": (PASSED, ""), "refused": (REFUSED.format(label, 401), CHANGE), "limited": (LIMITED.format(label), "")}
    return special.get((provider, behavior), general[behavior])


def test_the_page_says_what_the_provider_says(
    keyhold: Server, fake_provider: FakeProvider, visit: Callable[..., Visitor]
) -> None:
    ada = visit(keyhold.link)
    set_up(ada)
    found, expected = {}, {}
    for provider in PROVIDERS:
        organization = new_organization(ada, keyhold, f"With {provider}")
        for behavior, name in NAMES.items():
            form = f"{organization}providers/add/{provider}/"
            found[provider, behavior] = add(ada, form, fake_provider, provider, behavior, name)
            expected[provider, behavior] = said(provider, behavior)
        found[provider, "kept"], expected[provider, "kept"] = kept(ada, organization), ["Good", "Limited"]
    assert found == expected


@pytest.fixture
def cut_off(tmp_path: Path, fake_provider: FakeProvider) -> Iterator[Server]:
    """As `keyhold`, but nobody listens where the providers should be."""
    nobody = f"http://127.0.0.1:{free_port()}"
    server = Server.start(tmp_path / "data", dict.fromkeys(fake_provider.overrides(), nobody))
    yield server
    assert stop(server.process)[1] == ""


def test_the_page_says_that_a_provider_could_not_be_reached(
    cut_off: Server, fake_provider: FakeProvider, visit: Callable[..., Visitor]
) -> None:
    ada = visit(cut_off.link)
    set_up(ada)
    found, expected = {}, {}
    for number, provider in enumerate(PROVIDERS):
        if number % 10 == 0:
            organization = new_organization(ada, cut_off, f"Part {number}")
        form = f"{organization}providers/add/{provider}/"
        found[provider] = add(ada, form, fake_provider, provider, "valid", "Good")
        silent = "openai/gpt-4o: Azure could not be reached at this endpoint_url. Check its spelling. Nothing was saved."
        expected[provider] = (silent if provider == "azure" else SILENT.format(PROVIDERS[provider].label), AGAIN)
        assert kept(ada, organization) == []
    assert found == expected
    assert not fake_provider.requests
