"""`python -m bench.load`: asks one address over N connections for some seconds; prints latencies in seconds as JSON.

A client of our own, because it must cost less than what it measures: it looks for the end of an answer and no further.
"""

import argparse
import asyncio
import json
import time

import uvloop


def request(port: int, key: str, *, stream: bool) -> bytes:
    body = {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "Say something. " * 20}]}
    body |= {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    payload = json.dumps(body, separators=(",", ":"))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n"
    return f"{head}content-type: application/json\r\ncontent-length: {len(payload)}\r\n\r\n{payload}".encode()


def is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    _, found, length = head.lower().partition(b"content-length:")
    return len(body) >= int(length.partition(b"\r\n")[0]) if found else body.endswith(b"0\r\n\r\n")


class Caller(asyncio.Protocol):
    """One connection that asks again as soon as it was answered, until `until`."""

    def __init__(self, message: bytes, until: float, done: asyncio.Future[list[float]]) -> None:
        self.message, self.until, self.done = message, until, done
        self.latencies: list[float] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.received = b""
        self.asked_at = time.perf_counter()
        self.transport.write(self.message)

    def data_received(self, data: bytes) -> None:
        self.received += data
        if not is_whole(self.received):
            return
        self.latencies.append(time.perf_counter() - self.asked_at)
        if not self.received.startswith(b"HTTP/1.1 200"):
            self.done.set_exception(RuntimeError(self.received.decode(errors="replace")))
        elif time.perf_counter() < self.until:
            self.ask()
        else:
            self.done.set_result(self.latencies)
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("The server closed the connection."))


async def measure(port: int, message: bytes, connections: int, seconds: float) -> list[float]:
    loop = asyncio.get_running_loop()
    until = time.perf_counter() + seconds
    answers: list[asyncio.Future[list[float]]] = [loop.create_future() for _ in range(connections)]
    for done in answers:
        await loop.create_connection(lambda done=done: Caller(message, until, done), "127.0.0.1", port)
    async with asyncio.timeout(seconds + 20):
        return [latency for latencies in await asyncio.gather(*answers) for latency in latencies]


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.load")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--stream", action="store_true")
    options = parser.parse_args()
    message = request(options.port, options.key, stream=options.stream)
    print(json.dumps(uvloop.run(measure(options.port, message, options.connections, options.seconds))))


if __name__ == "__main__":
    main()
