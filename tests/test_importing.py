"""Keys from a .env file: recognized, looked at, tested together and saved. The text itself never comes back."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from keys import dotenv
from keys.actions import add_key
from keys.models import ProviderKey
from keys.views import importing
from orgs.actions import Actor
from orgs.models import AuditEvent, Organization, User
from tests.fake import FakeProvider
from tests.submissions import service_account

PAGE = "/o/acme/providers/import/"
HTMX = {"HX-Request": "true"}


def recognized(text: str) -> list[tuple[int, str, str]]:
    return [(found.line, found.variable, found.provider) for found in dotenv.read(text)]


@pytest.mark.parametrize(
    ("line", "provider"),
    [
        ("OPENAI_API_KEY=sk-x", "openai"),
        ("export ANTHROPIC_API_KEY='sk-ant-api03-x'", "anthropic"),
        ("GROQ_API_KEY=anything", "groq"),
        ("XAI_API_KEY = xai-1", "xai"),
        ("GROK_KEY=1", "xai"),
        ("FAL_KEY=a:b", "fal"),
        ("DEEPINFRA_TOKEN=t", "deepinfra"),
        ("GEMINI_API_KEY=AIzaX", "aistudio"),
        ("GOOGLE_API_KEY=AIzaX", "aistudio"),
        ("PPLX_API_KEY=pplx-1", "perplexity"),
        ("POLLO_API_KEY=p", "pollo"),
        ("BASETEN_API_KEY=b", "baseten"),
        ("LLM_KEY=gsk_1", "groq"),  # by how it begins
        ("OPENAI_API_KEY=sk-ant-api03-x", "anthropic"),  # which tells more than the name
        ("AZURE_OPENAI_API_KEY=x", "azure"),
        ("AWS_BEARER_TOKEN_BEDROCK=ABSKx", "bedrock"),
        ("AWS_ACCESS_KEY_ID=AKIAX", "bedrock"),
        ("GOOGLE_APPLICATION_CREDENTIALS=/etc/key.json", "vertex"),
    ],
)
def test_a_key_is_told_by_its_name_and_by_how_it_begins(line: str, provider: str) -> None:
    assert [found[2] for found in recognized(line)] == [provider]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "# OPENAI_API_KEY=sk-x",
        "OPENAI_API_KEY=",
        "OPENAI_BASE_URL=https://api.openai.com",
        "DATABASE_URL=postgres://x",
        "SECRET_KEY=x",
        "AWS_SECRET_ACCESS_KEY=x",
        "DEFAULT_KEY=x",  # no fal
        "KEYHOLD=byok_live_x",
        "sk-proj-bare",
    ],
)
def test_what_is_no_provider_key_is_left_out(line: str) -> None:
    assert recognized(line) == []


def test_quotes_comments_and_what_belongs_together_are_read() -> None:
    text = """# keys
