"""What is no chat: responses, embeddings, images and speech, with OpenAI's own SDK."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.fake.openai_wire import SPEECH
from tests.gateway_calls import call
from tests.gateway_server import RunningGateway
from tests.native_words import Tokens

pytest_plugins = ["tests.gateway_fixtures"]
pytestmark = pytest.mark.large

RESPONDING = [
    ("openai", "openai/gpt-4o", "/openai/v1/responses"),
    ("azure", "openai/gpt-4o", "/openai/v1/responses"),
    ("groq", "openai/gpt-oss-120b", "/groq/openai/v1/responses"),
    ("xai", "x-ai/grok-4.3", "/xai/v1/responses"),
    ("perplexity", "perplexity/sonar", "/perplexity/v1/responses"),
    ("bedrock", "openai/gpt-oss-120b", "/bedrock/openai/v1/responses"),
]
EMBEDDING = "openai/text-embedding-3-small"


@pytest.fixture
def sdk(gateway: RunningGateway) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.secret, max_retries=0) as client:
        yield client


def add(gateway: RunningGateway, provider: str, behavior: str = "valid", models: tuple[str, ...] | None = None) -> None:
    found = gateway.fake.models(provider) if provider != "azure" else ()
    credential = gateway.fake.credential(provider, behavior)
    gateway.keep(provider, credential, f"{provider} {behavior}", found if models is None else models)


def booked(gateway: RunningGateway) -> tuple[str, bool, Tokens]:
    closed = gateway.attempts()[-1].closed
    tokens = Tokens(closed.input_tokens, closed.output_tokens, closed.cached_input_tokens, closed.reasoning_tokens)
    return closed.outcome, closed.estimated, tokens


# Responses


@pytest.mark.parametrize(("provider", "model", "path"), RESPONDING)
def test_responses_pass_through_byte_for_byte(gateway: RunningGateway, sdk: OpenAI, provider: str, model: str, path: str) -> None:
    add(gateway, provider)
    raw = sdk.responses.with_raw_response.create(model=model, input="Hello", temperature=0.5)
    arrived = gateway.fake.requests[-1]
    assert (raw.content, arrived.path) == (arrived.sent, path)
    assert {**arrived.json(), "model": ""} == {"model": "", "input": "Hello", "temperature": 0.5}
    assert raw.parse().output_text is not None
    with sdk.responses.with_streaming_response.create(model=model, input="Hello", stream=True) as streamed:
        assert b"".join(streamed.iter_bytes()) == gateway.fake.requests[-1].sent
    assert [ended.closed.outcome for ended in gateway.attempts()] == ["ok", "ok"]


def test_perplexity_tells_what_a_response_cost(gateway: RunningGateway, sdk: OpenAI) -> None:
    add(gateway, "perplexity")
    sdk.responses.create(model="perplexity/sonar", input=[{"role": "user", "content": "Hello"}])
    assert gateway.attempts()[-1].closed.reported_cost_microusd == 6260


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("behavior", ["refused", "limited", "payment", "broken"])
def test_a_response_is_fetched_with_the_next_key(gateway: RunningGateway, sdk: OpenAI, behavior: str, stream: bool) -> None:
    add(gateway, "groq", behavior)
    add(gateway, "bedrock")
    raw = sdk.responses.with_raw_response.create(model="openai/gpt-oss-120b", input="Hello", stream=stream)
    assert (raw.headers["x-keyhold-key"], raw.headers["x-keyhold-fallback"]) == ("bedrock valid", "byok")
    answer: Any = raw.parse()
    assert list(answer) if stream else answer.output
    assert [outcome for outcome, _, _ in gateway.outcomes()] == ["absorbed", "ok"]


def test_a_response_that_says_it_failed_is_no_answer(gateway: RunningGateway, sdk: OpenAI) -> None:
    add(gateway, "perplexity", "fails")
    with pytest.raises(openai.InternalServerError, match="makes no sense"):
        sdk.responses.create(model="perplexity/sonar", input="Hello")
    assert gateway.outcomes() == [("error", "trouble", 200)]


@pytest.mark.parametrize(("provider", "model"), [("openai", "openai/gpt-4o"), ("perplexity", "perplexity/sonar")])
def test_a_response_that_fails_while_it_streams_says_so(gateway: RunningGateway, sdk: OpenAI, provider: str, model: str) -> None:
    add(gateway, provider, "errs")
    events = list(sdk.responses.create(model=model, input="Hello", stream=True))
    assert events[-1].type == "response.failed"
    assert gateway.outcomes() == [("error", "trouble", 200)]


def test_a_response_that_breaks_off_says_so(gateway: RunningGateway, sdk: OpenAI) -> None:
    add(gateway, "openai", "cuts")
    *_, last = sdk.responses.create(model="openai/gpt-4o", input="Hello", stream=True)
    assert last.type == "error"
    assert "broke off in the middle" in last.message
    assert booked(gateway)[:2] == ("error", True)


def test_a_key_that_does_not_offer_responses_is_named(gateway: RunningGateway, sdk: OpenAI) -> None:
    add(gateway, "anthropic")
    with pytest.raises(openai.NotFoundError, match="does not offer OpenAI's Responses"):
        sdk.responses.create(model="anthropic/claude-sonnet-4.5", input="Hello")


# Embeddings and images


@pytest.mark.parametrize("provider", ["openai", "azure"])
def test_embeddings_come_back_and_are_booked(gateway: RunningGateway, sdk: OpenAI, provider: str) -> None:
    if provider == "azure":
        azure(gateway, EMBEDDING, "text-embedding-3-small")
    else:
        add(gateway, provider, models=("text-embedding-3-small",))
    answer = sdk.embeddings.create(model=EMBEDDING, input=["one", "two", "three"])
    assert [row.embedding for row in answer.data] == [[0.25, -0.5, 0.125, 1.0]] * 3
    assert booked(gateway) == ("ok", False, Tokens(12))


@pytest.mark.parametrize("provider", ["openai", "azure"])
def test_an_image_comes_back_and_is_booked(gateway: RunningGateway, sdk: OpenAI, provider: str) -> None:
    if provider == "azure":
        azure(gateway, "openai/gpt-image-1", "gpt-image-1")
    else:
        add(gateway, provider, models=("gpt-image-1",))
    (image,) = sdk.images.generate(model="openai/gpt-image-1", prompt="A cat").data or []
    assert image.b64_json
    assert booked(gateway) == ("ok", False, Tokens(9, 1056))


def azure(gateway: RunningGateway, slug: str, name: str) -> None:
    key = gateway.fake.key("azure")
    entry = {"model_slug": slug, "endpoint_url": "https://acme.openai.azure.com", "model_id": name}
    credential = gateway.fake.credential("azure")
    credential = type(credential)({"api_keys": [key]}, {"deployments": [entry]}, credential.hint)
    gateway.keep("azure", credential, "azure")


def test_images_are_not_streamed(gateway: RunningGateway, sdk: OpenAI) -> None:
    add(gateway, "openai", models=("gpt-image-1",))
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.images.generate(model="openai/gpt-image-1", prompt="A cat", stream=True)
    assert caught.value.param == "stream"
    assert gateway.attempts() == []


def test_embeddings_are_fetched_with_the_next_key(gateway: RunningGateway, sdk: OpenAI) -> None:
    add(gateway, "openai", "broken", models=("text-embedding-3-small",))
    add(gateway, "openai", models=("text-embedding-3-small",))
    assert sdk.embeddings.create(model=EMBEDDING, input="one").data
    assert [outcome for outcome, _, _ in gateway.outcomes()] == ["absorbed", "ok"]


# Speech


def say(sdk: OpenAI) -> bytes:
    with sdk.audio.speech.with_streaming_response.create(model="openai/tts-1", voice="alloy", input="Hello") as answer:
        return b"".join(answer.iter_bytes())


def test_speech_comes_back_as_it_is(gateway: RunningGateway, sdk: OpenAI) -> None:
    add(gateway, "openai", models=("tts-1",))
    assert say(sdk) == SPEECH
    assert gateway.fake.requests[-1].headers["accept"] == "*/*"
    reply = call(gateway, {"model": "openai/tts-1", "voice": "alloy", "input": "Hello"}, "/v1/audio/speech")
    assert (reply.headers["content-type"], reply.body) == ("audio/mpeg", SPEECH)
    assert booked(gateway) == ("ok", False, Tokens())


def test_speech_is_fetched_with_the_next_key(gateway: RunningGateway, sdk: OpenAI) -> None:
    add(gateway, "openai", "limited", models=("tts-1",))
    add(gateway, "openai", models=("tts-1",))
    assert say(sdk) == SPEECH


def test_speech_that_breaks_off_does_not_end_cleanly(gateway: RunningGateway, sdk: OpenAI) -> None:
    """Half of it must not be taken for all."""
    add(gateway, "openai", "cuts", models=("tts-1",))
    with pytest.raises(Exception, match="peer closed connection"):  # the SDK's transport raises its own
        say(sdk)
    assert booked(gateway)[:2] == ("error", True)


@pytest.mark.parametrize("stream", [False, True])
def test_no_response_is_made_where_nobody_sees_what_it_used(gateway: RunningGateway, *, stream: bool) -> None:
    add(gateway, "openai", models=("gpt-4o",))
    reply = call(gateway, {"model": "openai/gpt-4o", "input": "Hello", "background": True, "stream": stream}, "/v1/responses")
    assert (reply.status, reply.error["param"]) == (400, "background")
    assert gateway.attempts() == []


# What the body must be


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/embeddings", "/v1/images/generations", "/v1/audio/speech"])
@pytest.mark.parametrize(
    ("body", "param"), [(b"[]", None), (b"{", None), ({}, "model"), ({"model": 7}, "model"), ({"model": "a\nb"}, "model")]
)
def test_a_body_that_cannot_be_is_refused(gateway: RunningGateway, path: str, body: Any, param: str | None) -> None:
    reply = call(gateway, body, path)
    assert (reply.status, reply.error["param"]) == (400, param)
