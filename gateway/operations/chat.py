"""POST /v1/chat/completions: the client's own bytes where the provider speaks OpenAI's dialect, else a translation."""

import time
from typing import ClassVar

import msgspec
from msgspec import Raw, Struct
from msgspec.json import Decoder
from uuid_utils import uuid7

from gateway.errors import Refusal, bad_request
from gateway.operations import bodies
from gateway.operations.translation import WIRES, Answering, translated
from gateway.speech import Fetch, Speech
from gateway.wires import chat_request
from gateway.wires.openai import ChatStream, completed
from gateway.wires.values import Unsupported
from keys.preferences import Preferences
from keys.providers import Provider, Wire


class ChatRequest(Struct, frozen=True):
    """`members` are the body's own bytes, name by name; `max_tokens` is 0 where the client set no limit to each answer."""

    members: dict[str, Raw]
    size: int
    model: str
    stream: bool
    wants_usage: bool
    max_tokens: int
    answers: int

    operation: ClassVar[str] = "chat"

    @property
    def adds_usage(self) -> bool:
        """Whether we ask the provider for a usage chunk that the client did not ask for."""
        return self.stream and not self.wants_usage

    @property
    def wishes(self) -> Preferences:
        return bodies.wishes(self.members)

    def body_for(self, native_model: str) -> bytes:
        """The client's body with the provider's own name for the model and, in a stream, the wish for usage."""
        changed = bodies.with_model(self.members, native_model)
        if self.adds_usage:
            options = msgspec.json.decode(self.members.get("stream_options") or b"null", type=dict[str, Raw] | None)
            changed["stream_options"] = Raw(msgspec.json.encode({**(options or {}), "include_usage": True}))
        return msgspec.json.encode(changed)

    async def speech(self, provider: Provider, wire: Wire, native_model: str, fetch: Fetch) -> Speech:
        """The client's own bytes where the provider speaks OpenAI's dialect, else a translation."""
        if wire is not Wire.OPENAI:
            return await self._translation(provider, wire, native_model, fetch)
        return Speech(self.body_for(native_model), completed, lambda: ChatStream(takes_usage_out=self.adds_usage))

    async def _translation(self, provider: Provider, wire: Wire, native_model: str, fetch: Fetch) -> Speech:
        answering = Answering(f"chatcmpl-{uuid7().hex}", self.model, int(time.time()), self.stream, self.wants_usage)
        said = {name: bodies.field(self.members, name, msgspec.json.decode, "JSON that can be read") for name in self.members}
        try:
            chat = chat_request.read(said)
            if WIRES[wire].dialect.NEEDS_MEDIA_BYTES and (addresses := chat.remote_media()):
                chat = chat.with_media(await fetch(addresses))
            return translated(chat, provider, wire, native_model, answering)
        except Unsupported as unsupported:
            raise bad_request(str(unsupported), param=unsupported.param) from None

    def error_event(self, refusal: Refusal) -> bytes:
        """The blank line in front ends an event that was cut."""
        return b"\n\ndata: " + refusal.body() + b"\n\n"


class StreamOptions(Struct):
    include_usage: bool | None = None


_options = Decoder(StreamOptions | None).decode


def read_request(body: bytes) -> ChatRequest:
    """Raises Refusal that names the field."""
    members = bodies.members(body)
    options = bodies.field(members, "stream_options", _options, 'an object, such as {"include_usage": true}')
    return ChatRequest(
        members=members,
        size=len(body),
        model=bodies.model(members),
        stream=bodies.stream(members),
        wants_usage=bool(options and options.include_usage),
        max_tokens=bodies.limit(members, "max_completion_tokens", "max_tokens"),
        answers=max(1, bodies.limit(members, "n")),
    )