OPENAI_API_KEY="sk-proj-1"   # production
OPENAI_ORG_ID=org-acme
export AWS_ACCESS_KEY_ID=AKIA1
AWS_SECRET_ACCESS_KEY=s # the other half
AWS_DEFAULT_REGION=eu-west-1
OPENAI_API_KEY=sk-proj-2
"""
    openai, bedrock = dotenv.read(text)
    assert openai.fields == {"api_key": "sk-proj-2", "organization": "org-acme"}  # as a shell reads it, the last one counts
    assert bedrock.fields == {"access_key_id": "AKIA1", "secret_access_key": "s", "region": "eu-west-1"}
    assert "sk-proj-2" not in repr(openai)


@pytest.fixture(autouse=True)
def nothing_counted() -> None:
    cache.clear()


@pytest.fixture
def alices(client_of: Callable[[User], Client], alice: User, acme: Organization) -> Client:
    return client_of(alice)


@pytest.fixture
def fake(settings: Any, fake_provider: FakeProvider) -> FakeProvider:
    settings.UPSTREAM_OVERRIDES = fake_provider.overrides()
    return fake_provider


def test_an_owner_looks_at_a_file_and_saves_what_passes(alices: Client, fake: FakeProvider, acme: Organization) -> None:
    good, bad, groq = fake.key("openai"), fake.key("openai", "refused"), fake.key("groq")
    text = f"OPENAI_API_KEY={good}\nOPENAI_KEY_OLD={bad}\nGROQ_API_KEY={groq}\nPORT=8000"
    looked = alices.post(PAGE, {"text": text, "do": "look"})
    assert looked.status_code == 200
    assert not fake.requests
    assert not ProviderKey.objects.exists()
    chosen = ["1:OPENAI_API_KEY", "2:OPENAI_KEY_OLD"]
    assert all(f'value="{each}"' in looked.text for each in [*chosen, "3:GROQ_API_KEY"])
    saved = alices.post(PAGE, {"text": text, "do": "save", "chosen": chosen})
    assert saved.status_code == 422  # one of them did not pass
    assert "Line 2: OpenAI" in saved.text
    [key] = ProviderKey.objects.for_org(acme)
    assert (key.name, key.provider, key.status) == ("OPENAI_API_KEY", "openai", "healthy")
    assert AuditEvent.objects.filter(organization=acme, tag="provider_key:add").count() == 1
    done = alices.post(PAGE, {"text": text, "do": "save", "chosen": ["3:GROQ_API_KEY"]})
    assert done["Location"] == reverse("provider_key_list", args=["acme"])
    for answer in (looked, saved):
        assert not any(secret in answer.text for secret in (good, bad, groq))


def test_a_secret_that_is_there_already_is_not_offered(alices: Client, fake: FakeProvider, acme: Organization) -> None:
    by = Actor.command("test")
    add_key(organization=acme, provider="openai", name="Main", credential=fake.credential("openai"), test=None, by=by)
    twice = fake.key("groq")
    text = f"OPENAI_API_KEY={fake.key('openai')}\nGROQ_API_KEY={twice}\nGROQ_API_KEY_2={twice}"
    answer = alices.post(PAGE, {"text": text})
    assert "saved as “OpenAI Main” already" in answer.text
    assert "on line 2 too" in answer.text
    assert answer.text.count('name="chosen"') == 1
    alices.post(PAGE, {"text": text, "do": "save", "chosen": ["1:OPENAI_API_KEY", "3:GROQ_API_KEY_2"]})
    assert ProviderKey.objects.for_org(acme).count() == 1


def test_a_name_that_is_taken_gets_a_number(alices: Client, fake: FakeProvider, acme: Organization) -> None:
    credential, by = fake.credential("openai", number=2), Actor.command("test")
    add_key(organization=acme, provider="openai", name="OPENAI_API_KEY", credential=credential, test=None, by=by)
    alices.post(PAGE, {"text": f"OPENAI_API_KEY={fake.key('openai')}", "do": "save", "chosen": "1:OPENAI_API_KEY"})
    assert [key.name for key in ProviderKey.objects.for_org(acme)] == ["OPENAI_API_KEY", "OPENAI_API_KEY 2"]


def test_another_text_than_the_one_that_was_looked_at_saves_nothing(alices: Client, fake: FakeProvider) -> None:
    answer = alices.post(PAGE, {"text": f"X=1\nOPENAI_API_KEY={fake.key('openai')}", "do": "save", "chosen": "1:OPENAI_API_KEY"})
    assert answer.status_code == 422
    assert importing.NONE_CHOSEN in answer.text
    assert not ProviderKey.objects.exists()


def test_what_cannot_be_taken_from_a_file_says_why(alices: Client) -> None:
    text = "AZURE_OPENAI_API_KEY=x\nGOOGLE_APPLICATION_CREDENTIALS=/etc/key.json\nOPENAI_API_KEY=your-api-key"
    answer = alices.post(PAGE, {"text": text})
    for words in ("Add it on its own page", "This names a file", "placeholder"):
        assert words in answer.text
    assert 'name="chosen"' not in answer.text


def test_more_than_a_minute_allows_is_left_for_later(alices: Client, fake: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keys.pace.TESTS_A_MINUTE", 1)
    text = f"OPENAI_API_KEY={fake.key('openai')}\nGROQ_API_KEY={fake.key('groq')}"
    answer = alices.post(PAGE, {"text": text, "do": "save", "chosen": ["1:OPENAI_API_KEY", "2:GROQ_API_KEY"]}, headers=HTMX)
    assert answer.status_code == 422
    assert "Test again in" in answer.text
    assert [key.provider for key in ProviderKey.objects.all()] == ["openai"]


@pytest.mark.parametrize("text", ["", "PORT=8000", "x" * 32_001])
def test_a_text_without_keys_is_refused(alices: Client, text: str) -> None:
    answer = alices.post(PAGE, {"text": text})
    assert answer.status_code == 422
    assert "Nothing was saved." in answer.text


def test_a_service_account_can_stand_in_a_line(alices: Client) -> None:
    line = str(service_account("abcdef0123456789")).replace("'", '"')
    answer = alices.post(PAGE, {"text": f"GOOGLE_APPLICATION_CREDENTIALS_JSON={line}"})
    assert 'value="1:GOOGLE_APPLICATION_CREDENTIALS_JSON"' in answer.text
