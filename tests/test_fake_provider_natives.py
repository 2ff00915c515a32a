"""The fake as the providers with a dialect of their own. Their SDKs, where there are any, must be content with it."""

import json
from collections.abc import Iterator
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from keys import credentials
from keys.addresses import AllowList
from keys.providers import PROVIDERS
from tests.fake import FakeProvider, anthropic_rules, converse_rules, google_rules, replay
from tests.fake.behaviors import REFUSING
from tests.recorded import recordings

HELLO = {"model": "claude-opus-4-5", "max_tokens": 99, "messages": [{"role": "user", "content": "Hello"}]}
GEMINI = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
PICTURE = {"prompt": "A lake"}
VERTEX = "/v1/projects/acme-project/locations/us-central1/publishers"


@pytest.fixture
def http() -> Iterator[httpx2.Client]:
    """Keeps no cookies, which the fake would refuse."""
    cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    with httpx2.Client(trust_env=False, cookies=cookies) as client:
        yield client


class Caller:
    """Calls one provider at the addresses that overrides name, with the headers of its key."""

    def __init__(self, fake: FakeProvider, http: httpx2.Client) -> None:
        self.fake = fake
        self.http = http

    def __call__(self, service: str, path: str, body: Any = None, *, behavior: str = "valid", **extra: Any) -> httpx2.Response:
        provider = service.partition(":")[0]
        headers = {**HEADERS[provider](self.fake.key(provider, behavior)), **extra.pop("headers", {})}
        method = extra.pop("method", "GET" if body is None else "POST")
        return self.http.request(method, self.fake.overrides()[service] + path, json=body, headers=headers, **extra)


HEADERS: dict[str, Any] = {
    "anthropic": lambda key: {"x-api-key": key, "anthropic-version": "2023-06-01"},
    "aistudio": lambda key: {"x-goog-api-key": key},
    "perplexity": lambda key: {"authorization": f"Bearer {key}"},
    "fal": lambda key: {"authorization": f"Key {key}"},
    "pollo": lambda key: {"x-api-key": key},
    "openai": lambda key: {"authorization": f"Bearer {key}"},
}


@pytest.fixture
def call(fake_provider: FakeProvider, http: httpx2.Client) -> Caller:
    return Caller(fake_provider, http)


# All of them


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_provider_has_keys_that_its_form_takes(fake_provider: FakeProvider, provider: str) -> None:
    credential = fake_provider.credential(provider)
    assert credential.secret
    assert credential != fake_provider.credential(provider, number=2)
    if provider not in ("azure", "bedrock"):
        field = "json" if provider == "vertex" else "api_key"
        pasted, warnings = credentials.parse(PROVIDERS[provider], {field: fake_provider.key(provider)}, allow=AllowList.parse([]))
        assert (pasted.secret, warnings) == (credential.secret, ())


@pytest.mark.parametrize("kind", ["", "session", "api_key"])
def test_bedrock_keys_are_taken_without_a_warning(fake_provider: FakeProvider, kind: str) -> None:
    given = fake_provider.credential("bedrock", kind=kind)
    fields = {**given.secret, **given.public}
    assert credentials.parse(PROVIDERS["bedrock"], fields, allow=AllowList.parse([]))[1] == ()


@pytest.mark.parametrize("recording", recordings("anthropic", "messages"))
def test_what_anthropic_took_is_taken(recording: dict[str, Any]) -> None:
    assert anthropic_rules.complaint(recording["request"]["body"], version="2023-06-01") is None


@pytest.mark.parametrize("recording", [*recordings("aistudio", "gen", "stream"), *recordings("vertex", "gen")])
def test_what_google_took_is_taken(recording: dict[str, Any]) -> None:
    assert google_rules.complaint(recording["request"]["body"], vertex=recording["provider"] == "vertex") is None


@pytest.mark.parametrize("recording", recordings("bedrock", "converse"))
def test_what_bedrock_took_is_taken(recording: dict[str, Any]) -> None:
    assert converse_rules.converse_complaint(json.loads(recording["request"]["body"]), "Converse") is None


