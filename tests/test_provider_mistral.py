"""A fourteenth provider that speaks OpenAI's wire is one row. Mistral is not among the thirteen, and takes no more."""

import json
from typing import Any
from uuid import UUID

import pytest

from keys import catalog, testing
from keys.addresses import AllowList
from keys.credentials import CredentialError, from_stdin, parse
from keys.providers import PROVIDERS, Provider, Shape, TestCall, Wire
from keys.providers.errors import ErrorClass, classify
from keys.providers.paths import path_of, wire_of
from keys.providers.requests import outbound
from keys.providers.verdicts import listed_models, verdict
from keys.routing import RouteKey, plan
from keys.testing import Verdict
from tests.fake import FakeProvider

MISTRAL = Provider(
    slug="mistral",
    label="Mistral",
    mark="Mi",
    needs="API key",
    shape=Shape.API_KEY,
    wire=Wire.OPENAI,
    services={"": "https://api.mistral.ai/v1"},
    operations=("chat", "embeddings"),
    prices="mistral",
    author="mistralai",
    test=TestCall("models", lists_models=True),
    where="You find it in the Mistral console, under API keys.",
)
KEY = "0123456789abcdef0123456789abcdef"
MODELS = json.dumps({"object": "list", "data": [{"id": "mistral-large-2512"}, {"id": "codestral-latest"}]}).encode()
NOBODY = AllowList.parse([])


def test_its_key_is_read_and_its_request_addressed() -> None:
    credential, warnings = parse(MISTRAL, {"api_key": f"  {KEY}\n"}, allow=NOBODY)
    assert (credential.secret, credential.public, credential.hint, warnings) == ({"api_key": KEY}, {}, "…cdef", ())
    assert from_stdin(MISTRAL, KEY, allow=NOBODY)[0] == credential
    path = path_of(MISTRAL, credential, "chat", "mistral-large-2512", stream=True)
    request = outbound(MISTRAL, credential, path=path, overrides={}, native_model="mistral-large-2512")
    assert (request.method, request.url) == ("POST", "https://api.mistral.ai/v1/chat/completions")
    assert request.headers == {"authorization": f"Bearer {KEY}"}
    with pytest.raises(CredentialError, match="Mistral console"):
        parse(MISTRAL, {"api_key": ""}, allow=NOBODY)


def test_it_offers_what_its_row_says() -> None:
    assert wire_of(MISTRAL, "chat", "codestral-latest") is Wire.OPENAI
    assert wire_of(MISTRAL, "embeddings", "mistral-embed") is Wire.OPENAI
    with pytest.raises(LookupError, match="does not offer speech"):
        wire_of(MISTRAL, "speech", "voxtral")


@pytest.mark.parametrize(
    ("status", "said", "meaning"),
    [
        (401, b'{"detail": "Unauthorized"}', ErrorClass.REFUSED),
        (402, b"", ErrorClass.OUT_OF_MONEY),
        (403, b"", ErrorClass.NO_PERMISSION),
        (422, b'{"object": "error", "message": {"detail": [{"loc": ["body", "messages"]}]}}', ErrorClass.CLIENT),
        (429, b'{"message": "Requests rate limit exceeded"}', ErrorClass.LIMITED),
        (429, json.dumps({"error": {"code": "insufficient_quota"}}).encode(), ErrorClass.OUT_OF_MONEY),
        (503, b"", ErrorClass.TROUBLE),
        (None, b"", ErrorClass.TROUBLE),
    ],
)
def test_its_failures_are_understood(status: int | None, said: bytes, meaning: ErrorClass) -> None:
    assert classify(MISTRAL, status, {}, said) is meaning


def test_its_test_call_ends_in_a_verdict() -> None:
    assert verdict(MISTRAL, 200, MODELS) == ("valid", "Mistral accepted the key.")
    assert listed_models(MISTRAL, MODELS) == ("codestral-latest", "mistral-large-2512")
    assert verdict(MISTRAL, 401, b'{"detail": "Unauthorized"}')[0] == "invalid"
    assert verdict(MISTRAL, 200, b"<html>")[0] == "unknown"


def test_its_key_is_tested_over_the_wire(fake_provider: FakeProvider, settings: Any) -> None:
    settings.UPSTREAM_OVERRIDES = {"mistral": f"{fake_provider.url}/openai/v1"}
    credential, _ = parse(MISTRAL, {"api_key": fake_provider.key("openai")}, allow=NOBODY)
    result = testing.test_credential(MISTRAL, credential)
    assert result.verdict is Verdict.VALID
    assert set(result.models) == set(fake_provider.models("openai"))


def test_its_models_are_found_and_routed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = frozenset(listed_models(MISTRAL, MODELS))
    for model, native in {
        "mistralai/codestral-latest": "codestral-latest",
        "mistral/codestral-latest": "codestral-latest",
        "mistralai/mistral-large": "mistral-large",
        "mistralai/mistral-large-2512": "mistral-large-2512",
    }.items():
        assert catalog.match(MISTRAL, model, discovered=found, deployments=()) == catalog.Match(native)
    assert catalog.match(MISTRAL, "openai/gpt-4o", discovered=found, deployments=()) is None
    listed = catalog.slugs(MISTRAL, discovered=found, deployments=())
    assert listed == ["mistralai/codestral-latest", "mistralai/mistral-large-2512"]
    monkeypatch.setitem(PROVIDERS, "mistral", MISTRAL)
    key = RouteKey(UUID(int=1), "mistral", "Production", 1, "prioritized", True, True, found, ())
    (candidate,) = plan([key], "mistralai/mistral-large-2512").candidates
    assert (candidate.native_model, candidate.certain) == ("mistral-large-2512", True)
