"""What providers' failures mean for routing, and what the answers to test calls say of a key."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.providers import PROVIDERS
from keys.providers.errors import ErrorClass, classify, moves_on, retry_after
from keys.providers.verdicts import listed_models, verdict

CLIENT, REFUSED, OUT_OF_MONEY, LIMITED, NO_PERMISSION, MISCONFIGURED, TROUBLE = ErrorClass


# What failures mean


def body(message: str = "", code: str = "", type_: str = "") -> bytes:
    return json.dumps({"error": {"message": message, "type": type_, "param": None, "code": code}}).encode()


def anthropic(message: str, kind: str = "invalid_request_error", error_code: str = "") -> bytes:
    details = {"details": {"error_code": error_code}} if error_code else {}
    return json.dumps({"type": "error", "error": {"type": kind, "message": message, **details}, "request_id": "req_1"}).encode()


def google(message: str, status: str = "INVALID_ARGUMENT", reason: str = "") -> bytes:
    info = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}]
    error = {"code": 400, "message": message, "status": status}
    return json.dumps({"error": {**error, "details": info} if reason else error}).encode()


def aws(message: str) -> bytes:
    return json.dumps({"message": message}).encode()


def sts(code: str, message: str = "The security token included in the request is invalid.") -> bytes:
    return f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>".encode()


def pollo(message: str, code: str = "BAD_REQUEST") -> bytes:
    return json.dumps({"code": code, "message": message}).encode()


JWT = b'{"error": "invalid_grant", "error_description": "Invalid JWT Signature."}'
SLOW_CLOCK = b'{"error": "invalid_grant", "error_description": "Invalid JWT: Token must be in a reasonable timeframe."}'
NOT_ALLOWED = "User: arn:aws:iam::1:user/BedrockAPIKey-x is not authorized to perform: bedrock:ListFoundationModels"


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
        ("openai", 401, body("You must be a member", "mismatched_organization"), MISCONFIGURED),
        ("openai", 401, body("Your IP is not allowed", "ip_not_authorized"), NO_PERMISSION),
        ("anthropic", 400, anthropic("Your credit balance is too low to access the Anthropic API."), OUT_OF_MONEY),
        ("anthropic", 400, anthropic("You have reached your specified API usage limits."), OUT_OF_MONEY),
        ("anthropic", 400, anthropic("Limit.", error_code="enforced_spend_limit_reached"), OUT_OF_MONEY),
        ("anthropic", 400, anthropic("Limit.", error_code="contract_spend_limit_reached"), OUT_OF_MONEY),
        ("anthropic", 403, anthropic("Limit.", error_code="linked_organization_spend_limit_reached"), OUT_OF_MONEY),
        ("anthropic", 403, anthropic("Bill.", error_code="linked_organization_billing_unavailable"), OUT_OF_MONEY),
        ("anthropic", 403, anthropic("Hold.", "permission_error", "organization_on_hold"), NO_PERMISSION),
        ("anthropic", 429, anthropic("Ramp.", "rate_limit_error", "ramp_limit_exceeded"), LIMITED),
        ("anthropic", 402, anthropic("Bill.", "billing_error"), OUT_OF_MONEY),
        ("anthropic", 529, anthropic("Overloaded", "overloaded_error"), LIMITED),
        ("anthropic", 400, anthropic("messages.0: 'Your credit balance is too low' is no role"), CLIENT),
        ("aistudio", 400, google("API key not valid. Please pass a valid API key.", reason="API_KEY_INVALID"), REFUSED),
        ("aistudio", 400, google("API key expired. Please renew the API key."), REFUSED),
        ("aistudio", 400, b"[" + google("API key not valid.", reason="API_KEY_INVALID") + b"]", REFUSED),
        ("aistudio", 403, google("Your API key was reported as leaked. Please use another.", "PERMISSION_DENIED"), REFUSED),
        ("aistudio", 400, google("User location is not supported for the API use.", "FAILED_PRECONDITION"), NO_PERMISSION),
        ("aistudio", 400, google('Unknown name "foo": Cannot find field.'), CLIENT),
        ("aistudio", 402, google("Pay.", "RESOURCE_EXHAUSTED"), OUT_OF_MONEY),
        ("aistudio", 429, google("Your prepayment credits are depleted.", "RESOURCE_EXHAUSTED"), OUT_OF_MONEY),
        ("aistudio", 429, google("Quota exceeded.", "RESOURCE_EXHAUSTED"), LIMITED),
        ("vertex", 400, JWT, REFUSED),
        ("vertex", 400, SLOW_CLOCK, TROUBLE),
        ("vertex", 403, google("Off.", "PERMISSION_DENIED", "SERVICE_DISABLED"), NO_PERMISSION),
        ("vertex", 403, google("Bill.", "PERMISSION_DENIED", "BILLING_DISABLED"), OUT_OF_MONEY),
        ("vertex", 404, google("Publisher Model `projects/p/x` was not found or…", "NOT_FOUND"), MISCONFIGURED),
        ("vertex", 400, google("Project is not allowed to use this model.", "FAILED_PRECONDITION"), NO_PERMISSION),
        ("bedrock", 403, aws("The security token included in the request is invalid."), NO_PERMISSION),  # no type, no verdict
        ("bedrock", 403, aws("Authentication failed: Please make sure your API Key is valid."), REFUSED),
        ("bedrock", 403, aws("Invalid API Key format: Must start with pre-defined prefix"), REFUSED),
        ("bedrock", 403, aws(NOT_ALLOWED), NO_PERMISSION),
        ("bedrock", 403, aws("Model access is denied due to INVALID_PAYMENT_INSTRUMENT:A valid one…"), OUT_OF_MONEY),
        ("bedrock", 403, sts("InvalidClientTokenId"), REFUSED),
        ("bedrock", 403, sts("SignatureDoesNotMatch", "The request signature we calculated does not match"), REFUSED),
        ("bedrock", 403, sts("SignatureDoesNotMatch", "Signature expired: 20261123T1 is now earlier than 20261123T2"), TROUBLE),
        ("bedrock", 403, sts("ExpiredToken", "The security token included in the request is expired"), REFUSED),
        ("bedrock", 400, aws("The provided model identifier is invalid."), MISCONFIGURED),
        ("bedrock", 400, aws("Invocation of model ID x with on-demand throughput isn’t supported."), MISCONFIGURED),
        ("bedrock", 400, aws("The model 'amazon.nova' isn't supported on this route."), MISCONFIGURED),
        ("bedrock", 400, aws("The text field in the ContentBlock object is blank."), CLIENT),
        ("bedrock", 424, aws("The model returned an error."), TROUBLE),
        ("perplexity", 403, body("", "", "chat_completions_not_available"), MISCONFIGURED),
        ("perplexity", 401, body("", "", "insufficient_quota"), OUT_OF_MONEY),
        ("perplexity", 401, body("", "", "invalid_api_key"), REFUSED),
        ("fal", 403, b'{"detail": "User is locked. Reason: Exhausted balance."}', OUT_OF_MONEY),
        ("fal", 403, b'{"detail": "User is locked. Reason: Terms of service."}', NO_PERMISSION),
        ("fal", 401, b'{"detail": "No user found for Key ID and Secret"}', REFUSED),
        ("fal", 422, b'{"detail": [{"loc": ["body", "prompt"], "msg": "field required"}]}', CLIENT),
        ("pollo", 403, pollo("Not enough credits", "FORBIDDEN"), OUT_OF_MONEY),
        ("pollo", 400, pollo("Insufficient credits, please top up"), OUT_OF_MONEY),
        ("pollo", 403, pollo("Invalid API key", "FORBIDDEN"), REFUSED),
        ("pollo", 400, pollo("input.prompt: Required"), CLIENT),
        ("pollo", 404, pollo("Model not found", "NOT_FOUND"), CLIENT),
    ],
)
def test_what_a_provider_says_wins_over_its_status(slug: str, status: int, said: bytes, meaning: ErrorClass) -> None:
    assert classify(PROVIDERS[slug], status, {}, said) is meaning


@pytest.mark.parametrize(
    ("status", "kind", "message", "meaning"),
    [
        (403, "UnrecognizedClientException", "The security token included in the request is invalid.", REFUSED),
        (403, "InvalidSignatureException", "The request signature we calculated does not match", REFUSED),
        (403, "InvalidSignatureException", "Signature expired: 20261123T1 is now earlier than 20261123T2", TROUBLE),
        (403, "InvalidSignatureException", "Signature not yet current: 20261123T2 is still later", TROUBLE),
        (403, "ExpiredTokenException", "The security token included in the request is expired", REFUSED),
        (403, "AccessDeniedException", NOT_ALLOWED, NO_PERMISSION),
        (403, "AccessDeniedException", "You don't have access to the model with the specified model ID.", NO_PERMISSION),
        (403, "AccessDeniedException", "Authentication failed: Please make sure your API Key is valid.", REFUSED),
        (429, "ThrottlingException", "Too many requests", LIMITED),
        (429, "ModelNotReadyException", "The model is not ready", LIMITED),
        (400, "ServiceQuotaExceededException", "Your request exceeds a quota", LIMITED),
        (400, "ValidationException", "The text is blank", CLIENT),
        (404, "ResourceNotFoundException", "This model version has reached the end of its life.", MISCONFIGURED),
        (408, "ModelTimeoutException", "", TROUBLE),
        (424, "ModelErrorException", "", TROUBLE),
        (500, "InternalServerException", "", TROUBLE),
        (503, "ServiceUnavailableException", "", TROUBLE),
    ],
)
def test_bedrock_says_it_in_a_header(status: int, kind: str, message: str, meaning: ErrorClass) -> None:
    for header in (kind, f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/"):
        assert classify(PROVIDERS["bedrock"], status, {"x-amzn-errortype": header}, aws(message)) is meaning


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


RETRY_INFO = b'[{"error": {"details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "12.5s"}]}}]'


@pytest.mark.parametrize(
    ("headers", "said", "seconds"),
    [
        ({}, RETRY_INFO, 12.5),
        ({"retry-after": "7"}, RETRY_INFO, 7),
        ({}, b'{"error": {"details": [{"retryDelay": "soon"}]}}', None),
        ({}, json.dumps({"error": {"message": 'You said "retryDelay": "99s"'}}).encode(), None),
        ({}, b"\xff", None),
    ],
)
def test_google_says_in_the_body_how_long_to_wait(headers: dict[str, str], said: bytes, seconds: float | None) -> None:
    assert retry_after(headers, said) == seconds


def test_anthropic_says_when_a_budget_is_whole_again() -> None:
    headers = {
        "date": "Mon, 23 Nov 2026 10:00:00 GMT",
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": "2026-11-23T10:00:20Z",
        "anthropic-ratelimit-input-tokens-remaining": "0",
        "anthropic-ratelimit-input-tokens-reset": "2026-11-23T11:00:45+01:00",
        "anthropic-ratelimit-output-tokens-remaining": "9",
        "anthropic-ratelimit-output-tokens-reset": "2026-11-23T12:00:00Z",
    }
    assert retry_after(headers) == 45
    assert retry_after({name: value for name, value in headers.items() if name != "date"}) is None


TIMES = st.text() | st.datetimes().map(lambda time: time.isoformat()) | st.sampled_from(["Mon, 23 Nov 2026 10:00:00 GMT", "T"])
NAMES = ["retry-after", "retry-after-ms", "date", "anthropic-ratelimit-tokens-reset", "x-ratelimit-reset-tokens"]


@given(st.dictionaries(st.sampled_from(NAMES), TIMES), st.binary())
def test_a_strange_time_to_wait_is_none_or_a_number(headers: dict[str, str], said: bytes) -> None:
    empty = {"anthropic-ratelimit-tokens-remaining": "0", "x-ratelimit-remaining-tokens": "0"}
    seconds = retry_after(headers | empty, said)
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
        (
            "openai",
            401,
            body("", "mismatched_project"),
            "invalid",
            "OpenAI refused this key for this organization or project (401).",
        ),
        ("openai", 403, body("Missing scopes: api.model.read"), "limited", "to see which, let it read models."),
        ("anthropic", 200, b'{"data": [{"id": "claude-opus-5-5"}]}', "valid", "Anthropic accepted the key."),
        (
            "anthropic",
            401,
            anthropic("invalid x-api-key", "authentication_error"),
            "invalid",
            "Anthropic refused this key (401).",
        ),
        ("anthropic", 403, anthropic("No.", "permission_error"), "limited", "does not allow it to make this test (403)"),
        ("anthropic", 400, anthropic("Your credit balance is too low"), "limited", "no credit left (400)"),
        ("bedrock", 200, b'{"modelSummaries": []}', "valid", "AWS Bedrock accepted the key."),
        ("bedrock", 403, aws(NOT_ALLOWED), "limited", "allow it bedrock:ListFoundationModels and bedrock:ListInferenceProfiles."),
        (
            "bedrock",
            403,
            aws("Authentication failed: Please make sure your API Key is valid."),
            "invalid",
            "refused this key (403)",
        ),
        ("bedrock", 403, sts("InvalidClientTokenId"), "invalid", "AWS Bedrock refused this key (403)."),
        ("bedrock", 403, sts("ExpiredToken", "The token is expired"), "invalid", "AWS Bedrock says that these keys have expired"),
        ("bedrock", 403, sts("SignatureDoesNotMatch", "Signature expired: x"), "unknown", "Set the clock of this server."),
        ("aistudio", 200, b'{"models": [{"name": "models/gemini-2.5-pro"}]}', "valid", "Google AI Studio accepted the key."),
        ("aistudio", 400, google("API key not valid.", reason="API_KEY_INVALID"), "invalid", "refused this key (400)."),
        (
            "aistudio",
            400,
            google("API key expired. Renew it.", reason="API_KEY_INVALID"),
            "invalid",
            "this key has expired (400).",
        ),
        ("aistudio", 401, google("Strange.", "UNAUTHENTICATED"), "invalid", "Google AI Studio refused this key (401)."),
        ("aistudio", 403, google("No.", "PERMISSION_DENIED"), "limited", "does not allow it to make this test (403)"),
        (
            "aistudio",
            403,
            google("No.", "PERMISSION_DENIED", "API_KEY_SERVICE_BLOCKED"),
            "limited",
            "Allow that API for the key.",
        ),
        ("vertex", 200, b'{"publisherModels": []}', "valid", "Google Vertex AI accepted the key."),
        ("vertex", 400, JWT, "invalid", "does not know this service account or its key (400)."),
        ("vertex", 400, SLOW_CLOCK, "unknown", "Set the clock of this server."),
        ("vertex", 403, google("Off.", "PERMISSION_DENIED", "SERVICE_DISABLED"), "limited", "Enable the Vertex AI API there."),
        ("vertex", 403, google("No.", "PERMISSION_DENIED", "IAM_PERMISSION_DENIED"), "limited", "the role Vertex AI User."),
        ("vertex", 403, google("Pay.", "PERMISSION_DENIED", "BILLING_DISABLED"), "limited", "no credit left (403)"),
        ("fal", 200, b'{"prices": [{"unit_price": 0.025}]}', "valid", "Fal.AI accepted the key."),
        ("fal", 200, b'{"hello": "world"}', "unknown", "Something answered, but not as Fal.AI does."),
        ("fal", 403, b'{"detail": "User is locked. Reason: Exhausted balance."}', "limited", "no credit left (403)"),
        ("pollo", 200, b'{"availableCredits": 120, "totalCredits": 500}', "valid", "Pollo.AI accepted the key."),
        ("pollo", 200, b'{"code": "SUCCESS", "data": {"availableCredits": 1}}', "valid", "Pollo.AI accepted the key."),
        ("pollo", 200, b'{"availableCredits": 0, "totalCredits": 500}', "limited", "has no credit left."),
        ("pollo", 200, b'{"code": "SUCCESS", "data": {"availableCredits": 0}}', "limited", "has no credit left."),
        ("pollo", 200, b'{"code": "NOT_FOUND", "message": "Not found"}', "unknown", "not as Pollo.AI does"),
        ("perplexity", 200, b'{"data": [{"id": "perplexity/sonar"}]}', "valid", "Perplexity accepted the key."),
        ("perplexity", 401, body("", "", "insufficient_quota"), "limited", "no credit left (401)"),
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
        ("vertex", b'{"publisherModels": [{"name": "publishers/google/models/gemini-2.5-pro"}]}', ("gemini-2.5-pro",)),
        (
            "bedrock",
            b'{"modelSummaries": [{"modelId": "a.x-v1:0", "inferenceTypesSupported": ["ON_DEMAND", "INFERENCE_PROFILE"]},'
            b' {"modelId": "a.y-v1:0", "inferenceTypesSupported": ["INFERENCE_PROFILE"]}, {"modelId": "a.z-v1:0"}]}',
            ("a.x-v1:0", "a.z-v1:0"),
        ),
        ("bedrock", b'{"inferenceProfileSummaries": [{"inferenceProfileId": "us.a.y-v1:0"}]}', ("us.a.y-v1:0",)),
        ("openai", b"<html>", ()),
        ("openai", b'{"data": {"id": "x"}}', ()),
        ("openai", json.dumps({"data": [{"id": "x" * 201}]}).encode(), ()),
    ],
)
def test_models_are_read_from_a_listing(slug: str, said: bytes, found: tuple[str, ...]) -> None:
    assert listed_models(PROVIDERS[slug], said) == found


def test_the_identity_of_access_keys_has_its_own_good_answer() -> None:
    call = PROVIDERS["bedrock"].test
    assert call is not None
    for said in (b"<GetCallerIdentityResult><Account>1</Account></GetCallerIdentityResult>", b'{"GetCallerIdentityResult": {}}'):
        assert verdict(PROVIDERS["bedrock"], 200, said, call=call.first)[0] == "valid"
    assert verdict(PROVIDERS["bedrock"], 200, b"<html>Sign in</html>", call=call.first)[0] == "unknown"


def test_a_listing_without_end_is_cut() -> None:
    rows = [{"id": f"m{number}"} for number in range(5000)]
    assert len(listed_models(PROVIDERS["openai"], json.dumps({"data": rows}).encode())) == 2000
