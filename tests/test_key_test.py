"""Testing a key: one of four verdicts, in words that name the provider and never the key."""

import asyncio
import socket
import time
from dataclasses import replace
from typing import Any

import pytest

from keys import testing
from keys.addresses import AllowList
from keys.egress import Patience
from keys.providers import PROVIDERS, Credential, TestCall
from keys.testing import TestResult, Verdict
from tests.fake import FakeProvider
from tests.fake.stages import STAGES

VALID, INVALID, LIMITED, UNKNOWN = Verdict.VALID, Verdict.INVALID, Verdict.LIMITED, Verdict.UNKNOWN
HURRY = Patience(connect=0.2, first_byte=0.5, idle=0.5, total=0.5)


@pytest.fixture(autouse=True)
def towards_the_fake(fake_provider: FakeProvider, settings: Any) -> None:
    settings.UPSTREAM_OVERRIDES = fake_provider.overrides()
    settings.EGRESS_ALLOW = []


def credential(provider: str, *keys: str, endpoint: str = "https://acme.openai.azure.com") -> Credential:
    """For Azure one deployment for each key, all at the endpoint, which may hold its number."""
    if provider != "azure":
        return Credential({"api_key": keys[0]}, {}, "hint")
    slugs = [f"openai/{model}" for model in STAGES["azure"].models]
    deployments = [
        {"model_slug": slug, "endpoint_url": endpoint, "model_id": slug.removeprefix("openai/")}
        for slug, _ in zip(slugs, keys, strict=False)
    ]
    return Credential({"api_keys": list(keys)}, {"deployments": deployments}, "hint")


def outcome(fake: FakeProvider, provider: str, behavior: str, kind: str = "") -> TestResult:
    return testing.test_credential(PROVIDERS[provider], fake.credential(provider, behavior, kind=kind))


def hurried(given: Credential, allow: list[str], provider: str = "azure", **overrides: str) -> TestResult:
    examination = testing.examine(PROVIDERS[provider], given, allow=AllowList.parse(allow), overrides=overrides, patience=HURRY)
    return asyncio.run(examination)


STATUSES = {("bedrock", "refused"): 403, ("vertex", "refused"): 400, ("vertex", "html"): None}  # where they differ


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("behavior", "verdict", "status"),
    [
        ("valid", VALID, 200),
        ("refused", INVALID, 401),
        ("limited", LIMITED, 429),
        ("broken", UNKNOWN, 500),
        ("html", UNKNOWN, 200),
        ("redirects", UNKNOWN, 302),
        ("cuts", UNKNOWN, None),
    ],
)
def test_a_test_ends_in_one_of_four_verdicts(
    fake_provider: FakeProvider, provider: str, behavior: str, verdict: Verdict, status: int | None
) -> None:
    result = outcome(fake_provider, provider, behavior)
    if (provider, behavior) == ("fal", "limited"):  # which limits how much runs at once, not what is asked
        verdict, status = VALID, 200
    assert (result.verdict, result.status) == (verdict, STATUSES.get((provider, behavior), status))
    assert PROVIDERS[provider].label in result.reason
    assert all(request.method == "GET" or request.path in POSTED for request in fake_provider.requests)
    assert not fake_provider.violations


POSTED = ("/bedrock-sts/", "/vertex-token/token")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_valid_key_tells_which_models_it_may_use(fake_provider: FakeProvider, provider: str) -> None:
    found = outcome(fake_provider, provider, "valid").models
    if provider not in ("azure", "fal", "pollo"):  # which list what could be deployed, and nothing
        assert set(found) == set(fake_provider.models(provider))


