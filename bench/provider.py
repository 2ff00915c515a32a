"""`python -m bench.provider`: the cheapest possible provider. Prints its port; answers chat with about 1 kB or 20 events."""

import asyncio
import json

import uvloop

MODEL = "gpt-4o-mini"
EVENTS = 20
USAGE = {"prompt_tokens": 20, "completion_tokens": 100, "total_tokens": 120}


def answer(kind: str, body: bytes) -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def stream(events: list[bytes]) -> bytes:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(event), event) for event in events)
    return b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def event(number: int) -> bytes:
    delta = {"index": 0, "delta": {"content": " token"}, "finish_reason": None}
    chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [delta]}
    if number == EVENTS:
        chunk |= {"choices": [], "usage": USAGE}
    return f"data: {json.dumps(chunk)}\n\n".encode()


MESSAGE = {"index": 0, "message": {"role": "assistant", "content": "token " * 120}, "finish_reason": "stop"}
COMPLETION = {"id": "c1", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [MESSAGE], "usage": USAGE}
JSON = answer("application/json", json.dumps(COMPLETION).encode())
SSE = stream([event(number) for number in range(1, EVENTS + 1)] + [b"data: [DONE]\n\n"])
MODELS = answer("application/json", json.dumps({"object": "list", "data": [{"id": MODEL, "object": "model"}]}).encode())


class Provider(asyncio.Protocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        _, _, length = head.lower().partition(b"content-length:")
        if end and len(body) >= int(length.partition(b"\r\n")[0] or 0):
            self.received = b""
            self.transport.write(MODELS if head.startswith(b"GET") else SSE if b'"stream":true' in body else JSON)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