STATUSES: dict[str, dict[str, int]] = {
    "anthropic": {"payment": 402, "exhausted": 400, "overloaded": 529},
    "aistudio": {"incorrect": 400, "expired": 400, "payment": 402},
    "perplexity": {"payment": 402, "exhausted": 401},
    "fal": {"incorrect": 401, "payment": 403, "exhausted": 403},
    "pollo": {"incorrect": 401, "payment": 403, "exhausted": 400},
}
COMMON = {"refused": 401, "echoes": 401, "forbidden": 403, "suspended": 403, "limited": 429, "broken": 500, "overloaded": 503}
CHEAPEST: dict[str, tuple[str, str]] = {
    "anthropic": ("anthropic", "/v1/models"),
    "aistudio": ("aistudio", "/v1beta/models"),
    "perplexity": ("perplexity", "/v1/models"),
    "fal": ("fal:queue", "/fal-ai/flux/requests/0/status"),
    "pollo": ("pollo", "/credit/balance"),
}


@pytest.mark.parametrize(
    ("provider", "behavior", "status"),
    [(provider, *case) for provider, own in STATUSES.items() for case in (COMMON | own).items()],
)
def test_a_key_says_what_is_done_to_it(call: Caller, provider: str, behavior: str, status: int) -> None:
    assert behavior in REFUSING
    answer = call(*CHEAPEST[provider], behavior=behavior)
    assert answer.status_code == status
    assert answer.json()
    assert call.fake.requests[0].behavior == behavior


@pytest.mark.parametrize("provider", STATUSES)
def test_a_second_credential_is_a_violation(call: Caller, provider: str) -> None:
    for header in ("authorization", "x-api-key", "api-key", "x-goog-api-key"):
        if header not in HEADERS[provider](""):
            assert call(*CHEAPEST[provider], headers={header: "Bearer another"}).status_code == 400
    assert len(call.fake.violations) == 3
    call.fake.violations.clear()


# Anthropic


@pytest.fixture
def claude(fake_provider: FakeProvider, http: httpx2.Client) -> anthropic.Anthropic:
    base, key = fake_provider.overrides()["anthropic"], fake_provider.key("anthropic")
    return anthropic.Anthropic(base_url=base, api_key=key, max_retries=0, http_client=http)


def test_the_anthropic_sdk_is_content(claude: anthropic.Anthropic) -> None:
    message = claude.messages.create(**HELLO)
    assert (message.content[0].text, message.stop_reason) == ("The beautiful city of ", "stop_sequence")
    with claude.messages.stream(**HELLO) as stream:
        assert stream.get_final_message().usage.output_tokens > 0
    assert claude.messages.count_tokens(model=HELLO["model"], messages=HELLO["messages"]).input_tokens > 0
    assert HELLO["model"] in [model.id for model in claude.models.list()]


@pytest.mark.parametrize("stream", [True, False])
def test_a_forced_tool_is_called(claude: anthropic.Anthropic, stream: bool) -> None:
    tool = {"name": "weather", "input_schema": {"type": "object"}}
    request = {**HELLO, "tools": [tool], "tool_choice": {"type": "any"}}
    if stream:
        with claude.messages.stream(**request) as events:
            message = events.get_final_message()
    else:
        message = claude.messages.create(**request)
    assert (message.content[0].name, message.content[0].input) == ("weather", {"city": "Paris"})


def test_an_error_inside_a_stream_reaches_the_sdk(claude: anthropic.Anthropic, fake_provider: FakeProvider) -> None:
    failing = claude.with_options(api_key=fake_provider.key("anthropic", "errs"))
    with pytest.raises(anthropic.APIStatusError):
        list(failing.messages.create(**HELLO, stream=True))


TURNS = [
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]},
]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"temperature": 0.5, "top_p": 0.5}, "cannot both"),
        ({"model": "claude-opus-5-5", "top_k": 3}, "not supported for this model"),
        ({"model": "claude-opus-5-5", "temperature": 0.5}, "not supported for this model"),
        ({"messages": [{"role": "user", "content": ""}]}, "non-empty"),
        ({"messages": [{"role": "system", "content": "Hi"}]}, "role"),
        ({"messages": TURNS}, "without `tool_result`"),
        ({"messages": [*TURNS, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t2"}]}]}, "unexpected"),
        ({"tool_choice": {"type": "any"}}, "providing `tools`"),
        ({"stream_options": {}}, "Extra inputs"),
        ({"model": "gpt-4o"}, "model: gpt-4o"),
    ],
)
def test_anthropic_refuses_what_the_real_one_refuses(call: Caller, change: dict[str, Any], words: str) -> None:
    answer = call("anthropic", "/v1/messages", {**HELLO, **change})
    assert answer.status_code == (404 if words.startswith("model:") else 400)
    assert words in answer.json()["error"]["message"]


def test_anthropic_takes_turns_of_one_role_in_a_row_and_temperature_one(call: Caller) -> None:
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "ok"}]}
    body = {
        **HELLO,
        "model": "claude-opus-5-5",
        "temperature": 1,
        "messages": [*TURNS, result, {"role": "user", "content": "So?"}],
    }
    assert call("anthropic", "/v1/messages", body).status_code == 200


