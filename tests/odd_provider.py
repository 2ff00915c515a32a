"""A provider that says what a test tells it to, byte for byte."""

import socketserver
import threading


class Odd(socketserver.ThreadingTCPServer):
    """Says the same to everybody, then hangs up, or holds the line until it is stopped."""

    daemon_threads = True
    said = b""
    holds = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Line)
        self.stopped = threading.Event()
        self.hung_up = threading.Event()  # somebody would not hear it to the end
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def says(self, head: str, body: bytes = b"", *, holds: bool = False) -> None:
        self.said, self.holds = f"HTTP/1.1 {head}\r\nconnection: close\r\n\r\n".encode() + body, holds


class Line(socketserver.BaseRequestHandler):
    server: Odd

    def handle(self) -> None:
        received = b""
        while b"\r\n\r\n" not in received or not received.endswith(b"}"):
            received += self.request.recv(65536)
        try:
            self.request.sendall(self.server.said)
        except OSError:
            self.server.hung_up.set()
        if self.server.holds:
            self.server.stopped.wait()
