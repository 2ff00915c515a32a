"""Operations in OpenAI's dialect that are no conversation: embeddings, images, speech. Passed through as they are."""

from typing import ClassVar

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from gateway.errors import Refusal, bad_request
from gateway.exchange import ClientGone
from gateway.operations import bodies
from gateway.operations.translation import reading
from gateway.speech import Fetch, Speech
from gateway.wires import openai, responses
from gateway.wires.values import Json, Usage, json_object
from keys.preferences import Preferences
from keys.providers import Provider, Wire

ANY = ""


class PlainRequest(Struct, frozen=True):
    """A JSON body with a model in it. `stream` says that the answer is relayed in pieces, as sound is."""

    operation: str
    members: dict[str, Raw]
    size: int
    model: str
    stream: bool
    answers: int = 1

    max_tokens: ClassVar[int] = 0

    @property
    def wishes(self) -> Preferences:
        return bodies.wishes(self.members)

    async def speech(self, provider: Provider, wire: Wire, native_model: str, fetch: Fetch) -> Speech:
        body = msgspec.json.encode(bodies.with_model(self.members, native_model))
        return Speech(body, answered, PassedStream, ANY, {"accept": "*/*"})

    def error_event(self, refusal: Refusal) -> bytes:
        """Sound has no words for an error: the connection is cut instead, so that half of it is not taken for all."""
        raise ClientGone


def read_embeddings(body: bytes) -> PlainRequest:
    return _read("embeddings", body)


def read_images(body: bytes) -> PlainRequest:
    request = _read("images", body)
    if bodies.stream(request.members):
        raise bad_request("Images are not streamed here. Leave `stream` out.", param="stream")
    return replace(request, answers=max(1, bodies.limit(request.members, "n")))


def read_speech(body: bytes) -> PlainRequest:
    """What sound costs cannot be told from the length of its text, so `size` is none."""
    return replace(_read("speech", body, stream=True), size=0)


def _read(operation: str, body: bytes, *, stream: bool = False) -> PlainRequest:
    """Raises Refusal that names the field."""
    members = bodies.members(body)
    return PlainRequest(operation=operation, members=members, size=len(body), model=bodies.model(members), stream=stream)


@reading()
def answered(body: bytes) -> tuple[bytes, Usage | None]:
    """The answer as it came, and its usage, none where the provider counts no tokens. Raises BrokenAnswer."""
    return body, usage_of(json_object(body).get("usage"))


def usage_of(told: Json | None) -> Usage:
    """Images and sound are counted as in Responses, embeddings as in chat; where nothing is told, nothing is counted."""
    if not isinstance(told, dict):
        return Usage()
    if "input_tokens" in told:
        return responses.usage(told)
    return openai.read_usage(msgspec.json.encode(told)) or Usage()


class PassedStream:
    """An answer in pieces that are nobody's business but the client's. It is done when it ends."""

    def __init__(self) -> None:
        self.events = 0
        self.done = False
        self.error: bytes | None = None
        self.usage: Usage | None = None
        self.begins_with_error = False

    def feed(self, chunk: bytes) -> tuple[bytes, bytes]:
        self.events += 1
        return chunk, b""

    def rest(self) -> bytes:
        self.done = True
        self.usage = Usage()
        return b""