def test_anthropic_wants_a_version_and_the_newer_one_refuses_sampling(call: Caller) -> None:
    newer = {"anthropic-version": "2026-10-21"}
    assert call("anthropic", "/v1/messages", HELLO, headers={"anthropic-version": "1"}).status_code == 400
    assert call("anthropic", "/v1/messages", {**HELLO, "temperature": 1}, headers=newer).status_code == 400
    assert call("anthropic", "/v1/messages", HELLO, headers=newer).status_code == 200


# Google


def test_gemini_answers_counts_and_streams(call: Caller) -> None:
    models = "/v1beta/models/gemini-2.5-pro"
    assert call("aistudio", f"{models}:generateContent", GEMINI).json()["candidates"]
    assert call("aistudio", f"{models}:countTokens", GEMINI).json()["totalTokens"] > 0
    stream = call("aistudio", f"{models}:streamGenerateContent?alt=sse", GEMINI)
    assert stream.headers["content-type"] == "text/event-stream"
    assert "usageMetadata" in stream.text.split("\r\n\r\n")[-2]
    assert len(call("aistudio", f"{models}:streamGenerateContent", GEMINI).json()) > 1


def test_gemini_models_come_in_pages(call: Caller) -> None:
    first = call("aistudio", "/v1beta/models?pageSize=4").json()
    second = call("aistudio", f"/v1beta/models?pageSize=4&pageToken={first['nextPageToken']}").json()
    assert [row["name"].removeprefix("models/") for row in first["models"] + second["models"]] == list(
        call.fake.models("aistudio")
    )
    assert "nextPageToken" not in second


def test_google_says_which_keys_are_old_and_when_to_come_back(call: Caller) -> None:
    unknown = call("aistudio", "/v1beta/models", headers={"x-goog-api-key": "AIza" + "0" * 35})
    assert (unknown.status_code, unknown.json()["error"]["details"][0]["reason"]) == (400, "API_KEY_INVALID")
    assert call("aistudio", "/v1beta/models", headers={"x-goog-api-key": "AQ.unknown"}).status_code == 401
    limited = call("aistudio", "/v1beta/models", behavior="limited")
    assert limited.json()["error"]["details"][-1]["retryDelay"] == "12s"
    assert "retry-after" not in limited.headers


def test_a_key_may_list_models_and_nothing_else(call: Caller) -> None:
    assert call("aistudio", "/v1beta/models", behavior="listonly").status_code == 200
    assert call("aistudio", "/v1beta/models/gemini-2.5-pro:countTokens", GEMINI, behavior="listonly").status_code == 403


def test_a_google_key_in_the_address_is_a_violation(call: Caller) -> None:
    assert call("aistudio", "/v1beta/models?key=AQ.secret").status_code == 400
    assert call.fake.violations == ["query key"]
    call.fake.violations.clear()


CALL_TURN = {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}


@pytest.mark.parametrize(
    "body",
    [
        {**GEMINI, "stream": True},
        {**GEMINI, "generationConfig": {"max_tokens": 3}},
        {"contents": []},
        {"contents": [{"role": "assistant", "parts": [{"text": "Hello"}]}]},
        {"contents": [{"role": "user", "parts": []}]},
        {"contents": [{"role": "user", "parts": [{"text": "Hello", "inlineData": {}}]}]},
        {"contents": [*GEMINI["contents"], CALL_TURN, *GEMINI["contents"]]},
    ],
)
def test_gemini_refuses_what_the_real_one_refuses(call: Caller, body: dict[str, Any]) -> None:
    answer = call("aistudio", "/v1beta/models/gemini-2.5-pro:generateContent", body)
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


# Perplexity


