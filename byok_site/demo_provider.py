"""`make demo` only: a provider on loopback that speaks OpenAI's wire and answers everything with a sentence of its own.

It plays six providers, each below its own path. A key with `busy` in it is rate limited, one with `expired` refused.
"""

import asyncio
import json
import threading
from typing import Any

from aiohttp import web

MODELS = {
    "openai": ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "o3-mini"),
    "azure": ("gpt-4o", "o3-mini"),
    "groq": ("openai/gpt-oss-120b", "openai/gpt-oss-20b"),
    "xai": ("grok-4.3", "grok-3-mini"),
    "deepinfra": ("deepseek-ai/DeepSeek-V3.2", "Qwen/Qwen3-32B"),
    "baseten": ("deepseek-ai/DeepSeek-V3.2", "moonshotai/Kimi-K2.6"),
}
ANSWER = "I am the demo provider. I read {words} words and only pretend to think; your request took the real way here."
SECONDS_A_WORD = 0.03


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
    key = request.headers.get("authorization", request.headers.get("api-key", ""))
    if "expired" in key:
        return web.json_response({"error": {"message": "Incorrect API key.", "code": "invalid_api_key"}}, status=401)
    if "busy" in key:
        body = {"error": {"message": "Rate limit reached.", "code": "rate_limit_exceeded"}}
        return web.json_response(body, status=429, headers={"retry-after": "20"})
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
    asked = json.dumps(body.get("messages", []), ensure_ascii=False)
    text = ANSWER.format(words=len(asked.split()))
    usage = {"prompt_tokens": len(asked) // 4, "completion_tokens": len(text) // 4}
    usage["total_tokens"] = sum(usage.values())
    head = {"id": "chatcmpl-demo", "created": 0, "model": body.get("model", "")}
    if body.get("stream"):
        wants_usage = (body.get("stream_options") or {}).get("include_usage")
        return await stream(request, head | {"object": "chat.completion.chunk"}, text, usage if wants_usage else None)
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return web.json_response(head | {"object": "chat.completion", "choices": [choice], "usage": usage})


async def stream(request: web.Request, head: dict[str, Any], text: str, usage: dict[str, int] | None) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for word in text.split():
        choice = {"index": 0, "delta": {"content": f"{word} "}, "finish_reason": None}
        await response.write(event(head | {"choices": [choice]}))
        await asyncio.sleep(SECONDS_A_WORD)
    await response.write(event(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
    if usage:
        await response.write(event(head | {"choices": [], "usage": usage}))
    await response.write(b"data: [DONE]\n\n")
    return response


def event(value: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode()
