"""OpenAI's own Python SDK, pointed at the gateway."""

from collections.abc import Iterator

import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam

from tests.gateway_server import RunningGateway, StartGateway

pytest_plugins = ["tests.gateway_fixtures"]

MODEL = "openai/gpt-4o"
MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def client(gateway: RunningGateway) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.secret, max_retries=0) as client:
        yield client


def sent(gateway: RunningGateway) -> bytes:
    """What the provider sent last, without the usage chunk that nobody but us had asked for."""
    events = gateway.fake.requests[-1].sent.split(b"\n\n")
    return b"\n\n".join(event for event in events if b'"choices":[]' not in event)


@pytest.mark.parametrize("failing", [None, "refused", "limited", "broken"])
def test_the_sdk_gets_the_providers_answer(gateway: RunningGateway, client: OpenAI, failing: str | None) -> None:
    if failing:
        gateway.add("openai", failing)
    gateway.add("openai")
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES)
    assert raw.content == gateway.fake.requests[-1].sent
    assert raw.headers["x-keyhold-attempts"] == ("2" if failing else "1")
    completion = raw.parse()
    assert isinstance(completion, ChatCompletion)
    assert completion.choices[0].message.role == "assistant"


@pytest.mark.parametrize("failing", [None, "refused", "limited", "broken"])
def test_the_sdk_gets_the_providers_stream(gateway: RunningGateway, client: OpenAI, failing: str | None) -> None:
    if failing:
        gateway.add("openai", failing)
    gateway.add("openai")
    with client.chat.completions.with_streaming_response.create(model=MODEL, messages=MESSAGES, stream=True) as raw:
        assert b"".join(raw.iter_bytes()) == sent(gateway)
    with client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True) as stream:
        chunks = list(stream)
    assert len(chunks) > 2
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    outcomes = [ended.closed.outcome for ended in gateway.attempts()]
    again = ["absorbed"] if failing == "broken" else []  # the others are out after one answer
    assert outcomes == ["absorbed"] * bool(failing) + ["ok"] + again + ["ok"]


@pytest.mark.parametrize("stream", [False, True])
def test_the_sdk_does_not_notice_a_key_that_stalls(start_gateway: StartGateway, stream: bool) -> None:
    gateway = start_gateway(first_byte_seconds=0.5)
    gateway.add("openai", "stalls")
    gateway.add("openai")
    with (
        OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.secret, max_retries=0) as client,
        client.chat.completions.with_streaming_response.create(model=MODEL, messages=MESSAGES, stream=stream) as raw,
    ):
        assert b"".join(raw.iter_bytes()) == sent(gateway)
        assert raw.headers["x-keyhold-fallback"] == "byok"


def test_the_sdk_gets_usage_where_it_asks_for_it(gateway: RunningGateway, client: OpenAI) -> None:
    gateway.add("openai")
    options = {"include_usage": True}
    with client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, stream_options=options) as stream:  # type: ignore[call-overload]
        *_, last = stream
    assert last.choices == []
    (ended,) = gateway.attempts()
    assert (ended.closed.input_tokens, ended.closed.output_tokens) == (last.usage.prompt_tokens, last.usage.completion_tokens)


def test_the_sdk_lists_models(gateway: RunningGateway, client: OpenAI) -> None:
    gateway.add("openai", models=("gpt-4o", "gpt-5.5"))
    assert [model.id for model in client.models.list()] == ["openai/gpt-4o", "openai/gpt-5.5"]
    assert client.models.retrieve("openai/gpt-4o").owned_by == "openai"


@pytest.mark.parametrize(
    ("behavior", "error", "code"),
    [
        ("limited", openai.RateLimitError, "provider_key_limited"),
        ("refused", openai.InternalServerError, "provider_key_refused"),
        ("broken", openai.InternalServerError, "provider_trouble"),
        ("exhausted", openai.APIStatusError, "provider_key_out_of_money"),
    ],
)
def test_the_sdk_raises_its_own_errors(
    gateway: RunningGateway, client: OpenAI, behavior: str, error: type[openai.APIStatusError], code: str
) -> None:
    gateway.add("openai", behavior, name="main")
    with pytest.raises(error) as caught:
        client.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert caught.value.code == code
    assert "OpenAI key “main”" in caught.value.message
    assert caught.value.request_id == gateway.attempts()[0].opened.request_id


def test_the_sdk_tells_what_is_wrong_with_a_request(gateway: RunningGateway, client: OpenAI) -> None:
    gateway.add("openai", models=("gpt-4o",))
    with pytest.raises(openai.BadRequestError, match="Missing required parameter: 'messages'"):
        client.chat.completions.create(model=MODEL, messages=[])
    with pytest.raises(openai.NotFoundError, match="No key can serve the model openai/none"):
        client.chat.completions.create(model="openai/none", messages=MESSAGES)
    client.api_key = "byok_live_wrong"
    with pytest.raises(openai.AuthenticationError, match="no client key of ours"):
        client.models.list()


def test_the_sdk_is_told_when_a_stream_breaks(gateway: RunningGateway, client: OpenAI) -> None:
    gateway.add("openai", "cuts")
    with (
        pytest.raises(openai.APIError, match="broke off in the middle"),
        client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True) as stream,
    ):
        list(stream)


def test_the_sdk_does_not_retry_what_is_no_use(gateway: RunningGateway, client: OpenAI) -> None:
    gateway.add("openai", "refused")
    with pytest.raises(openai.InternalServerError):
        client.with_options(max_retries=2).chat.completions.create(model=MODEL, messages=MESSAGES)
    assert len(gateway.fake.requests) == 1


def test_closing_a_stream_ends_the_providers_work(gateway: RunningGateway) -> None:
    gateway.add("openai", "slow")
    with (
        OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.secret, max_retries=0) as client,
        client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True) as stream,
    ):
        next(stream)
    assert gateway.fake.wait_for(lambda: gateway.fake.disconnects == 1)
    assert [ended.closed.outcome for ended in gateway.attempts()] == ["cancelled"]