@pytest.mark.parametrize(
    ("provider", "kind", "behavior", "verdict", "status", "words"),
    [
        ("anthropic", "", "forbidden", LIMITED, 403, "does not allow it to make this test"),
        ("anthropic", "", "exhausted", LIMITED, 400, "no credit left"),
        ("anthropic", "", "overloaded", LIMITED, 529, "is limiting it now"),
        ("bedrock", "", "incorrect", INVALID, 403, "refused this key"),
        ("bedrock", "", "unlisted", LIMITED, 403, "allow it bedrock:ListFoundationModels"),
        ("bedrock", "session", "valid", VALID, 200, "accepted"),
        ("bedrock", "session", "expired", INVALID, 403, "have expired"),
        ("bedrock", "api_key", "valid", VALID, 200, "accepted"),
        ("bedrock", "api_key", "refused", INVALID, 403, "refused this key"),
        ("bedrock", "api_key", "unlisted", LIMITED, 403, "allow it bedrock:ListFoundationModels"),
        ("aistudio", "", "incorrect", INVALID, 400, "refused this key"),
        ("aistudio", "", "expired", INVALID, 400, "has expired"),
        ("aistudio", "", "suspended", LIMITED, 403, "does not allow it to make this test"),
        ("vertex", "", "forbidden", LIMITED, 403, "Give it the role Vertex AI User"),
        ("vertex", "", "payment", LIMITED, 403, "no credit left"),
        ("perplexity", "", "exhausted", LIMITED, 401, "no credit left"),
        ("fal", "", "payment", VALID, 200, "accepted"),  # only an ADMIN key may ask for the balance
        ("pollo", "", "wrapped", VALID, 200, "accepted"),
        ("pollo", "", "payment", LIMITED, 403, "no credit left"),
        ("pollo", "", "exhausted", LIMITED, 400, "no credit left"),
    ],
)
def test_each_provider_says_it_in_its_own_way(
    fake_provider: FakeProvider, provider: str, kind: str, behavior: str, verdict: Verdict, status: int, words: str
) -> None:
    result = outcome(fake_provider, provider, behavior, kind)
    assert (result.verdict, result.status) == (verdict, status)
    assert words in result.reason


def test_access_keys_are_asked_who_they_are_and_then_for_their_models(fake_provider: FakeProvider) -> None:
    outcome(fake_provider, "bedrock", "valid")
    asked = ["/bedrock-sts/", "/bedrock-control/foundation-models", "/bedrock-control/inference-profiles"]
    assert [request.path for request in fake_provider.requests] == asked


def test_a_bedrock_api_key_cannot_be_asked_who_it_is(fake_provider: FakeProvider) -> None:
    outcome(fake_provider, "bedrock", "valid", "api_key")
    asked = ["/bedrock-control/foundation-models", "/bedrock-control/inference-profiles"]
    assert [request.path for request in fake_provider.requests] == asked


def test_a_stranger_is_refused_where_the_answer_alone_would_prove_nothing(fake_provider: FakeProvider) -> None:
    assert outcome(fake_provider, "perplexity", "valid").verdict is VALID
    given, stranger = (request.headers["authorization"] for request in fake_provider.requests)
    assert stranger.startswith("Bearer pplx-")
    assert given != stranger


def test_a_provider_that_answers_strangers_proves_nothing(fake_provider: FakeProvider) -> None:
    row = replace(PROVIDERS["deepinfra"], test=TestCall("models", control=True, lists_models=True))
    result = testing.test_credential(row, fake_provider.credential("deepinfra"))
    assert (result.verdict, result.models) == (UNKNOWN, ())
    assert "DeepInfra did not refuse an invented key" in result.reason


def test_a_wrong_clock_is_not_held_against_the_key(fake_provider: FakeProvider) -> None:
    fake_provider.set_clock(lambda: time.time() + 3600 * 4)
    for provider in ("bedrock", "vertex"):
        result = outcome(fake_provider, provider, "valid")
        assert result.verdict is UNKNOWN
        assert "Set the clock of this server." in result.reason


