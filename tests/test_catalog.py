"""Which name a provider gets for the model that a program asked for."""

import pytest
from hypothesis import given
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
    "perplexity": {"perplexity/sonar", "xai/grok-4.7"},
    "anthropic": {"claude-sonnet-4-5-20250929", "claude-opus-5-5"},
    "aistudio": {"gemini-2.5-pro"},
}
DEPLOYMENTS = (
    {"model_slug": "openai/gpt-4o", "endpoint_url": "https://a.openai.azure.com", "model_id": "prod-4o"},
    {
        "model_slug": "openai/o3-mini",
        "endpoint_url": "https://b.openai.azure.com/openai/deployments/o3-eu?api-version=2024-10-21",
        "model_id": "o3-mini",
    },
)


def match(provider: str, model: str, *found: str) -> Match | None:
    return catalog.match(PROVIDERS[provider], model, discovered=frozenset(found), deployments=DEPLOYMENTS)


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
        ("aistudio", "google/gemini-2.5-pro", "gemini-2.5-pro"),
    ],
)
def test_a_slug_finds_what_the_key_discovered(provider: str, model: str, native: str | None) -> None:
    assert match(provider, model, *FOUND[provider]) == (native and Match(native))


@pytest.mark.parametrize(
    ("provider", "model", "native"),
    [
        ("openai", "gpt-4o", "gpt-4o"),
        ("xai", "x-ai/grok-4.3", "grok-4.3"),
        ("anthropic", "anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"),
        ("groq", "openai/gpt-oss-120b", "openai/gpt-oss-120b"),
        ("deepinfra", "meta-llama/Llama-3.3-70B-Instruct", "meta-llama/Llama-3.3-70B-Instruct"),
        ("groq", "gpt-oss-120b", "openai/gpt-oss-120b"),
    ],
)
def test_a_key_that_discovered_nothing_is_asked_on_trust(provider: str, model: str, native: str) -> None:
    assert match(provider, model) == Match(native, certain=False)


@pytest.mark.parametrize("model", ["openai/gpt-4o", "anthropic/claude-opus-5.5", "gpt-4o"])
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


IDS = st.text(min_size=1, max_size=30) | st.from_regex(r"[a-zA-Z0-9.-]{1,9}/[a-zA-Z0-9.-]{1,12}", fullmatch=True)


@given(st.sampled_from(sorted(PROVIDERS)), st.frozensets(IDS, max_size=5), st.text(max_size=40))
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
