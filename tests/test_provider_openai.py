"""OpenAI's organization and project, which may stand beside its key."""

import pytest

from keys.addresses import AllowList
from keys.credentials import CredentialError, from_stdin, parse
from keys.providers import PROVIDERS
from keys.providers.requests import outbound

OPENAI = PROVIDERS["openai"]
NOBODY = AllowList.parse([])
KEY = "sk-proj-0123456789abcdefghijklmnop"


def test_an_organization_and_a_project_are_kept_in_the_open_and_sent() -> None:
    fields = {"api_key": KEY, "organization": " org-Acme1 ", "project": "proj_Web2"}
    credential, warnings = parse(OPENAI, fields, allow=NOBODY)
    assert (credential.secret, credential.public, warnings) == (
        {"api_key": KEY},
        {"organization": "org-Acme1", "project": "proj_Web2"},
        (),
    )
    headers = outbound(OPENAI, credential, path="models", overrides={}).headers
    assert headers == {"authorization": f"Bearer {KEY}", "openai-organization": "org-Acme1", "openai-project": "proj_Web2"}


@pytest.mark.parametrize("fields", [{"api_key": KEY}, {"api_key": KEY, "organization": "", "project": "  "}])
def test_both_may_be_left_out(fields: dict[str, str]) -> None:
    assert parse(OPENAI, fields, allow=NOBODY)[0].public == {}
    assert from_stdin(OPENAI, KEY, allow=NOBODY)[0].public == {}


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        ("organization", KEY, "It starts org-"),
        ("organization", "Acme Inc.", "It starts org-"),
        ("project", "org-Acme1", "It starts proj_"),
        ("project", "proj_x\r\nx-evil: 1", "It starts proj_"),
    ],
)
def test_anything_but_an_id_is_refused_without_being_repeated(field: str, text: str, words: str) -> None:
    with pytest.raises(CredentialError) as caught:
        parse(OPENAI, {"api_key": KEY, field: text}, allow=NOBODY)
    (problem,) = caught.value.problems
    assert (problem.field, problem.label) == (field, "ID")
    assert words in problem.message
    assert text not in problem.message


def test_the_other_providers_know_no_organization() -> None:
    credential, _ = parse(PROVIDERS["groq"], {"api_key": "gsk_0123456789abcdefghij", "organization": KEY}, allow=NOBODY)
    assert credential.public == {}


def test_a_missing_key_is_asked_for_beside_an_organization() -> None:
    with pytest.raises(CredentialError, match="Paste the API key"):
        parse(OPENAI, {"api_key": "", "organization": "org-Acme1"}, allow=NOBODY)
