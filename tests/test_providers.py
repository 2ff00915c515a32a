"""The table of providers: addresses and headers of requests, what failures mean, and what test calls say."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.providers import PROVIDERS, Credential, Shape, Wire, azure, regions
from keys.providers.errors import ErrorClass, classify, moves_on, retry_after
from keys.providers.requests import Unsupported, outbound
from keys.providers.verdicts import listed_models, verdict

SIMPLE = Credential({"api_key": "k3y"}, {}, "…")
BEDROCK = Credential({"api_key": "ABSKx"}, {"region": "eu-west-1"}, "ABSK…")
CLIENT, REFUSED, OUT_OF_MONEY, LIMITED, NO_PERMISSION, MISCONFIGURED, TROUBLE = ErrorClass


def test_the_thirteen_providers_are_in_the_briefs_order() -> None:
    labels = [row.label for row in PROVIDERS.values()]
    assert labels == [
        *("Anthropic", "AWS Bedrock", "Azure", "DeepInfra", "Fal.AI", "Google AI Studio", "Google Vertex AI"),
        *("Grok", "Groq", "OpenAI", "Perplexity", "Pollo.AI", "Baseten"),
    ]


def test_every_row_is_whole() -> None:
    assert len({row.mark for row in PROVIDERS.values()}) == 13
    for slug, row in PROVIDERS.items():
        assert slug == row.slug
        assert row.needs
        assert row.where.endswith(".")
        assert all(url.startswith("https://") and not url.endswith("/") for url in row.services.values())
        assert "" in row.services or row.shape is Shape.AZURE
        assert row.test is None or row.test.service in row.services or row.shape is Shape.AZURE


def test_every_provider_on_openais_wire_can_be_tested_and_asked_for_its_models() -> None:
    rows = [row for row in PROVIDERS.values() if row.wire is Wire.OPENAI]
    assert [row.slug for row in rows] == ["azure", "deepinfra", "xai", "groq", "openai", "baseten"]
    assert all(row.test and (row.test.lists_models or row.test.models_path) for row in rows)


# Requests


@pytest.mark.parametrize(
    ("slug", "url", "headers"),
    [
        ("anthropic", "https://api.anthropic.com/x/y", {"x-api-key": "k3y", "anthropic-version": "2023-06-01"}),
        ("deepinfra", "https://api.deepinfra.com/v1/openai/x/y", {"authorization": "Bearer k3y"}),
        ("fal", "https://fal.run/x/y", {"authorization": "Key k3y"}),
        ("aistudio", "https://generativelanguage.googleapis.com/x/y", {"x-goog-api-key": "k3y"}),
        ("xai", "https://api.x.ai/v1/x/y", {"authorization": "Bearer k3y"}),
        ("groq", "https://api.groq.com/openai/v1/x/y", {"authorization": "Bearer k3y"}),
        ("openai", "https://api.openai.com/v1/x/y", {"authorization": "Bearer k3y"}),
        ("perplexity", "https://api.perplexity.ai/x/y", {"authorization": "Bearer k3y"}),
        ("pollo", "https://pollo.ai/api/platform/x/y", {"x-api-key": "k3y"}),
        ("baseten", "https://inference.baseten.co/v1/x/y", {"authorization": "Bearer k3y"}),
    ],
)
def test_a_request_goes_to_the_provider_with_its_own_kind_of_header(slug: str, url: str, headers: dict[str, str]) -> None:
    request = outbound(PROVIDERS[slug], SIMPLE, path="x/y", overrides={}, native_model="m")
    assert (request.method, request.url, dict(request.headers)) == ("POST", url, headers)
    assert (request.native_model, request.operator) == ("m", False)
    assert "k3y" not in repr(request)


def test_openai_is_told_the_organization_and_project_to_bill() -> None:
    credential = Credential({"api_key": "k3y"}, {"organization": "org-1", "project": "proj_2"}, "…")
    headers = outbound(PROVIDERS["openai"], credential, path="models", overrides={}).headers
    assert headers == {"authorization": "Bearer k3y", "openai-organization": "org-1", "openai-project": "proj_2"}


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("eu-west-1", "bedrock-runtime.eu-west-1.amazonaws.com"),
        ("us-gov-west-1", "bedrock-runtime.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "bedrock-runtime.cn-north-1.amazonaws.com.cn"),
        ("eusc-de-east-1", "bedrock-runtime.eusc-de-east-1.amazonaws.eu"),
    ],
)
def test_a_bedrock_api_key_travels_to_its_region(region: str, host: str) -> None:
    credential = Credential({"api_key": "ABSKx"}, {"region": region}, "…")
    request = outbound(PROVIDERS["bedrock"], credential, path="model/x/converse", overrides={})
    assert request.url == f"https://{host}/model/x/converse"
    assert request.headers == {"authorization": "Bearer ABSKx"}
    assert (
        outbound(PROVIDERS["bedrock"], BEDROCK, path="x", overrides={}, service="control").url
        == "https://bedrock.eu-west-1.amazonaws.com/x"
    )


@pytest.mark.parametrize(
    ("slug", "credential"),
    [
        ("bedrock", Credential({"secret_access_key": "s"}, {"region": "us-east-1", "access_key_id": "AKIA"}, "…")),
        ("vertex", Credential({"private_key": "p", "private_key_id": "i"}, {"location": "global"}, "…")),
    ],
)
def test_what_must_be_signed_is_refused_in_plain_words(slug: str, credential: Credential) -> None:
    with pytest.raises(Unsupported, match="not served yet"):
        outbound(PROVIDERS[slug], credential, path="x", overrides={})


def test_the_operator_replaces_a_base_url_by_slug_or_by_service() -> None:
    overrides = {"deepinfra": "http://127.0.0.1:1/chat/", "deepinfra:account": "http://127.0.0.1:2"}
    row = PROVIDERS["deepinfra"]
    chat = outbound(row, SIMPLE, path="/chat/completions", overrides=overrides)
    account = outbound(row, SIMPLE, path="v1/me", overrides=overrides, method="GET", service="account")
    assert (chat.url, chat.operator) == ("http://127.0.0.1:1/chat/chat/completions", True)
    assert (account.url, account.operator, account.method) == ("http://127.0.0.1:2/v1/me", True, "GET")
    assert not outbound(row, SIMPLE, path="v1/me", overrides={"deepinfra": "http://x"}, service="account").operator


# Azure's addresses

RESOURCE = "https://r.openai.azure.com"
V1 = f"{RESOURCE}/openai/v1/chat/completions"
CLASSIC = f"{RESOURCE}/openai/deployments/dep-1/chat/completions?api-version=2024-10-21"


@pytest.mark.parametrize(
    ("endpoint", "url", "model"),
    [
        ("", V1, "prod-4o"),
        ("/", V1, "prod-4o"),
        ("/openai", V1, "prod-4o"),
        ("/openai/", V1, "prod-4o"),
        ("/openai/v1", V1, "prod-4o"),
        ("/openai/v1/", V1, "prod-4o"),
        ("/openai/v1/chat/completions", V1, "prod-4o"),
        ("/openai/v1/chat/completions?api-version=preview", V1, "prod-4o"),
        ("/openai/v1/responses", V1, "prod-4o"),
        ("/openai?api-version=2024-10-21", V1, "prod-4o"),
        ("/models/chat/completions?api-version=2024-05-01-preview", V1, "prod-4o"),
        ("/api/projects/demo", V1, "prod-4o"),
        ("/openai/deployments/dep-1", V1, "dep-1"),
        ("/openai/deployments/dep-1/", V1, "dep-1"),
        ("/openai/deployments/dep-1/chat/completions", V1, "dep-1"),
        ("/openai/deployments/dep-1?api-version=2024-10-21", CLASSIC, "dep-1"),
        ("/openai/deployments/dep-1/chat/completions?api-version=2024-10-21", CLASSIC, "dep-1"),
        (
            "/openai/deployments/gpt.4_o/embeddings?api-version=2025-04-01-preview",
            f"{RESOURCE}/openai/deployments/gpt.4_o/chat/completions?api-version=2025-04-01-preview",
            "gpt.4_o",
        ),
    ],
)
def test_every_form_of_an_azure_address_is_understood(endpoint: str, url: str, model: str) -> None:
    entry = {"model_slug": "openai/gpt-4o", "endpoint_url": RESOURCE + endpoint, "model_id": "prod-4o"}
    credential = Credential({"api_keys": ["k3y"]}, {"deployments": [entry]}, "1 deployment")
    request = outbound(PROVIDERS["azure"], credential, path="chat/completions", overrides={}, deployment=0)
    assert (request.url, request.native_model) == (url, model)
    assert request.headers == {"api-key": "k3y"}
    replaced = outbound(PROVIDERS["azure"], credential, path="chat/completions", overrides={"azure": "http://127.0.0.1:1"})
    assert (replaced.url, replaced.operator) == (url.replace(RESOURCE, "http://127.0.0.1:1"), True)


def test_each_azure_deployment_has_its_own_key_and_address() -> None:
    entries = [
        {"model_slug": f"openai/m{n}", "endpoint_url": f"https://r{n}.openai.azure.com", "model_id": f"d{n}"} for n in (0, 1)
    ]
    credential = Credential({"api_keys": ["k0", "k1"]}, {"deployments": entries}, "2 deployments")
    request = outbound(PROVIDERS["azure"], credential, path="models", overrides={}, method="GET", deployment=1)
    assert (request.url, request.headers["api-key"], request.native_model) == (
        "https://r1.openai.azure.com/openai/v1/models",
        "k1",
        "d1",
    )


def test_models_are_listed_on_the_surface_that_the_address_names() -> None:
    endpoint = azure.read(CLASSIC)
    assert endpoint.url("models") == f"{RESOURCE}/openai/models?api-version=2024-10-21"


@pytest.mark.parametrize(
    "rest",
    [
        "/admin",
        "/openai/deployments/",
        "/openai/deployments/a/b/c",
        "/openai/v2",
        "/openai/../x",
        "/?x=1",
        "/openai/deployments/d?api-version=1",
    ],
)
def test_another_path_on_azure_is_refused(rest: str) -> None:
    with pytest.raises(ValueError, match=r"Azure does not use|nothing but api-version"):
        azure.read(RESOURCE + rest)


def test_the_nearest_region_is_meant() -> None:
    assert regions.nearest("us-east-9") == "us-east-1"
    assert regions.nearest("EU-CENTRAL-9") == "eu-central-1"


# What failures mean


def body(message: str = "", code: str = "", type_: str = "") -> bytes:
    return json.dumps({"error": {"message": message, "type": type_, "param": None, "code": code}}).encode()


def xai(message: str, code: str = "") -> bytes:
    return json.dumps({"code": code, "error": message}).encode()


@pytest.mark.parametrize("slug", PROVIDERS)
@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (None, TROUBLE),
        (200, TROUBLE),  # with a body that is no answer
        (302, TROUBLE),
        (400, CLIENT),
        (401, REFUSED),
        (402, OUT_OF_MONEY),
        (403, NO_PERMISSION),
        (404, CLIENT),
        (408, TROUBLE),
        (409, CLIENT),
        (413, CLIENT),
        (422, CLIENT),
        (424, TROUBLE),
        (429, LIMITED),
        (498, LIMITED),
        (500, TROUBLE),
        (502, TROUBLE),
        (503, TROUBLE),
        (504, TROUBLE),
        (529, LIMITED),
    ],
)
def test_a_status_that_says_nothing_else_means_what_it_says(slug: str, status: int | None, meaning: ErrorClass) -> None:
    for said in (b"", b"{}", b"<html>busy</html>", b"[[[[[[", b"\xff\xfe", b'{"error": null}'):
        assert classify(PROVIDERS[slug], status, {}, said) is meaning


@pytest.mark.parametrize(
    ("slug", "status", "said", "meaning"),
    [
        ("openai", 401, body("Incorrect API key provided: sk-a***x", "invalid_api_key"), REFUSED),
        ("openai", 429, body("You exceeded your current quota", "insufficient_quota", "insufficient_quota"), OUT_OF_MONEY),
        ("openai", 429, body("", "credit_balance_exhausted", "insufficient_quota"), OUT_OF_MONEY),
        ("openai", 429, body("", "organization_spend_limit_exceeded"), OUT_OF_MONEY),
        ("openai", 429, body("", "project_spend_limit_exceeded"), OUT_OF_MONEY),
        ("openai", 429, body("", "organization_usage_limit_exceeded"), OUT_OF_MONEY),
        ("openai", 429, body("Rate limit reached", "rate_limit_exceeded", "tokens"), LIMITED),
        ("openai", 429, body("", "slow_down"), LIMITED),
        ("openai", 503, body("", "server_is_overloaded"), TROUBLE),
        ("openai", 403, body("Country not supported", "unsupported_country_region_territory"), NO_PERMISSION),
        ("openai", 400, body("This model's maximum context length is 8192 tokens", "context_length_exceeded"), CLIENT),
        ("openai", 404, body("The model does not exist", "model_not_found"), CLIENT),
        ("openai", 400, body("Invalid value: 'insufficient_quota'", "invalid_value"), CLIENT),  # the caller's own words
        ("openai", 400, body("Invalid value: 'x\ninsufficient_quota\ny'", "invalid_value"), CLIENT),
        ("azure", 401, body("Access denied due to invalid subscription key or wrong API endpoint.", "401"), REFUSED),
        ("azure", 401, body("Principal does not have access to API/Operation.", "PermissionDenied"), NO_PERMISSION),
        (
            "azure",
            403,
            body("Key based authentication is disabled for this resource", "AuthenticationTypeDisabled"),
            NO_PERMISSION,
        ),
        ("azure", 404, body("The API deployment for this resource does not exist.", "DeploymentNotFound"), MISCONFIGURED),
        ("azure", 404, body("Resource not found", "404"), MISCONFIGURED),
        ("azure", 400, body("The chatCompletion operation does not work with the model", "OperationNotSupported"), MISCONFIGURED),
        ("azure", 400, body("The response was filtered", "content_filter"), CLIENT),
        ("azure", 429, body("Requests have exceeded the call rate limit", "429"), LIMITED),
        ("xai", 400, xai("Incorrect API key provided: xa***yz. You can obtain one from the console."), REFUSED),
        ("xai", 400, xai("Invalid request content: missing field messages"), CLIENT),
        (
            "xai",
            403,
            xai("Your newly created team doesn't have any credits or licenses yet.", "The caller does not have permission"),
            OUT_OF_MONEY,
        ),
        ("xai", 403, xai("The API key is blocked", "The caller does not have permission"), REFUSED),
        ("xai", 403, xai("Content violates usage guidelines.", "The caller does not have permission"), CLIENT),
        ("xai", 403, xai("You may not use this model", "The caller does not have permission"), NO_PERMISSION),
        ("groq", 401, body("Invalid API Key", "invalid_api_key", "invalid_request_error"), REFUSED),
        ("groq", 498, body("Capacity exceeded", "capacity_exceeded"), LIMITED),
        ("groq", 400, body("Organization has been restricted.", "organization_restricted"), NO_PERMISSION),
        ("groq", 400, body("Failed to call a function.", "tool_use_failed"), CLIENT),
        ("deepinfra", 403, b'{"detail": {"error": "Your balance is too low, please add funds"}}', OUT_OF_MONEY),
        ("deepinfra", 403, b'{"detail": "Not authenticated"}', REFUSED),
        ("deepinfra", 422, b'{"detail": [{"loc": ["body", "messages"], "msg": "field required"}]}', CLIENT),
        ("baseten", 403, b'{"error": "Invalid API key"}', REFUSED),
        ("baseten", 429, b'{"error": "Budget of this team is used up"}', OUT_OF_MONEY),
        ("baseten", 404, b'{"error": "model not found"}', CLIENT),
        (
            "anthropic",
            400,
            b'{"type": "error", "error": {"type": "x", "message": "Your credit balance is too low"}}',
            OUT_OF_MONEY,
        ),
        ("aistudio", 400, b'[{"error": {"status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}}]', REFUSED),
        ("perplexity", 403, body("", "", "chat_completions_not_available"), MISCONFIGURED),
        ("fal", 403, b'{"detail": "User is locked. Reason: Exhausted balance."}', OUT_OF_MONEY),
    ],
)
def test_what_a_provider_says_wins_over_its_status(slug: str, status: int, said: bytes, meaning: ErrorClass) -> None:
    assert classify(PROVIDERS[slug], status, {}, said) is meaning


def test_bedrock_says_it_in_a_header() -> None:
    headers = {"x-amzn-errortype": "UnrecognizedClientException:http://internal.amazon.com/"}
    assert classify(PROVIDERS["bedrock"], 403, headers, b'{"message": "denied"}') is REFUSED
    assert classify(PROVIDERS["bedrock"], 403, {"x-amzn-errortype": "AccessDeniedException"}, b"{}") is NO_PERMISSION


def test_an_unknown_model_is_the_callers_fault_only_when_the_key_was_known_to_have_it() -> None:
    said = body("The model does not exist", "model_not_found")
    assert classify(PROVIDERS["groq"], 404, {}, said) is CLIENT
    assert classify(PROVIDERS["groq"], 404, {}, said, certain=False) is MISCONFIGURED


def test_only_the_callers_own_fault_ends_the_walk() -> None:
    assert [meaning for meaning in ErrorClass if not moves_on(meaning)] == [CLIENT]


JSON = st.recursive(
    st.none() | st.text() | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["error", "code", "x"]), inner),
)


@given(
    st.sampled_from(sorted(PROVIDERS)),
    st.none() | st.integers(100, 599),
    st.binary() | JSON.map(lambda value: json.dumps(value).encode()),
)
def test_no_answer_is_too_strange_to_classify(slug: str, status: int | None, said: bytes) -> None:
    assert classify(PROVIDERS[slug], status, {}, said) in ErrorClass
    assert verdict(PROVIDERS[slug], status, said)[0] in {"valid", "invalid", "limited", "unknown"}
    assert isinstance(listed_models(PROVIDERS[slug], said), tuple)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "7", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Mon, 23 Nov 2026 10:00:30 GMT", "date": "Mon, 23 Nov 2026 10:00:00 GMT"}, 30),
        ({"retry-after": "Mon, 23 Nov 2026 09:00:00 GMT", "date": "Mon, 23 Nov 2026 10:00:00 GMT"}, 0),
        ({"retry-after": "Mon, 23 Nov 2026 10:00:30 GMT"}, None),  # nothing to measure it by
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360),
        ({"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "6m0s"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "88ms"}, 0.088),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1h2m3.5s"}, 3723.5),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "later"}, None),
    ],
)
def test_the_time_to_wait_is_read_from_every_kind_of_header(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == (seconds if seconds is None else pytest.approx(seconds))


@given(st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "date"]), st.text()))
def test_a_strange_time_to_wait_is_none_or_a_number(headers: dict[str, str]) -> None:
    seconds = retry_after(headers)
    assert seconds is None or 0 <= seconds < float("inf")


# Test calls

MODELS = b'{"object": "list", "data": [{"id": "gpt-4o"}, {"id": "o3"}, {"id": 7}, {}, null, {"id": ""}]}'
HEALTHY: dict[str, Any] = {"name": "k", "api_key_blocked": False, "api_key_disabled": False, "team_blocked": False}


@pytest.mark.parametrize(
    ("slug", "status", "said", "result", "words"),
    [
        ("openai", 200, MODELS, "valid", "OpenAI accepted the key."),
        (
            "openai",
            401,
            body("", "invalid_api_key"),
            "invalid",
            "OpenAI refused this key (401). Check that you copied all of it, then paste it again.",
        ),
        (
            "openai",
            403,
            body("You have insufficient permissions. Missing scopes: api.model.read"),
            "limited",
            "does not allow it to make this test (403)",
        ),
        ("openai", 429, body("", "rate_limit_exceeded"), "limited", "OpenAI accepted the key and is limiting it now (429)."),
        ("openai", 429, body("", "insufficient_quota"), "limited", "no credit left (429)"),
        ("openai", 402, b"", "limited", "no credit left (402)"),
        ("openai", 500, b"", "unknown", "OpenAI has trouble of its own (500)"),
        ("openai", 418, b"", "unknown", "did not understand the test (418)"),
        ("openai", None, b"", "unknown", "OpenAI did not answer"),
        ("openai", 200, b"<html>hello</html>", "unknown", "Something answered, but not as OpenAI does."),
        ("openai", 200, b'{"hello": "world"}', "unknown", "Something answered, but not as OpenAI does."),
        ("openai", 302, b"", "unknown", "Something answered, but not as OpenAI does."),
        ("azure", 200, MODELS, "valid", "Azure accepted the key."),
        ("azure", 200, b"<html>Sign in</html>", "unknown", "Something answered, but not as Azure does."),
        ("azure", 401, b"", "invalid", "Azure refused this key (401). Check that it belongs to the resource"),
        ("azure", 403, b"", "limited", "Key access may be off, or a firewall closed."),
        ("azure", 404, b"", "unknown", "Check `endpoint_url`."),
        ("xai", 200, json.dumps(HEALTHY).encode(), "valid", "Grok accepted the key."),
        ("xai", 200, json.dumps(HEALTHY | {"api_key_blocked": True}).encode(), "invalid", "blocked or disabled"),
        ("xai", 200, json.dumps(HEALTHY | {"api_key_disabled": True}).encode(), "invalid", "blocked or disabled"),
        ("xai", 200, json.dumps(HEALTHY | {"team_blocked": True}).encode(), "limited", "has blocked its team"),
        ("xai", 200, b"[]", "unknown", "not as Grok does"),
        ("xai", 400, xai("Incorrect API key provided: xa***"), "invalid", "Grok refused this key (400)."),
        ("xai", 403, xai("doesn't have any credits or licenses yet"), "limited", "no credit left (403)"),
        ("deepinfra", 200, b'{"uid": "u", "checklist": {"suspended": false}}', "valid", "DeepInfra accepted the key."),
        ("deepinfra", 200, b'{"uid": "u", "checklist": {"suspended": true}}', "limited", "has suspended its account"),
        ("baseten", 200, b'{"email": "alice@example.com"}', "valid", "Baseten accepted the key."),
        ("baseten", 403, b'{"error": "Invalid API key"}', "invalid", "Baseten refused this key (403)."),
        ("groq", 498, b"", "limited", "Groq accepted the key and is limiting it now (498)."),
    ],
)
def test_a_test_call_ends_in_a_verdict_with_its_reason(
    slug: str, status: int | None, said: bytes, result: str, words: str
) -> None:
    found, reason = verdict(PROVIDERS[slug], status, said)
    assert found == result
    assert words in reason


@pytest.mark.parametrize(
    ("slug", "said", "found"),
    [
        ("openai", MODELS, ("gpt-4o", "o3")),
        ("deepinfra", b'[{"id": "Qwen/Qwen3"}]', ("Qwen/Qwen3",)),
        ("aistudio", b'{"models": [{"name": "models/gemini-2.5-pro"}]}', ("gemini-2.5-pro",)),
        ("openai", b"<html>", ()),
        ("openai", b'{"data": {"id": "x"}}', ()),
        ("openai", json.dumps({"data": [{"id": "x" * 201}]}).encode(), ()),
    ],
)
def test_models_are_read_from_a_listing(slug: str, said: bytes, found: tuple[str, ...]) -> None:
    assert listed_models(PROVIDERS[slug], said) == found


def test_a_listing_without_end_is_cut() -> None:
    rows = [{"id": f"m{number}"} for number in range(5000)]
    assert len(listed_models(PROVIDERS["openai"], json.dumps({"data": rows}).encode())) == 2000
