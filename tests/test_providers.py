"""The table of providers: addresses, headers and paths of requests."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.providers import PROVIDERS, Credential, Shape, Wire, azure, regions
from keys.providers.paths import ONLY, OPERATIONS, path_of, wire_of
from keys.providers.requests import outbound

DOCUMENTATION = Path(__file__).parent.parent / "docs/providers.md"
SIMPLE = Credential({"api_key": "k3y"}, {}, "…")
BEDROCK = Credential({"api_key": "ABSKx"}, {"region": "eu-west-1"}, "ABSK…")


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
        for call in (row.test, row.test.first or row.test):
            assert {call.service, call.models_service} <= row.services.keys() or row.shape is Shape.AZURE
        assert set(row.operations) <= set(OPERATIONS)
        assert ("chat" in row.operations) == (row.wire is not Wire.NATIVE)


@pytest.mark.parametrize("slug", PROVIDERS)
def test_the_documentation_says_what_each_provider_offers(slug: str) -> None:
    lines = DOCUMENTATION.read_text().splitlines()
    columns = next(line for line in lines if line.startswith("| Provider |")).strip("| ").split(" | ")[3:]
    marks = next(line for line in lines if f"| `{slug}` |" in line).strip("| ").split(" | ")[3:]
    assert columns == list(OPERATIONS)
    for operation, mark in zip(columns, marks, strict=True):
        only = ONLY.get((slug, operation))
        offered = operation in PROVIDERS[slug].operations
        assert mark == (only[1] if only else "yes" if offered else "–")


def test_every_provider_with_a_chat_can_be_tested_and_asked_for_its_models() -> None:
    rows = [row for row in PROVIDERS.values() if "chat" in row.operations]
    assert len(rows) == 11
    assert all(row.test.lists_models or row.test.models_path for row in rows)


def test_every_test_says_what_it_finds_out() -> None:
    for row in PROVIDERS.values():
        assert row.test.reads or row.test.lists_models


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


ACCESS_KEYS = Credential({"secret_access_key": "s"}, {"region": "us-east-1", "access_key_id": "AKIA"}, "…")


def vertex(location: str = "us-central1", project: str = "acme-1") -> Credential:
    return Credential({"private_key": "p", "private_key_id": "i"}, {"project_id": project, "location": location}, "…")


@pytest.mark.parametrize(("slug", "credential"), [("bedrock", ACCESS_KEYS), ("vertex", vertex())])
def test_what_must_be_signed_carries_nothing_yet(slug: str, credential: Credential) -> None:
    assert outbound(PROVIDERS[slug], credential, path="x", overrides={}).headers == {}


def test_a_request_says_which_service_it_is_signed_for() -> None:
    request = outbound(PROVIDERS["bedrock"], ACCESS_KEYS, path="", overrides={"bedrock:sts": "http://127.0.0.1:1"}, service="sts")
    assert (request.url, request.service, request.operator) == ("http://127.0.0.1:1/", "sts", True)
    assert outbound(PROVIDERS["bedrock"], ACCESS_KEYS, path="x", overrides={}).service == ""


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("global", "aiplatform.googleapis.com"),
        ("us", "aiplatform.us.rep.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
        ("europe-west4", "europe-west4-aiplatform.googleapis.com"),
    ],
)
def test_vertex_lives_where_its_location_says(location: str, host: str) -> None:
    assert outbound(PROVIDERS["vertex"], vertex(location), path="v1/x", overrides={}).url == f"https://{host}/v1/x"


def test_a_service_that_a_provider_does_not_have_is_a_lookup_error() -> None:
    with pytest.raises(LookupError):
        outbound(PROVIDERS["groq"], SIMPLE, path="x", overrides={}, service="queue")


def test_the_operator_replaces_a_base_url_by_slug_or_by_service() -> None:
    overrides = {"deepinfra": "http://127.0.0.1:1/chat/", "deepinfra:account": "http://127.0.0.1:2"}
    row = PROVIDERS["deepinfra"]
    chat = outbound(row, SIMPLE, path="/chat/completions", overrides=overrides)
    account = outbound(row, SIMPLE, path="v1/me", overrides=overrides, method="GET", service="account")
    assert (chat.url, chat.operator) == ("http://127.0.0.1:1/chat/chat/completions", True)
    assert (account.url, account.operator, account.method) == ("http://127.0.0.1:2/v1/me", True, "GET")
    assert not outbound(row, SIMPLE, path="v1/me", overrides={"deepinfra": "http://x"}, service="account").operator


# Paths

VERTEX = "v1/projects/acme-1/locations/us-central1/publishers"
PROFILE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
QUOTED = "us.anthropic.claude-sonnet-4-5-20250929-v1%3A0"
ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
QUOTED_ARN = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc"


@pytest.mark.parametrize(
    ("slug", "operation", "model", "wire", "path", "streamed"),
    [
        ("anthropic", "chat", "claude-opus-5-5", Wire.ANTHROPIC, "v1/messages", ""),
        ("anthropic", "messages", "claude-opus-5-5", Wire.ANTHROPIC, "v1/messages", ""),
        (
            "aistudio",
            "chat",
            "gemini-2.5-pro",
            Wire.GOOGLE,
            "v1beta/models/gemini-2.5-pro:generateContent",
            "v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
        ),
        (
            "vertex",
            "chat",
            "gemini-2.5-pro",
            Wire.GOOGLE,
            f"{VERTEX}/google/models/gemini-2.5-pro:generateContent",
            f"{VERTEX}/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
        ),
        *(
            (
                "vertex",
                operation,
                "claude-sonnet-4-5@20250929",
                Wire.ANTHROPIC,
                f"{VERTEX}/anthropic/models/claude-sonnet-4-5@20250929:rawPredict",
                f"{VERTEX}/anthropic/models/claude-sonnet-4-5@20250929:streamRawPredict",
            )
            for operation in ("chat", "messages")
        ),
        ("bedrock", "chat", PROFILE, Wire.CONVERSE, f"model/{QUOTED}/converse", f"model/{QUOTED}/converse-stream"),
        ("bedrock", "chat", ARN, Wire.CONVERSE, f"model/{QUOTED_ARN}/converse", f"model/{QUOTED_ARN}/converse-stream"),
        (
            "bedrock",
            "messages",
            PROFILE,
            Wire.ANTHROPIC,
            f"model/{QUOTED}/invoke",
            f"model/{QUOTED}/invoke-with-response-stream",
        ),
        (
            "bedrock",
            "messages",
            ARN,
            Wire.ANTHROPIC,
            f"model/{QUOTED_ARN}/invoke",
            f"model/{QUOTED_ARN}/invoke-with-response-stream",
        ),
        ("bedrock", "responses", "openai.gpt-oss-120b-1:0", Wire.RESPONSES, "openai/v1/responses", ""),
        ("bedrock", "responses", "us.openai.gpt-5.5", Wire.RESPONSES, "openai/v1/responses", ""),
        ("perplexity", "chat", "perplexity/sonar", Wire.RESPONSES, "v1/responses", ""),
        ("perplexity", "responses", "perplexity/sonar", Wire.RESPONSES, "v1/responses", ""),
        ("openai", "chat", "gpt-4o", Wire.OPENAI, "chat/completions", ""),
        ("openai", "responses", "gpt-4o", Wire.RESPONSES, "responses", ""),
        ("azure", "responses", "prod-4o", Wire.RESPONSES, "responses", ""),
        ("xai", "images", "grok-2-image", Wire.OPENAI, "images/generations", ""),
        ("groq", "transcriptions", "whisper-large-v3", Wire.OPENAI, "audio/transcriptions", ""),
        ("groq", "translations", "whisper-large-v3", Wire.OPENAI, "audio/translations", ""),
        ("openai", "speech", "tts-1", Wire.OPENAI, "audio/speech", ""),
        ("deepinfra", "embeddings", "BAAI/bge-m3", Wire.OPENAI, "embeddings", ""),
        ("baseten", "chat", "moonshotai/Kimi-K3", Wire.OPENAI, "chat/completions", ""),
    ],
)
def test_every_operation_has_its_path_and_its_dialect(
    slug: str, operation: str, model: str, wire: Wire, path: str, streamed: str
) -> None:
    row, credential = PROVIDERS[slug], vertex() if slug == "vertex" else SIMPLE
    assert wire_of(row, operation, model) is wire
    assert path_of(row, credential, operation, model, stream=False) == path
    assert path_of(row, credential, operation, model, stream=True) == (streamed or path)


@pytest.mark.parametrize(
    ("slug", "operation", "model", "words"),
    [
        ("fal", "chat", "flux", "does not offer chat completions"),
        ("pollo", "images", "pollo-v2-0", "does not offer image generation"),
        ("openai", "messages", "gpt-4o", "does not offer Anthropic's Messages"),
        ("anthropic", "embeddings", "claude-opus-5-5", "does not offer embeddings"),
        ("deepinfra", "responses", "x", "does not offer OpenAI's Responses"),
        ("xai", "speech", "x", "does not offer speech"),
        ("vertex", "messages", "gemini-2.5-pro", "offers Anthropic's Messages for Claude models only"),
        ("bedrock", "messages", "amazon.nova-pro-v1:0", "offers Anthropic's Messages for Claude models only"),
        ("bedrock", "responses", PROFILE, "offers OpenAI's Responses for OpenAI's models only"),
        ("openai", "telepathy", "gpt-4o", "does not offer telepathy"),
        ("bedrock", "chat", "..", "does not serve a model without a name"),
        ("aistudio", "chat", "", "does not serve a model without a name"),
    ],
)
def test_an_operation_that_is_not_offered_is_a_lookup_error_in_plain_words(
    slug: str, operation: str, model: str, words: str
) -> None:
    with pytest.raises(LookupError) as caught:
        path_of(PROVIDERS[slug], SIMPLE, operation, model, stream=False)
    assert str(caught.value) == words


@given(st.sampled_from(sorted(PROVIDERS)), st.sampled_from(sorted(OPERATIONS)), st.text(max_size=30), st.booleans())
def test_no_model_breaks_out_of_its_path(slug: str, operation: str, model: str, stream: bool) -> None:
    try:
        path = path_of(PROVIDERS[slug], vertex(), operation, model, stream=stream).removesuffix("?alt=sse")
    except LookupError:
        return
    assert path.isascii()
    assert not set(path) & set("?#\\ \r\n")
    assert path.count("/") in (0, 1, 2, 8)  # as many as each path has without the model
    assert not {".", ".."} & set(path.split("/"))


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
    assert endpoint.url("responses") == f"{RESOURCE}/openai/v1/responses"  # the classic surface has none for a deployment
    assert endpoint.url("audio/speech") == f"{RESOURCE}/openai/deployments/dep-1/audio/speech?api-version=2024-10-21"


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
