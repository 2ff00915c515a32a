"""The fake itself: it answers like the real ones and refuses what they refuse."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.fake import FakeProvider
from tests.fake.stages import STAGES

HELLO = {"messages": [{"role": "user", "content": "Hello"}]}


async def call(fake: FakeProvider, provider: str, body: Any = None, **extra: Any) -> tuple[int, bytes]:
    """Status and body of a chat completion, or of another path when one is given."""
    stage = STAGES[provider]
    key = extra.pop("key", fake.key(provider))
    headers = {stage.auth: f"Bearer {key}" if stage.auth == "authorization" else key} | extra.pop("headers", {})
    url = (fake.azure_url if provider == "azure" else fake.url) + extra.pop("path", f"{stage.base}/chat/completions")
    method = "GET" if body is None else "POST"
    async with aiohttp.ClientSession() as session, session.request(method, url, json=body, headers=headers, **extra) as answer:
        return answer.status, await answer.read()


def hello(provider: str, **more: Any) -> dict[str, Any]:
    return {"model": STAGES[provider].models[0], **HELLO, **more}


@pytest.mark.parametrize("provider", STAGES)
async def test_every_provider_answers_a_chat(fake_provider: FakeProvider, provider: str) -> None:
    status, body = await call(fake_provider, provider, hello(provider))
    assert status == 200
    assert json.loads(body)["choices"][0]["message"]["content"]
    assert json.loads(body)["usage"]["prompt_tokens"] > 0
    assert fake_provider.requests[0].provider == provider
    assert fake_provider.requests[0].sent == body


@pytest.mark.parametrize("provider", STAGES)
async def test_usage_is_in_a_stream_only_when_it_is_asked_for(fake_provider: FakeProvider, provider: str) -> None:
    _, asked = await call(fake_provider, provider, hello(provider, stream=True, stream_options={"include_usage": True}))
    _, unasked = await call(fake_provider, provider, hello(provider, stream=True, stream_options={"include_usage": False}))
    assert asked.endswith(b"data: [DONE]\n\n")
    assert unasked.endswith(b"data: [DONE]\n\n")
    usage = json.loads(asked.split(b"\n\n")[-3].removeprefix(b"data: "))
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] > 0
    assert b'"choices":[],"usage"' not in unasked
    assert asked.count(b"data: ") - unasked.count(b"data: ") == 1


async def test_deepinfra_sends_usage_without_being_asked(fake_provider: FakeProvider) -> None:
    _, stream = await call(fake_provider, "deepinfra", hello("deepinfra", stream=True))
    assert b'"prompt_tokens"' in stream


@pytest.mark.parametrize(
    ("behavior", "status"),
    [("refused", 401), ("payment", 402), ("forbidden", 403), ("limited", 429), ("exhausted", 429), ("broken", 500)],
)
async def test_a_key_says_what_is_done_to_it(fake_provider: FakeProvider, behavior: str, status: int) -> None:
    answer = await call(fake_provider, "openai", hello("openai"), key=fake_provider.key("openai", behavior))
    assert answer[0] == status
    assert fake_provider.requests[0].behavior == behavior


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ([], 400),
        ({"model": "gpt-4o"}, 400),
        ({"model": "gpt-4o", "messages": []}, 400),
        ({"model": "gpt-2", **HELLO}, 404),
        ({"model": "openai/gpt-4o", **HELLO}, 404),
        ({"model": "gpt-4o", **HELLO, "provider": {"only": ["openai"]}}, 400),
        ({"model": "gpt-4o", **HELLO, "stream_options": {"include_usage": True}}, 400),
    ],
)
async def test_it_refuses_what_the_real_ones_refuse(fake_provider: FakeProvider, body: Any, status: int) -> None:
    assert (await call(fake_provider, "openai", body))[0] == status


async def test_a_key_of_another_provider_is_refused(fake_provider: FakeProvider) -> None:
    assert (await call(fake_provider, "groq", hello("groq"), key=fake_provider.key("openai")))[0] == 401


async def test_only_deepinfra_lists_models_to_strangers(fake_provider: FakeProvider) -> None:
    for provider, stage in STAGES.items():
        status, _ = await call(fake_provider, provider, path=f"{stage.base}/models", key="wrong")
        assert status == (200 if provider == "deepinfra" else 401)


@pytest.mark.parametrize("header", ["cookie", "x-forwarded-for", "x-api-key", "origin", "x-keyhold-key"])
async def test_a_header_that_must_not_arrive_is_a_violation(fake_provider: FakeProvider, header: str) -> None:
    assert (await call(fake_provider, "openai", hello("openai"), headers={header: "something"}))[0] == 400
    assert fake_provider.violations == [f"header {header}"]
    fake_provider.violations.clear()


async def test_a_key_in_the_address_is_a_violation(fake_provider: FakeProvider) -> None:
    await call(fake_provider, "openai", path="/openai/v1/models?key=sk-proj-secret")
    assert fake_provider.violations == ["query key"]
    fake_provider.violations.clear()


@pytest.mark.parametrize(
    "path",
    [
        "/openai/v1/chat/completions",
        "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
        "/models/chat/completions?api-version=2024-05-01-preview",
    ],
)
async def test_azure_answers_at_all_its_addresses(fake_provider: FakeProvider, path: str) -> None:
    assert (await call(fake_provider, "azure", hello("azure"), path=path))[0] == 200


async def test_a_client_that_leaves_a_stall_is_noticed(fake_provider: FakeProvider) -> None:
    stalled = asyncio.create_task(call(fake_provider, "groq", hello("groq"), key=fake_provider.key("groq", "stalls")))
    assert await asyncio.to_thread(fake_provider.wait_for, lambda: bool(fake_provider.requests))
    stalled.cancel()
    assert await asyncio.to_thread(fake_provider.wait_for, lambda: fake_provider.disconnects == 1)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_cut_answer_is_broken_off(fake_provider: FakeProvider, stream: bool) -> None:
    with pytest.raises(aiohttp.ClientPayloadError):
        await call(fake_provider, "openai", hello("openai", stream=stream), key=fake_provider.key("openai", "cuts"))


async def test_a_slow_one_waits_for_a_word(fake_provider: FakeProvider) -> None:
    slow = asyncio.create_task(call(fake_provider, "openai", hello("openai"), key=fake_provider.key("openai", "slow")))
    assert await asyncio.to_thread(fake_provider.wait_for, lambda: bool(fake_provider.requests))
    assert not slow.done()
    fake_provider.go()
    assert (await slow)[0] == 200


async def test_a_stream_may_turn_into_an_error(fake_provider: FakeProvider) -> None:
    _, stream = await call(fake_provider, "groq", hello("groq", stream=True), key=fake_provider.key("groq", "errs"))
    assert b"event: error" in stream
    assert b"[DONE]" not in stream
