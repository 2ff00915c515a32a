"""Adding a provider key and issuing a client key from the server's own shell."""

import json
import sys
from collections.abc import Callable
from io import BytesIO, StringIO, TextIOWrapper
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from keys import client_keys, data_keys
from keys.models import ClientKey, ProviderKey
from keys.providers import PROVIDERS
from orgs.models import AuditEvent, Organization
from tests.fake import FakeProvider
from tests.fake.credentials import RESOURCE

type Run = Callable[..., tuple[str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, settings: Any, fake_provider: FakeProvider) -> Run:
    """Run a command with `stdin`; gives back what it wrote to (stdout, stderr). Providers are played by the fake."""
    settings.UPSTREAM_OVERRIDES = fake_provider.overrides()

    def run(*args: str, stdin: str = "") -> tuple[str, str]:
        out, err = StringIO(), StringIO()
        monkeypatch.setattr(sys, "stdin", StringIO(stdin))
        call_command(*args, stdout=out, stderr=err)
        return out.getvalue(), err.getvalue()

    return run


ADD = ("add_provider_key", "--org", "acme", "--provider", "openai", "--name", "Main")
ISSUE = ("issue_client_key", "--org", "acme", "--name", "web")


def test_a_key_that_passes_its_test_is_added_and_ready(run: Run, acme: Organization, fake_provider: FakeProvider) -> None:
    secret = fake_provider.key("openai")
    out, _ = run(*ADD, stdin=f"{secret}\n")
    key = ProviderKey.objects.get()
    assert out == f"Added OpenAI “Main” ({key.hint}), healthy.\n"
    assert secret not in out
    assert (key.status, key.needs_test, key.created_by) == ("healthy", False, None)
    assert data_keys.open_credential(key, data_keys.of(acme)).secret == {"api_key": secret}
    assert AuditEvent.objects.latest("pk").actor_label == "manage.py add_provider_key"


def pasted(fake: FakeProvider, provider: str, behavior: str) -> str:
    """What goes to standard input: the bare key, or the JSON of the provider's shape."""
    key = fake.key(provider, behavior)
    match provider:
        case "azure":
            entry = {"model_slug": "openai/gpt-4o", "endpoint_url": RESOURCE, "api_key": key, "model_id": "gpt-4o"}
            return json.dumps([entry], indent=2)
        case "bedrock":
            given = fake.credential(provider, behavior)
            keys = {"accessKeyId": given.public["access_key_id"], "secretAccessKey": given.secret["secret_access_key"]}
            return json.dumps(keys | {"region": given.public["region"]})
    return key


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_key_of_every_provider_comes_by_standard_input(
    run: Run, acme: Organization, fake_provider: FakeProvider, provider: str
) -> None:
    add = ("add_provider_key", "--org", "acme", "--provider", provider, "--name", "Main")
    with pytest.raises(CommandError, match=r"Nothing was saved\."):
        run(*add, stdin=pasted(fake_provider, provider, "refused"))
    out, err = run(*add, stdin=pasted(fake_provider, provider, "valid"))
    key = ProviderKey.objects.get()
    assert (out, err) == (f"Added {PROVIDERS[provider].label} “Main” ({key.hint}), healthy.\n", "")
    given = dict(fake_provider.credential(provider).secret)
    if provider == "azure":
        given["api_keys"] = given["api_keys"][:1]  # one deployment was pasted
    assert data_keys.open_credential(key, data_keys.of(acme)).secret == given


def test_a_bedrock_api_key_comes_as_json_too(run: Run, acme: Organization, fake_provider: FakeProvider) -> None:
    add = ("add_provider_key", "--org", "acme", "--provider", "bedrock", "--name", "Main")
    run(*add, stdin=json.dumps({"apiKey": fake_provider.key("bedrock"), "region": "us-east-1"}))
    key = ProviderKey.objects.get()
    assert data_keys.open_credential(key, data_keys.of(acme)).secret == {"api_key": fake_provider.key("bedrock")}


def test_a_key_that_is_limited_now_is_added(run: Run, acme: Organization, fake_provider: FakeProvider) -> None:
    run(*ADD, stdin=fake_provider.key("openai", "limited"))
    assert ProviderKey.objects.get().status == "limited"


@pytest.mark.parametrize("behavior", ["refused", "echoes", "broken"])
def test_a_key_that_fails_its_test_is_not_saved(run: Run, acme: Organization, fake_provider: FakeProvider, behavior: str) -> None:
    secret = fake_provider.key("openai", behavior)
    with pytest.raises(CommandError, match=r"OpenAI .* Nothing was saved") as caught:
        run(*ADD, stdin=secret)
    assert secret not in str(caught.value)
    assert not ProviderKey.objects.exists()


def test_an_operator_may_vouch_for_a_key_without_a_test(run: Run, acme: Organization, fake_provider: FakeProvider) -> None:
    run(*ADD, "--skip-test", stdin=fake_provider.key("openai", "refused"))
    key = ProviderKey.objects.get()
    assert (key.status, key.needs_test) == ("untested", False)
    assert not fake_provider.requests


@pytest.mark.parametrize("stdin", ["", " \n\t"])
def test_empty_input_is_refused(run: Run, acme: Organization, stdin: str) -> None:
    with pytest.raises(CommandError, match=r"Standard input is empty\. Give it the credential for OpenAI"):
        run(*ADD, stdin=stdin)


def test_input_that_is_no_text_is_refused(acme: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(b"sk-\xff"), encoding="utf-8"))
    with pytest.raises(CommandError, match="Standard input is not text in UTF-8"):
        call_command(*ADD)