def test_a_token_endpoint_that_answers_nonsense_is_not_held_against_the_key(fake_provider: FakeProvider, settings: Any) -> None:
    settings.UPSTREAM_OVERRIDES |= {"vertex:token": f"{fake_provider.url}/openai/v1/models?"}
    result = outcome(fake_provider, "vertex", "valid")
    assert result.verdict is UNKNOWN


def test_xai_says_in_other_ways_that_a_key_does_not_work(fake_provider: FakeProvider) -> None:
    assert outcome(fake_provider, "xai", "incorrect").verdict is INVALID
    assert outcome(fake_provider, "xai", "suspended").verdict is not VALID


def test_a_suspended_deepinfra_account_is_not_valid(fake_provider: FakeProvider) -> None:
    assert outcome(fake_provider, "deepinfra", "suspended").verdict is not VALID


@pytest.mark.parametrize("behavior", ["payment", "forbidden", "exhausted"])
def test_a_real_key_that_may_not_work_now_is_not_called_invalid(fake_provider: FakeProvider, behavior: str) -> None:
    assert outcome(fake_provider, "openai", behavior).verdict is LIMITED


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_provider_that_repeats_the_key_does_not_make_us_repeat_it(fake_provider: FakeProvider, provider: str) -> None:
    result = outcome(fake_provider, provider, "echoes")
    assert fake_provider.key(provider, "echoes") not in repr(result)


def test_a_provider_that_does_not_answer_is_not_held_against_the_key(fake_provider: FakeProvider) -> None:
    given = credential("groq", fake_provider.key("groq", "stalls"))
    result = hurried(given, [], "groq", groq=fake_provider.overrides()["groq"])
    assert (result.verdict, result.status) == (UNKNOWN, None)
    assert "did not answer in" in result.reason
    assert result.latency_ms >= 400


def test_azure_asks_each_resource_and_key_once(fake_provider: FakeProvider) -> None:
    first, second = fake_provider.key("azure"), fake_provider.key("azure", number=2)
    result = testing.test_credential(PROVIDERS["azure"], credential("azure", first, first, second))
    assert result.verdict is VALID
    assert sorted(request.headers["api-key"] for request in fake_provider.requests) == [first, second]


def test_the_worst_deployment_of_azure_counts_and_is_named(fake_provider: FakeProvider) -> None:
    keys = [fake_provider.key("azure", behavior) for behavior in ("valid", "refused", "limited")]
    result = testing.test_credential(PROVIDERS["azure"], credential("azure", *keys))
    assert result.verdict is INVALID
    assert f"openai/{STAGES['azure'].models[1]}" in result.reason


def test_an_endpoint_tells_nothing_about_the_network_behind_it(fake_provider: FakeProvider) -> None:
    with socket.socket() as closed, socket.create_server(("127.0.0.1", 0)) as not_tls:
        closed.bind(("127.0.0.1", 0))
        results = [
            timed_failure(f"https://127.0.0.1:{closed.getsockname()[1]}", ["127.0.0.1"]),
            timed_failure(f"https://127.0.0.1:{not_tls.getsockname()[1]}", ["127.0.0.1"]),
            timed_failure("https://10.0.0.1", []),
            timed_failure("https://nowhere.openai.azure.com", []),
        ]
    assert len({result.reason for result, _ in results}) == 1
    assert {result.verdict for result, _ in results} == {UNKNOWN}
    assert all(seconds >= HURRY.connect for _, seconds in results)


def timed_failure(endpoint: str, allow: list[str]) -> tuple[TestResult, float]:
    started = time.monotonic()
    result = hurried(credential("azure", "0123456789abcdef", endpoint=endpoint), allow)
    return result, time.monotonic() - started


def test_a_custom_endpoint_works_where_the_operator_allows_it(fake_provider: FakeProvider) -> None:
    given = credential("azure", fake_provider.key("azure"), endpoint=fake_provider.azure_url)
    assert hurried(given, ["127.0.0.1"]).verdict is VALID
    assert hurried(given, []).verdict is UNKNOWN
    assert len(fake_provider.requests) == 1
