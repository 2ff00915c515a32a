"""Testing a key: one of four verdicts, in words that name the provider and never the key."""

import asyncio
import socket
import time
from typing import Any

import pytest

from keys import testing
from keys.addresses import AllowList
from keys.egress import Patience
from keys.providers import PROVIDERS, Credential
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


def outcome(fake: FakeProvider, provider: str, behavior: str) -> TestResult:
    return testing.test_credential(PROVIDERS[provider], credential(provider, fake.key(provider, behavior)))


def hurried(given: Credential, allow: list[str], provider: str = "azure", **overrides: str) -> TestResult:
    examination = testing.examine(PROVIDERS[provider], given, allow=AllowList.parse(allow), overrides=overrides, patience=HURRY)
    return asyncio.run(examination)


@pytest.mark.parametrize("provider", STAGES)
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
    assert (result.verdict, result.status) == (verdict, status)
    assert PROVIDERS[provider].label in result.reason
    assert all(request.method == "GET" for request in fake_provider.requests)


@pytest.mark.parametrize("provider", STAGES)
def test_a_valid_key_tells_which_models_it_may_use(fake_provider: FakeProvider, provider: str) -> None:
    found = outcome(fake_provider, provider, "valid").models
    if provider != "azure":  # which lists what could be deployed, not what is
        assert set(found) == set(STAGES[provider].models)


def test_xai_says_in_other_ways_that_a_key_does_not_work(fake_provider: FakeProvider) -> None:
    assert outcome(fake_provider, "xai", "incorrect").verdict is INVALID
    assert outcome(fake_provider, "xai", "suspended").verdict is not VALID


def test_a_suspended_deepinfra_account_is_not_valid(fake_provider: FakeProvider) -> None:
    assert outcome(fake_provider, "deepinfra", "suspended").verdict is not VALID


@pytest.mark.parametrize("behavior", ["payment", "forbidden", "exhausted"])
def test_a_real_key_that_may_not_work_now_is_not_called_invalid(fake_provider: FakeProvider, behavior: str) -> None:
    assert outcome(fake_provider, "openai", behavior).verdict is LIMITED


@pytest.mark.parametrize("provider", STAGES)
def test_a_provider_that_repeats_the_key_does_not_make_us_repeat_it(fake_provider: FakeProvider, provider: str) -> None:
    result = outcome(fake_provider, provider, "echoes")
    assert fake_provider.key(provider, "echoes") not in repr(result)


def test_a_provider_that_does_not_answer_is_not_held_against_the_key(fake_provider: FakeProvider) -> None:
    given = credential("groq", fake_provider.key("groq", "stalls"))
    result = hurried(given, [], "groq", groq=fake_provider.overrides()["groq"])
    assert (result.verdict, result.status) == (UNKNOWN, None)
    assert "did not answer in" in result.reason
    assert result.latency_ms >= 400


def test_a_provider_without_a_test_yet_says_so(fake_provider: FakeProvider) -> None:
    result = testing.test_credential(PROVIDERS["fal"], credential("fal", "0123:4567"))
    assert result.verdict is UNKNOWN
    assert "Fal.AI" in result.reason
    assert not fake_provider.requests


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
