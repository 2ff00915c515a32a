"""A chat to providers of another dialect: what they cannot honor, and what happens when they fail."""

import json
import time
from collections.abc import Iterator
from itertools import product
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.fake import FakeProvider
from tests.gateway_calls import STREAMED, call
from tests.gateway_server import RunningGateway, StartGateway
from tests.odd_provider import Odd

pytest_plugins = ["tests.gateway_fixtures"]
pytestmark = pytest.mark.large

MODELS = {
    "anthropic": "anthropic/claude-sonnet-4.5",
    "bedrock": "amazon/nova-pro",
    "aistudio": "google/gemini-2.5-pro",
    "vertex": "google/gemini-2.5-pro",
    "perplexity": "perplexity/sonar",
}
HELLO: Any = [{"role": "user", "content": "Hello"}]
TOOLS: Any = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
JSON_OBJECT: Any = {"type": "json_object"}
SOUND: Any = [
    {"role": "user", "content": [{"type": "input_audio", "input_audio": {"format": "wav", "data": "aGk="}}]},
]


@pytest.fixture
def sdk(gateway: RunningGateway) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.secret, max_retries=0) as client:
        yield client


def add(gateway: RunningGateway, provider: str, behavior: str = "valid", number: int = 1) -> None:
    credential = gateway.fake.credential(provider, behavior, number)
    gateway.keep(provider, credential, f"{behavior} {number}", gateway.fake.models(provider))


# What cannot be honored


@pytest.mark.parametrize(
    ("provider", "fields", "param"),
    [
        *((provider, {"logprobs": True}, "logprobs") for provider in MODELS),
        *((provider, {"n": 2}, "n") for provider in MODELS),
        *((provider, {"logit_bias": {"1": 1}}, "logit_bias") for provider in MODELS),
        *((provider, {"extra_body": {"unheard_of": 1}}, "unheard_of") for provider in MODELS),
        *((provider, {"seed": 7}, "seed") for provider in ("anthropic", "bedrock", "perplexity")),
        *((provider, {"response_format": JSON_OBJECT}, "response_format") for provider in ("anthropic", "bedrock")),
        *((provider, {"messages": SOUND}, "messages") for provider in ("anthropic", "bedrock", "perplexity")),
        ("anthropic", {"temperature": 1.5}, "temperature"),
        ("anthropic", {"temperature": 0.5, "top_p": 0.5}, "top_p"),
        ("anthropic", {"model": "anthropic/claude-opus-5.5", "temperature": 0.5}, "temperature"),
        ("bedrock", {"tools": TOOLS, "parallel_tool_calls": False}, "parallel_tool_calls"),
        ("aistudio", {"reasoning_effort": "xhigh"}, "reasoning_effort"),
        ("perplexity", {"stop": "END"}, "stop"),
    ],
)
def test_what_a_wire_cannot_honor_is_refused_by_its_name(
    gateway: RunningGateway, sdk: OpenAI, provider: str, fields: dict[str, Any], param: str
) -> None:
    add(gateway, provider)
    asked: Any = {"model": MODELS[provider], "messages": HELLO, **fields}
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.chat.completions.create(**asked)
    assert caught.value.param == param
    assert caught.value.code == "bad_request"
    assert gateway.attempts() == []
    assert not gateway.fake.requests


def test_a_key_that_can_honor_it_serves_instead(gateway: RunningGateway, sdk: OpenAI) -> None:
    add(gateway, "bedrock")
    add(gateway, "groq")
    asked = sdk.chat.completions.create(model="openai/gpt-oss-120b", messages=HELLO, seed=7)
    assert asked.choices
    assert [ended.opened.provider for ended in gateway.attempts()] == ["groq"]


def test_a_key_that_cannot_honor_it_does_not_hide_how_the_others_failed(gateway: RunningGateway, sdk: OpenAI) -> None:
    add(gateway, "groq", "limited")
    add(gateway, "bedrock")
    with pytest.raises(openai.RateLimitError, match="is at its rate limit"):
        sdk.chat.completions.create(model="openai/gpt-oss-120b", messages=HELLO, seed=7)
    assert gateway.outcomes() == [("error", "limited", 429)]


# What fails

CLASSES = {
    "refused": ("refused", openai.InternalServerError),
    "payment": ("out_of_money", openai.APIStatusError),
    "forbidden": ("no_permission", openai.InternalServerError),
    "limited": ("limited", openai.RateLimitError),
    "broken": ("trouble", openai.InternalServerError),
    "overloaded": ("trouble", openai.InternalServerError),
}


@pytest.mark.parametrize(
    ("behavior", "stream"), [*product([*CLASSES, "html", "redirects"], [False, True]), ("compressed", False)]
)
@pytest.mark.parametrize("provider", list(MODELS))
def test_the_next_key_serves(gateway: RunningGateway, sdk: OpenAI, provider: str, behavior: str, stream: bool) -> None:
    add(gateway, provider, behavior)
    add(gateway, provider, "valid", 2)
    raw = sdk.chat.completions.with_raw_response.create(model=MODELS[provider], messages=HELLO, stream=stream)
    answer: Any = raw.parse()
    assert list(answer) if stream else answer.choices[0].message.content
    assert (raw.headers["x-keyhold-key"], raw.headers["x-keyhold-attempts"]) == ("valid 2", "2")
    failed, served = gateway.attempts()
    expected = CLASSES[behavior][0] if behavior in CLASSES else "trouble"
    if (provider, behavior) == ("anthropic", "overloaded"):
        expected = "limited"
    assert (failed.closed.outcome, failed.closed.error_class, served.closed.outcome) == ("absorbed", expected, "ok")


