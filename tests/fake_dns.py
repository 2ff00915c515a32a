"""A name server on loopback that knows TXT records, and nothing else."""

import socketserver
import threading
from dataclasses import dataclass, field

import dns.message
import dns.rcode
import dns.rrset


@dataclass
class FakeNameServer:
    """`texts`: what each name says. While `deaf`, it answers nothing that helps."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    deaf: bool = False
    asked: list[str] = field(default_factory=list)

    def start(self) -> "FakeNameServer":
        fake = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                packet, socket = self.request
                socket.sendto(fake.answer(packet), self.client_address)

        self._server = socketserver.UDPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True).start()
        return self

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self._server.server_address[1]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, packet: bytes) -> bytes:
        query = dns.message.from_wire(packet)
        response = dns.message.make_response(query)
        name = query.question[0].name
        self.asked.append(name.to_text(omit_final_dot=True))
        if self.deaf:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif texts := self.texts.get(self.asked[-1]):
            response.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", *(f'"{text}"' for text in texts)))
        else:
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response.to_wire()
