"""Providers' own clients, pointed at the gateway with a client key in place of the provider's."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import boto3
import botocore.config
import fal_client
import fal_client.client
import openai
import pytest
from botocore.exceptions import ClientError
from google import genai
from google.genai import errors as google_errors
from google.genai import types

from tests.gateway_server import RunningGateway

pytest_plugins = ["tests.gateway_fixtures"]
pytestmark = pytest.mark.large

NOVA = "amazon.nova-micro-v1:0"
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
HELLO: Any = [{"role": "user", "content": "Hello"}]
TURNS: Any = [{"role": "user", "content": [{"text": "Hello"}]}]
CLAUDES: Any = {"max_tokens": 99, "messages": HELLO}


def only(gateway: RunningGateway) -> Any:
    (ended,) = gateway.attempts()
    return ended


# AWS's SDK


@pytest.fixture(params=["access key", "bearer"])
def bedrock(gateway: RunningGateway, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A client whose client key stands where the access key ID stands, or a Bedrock API key."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    keys: dict[str, str] = {"aws_access_key_id": gateway.secret, "aws_secret_access_key": "unused"}
    if request.param == "bearer":
        monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", gateway.secret)
        keys = {}

    def make(service: str = "bedrock-runtime", path: str = "bedrock") -> Any:
        """Bearer keys go to https only, so that is what it is told, and then it is brought back to loopback."""
        config = botocore.config.Config(retries={"total_max_attempts": 1})
        endpoint = f"{gateway.url.replace('http:', 'https:')}/native/{path}"
        client = boto3.client(service, region_name="eu-west-1", endpoint_url=endpoint, config=config, **keys)
        client.meta.events.register("before-send", without_tls)
        return client

    return make


def without_tls(request: Any, **more: Any) -> None:
    request.url = request.url.replace("https:", "http:", 1)


@pytest.fixture(params=["", "session", "api_key"])
def bedrock_key(gateway: RunningGateway, request: pytest.FixtureRequest) -> None:
    gateway.keep("bedrock", gateway.fake.credential("bedrock", kind=request.param), "aws")


@pytest.mark.usefixtures("bedrock_key")
def test_boto3_converses(gateway: RunningGateway, bedrock: Callable[..., Any]) -> None:
    answer = bedrock().converse(modelId=NOVA, messages=TURNS, inferenceConfig={"maxTokens": 50})
    assert answer["output"]["message"]["role"] == "assistant"
    ended = only(gateway)
    assert (ended.opened.model, ended.opened.native_model, ended.opened.stream) == (NOVA, NOVA, False)
    usage = answer["usage"]
    cached = usage.get("cacheReadInputTokens", 0) + usage.get("cacheWriteInputTokens", 0)
    assert (ended.closed.input_tokens, ended.closed.output_tokens) == (usage["inputTokens"] + cached, usage["outputTokens"])
    assert not ended.closed.estimated


@pytest.mark.usefixtures("bedrock_key")
def test_boto3_streams(gateway: RunningGateway, bedrock: Callable[..., Any]) -> None:
    events = list(bedrock().converse_stream(modelId=NOVA, messages=TURNS)["stream"])
    assert "messageStart" in events[0]
    usage = events[-1]["metadata"]["usage"]
    ended = only(gateway)
    assert (ended.opened.stream, ended.closed.outcome, ended.closed.estimated) == (True, "ok", False)
    assert (ended.closed.input_tokens, ended.closed.output_tokens) == (usage["inputTokens"], usage["outputTokens"])


def test_boto3_invokes_models_by_name_and_by_arn(gateway: RunningGateway, bedrock: Callable[..., Any]) -> None:
    gateway.keep("bedrock", gateway.fake.credential("bedrock"), "aws")
    arn = f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/{CLAUDE}"
    body = json.dumps({**CLAUDES, "anthropic_version": "bedrock-2023-05-31"})
    for model in (CLAUDE, arn):
        answer = bedrock().invoke_model(modelId=model, body=body, contentType="application/json")
        assert json.loads(answer["body"].read())["content"][0]["text"] == "The beautiful city of "
    assert [ended.opened.model for ended in gateway.attempts()] == [CLAUDE, arn]
    assert all(ended.closed.output_tokens for ended in gateway.attempts())
    chunks = list(bedrock().invoke_model_with_response_stream(modelId=CLAUDE, body=body, contentType="application/json")["body"])
    assert json.loads(chunks[0]["chunk"]["bytes"])["type"] == "message_start"
    last = gateway.attempts()[-1].closed
    assert (last.input_tokens, last.output_tokens, last.estimated) == (20, 5, False)


def test_boto3_asks_the_control_plane(gateway: RunningGateway, bedrock: Callable[..., Any]) -> None:
    gateway.keep("bedrock", gateway.fake.credential("bedrock"), "aws")
    control = bedrock("bedrock", "bedrock:control")
    assert control.list_foundation_models(byInferenceType="ON_DEMAND", byProvider="a b/é")["modelSummaries"]
    assert control.list_inference_profiles(maxResults=3, typeEquals="SYSTEM_DEFINED")["inferenceProfileSummaries"]
    assert {ended.opened.model for ended in gateway.attempts()} == {"foundation-models", "inference-profiles"}


def test_boto3_gets_the_providers_errors_and_ours(gateway: RunningGateway, bedrock: Callable[..., Any]) -> None:
    with pytest.raises(ClientError, match="has no key of AWS Bedrock") as none:
        bedrock().converse(modelId=NOVA, messages=TURNS)
    assert none.value.response["Error"]["Code"] == "no_provider_key"
    gateway.keep("bedrock", gateway.fake.credential("bedrock", "incorrect"), "old")
    with pytest.raises(ClientError, match="AWS Bedrock key “old” was refused by the provider"):
        bedrock().converse(modelId=NOVA, messages=TURNS)
    gateway.keep("bedrock", gateway.fake.credential("bedrock"), "new")
    with pytest.raises(ClientError, match="model identifier is invalid") as wrong:
        bedrock().converse(modelId="amazon.none-v1:0", messages=TURNS)
    assert wrong.value.response["Error"]["Code"] == "ValidationException"
    assert wrong.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert bedrock().converse(modelId=NOVA, messages=TURNS)["ResponseMetadata"]["HTTPHeaders"]["x-keyhold-key"] == "new"


# Google's SDK


@pytest.fixture
def gemini(gateway: RunningGateway) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=f"{gateway.url}/native/aistudio", api_version="v1beta")
    with genai.Client(api_key=gateway.secret, vertexai=False, http_options=options) as client:
        yield client


@pytest.mark.parametrize("failing", [None, "incorrect", "limited", "payment"])
def test_google_genai_generates(gateway: RunningGateway, gemini: genai.Client, failing: str | None) -> None:
    if failing:
        gateway.add("aistudio", failing)
    gateway.add("aistudio")
    answer = gemini.models.generate_content(model="gemini-2.5-flash", contents="Hello")
    assert answer.text
    *failed, ended = gateway.attempts()
    assert [attempt.closed.outcome for attempt in failed] == ["absorbed"] * bool(failing)
    assert ended.opened.model == "gemini-2.5-flash"
    assert ended.closed.input_tokens == answer.usage_metadata.prompt_token_count
    assert gemini.models.count_tokens(model="gemini-2.5-flash", contents="Hello").total_tokens


def test_google_genai_streams(gateway: RunningGateway, gemini: genai.Client) -> None:
    gateway.add("aistudio")
    pieces = list(gemini.models.generate_content_stream(model="gemini-2.5-flash", contents="Hello"))
    assert "".join(piece.text or "" for piece in pieces)
    last = pieces[-1].usage_metadata
    ended = only(gateway)
    assert (ended.opened.stream, ended.closed.outcome, ended.closed.estimated) == (True, "ok", False)
    assert ended.closed.output_tokens == last.candidates_token_count + (last.thoughts_token_count or 0)


def test_google_genai_lists_models(gateway: RunningGateway, gemini: genai.Client) -> None:
    gateway.add("aistudio")
    assert "models/gemini-2.5-flash" in [model.name for model in gemini.models.list(config={"page_size": 2})]


def test_google_genai_gets_the_providers_errors_and_ours(gateway: RunningGateway, gemini: genai.Client) -> None:
    gateway.add("aistudio", "limited", name="main")
    with pytest.raises(google_errors.ClientError, match="Google AI Studio key “main” is at its rate limit") as limited:
        gemini.models.generate_content(model="gemini-2.5-flash", contents="Hello")
    assert (limited.value.code, limited.value.status) == (429, "RESOURCE_EXHAUSTED")
    gateway.add("aistudio")
    with pytest.raises(google_errors.ClientError, match="models/none is not found") as unknown:
        gemini.models.generate_content(model="none", contents="Hello")
    assert unknown.value.status == "NOT_FOUND"


# fal's client


@pytest.fixture
def fal(gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[fal_client.SyncClient]:
    monkeypatch.setattr(fal_client.client, "RUN_URL_FORMAT", f"{gateway.url}/native/fal/")
    monkeypatch.setattr(fal_client.client, "QUEUE_URL_FORMAT", f"{gateway.url}/native/fal:queue/")
    client = fal_client.SyncClient(key=gateway.secret)
    yield client
    client._client.close()


FLUX = "fal-ai/flux/dev"
LAKE = {"prompt": "A lake"}


def test_fal_client_runs(gateway: RunningGateway, fal: fal_client.SyncClient) -> None:
    gateway.add("fal", "refused")
    gateway.add("fal")
    assert fal.run(FLUX, LAKE, hint="gpu-1")["seed"] == 42
    assert [request.headers.get("x-fal-runner-hint") for request in gateway.fake.requests] == ["gpu-1", "gpu-1", None]
    last = gateway.attempts()[-1]
    assert (last.opened.model, last.closed.input_tokens, last.closed.estimated) == (FLUX, 0, False)
    assert last.closed.reported_cost_microusd == 25_000


def test_fal_client_submits_asks_and_gets(gateway: RunningGateway, fal: fal_client.SyncClient) -> None:
    gateway.add("fal")
    handle = fal.submit(FLUX, LAKE, webhook_url="https://acme.example/hook?job=1&x=%2F")
    assert gateway.fake.requests[-1].query == {"fal_webhook": "https://acme.example/hook?job=1&x=%2F"}
    job = f"{gateway.url}/native/fal:queue/fal-ai/flux/requests/{handle.request_id}"
    assert (handle.status_url, handle.response_url, handle.cancel_url) == (f"{job}/status", job, f"{job}/cancel")
    assert isinstance(handle.status(with_logs=True), fal_client.Queued)
    assert handle.get(interval=0)["seed"] == 42
    costs = [(ended.opened.model, ended.closed.reported_cost_microusd) for ended in gateway.attempts()]
    assert (costs[0], costs[-1]) == ((FLUX, None), ("fal-ai/flux", 25_000))
    assert {cost for _, cost in costs[1:-1]} == {0}  # it looked how far the job is


def test_fal_client_cancels_by_the_id_alone(gateway: RunningGateway, fal: fal_client.SyncClient) -> None:
    gateway.add("fal")
    handle = fal.submit(FLUX, LAKE)
    fal.cancel(FLUX, handle.request_id)
    assert (gateway.fake.requests[-1].method, gateway.attempts()[-1].closed.status) == ("PUT", 202)


def test_a_job_is_found_whichever_key_made_it(gateway: RunningGateway, fal: fal_client.SyncClient) -> None:
    gateway.add("fal", "limited", name="first")
    gateway.keep("fal", gateway.fake.credential("fal", number=2), "second")
    handle = fal.submit(FLUX, LAKE)
    gateway.keep("fal", gateway.fake.credential("fal", number=3), "third")
    assert handle.get(interval=0)["seed"] == 42


def test_fal_client_gets_the_providers_errors_and_ours(gateway: RunningGateway, fal: fal_client.SyncClient) -> None:
    gateway.add("fal", "payment", name="main")
    with pytest.raises(fal_client.FalClientHTTPError, match="key “main” has no credit left") as unpaid:
        fal.run(FLUX, LAKE)
    assert unpaid.value.status_code == 402
    gateway.add("fal")
    with pytest.raises(fal_client.FalClientHTTPError, match="field required") as wrong:
        fal.run(FLUX, {})
    assert wrong.value.status_code == 422


# Anthropic's and OpenAI's SDKs


@pytest.fixture
def claude(gateway: RunningGateway) -> Iterator[anthropic.Anthropic]:
    base = f"{gateway.url}/native/anthropic"
    with anthropic.Anthropic(base_url=base, api_key=gateway.secret, max_retries=0) as client:
        yield client


def test_the_anthropic_sdk_speaks_to_anthropic(gateway: RunningGateway, claude: anthropic.Anthropic) -> None:
    gateway.add("anthropic", "exhausted")
    gateway.add("anthropic")
    message = claude.messages.create(model="claude-opus-4-5", **CLAUDES)
    arrived = gateway.fake.requests[-1]
    assert arrived.headers["anthropic-version"] == "2026-10-21"
    last = gateway.attempts()[-1]
    assert (last.opened.model, last.closed.output_tokens) == ("claude-opus-4-5", message.usage.output_tokens)
    assert claude.messages.count_tokens(model="claude-opus-4-5", messages=HELLO).input_tokens
    assert len(claude.models.list(limit=2).data) == 2


def test_the_anthropic_sdk_streams(gateway: RunningGateway, claude: anthropic.Anthropic) -> None:
    gateway.add("anthropic")
    with claude.messages.stream(model="claude-opus-4-5", **CLAUDES) as stream:
        final = stream.get_final_message()
    closed = only(gateway).closed
    assert (closed.outcome, closed.output_tokens, closed.estimated) == ("ok", final.usage.output_tokens, False)


def test_the_anthropic_sdk_gets_the_providers_errors_and_ours(gateway: RunningGateway, claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="has no key of Anthropic"):
        claude.messages.create(model="claude-opus-4-5", **CLAUDES)
    gateway.add("anthropic")
    with pytest.raises(anthropic.NotFoundError, match="model: none"):
        claude.messages.create(model="none", **CLAUDES)


def test_the_openai_sdk_speaks_to_openai(gateway: RunningGateway) -> None:
    gateway.add("openai", "limited")
    gateway.add("openai")
    with openai.OpenAI(base_url=f"{gateway.url}/native/openai/", api_key=gateway.secret, max_retries=0) as client:
        assert client.chat.completions.create(model="gpt-4o", messages=HELLO).usage
        with client.chat.completions.create(
            model="gpt-4o", messages=HELLO, stream=True, stream_options={"include_usage": True}
        ) as stream:
            *_, last = stream
        assert client.models.list().data
        assert client.audio.transcriptions.create(model="whisper-1", file=("a.mp3", b"\x00" * 2_000)).text
        with pytest.raises(openai.BadRequestError, match="Missing required parameter: 'messages'"):
            client.chat.completions.create(model="gpt-4o", messages=[])
    served = [ended for ended in gateway.attempts() if ended.closed.outcome == "ok"]
    assert [ended.opened.model for ended in served] == ["gpt-4o", "gpt-4o", "models", "whisper-1"]
    assert served[1].closed.output_tokens == last.usage.completion_tokens


def test_azures_client_reaches_the_deployment_that_it_names(gateway: RunningGateway) -> None:
    gateway.keep("azure", gateway.fake.credential("azure"), "eu")
    with openai.AzureOpenAI(
        azure_endpoint=f"{gateway.url}/native/azure", api_key=gateway.secret, api_version="2024-10-21", max_retries=0
    ) as client:
        assert client.chat.completions.create(model="gpt-4o-mini", messages=HELLO).choices
    arrived = gateway.fake.requests[-1]
    assert arrived.path == "/openai/deployments/gpt-4o-mini/chat/completions"
    assert arrived.query == {"api-version": "2024-10-21"}
    assert only(gateway).opened.model == "gpt-4o-mini"
