"""`make demo` only: a provider on loopback that speaks OpenAI's wire and Anthropic's, and always answers the same sentence.

It plays seven providers, each below its own path. A key with `busy` in it is rate limited, one with `revoked` refused.
"""

import asyncio
import json
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from aiohttp import web

type Json = dict[str, Any]

MODELS = {
    "anthropic": ("claude-opus-4-20250514", "claude-sonnet-4-20250514", "claude-3-5-haiku-20241022"),
    "openai": ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "o3-mini"),
    "azure": ("gpt-4o", "o3-mini"),
    "groq": ("openai/gpt-oss-120b", "openai/gpt-oss-20b"),
    "xai": ("grok-4.3", "grok-3-mini"),
    "deepinfra": ("deepseek-ai/DeepSeek-V3.2", "Qwen/Qwen3-32B"),
    "baseten": ("deepseek-ai/DeepSeek-V3.2", "openai/gpt-oss-120b"),
}
ANSWER = "I am the demo provider. I read {words} words and only pretend to think; your request took the real way here."
SECONDS_A_WORD = 0.03
REVOKED = {
    "anthropic": {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}},
    "": {"error": {"message": "Incorrect API key.", "code": "invalid_api_key"}},
}
BUSY = {"error": {"message": "Rate limit reached for requests per minute.", "code": "rate_limit_exceeded"}}


class DemoProvider:
    """Runs in a thread of its own until `stop`."""

    def __init__(self) -> None:
        self._ready, self._stopping = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="demo-provider", daemon=True)

    def start(self) -> dict[str, str]:
        """UPSTREAM_OVERRIDES that lead here."""
        self._thread.start()
        self._ready.wait()
        return {slug: f"http://127.0.0.1:{self._port}/{slug}" for slug in MODELS} | {
            f"{slug}:{service}": f"http://127.0.0.1:{self._port}/{slug}"
            for slug, service in (("deepinfra", "account"), ("baseten", "management"))
        }

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        app = web.Application()
        app.router.add_post("/{slug}/{path:.*}chat/completions", chat)
        app.router.add_post("/anthropic/v1/messages", messages)
        app.router.add_get("/{slug}/{path:.*}models", models)
        app.router.add_get("/{slug}/{path:.*}", account)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._port = runner.addresses[0][1]
        self._ready.set()
        await self._stopping.wait()
        await runner.cleanup()


def refusal(request: web.Request) -> web.Response | None:
    names = ("authorization", "api-key", "x-api-key")
    key = " ".join(request.headers.get(name, "") for name in names)
    if "revoked" in key:
        return web.json_response(REVOKED.get(request.path.split("/")[1], REVOKED[""]), status=401)
    if "busy" in key:
        return web.json_response(BUSY, status=429, headers={"retry-after": "240"})
    return None


async def models(request: web.Request) -> web.StreamResponse:
    rows = [{"id": name, "object": "model"} for name in MODELS.get(request.match_info["slug"], ())]
    return refusal(request) or web.json_response({"object": "list", "data": rows})


async def account(request: web.Request) -> web.StreamResponse:
    return refusal(request) or web.json_response({"name": "Demo"})


async def chat(request: web.Request) -> web.StreamResponse:
    if refused := refusal(request):
        return refused
    body = await request.json()
    text, read, written = answer(body)
    usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    head = {"id": "chatcmpl-demo", "created": 0, "model": body.get("model", "")}
    if body.get("stream"):
        wants_usage = (body.get("stream_options") or {}).get("include_usage")
        chunks = chat_chunks(head | {"object": "chat.completion.chunk"}, text, usage if wants_usage else None)
        return await stream(request, chunks)
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return web.json_response(head | {"object": "chat.completion", "choices": [choice], "usage": usage})


def chat_chunks(head: Json, text: str, usage: dict[str, int] | None) -> Iterator[str]:
    for word in text.split():
        yield event(head | {"choices": [{"index": 0, "delta": {"content": f"{word} "}, "finish_reason": None}]})
    yield event(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if usage:
        yield event(head | {"choices": [], "usage": usage})
    yield "data: [DONE]\n\n"


async def messages(request: web.Request) -> web.StreamResponse:
    if refused := refusal(request):
        return refused
    body = await request.json()
    text, read, written = answer(body)
    usage = {"input_tokens": read, "output_tokens": written}
    head = {"id": "msg_demo", "type": "message", "role": "assistant", "model": body.get("model", "")}
    if body.get("stream"):
        return await stream(request, message_events(head, text, usage))
    content = [{"type": "text", "text": text}]
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    return web.json_response(head | end | {"content": content, "usage": usage})


def message_events(head: Json, text: str, usage: dict[str, int]) -> Iterator[str]:
    end = {"stop_reason": None, "stop_sequence": None}
    yield event({"type": "message_start", "message": head | end | {"content": [], "usage": usage | {"output_tokens": 1}}})
    yield event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
    for word in text.split():
        delta = {"type": "text_delta", "text": f"{word} "}
        yield event({"type": "content_block_delta", "index": 0, "delta": delta})
    yield event({"type": "content_block_stop", "index": 0})
    yield event({"type": "message_delta", "delta": end | {"stop_reason": "end_turn"}, "usage": usage})
    yield event({"type": "message_stop"})


def answer(body: Json) -> tuple[str, int, int]:
    """The sentence, and how many tokens were read and written."""
    asked = json.dumps(body.get("messages", []), ensure_ascii=False)
    text = ANSWER.format(words=len(asked.split()))
    return text, len(asked) // 4, len(text) // 4


async def stream(request: web.Request, events: Iterable[str]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for each in events:
        await response.write(each.encode())
        await asyncio.sleep(SECONDS_A_WORD)
    return response


def event(value: Json) -> str:
    """Anthropic's have a name too."""
    name = f"event: {value['type']}\n" if "type" in value else ""
    return f"{name}data: {json.dumps(value, ensure_ascii=False)}\n\n"