def test_perplexity_speaks_responses_with_its_cost(call: Caller) -> None:
    base, key = call.fake.overrides()["perplexity"], call.fake.key("perplexity")
    items = [{"type": "message", "role": "user", "content": "Hello"}]
    client = openai.OpenAI(base_url=f"{base}/v1", api_key=key, max_retries=0, http_client=call.http)
    answer = client.responses.create(model="perplexity/sonar", input=items)
    assert answer.output_text
    assert answer.usage.cost["total_cost"] > 0
    *_, last = client.responses.create(model="perplexity/sonar", input=items, stream=True)
    assert (last.type, last.response.model) == ("response.completed", "perplexity/sonar")
    assert last.response.usage.cost["total_cost"] > 0


def test_perplexity_refuses_items_without_a_type_and_its_old_routes(call: Caller) -> None:
    body = {"model": "perplexity/sonar", "input": [{"role": "user", "content": "Hello"}]}
    assert call("perplexity", "/v1/responses", body).status_code == 400
    for path in ("/chat/completions", "/v1/chat/completions", "/v1/sonar"):
        gone = call("perplexity", path, body)
        assert (gone.status_code, gone.json()["error"]["type"]) == (403, "chat_completions_not_available")


def test_a_200_of_perplexity_may_have_failed(call: Caller) -> None:
    body = {"model": "perplexity/sonar", "input": "Hello"}
    once = call("perplexity", "/v1/responses", body, behavior="fails")
    assert (once.status_code, once.json()["status"]) == (200, "failed")
    assert "event: response.failed" in call("perplexity", "/v1/responses", {**body, "stream": True}, behavior="fails").text


# fal


def test_a_job_of_fal_goes_through_the_queue(call: Caller) -> None:
    submitted = call("fal:queue", "/fal-ai/flux/dev", PICTURE).json()
    job = f"/fal-ai/flux/requests/{submitted['request_id']}"
    assert submitted["status_url"] == f"https://queue.fal.run{job}/status"
    assert call("fal:queue", job).status_code == 400
    states = [call("fal:queue", f"{job}/status?logs=1").json() for _ in range(3)]
    assert [state["status"] for state in states] == ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]
    assert states[1]["logs"][0]["message"]
    result = call("fal:queue", job)
    assert (result.json()["images"][0]["width"], result.headers["x-fal-billable-units"]) == (1024, "1")
    assert call("fal:queue", f"{job}/cancel", method="PUT").json() == {"status": "ALREADY_COMPLETED"}


def test_a_job_of_fal_may_be_cancelled_and_belongs_to_its_key(call: Caller) -> None:
    job = f"/fal-ai/flux/requests/{call('fal:queue', '/fal-ai/flux/dev', PICTURE).json()['request_id']}"
    stranger = {"authorization": f"Key {call.fake.key('fal', number=2)}"}
    assert call("fal:queue", f"{job}/cancel", method="PUT", headers=stranger).status_code == 404
    assert call("fal:queue", f"{job}/cancel", method="PUT").status_code == 202
    assert call("fal:queue", job).json()["error_type"] == "request_cancelled"


def test_fal_answers_at_once_and_names_its_price(call: Caller) -> None:
    assert call("fal", "/fal-ai/flux/schnell", PICTURE).headers["x-fal-billable-units"] == "1"
    assert call("fal", "/fal-ai/flux/schnell", {}).status_code == 422
    prices = call("fal:api", "/models/pricing?endpoint_id=fal-ai/flux/dev").json()["prices"]
    assert (prices[0]["unit_price"], prices[0]["currency"]) == (0.025, "USD")


@pytest.mark.parametrize("authorization", ["Bearer {}", "{}", "Key fake-valid-fal-0001:wrong", "Key no-colon"])
def test_fal_wants_its_own_scheme_and_both_halves(call: Caller, authorization: str) -> None:
    headers = {"authorization": authorization.format(call.fake.key("fal"))}
    assert call("fal:api", "/models/pricing?endpoint_id=fal-ai/flux/dev", headers=headers).status_code == 401


# Pollo


@pytest.mark.parametrize("behavior", ["valid", "wrapped"])
def test_a_generation_of_pollo_ends(call: Caller, behavior: str) -> None:
    def asked(*path: Any) -> dict[str, Any]:
        answer = call("pollo", *path, behavior=behavior).json()
        return answer["data"] if behavior == "wrapped" else answer

    task = asked("/generation/kling-ai/kling-v1-6", {"input": PICTURE})["taskId"]
    states = [asked(f"/generation/{task}/status")["generations"][0]["status"] for _ in range(3)]
    assert states == ["waiting", "processing", "succeed"]
    assert asked("/credit/balance")["availableCredits"] == 120
    assert call("pollo", f"/generation/task/status/{task}").json()["code"] == "NOT_FOUND"
    assert call("pollo", f"/generation/{task}/status").status_code == (404 if behavior == "wrapped" else 200)