@pytest.mark.parametrize(("behavior", "stream"), [("stalls", False), ("stalls", True), ("cuts", False)])
@pytest.mark.parametrize("provider", list(MODELS))
def test_the_next_key_serves_where_no_answer_comes(
    start_gateway: StartGateway, provider: str, behavior: str, stream: bool
) -> None:
    gateway = start_gateway(first_byte_seconds=0.5)
    add(gateway, provider, behavior)
    add(gateway, provider, "valid", 2)
    reply = call(gateway, {**STREAMED, "model": MODELS[provider], "stream": stream})
    assert (reply.status, reply.headers["x-keyhold-key"]) == (200, "valid 2")
    assert gateway.outcomes()[0][:2] == ("absorbed", "trouble")


@pytest.mark.parametrize("behavior", list(CLASSES))
@pytest.mark.parametrize("provider", list(MODELS))
def test_the_client_is_told_in_openais_shape(gateway: RunningGateway, sdk: OpenAI, provider: str, behavior: str) -> None:
    add(gateway, provider, behavior)
    error = openai.RateLimitError if (provider, behavior) == ("anthropic", "overloaded") else CLASSES[behavior][1]
    with pytest.raises(error) as caught:
        sdk.chat.completions.create(model=MODELS[provider], messages=HELLO)
    assert (caught.value.code or "").startswith("provider_")
    assert caught.value.type == "provider_error"
    assert f"key “{behavior} 1”" in caught.value.message


@pytest.mark.parametrize("provider", list(MODELS))
def test_an_error_in_the_stream_is_raised(gateway: RunningGateway, sdk: OpenAI, provider: str) -> None:
    add(gateway, provider, "errs")
    """Anthropic's comes before anything was said, so that another key could have served."""
    told = "an error in its stream|The model had trouble while it streamed|The search did not come back"
    with pytest.raises(openai.APIError, match=told):
        list(sdk.chat.completions.create(model=MODELS[provider], messages=HELLO, stream=True))
    assert gateway.outcomes() == [("error", "trouble", 200)]


@pytest.mark.parametrize("provider", [provider for provider in MODELS if provider != "vertex"])
def test_a_stream_that_breaks_off_is_told_to_have(gateway: RunningGateway, sdk: OpenAI, provider: str) -> None:
    add(gateway, provider, "cuts")
    with pytest.raises(openai.APIError, match="broke off in the middle"):
        list(sdk.chat.completions.create(model=MODELS[provider], messages=HELLO, stream=True))
    assert gateway.outcomes() == [("error", "trouble", 200)]


# A credential that comes back

ECHOING = ["anthropic", "aistudio", "vertex", "perplexity", "openai"]


@pytest.fixture
def echo(start_gateway: StartGateway, odd: Odd, fake_provider: FakeProvider) -> tuple[RunningGateway, Odd]:
    """Providers at an address that says what it is told to."""
    overrides = {**fake_provider.overrides(), **dict.fromkeys(ECHOING, odd.url)}
    return start_gateway(overrides=overrides), odd


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("provider", ECHOING)
def test_a_credential_that_is_echoed_goes_no_further(echo: tuple[RunningGateway, Odd], provider: str, stream: bool) -> None:
    """In the words of a refusal, in a good answer, and in a stream."""
    gateway, odd = echo
    secret = secret_of(gateway, provider)
    model = MODELS.get(provider, "openai/gpt-4o")
    said = {"error": {"message": f"Your request had {secret} in it.", "type": "invalid_request_error", "code": secret}}
    events = "200 OK\r\ncontent-type: text/event-stream"
    for head, body in (
        ("400 Bad", json.dumps(said).encode()),
        (events if stream else "200 OK", b"data: " + json.dumps({**said, "choices": []}).encode() + b"\n\n"),
        (events if stream else "200 OK", json.dumps({"choices": [], "note": secret}).encode()),
        (events, b'data: {"choices":[]}\n\ndata: ' + json.dumps({"choices": [], "note": secret}).encode() + b"\n\n"),
        (events, b'data: {"choices":[]}\n\nevent: error\ndata: ' + json.dumps(said).encode() + b"\n\n"),
        (events, b'data: {"choices":[]}\n\ndata: ' + json.dumps(said).encode()),
    ):
        odd.says(head, body)
        reply = call(gateway, {**STREAMED, "model": model, "stream": stream})
        assert secret.encode() not in reply.body
        assert secret not in repr(reply.headers)


def secret_of(gateway: RunningGateway, provider: str) -> str:
    """What the provider gets to see of the credential: the key, or the token that the account was given."""
    add(gateway, provider)
    if provider != "vertex":
        return str(gateway.fake.credential(provider).secret["api_key"])
    call(gateway, {**STREAMED, "model": MODELS["vertex"]})
    return str(json.loads(gateway.fake.requests[-1].sent)["access_token"])


# Tokens that Google takes no more


def test_a_token_that_vertex_refuses_is_fetched_anew_for_the_next_request(gateway: RunningGateway, sdk: OpenAI) -> None:
    add(gateway, "vertex")
    asked: Any = {"model": MODELS["vertex"], "messages": HELLO}
    assert sdk.chat.completions.create(**asked).choices
    gateway.fake.set_clock(lambda: time.time() + 4000)
    with pytest.raises(openai.InternalServerError):
        sdk.chat.completions.create(**asked)
    gateway.fake.set_clock(time.time)
    assert sdk.chat.completions.create(**asked).choices
    assert sum(request.path == "/vertex-token/token" for request in gateway.fake.requests) == 2
