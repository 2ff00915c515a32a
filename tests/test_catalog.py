"""Which name a provider gets for the model that a program asked for."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keys import catalog
from keys.catalog import Match, nearest, slugs
from keys.providers import PROVIDERS

FOUND = {
    "openai": {"gpt-4o", "gpt-4o-mini", "o3-2025-04-16", "text-embedding-3-small", "ft:gpt-4o:acme::x1"},
    "xai": {"grok-4.3", "grok-4-0709"},
    "groq": {"openai/gpt-oss-120b", "llama-3.3-70b-versatile", "whisper-large-v3"},
    "deepinfra": {"meta-llama/Llama-3.3-70B-Instruct", "deepseek-ai/DeepSeek-V3.1", "Qwen/Qwen3.5-27B", "zai-org/GLM-5.3"},
    "baseten": {"moonshotai/Kimi-K3", "zai-org/GLM-5.3", "openai/gpt-oss-120b"},
    "perplexity": {"perplexity/sonar", "xai/grok-4.7", "anthropic/claude-opus-5-5"},
    "anthropic": {"claude-sonnet-4-5-20250929", "claude-opus-5-5", "claude-3-haiku-20240307"},
    "aistudio": {"gemini-2.5-pro", "gemini-2.0-flash-001"},
    "vertex": {"gemini-2.5-pro"},
    "bedrock": {
        "amazon.nova-pro-v1:0",
        "us.amazon.nova-pro-v1:0",
        "amazon.titan-embed-text-v1",
        "amazon.titan-embed-text-v2:0",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "global.anthropic.claude-opus-4-7",
        "anthropic.claude-3-5-sonnet-20240620-v1:0",
        "anthropic.claude-3-5-sonnet-20241022-v2:0",
        "us.meta.llama3-3-70b-instruct-v1:0",
        "meta.llama3-8b-instruct-v1:0",
        "openai.gpt-oss-120b-1:0",
        "us.openai.gpt-5.5",
        "mistral.mistral-large-2402-v1:0",
        "moonshot.kimi-k2-thinking",
        "x7profileofanapp",
    },
}
DEPLOYMENTS = (
    {"model_slug": "openai/gpt-4o", "endpoint_url": "https://a.openai.azure.com", "model_id": "prod-4o"},
    {
        "model_slug": "openai/o3-mini",
        "endpoint_url": "https://b.openai.azure.com/openai/deployments/o3-eu?api-version=2024-10-21",
        "model_id": "o3-mini",
    },
)


def match(provider: str, model: str, *found: str, region: str = "", **overrides: str) -> Match | None:
    return catalog.match(
        PROVIDERS[provider],
        model,
        discovered=frozenset(found),
        deployments=DEPLOYMENTS,
        region=region,
        overrides={name.replace("__", "/"): native for name, native in overrides.items()},
    )


@pytest.mark.parametrize(
    ("provider", "model", "native"),
    [
        ("openai", "openai/gpt-4o", "gpt-4o"),
        ("openai", "gpt-4o", "gpt-4o"),
        ("openai", "OpenAI/GPT-4o", "gpt-4o"),
        ("openai", "openai/o3", "o3"),  # answers to its dated release
        ("openai", "ft:gpt-4o:acme::x1", "ft:gpt-4o:acme::x1"),
        ("openai", "openai/gpt-9", None),
        ("openai", "x-ai/grok-4.3", None),
        ("xai", "x-ai/grok-4.3", "grok-4.3"),
        ("xai", "xai/grok-4.3", "grok-4.3"),
        ("xai", "x-ai/grok-4", "grok-4"),
        ("xai", "grok-4.3", None),  # bare names are OpenAI's
        ("groq", "openai/gpt-oss-120b", "openai/gpt-oss-120b"),
        ("groq", "gpt-oss-120b", "openai/gpt-oss-120b"),
        ("groq", "llama-3.3-70b-versatile", "llama-3.3-70b-versatile"),
        ("groq", "meta-llama/llama-3.3-70b-versatile", "llama-3.3-70b-versatile"),
        ("groq", "openai/gpt-4o", None),
        ("deepinfra", "meta-llama/llama-3.3-70b-instruct", "meta-llama/Llama-3.3-70B-Instruct"),
        ("deepinfra", "deepseek/deepseek-v3.1", "deepseek-ai/DeepSeek-V3.1"),
        ("deepinfra", "deepseek-ai/DeepSeek-V3.1", "deepseek-ai/DeepSeek-V3.1"),
        ("deepinfra", "qwen/qwen3.5-27b", "Qwen/Qwen3.5-27B"),
        ("deepinfra", "z-ai/glm-5.3", "zai-org/GLM-5.3"),
        ("baseten", "z-ai/glm-5.3", "zai-org/GLM-5.3"),
        ("baseten", "moonshotai/kimi-k3", "moonshotai/Kimi-K3"),
        ("perplexity", "x-ai/grok-4.7", "xai/grok-4.7"),
        ("anthropic", "anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"),
        ("anthropic", "anthropic/claude-opus-5.5", "claude-opus-5-5"),
        ("anthropic", "anthropic/claude-opus-5-5", "claude-opus-5-5"),
        ("anthropic", "anthropic/claude-sonnet-4.5-20250929", "claude-sonnet-4-5-20250929"),
        ("anthropic", "anthropic/claude-3-haiku", "claude-3-haiku"),
        ("anthropic", "anthropic/claude-opus-9", None),
        ("perplexity", "anthropic/claude-opus-5.5", "anthropic/claude-opus-5-5"),
        ("perplexity", "perplexity/sonar", "perplexity/sonar"),
        ("aistudio", "google/gemini-2.5-pro", "gemini-2.5-pro"),
        ("aistudio", "google/gemini-2.0-flash-001", "gemini-2.0-flash-001"),
        ("aistudio", "anthropic/claude-opus-5.5", None),
        ("vertex", "google/gemini-2.5-pro", "gemini-2.5-pro"),
        ("vertex", "google/gemini-9", None),
        ("bedrock", "anthropic/claude-sonnet-4.5", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("bedrock", "anthropic/claude-sonnet-4-5-20250929", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("bedrock", "anthropic/claude-opus-4.7", "global.anthropic.claude-opus-4-7"),
        ("bedrock", "anthropic/claude-3.5-sonnet", "anthropic.claude-3-5-sonnet-20241022-v2:0"),
        ("bedrock", "anthropic/claude-3.5-sonnet-20240620", "anthropic.claude-3-5-sonnet-20240620-v1:0"),
        ("bedrock", "amazon/nova-pro-v1", "us.amazon.nova-pro-v1:0"),
        ("bedrock", "amazon/nova-pro", "us.amazon.nova-pro-v1:0"),
        ("bedrock", "amazon/titan-embed-text-v2", "amazon.titan-embed-text-v2:0"),
        ("bedrock", "amazon/titan-embed-text-v1", "amazon.titan-embed-text-v1"),
        ("bedrock", "meta-llama/llama-3.3-70b-instruct", "us.meta.llama3-3-70b-instruct-v1:0"),
        ("bedrock", "meta-llama/llama-3-8b-instruct", "meta.llama3-8b-instruct-v1:0"),
        ("bedrock", "openai/gpt-oss-120b", "openai.gpt-oss-120b-1:0"),
        ("bedrock", "openai/gpt-5.5", "us.openai.gpt-5.5"),
        ("bedrock", "mistralai/mistral-large-2402", "mistral.mistral-large-2402-v1:0"),
        ("bedrock", "moonshotai/kimi-k2-thinking", "moonshot.kimi-k2-thinking"),
        ("bedrock", "amazon/titan-embed-text-v3", None),
        ("bedrock", "anthropic/claude-opus-5.5", None),
        ("bedrock", "gpt-4o", None),
    ],
)
def test_a_slug_finds_what_the_key_discovered(provider: str, model: str, native: str | None) -> None:
    assert match(provider, model, *FOUND[provider], region="us-east-1") == (native and Match(native))


@pytest.mark.parametrize(
    ("provider", "model", "native"),
    [
        ("openai", "gpt-4o", "gpt-4o"),
        ("xai", "x-ai/grok-4.3", "grok-4.3"),
        ("anthropic", "anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"),
        ("groq", "openai/gpt-oss-120b", "openai/gpt-oss-120b"),
        ("deepinfra", "meta-llama/Llama-3.3-70B-Instruct", "meta-llama/Llama-3.3-70B-Instruct"),
        ("groq", "gpt-oss-120b", "openai/gpt-oss-120b"),
        ("perplexity", "perplexity/sonar", "perplexity/sonar"),
        ("perplexity", "x-ai/grok-4.7", "xai/grok-4.7"),
        ("perplexity", "anthropic/claude-opus-5.5", "anthropic/claude-opus-5-5"),
        ("vertex", "google/gemini-2.5-pro", "gemini-2.5-pro"),
        ("vertex", "anthropic/claude-opus-5.5", "claude-opus-5-5"),
    ],
)
def test_a_key_that_discovered_nothing_is_asked_on_trust(provider: str, model: str, native: str) -> None:
    assert match(provider, model) == Match(native, certain=False)


def test_vertex_never_lists_claude_and_is_asked_for_it_on_trust() -> None:
    assert match("vertex", "anthropic/claude-sonnet-4.5", *FOUND["vertex"]) == Match("claude-sonnet-4-5", certain=False)
    assert match("vertex", "anthropic/claude-sonnet-4.5", "claude-sonnet-4-5@20250929") == Match("claude-sonnet-4-5")
    assert match("vertex", "openai/gpt-4o", *FOUND["vertex"]) is None


@pytest.mark.parametrize(
    ("region", "model", "native"),
    [
        ("us-east-1", "anthropic/claude-opus-4.7", "us.anthropic.claude-opus-4-7"),
        ("eu-central-1", "anthropic/claude-opus-4.7", "eu.anthropic.claude-opus-4-7"),
        ("ap-northeast-1", "anthropic/claude-opus-4.7", "jp.anthropic.claude-opus-4-7"),
        ("ap-southeast-2", "anthropic/claude-opus-4.7", "au.anthropic.claude-opus-4-7"),
        ("ap-south-1", "anthropic/claude-opus-4.7", "apac.anthropic.claude-opus-4-7"),
        ("us-gov-west-1", "anthropic/claude-opus-4.7", "us-gov.anthropic.claude-opus-4-7"),
        ("sa-east-1", "anthropic/claude-opus-4.7", "global.anthropic.claude-opus-4-7"),
        ("", "anthropic/claude-opus-4.7", "global.anthropic.claude-opus-4-7"),
        ("us-east-1", "amazon/nova-pro-v1", "us.amazon.nova-pro-v1:0"),
        ("us-east-1", "meta-llama/llama-3.3-70b-instruct", "us.meta.llama3-3-70b-instruct-v1:0"),
        ("eu-west-1", "openai/gpt-oss-20b", "openai.gpt-oss-20b-1:0"),
        ("eu-west-1", "openai/gpt-4o", None),
        ("eu-west-1", "qwen/qwen3", None),
    ],
)
def test_a_bedrock_key_that_may_not_list_models_is_asked_by_the_regular_names(
    region: str, model: str, native: str | None
) -> None:
    assert match("bedrock", model, region=region) == (native and Match(native, certain=False))


@pytest.mark.parametrize(
    ("region", "native"),
    [
        ("eu-west-1", "eu.anthropic.claude-opus-4-7"),
        ("us-east-1", "us.anthropic.claude-opus-4-7"),
        ("ap-southeast-2", "au.anthropic.claude-opus-4-7"),
        ("ap-south-1", "apac.anthropic.claude-opus-4-7"),
        ("ca-central-1", "us.anthropic.claude-opus-4-7"),
        ("sa-east-1", "anthropic.claude-opus-4-7"),
    ],
)
def test_a_bedrock_request_stays_as_near_to_the_region_as_the_profiles_allow(region: str, native: str) -> None:
    found = [f"{geography}.anthropic.claude-opus-4-7" for geography in ("global", "us", "eu", "apac", "au")]
    assert match("bedrock", "anthropic/claude-opus-4.7", "anthropic.claude-opus-4-7", *found, region=region) == Match(native)


def test_an_override_goes_before_every_rule() -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
    own = {"anthropic__claude-opus-5.5": arn}
    assert match("bedrock", "anthropic/claude-opus-5.5", *FOUND["bedrock"], **own) == Match(arn)
    assert match("bedrock", "Anthropic/Claude-Opus-5-5", **own) == Match(arn)
    assert match("bedrock", "bedrock:anthropic.claude-opus-5-5", **own) == Match("anthropic.claude-opus-5-5", certain=False)
    assert match("groq", "gpt-4o", *FOUND["groq"], **{"openai__gpt-4o": "openai/gpt-oss-120b"}) == Match("openai/gpt-oss-120b")
    assert match("azure", "openai/gpt-9", **{"openai__gpt-9": "prod-4o"}) == Match("prod-4o", 0)
    assert match("azure", "openai/gpt-9", **{"openai__gpt-9": "no-such-deployment"}) is None


def test_what_an_override_names_is_listed_where_it_is_served() -> None:
    own = {"anthropic/claude-opus-5.5": "anything"}
    assert slugs(PROVIDERS["bedrock"], discovered=(), deployments=(), overrides=own) == ["anthropic/claude-opus-5.5"]
    listed = slugs(PROVIDERS["azure"], discovered=(), deployments=DEPLOYMENTS, overrides={**own, "openai/gpt-9": "Prod-4o"})
    assert listed == [*(entry["model_slug"] for entry in DEPLOYMENTS), "openai/gpt-9"]


@pytest.mark.parametrize("model", ["openai/gpt-4o", "google/gemini-2.5-pro", "gpt-4o"])
@pytest.mark.parametrize("provider", ["fal", "pollo", "bedrock"])
def test_providers_without_a_rule_serve_only_what_is_pinned_to_them(provider: str, model: str) -> None:
    assert match(provider, model) is None
    assert match(provider, f"{provider}:some/Model-1:0") == Match("some/Model-1:0", certain=False)


def test_a_pinned_model_goes_to_its_provider_under_its_own_name() -> None:
    assert match("groq", "groq:Any-Name", *FOUND["groq"]) == Match("Any-Name", certain=False)
    assert match("groq", "groq:whisper-large-v3", *FOUND["groq"]) == Match("whisper-large-v3")
    assert match("openai", "groq:openai/gpt-oss-120b", *FOUND["openai"]) is None
    assert match("openai", "groq:") is not None  # no model follows, so this is a name like any other


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("openai/gpt-4o", Match("prod-4o", 0)),
        ("gpt-4o", Match("prod-4o", 0)),
        ("OpenAI/GPT-4O", Match("prod-4o", 0)),
        ("openai/o3-mini", Match("o3-eu", 1)),  # the address names the deployment
        ("azure:prod-4o", Match("prod-4o", 0)),
        ("azure:o3-eu", Match("o3-eu", 1)),
        ("azure:gpt-4o", None),
        ("prod-4o", None),
        ("openai/gpt-4o-mini", None),
    ],
)
def test_azure_serves_the_slugs_of_its_entries(model: str, expected: Match | None) -> None:
    assert match("azure", model, "gpt-4o-mini", "prod-4o") == expected


def test_names_are_listed_as_programs_write_them() -> None:
    def listed(provider: str) -> list[str]:
        return slugs(PROVIDERS[provider], discovered=FOUND.get(provider, set()), deployments=DEPLOYMENTS)

    assert listed("xai") == ["x-ai/grok-4-0709", "x-ai/grok-4.3"]
    assert listed("groq") == ["groq:llama-3.3-70b-versatile", "groq:whisper-large-v3", "openai/gpt-oss-120b"]
    assert listed("deepinfra")[0] == "deepseek/deepseek-v3.1"
    assert listed("azure") == ["openai/gpt-4o", "openai/o3-mini"]
    assert listed("fal") == []
    assert listed("anthropic") == ["anthropic/claude-3-haiku", "anthropic/claude-opus-5.5", "anthropic/claude-sonnet-4.5"]
    assert listed("vertex") == ["google/gemini-2.5-pro"]
    assert listed("perplexity") == ["anthropic/claude-opus-5.5", "perplexity/sonar", "x-ai/grok-4.7"]
    assert listed("bedrock") == [
        "amazon/nova-pro-v1",
        "amazon/titan-embed-text-v1",
        "amazon/titan-embed-text-v2",
        "anthropic/claude-3.5-sonnet",
        "anthropic/claude-opus-4.7",
        "anthropic/claude-sonnet-4.5",
        "bedrock:x7profileofanapp",
        "meta-llama/llama-3-8b-instruct",
        "meta-llama/llama-3.3-70b-instruct",
        "mistralai/mistral-large-2402",
        "moonshotai/kimi-k2-thinking",
        "openai/gpt-5.5",
        "openai/gpt-oss-120b",
    ]


AWS_IDS = st.from_regex(r"((us|eu|global)\.)?[a-z0-9]{1,5}\.[a-z0-9.-]{1,12}(-v[0-9])?(:[0-9])?", fullmatch=True)
IDS = AWS_IDS | st.text(min_size=1, max_size=30) | st.from_regex(r"[a-zA-Z0-9.-]{1,9}/[a-zA-Z0-9.-]{1,12}", fullmatch=True)


@given(st.sampled_from(sorted(PROVIDERS)), st.frozensets(IDS, max_size=5), st.text(max_size=40))
@example("aistudio", frozenset({"CLAUDE-"}), "")
def test_every_listed_name_is_served_and_no_name_fails(provider: str, found: frozenset[str], model: str) -> None:
    row = PROVIDERS[provider]
    for slug in slugs(row, discovered=found, deployments=DEPLOYMENTS):
        assert catalog.match(row, slug, discovered=found, deployments=DEPLOYMENTS), slug
    catalog.match(row, model, discovered=found, deployments=DEPLOYMENTS)
    assert len(nearest(model, found)) <= 3


def test_the_nearest_names_are_suggested() -> None:
    known = ["openai/gpt-4o", "openai/gpt-4o-mini", "anthropic/claude-opus-5.5", "groq:whisper-large-v3"]
    assert nearest("gpt4o", known)[0] == "openai/gpt-4o"
    assert nearest("openai/gpt-4o-mni", known)[0] == "openai/gpt-4o-mini"
    assert nearest("antropic/claude-opus-5.5", known)[0] == "anthropic/claude-opus-5.5"
    assert nearest("groq:wisper-large-v3", known) == ["groq:whisper-large-v3"]
    assert nearest("something else entirely", known) == []


def test_the_closest_of_thousands_is_found() -> None:
    known = [f"author-{number % 20}/model-{number}" for number in range(5000)]
    assert nearest("author-3/modl-4983", [*known, "zzz/other"])[0] == "author-3/model-4983"