def test_problems_of_a_credential_are_told_one_a_line(run: Run, acme: Organization) -> None:
    azure = ("add_provider_key", "--org", "acme", "--provider", "azure", "--name", "Main", "--skip-test")
    entry = '{"model_slug": "openai/gpt-4o", "endpoint_url": "ENDPOINT-URL", "api_key": "API-KEY", "model_id": "gpt-4o"}'
    with pytest.raises(CommandError) as caught:
        run(*azure, stdin=f"[{entry}]")
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert all(lines)
    assert not ProviderKey.objects.exists()


def test_a_key_of_another_shape_gets_a_warning_on_stderr(run: Run, acme: Organization) -> None:
    out, err = run(*ADD, "--skip-test", stdin="gsk_" + "a" * 52)
    assert "Groq" in err
    assert "gsk_aaaa" not in out + err


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("--org", "nowhere", "There is no organization with the slug “nowhere”"),
        ("--provider", "acme-ai", "There is no provider “acme-ai”. Choose one of: anthropic, bedrock, "),
        ("--name", " ", "--name: This field cannot be blank"),
        ("--name", "x" * 61, "--name: Ensure this value has at most 60 characters"),
    ],
)
def test_a_wrong_option_is_named(run: Run, acme: Organization, option: str, value: str, problem: str) -> None:
    args = list(ADD)
    args[args.index(option) + 1] = value
    with pytest.raises(CommandError) as caught:
        run(*args, "--skip-test", stdin="sk-whatever")
    assert problem in str(caught.value)


def test_a_taken_name_is_named(run: Run, acme: Organization) -> None:
    run(*ADD, "--skip-test", stdin="sk-one-" + "a" * 40)
    with pytest.raises(CommandError, match="There is already a key named “Main” for OpenAI"):
        run(*ADD, "--skip-test", stdin="sk-two-" + "b" * 40)


def test_an_issued_client_key_is_all_that_is_printed(run: Run, acme: Organization) -> None:
    out, err = run(*ISSUE)
    assert err == ""
    parsed = client_keys.parse(out.removesuffix("\n"))
    assert parsed
    assert ClientKey.objects.get().public_id == parsed[0]


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (("--org", "nowhere", "--name", "web"), "There is no organization with the slug “nowhere”"),
        (("--org", "acme", "--name", ""), "--name: This field cannot be blank"),
        (("--org", "acme", "--name", "taken"), "There is already a client key named “taken”"),
    ],
)
def test_a_client_key_that_cannot_be_issued_says_why(run: Run, acme: Organization, args: tuple[str, ...], problem: str) -> None:
    run("issue_client_key", "--org", "acme", "--name", "taken")
    with pytest.raises(CommandError, match=problem):
        run("issue_client_key", *args)