@pytest.mark.parametrize("body", [PICTURE, {"input": {}}, {"input": PICTURE, "stream": True}])
def test_pollo_refuses_what_is_no_input(call: Caller, body: dict[str, Any]) -> None:
    assert call("pollo", "/generation/google/veo3", body).json()["code"] == "BAD_REQUEST"


# OpenAI beside chat


@pytest.fixture
def sdk(fake_provider: FakeProvider, http: httpx2.Client) -> openai.OpenAI:
    base, key = fake_provider.overrides()["openai"], fake_provider.key("openai")
    return openai.OpenAI(base_url=base, api_key=key, max_retries=0, http_client=http)


def test_the_openai_sdk_is_content_with_the_rest_too(sdk: openai.OpenAI) -> None:
    assert sdk.responses.create(model="gpt-5.5", input="Hello").output_text
    assert [*sdk.responses.create(model="gpt-5.5", input="Hello", stream=True)][-1].type == "response.completed"
    assert sdk.embeddings.create(model="text-embedding-3-small", input=["a", "b"]).data[1].embedding == [0.25, -0.5, 0.125, 1.0]
    assert sdk.images.generate(model="gpt-image-1", prompt="A lake").data[0].b64_json
    assert len(sdk.audio.speech.create(model="tts-1", input="Hi", voice="alloy").read()) > 4000


def test_audio_must_arrive_whole(sdk: openai.OpenAI, call: Caller) -> None:
    audio = ("speech.wav", bytes(range(256)) * 50 + b"\r\n--\r\n", "audio/wav")
    assert sdk.audio.transcriptions.create(model="whisper-1", file=audio).text == "Hello from the recording."
    whole = call.fake.requests[0]
    headers = {"content-type": whole.headers["content-type"], **HEADERS["openai"](call.fake.key("openai"))}
    url = f"{call.fake.overrides()['openai']}/audio/transcriptions"
    for body in (whole.body[:-10], whole.body[10:], whole.body.replace(b'name="file"', b'name="fail"')):
        assert call.http.post(url, content=body, headers=headers).status_code == 400


@pytest.mark.parametrize("provider", ["groq", "xai", "azure"])
@pytest.mark.parametrize("stream", [True, False])
def test_responses_are_played_by_those_that_have_them(fake_provider: FakeProvider, provider: str, stream: bool) -> None:
    base = fake_provider.overrides()[provider] + ("/openai/v1" if provider == "azure" else "")
    key = fake_provider.key(provider)
    auth = {"api-key": key} if provider == "azure" else {"authorization": f"Bearer {key}"}
    body = {"model": fake_provider.models(provider)[0], "input": "Hello", "stream": stream}
    answer = httpx2.post(f"{base}/responses", json=body, headers=auth, trust_env=False)
    assert answer.status_code == 200
    assert "response.completed" in answer.text if stream else answer.json()["output"]


MODEL = "/v1beta/models/gemini-2.5-pro"
RECORDED = [
    *(("anthropic", "/v1/messages", HELLO, name) for name in replay.names("anthropic", "messages-once")),
    *(("anthropic", "/v1/messages", {**HELLO, "stream": True}, name) for name in replay.names("anthropic", "messages-stream")),
    *(("aistudio", f"{MODEL}:generateContent", GEMINI, name) for name in replay.names("aistudio", "generate")),
    *(("aistudio", f"{MODEL}:streamGenerateContent?alt=sse", GEMINI, name) for name in replay.names("aistudio", "stream")),
]


@pytest.mark.parametrize(("provider", "path", "body", "name"), RECORDED, ids=[case[-1][-60:] for case in RECORDED])
def test_a_test_may_choose_the_recording(call: Caller, provider: str, path: str, body: Any, name: str) -> None:
    call.fake.replay(provider, name)
    answer, recorded = call(provider, path, body), replay.load(provider, name)
    assert answer.text == recorded["text"] if "text" in recorded else answer.json() == recorded["json"]
