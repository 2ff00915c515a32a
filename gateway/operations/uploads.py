"""POST /v1/audio/transcriptions and /translations: a form with a file in it, streamed to the provider as it came."""

import logging
import re
from collections.abc import AsyncIterator

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from gateway.errors import Refusal, bad_request
from gateway.operations import bodies, plain
from gateway.operations.events import EventReader
from gateway.speech import Fetch, Speech
from gateway.spool import Spool
from gateway.wires.values import Json
from keys.preferences import NONE
from keys.providers import Provider, Wire

FIELD_BYTES = 4 * bodies.MODEL_LENGTH
READ = frozenset({b"model", b"stream"})
BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")  # RFC 2046
NAMES = re.compile(rb";\s*name\s*(\*?[0-9]*\*?)\s*=", re.IGNORECASE)  # and what makes them an extended one
PLAIN_BOUNDARY = re.compile(r"[0-9A-Za-z'+_.-]+")
NO_FORM = "Send multipart/form-data, with the boundary in Content-Type, such as an OpenAI SDK makes it."
BROKEN_FORM = "The form is broken: it does not keep to its boundary, or was cut off."

logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it tells of every form that a client breaks


class Form:
    """A form that is read while it is written to `spool`: what is asked, and where in it the model's name stands."""

    def __init__(self, content_type: str, spool: Spool) -> None:
        """Raises Refusal."""
        kind, options = parse_options_header(content_type)
        self._boundary = options.get(b"boundary", b"").decode("latin-1")
        if kind != b"multipart/form-data" or not BOUNDARY.fullmatch(self._boundary):
            raise bad_request(NO_FORM)
        self._spool = spool
        self._parser = self._make_parser()
        self._fields: dict[bytes, bytes] = {}
        self._field = b""
        self._header = self._disposition = b""
        self._model_at = 0
        self._ended = False

    @property
    def content_type(self) -> str:
        """Our own words for it: what two parsers could read in two ways goes no further."""
        plain = PLAIN_BOUNDARY.fullmatch(self._boundary)
        return f"multipart/form-data; boundary={self._boundary if plain else f'"{self._boundary}"'}"

    @property
    def model(self) -> str:
        """Empty where the form has none. Raises Refusal where it is no text."""
        try:
            return self._fields.get(b"model", b"").decode()
        except UnicodeDecodeError:
            return bodies.named(None)

    def write(self, piece: bytes) -> None:
        """Raises Refusal."""
        try:
            self._parser.write(piece)
        except FormParserError:
            raise bad_request(BROKEN_FORM) from None
        self._spool.write(piece)

    def end(self) -> None:
        """Raises Refusal where the form is not whole."""
        if not self._ended:
            raise bad_request(BROKEN_FORM)

    def request(self, operation: str) -> "UploadRequest":
        """Once all is written. Raises Refusal that names the field."""
        self.end()
        return UploadRequest(self, operation, bodies.named(self.model), self.stream)

    @property
    def stream(self) -> bool:
        return self._fields.get(b"stream", b"").strip().lower() in (b"true", b"1")

    def length(self, model: str) -> int:
        """The form's bytes with this model in it."""
        return self._spool.size - len(self._fields[b"model"]) + len(model.encode())

    async def with_model(self, model: str) -> AsyncIterator[bytes]:
        """The form as it came, with this model's name in place of the client's."""
        async for piece in self._spool.pieces(0, self._model_at):
            yield piece
        yield model.encode()
        async for piece in self._spool.pieces(self._model_at + len(self._fields[b"model"])):
            yield piece

    # What the parser finds

    def _make_parser(self) -> MultipartParser:
        return MultipartParser(
            self._boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._read_header_name,
                "on_header_value": self._read_header_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._read_data,
                "on_end": self._end_form,
            },
        )

    def _begin_part(self) -> None:
        self._field = self._header = self._disposition = b""
        self._value = b""

    def _read_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _read_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            if self._disposition:
                raise bad_request(BROKEN_FORM)
            self._disposition = self._value
        self._header = self._value = b""

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"")
        if NAMES.findall(self._disposition) not in ([], [b""]) or name in self._fields:
            raise bad_request("The form has a field of which the name, or the value, can be read in two ways.")
        if name in READ:
            self._field, self._fields[name] = name, b""

    def _read_data(self, data: bytes, start: int, end: int) -> None:
        """Of a model's name that can be one, all bytes lie in the piece that is being written."""
        if not self._field:
            return
        if self._field == b"model" and not self._fields[b"model"]:
            self._model_at = self._spool.size + start
        self._fields[self._field] += data[start:end]
        if len(self._fields[self._field]) > FIELD_BYTES:
            raise bad_request(f"`{self._field.decode()}` is too long.", param=self._field.decode())

    def _end_form(self) -> None:
        self._ended = True


class UploadRequest:
    """A file with what to do with it. What it costs cannot be told from its length, so `size` is none."""

    size = 0
    max_tokens = 0
    answers = 1
    wishes = NONE

    def __init__(self, form: Form, operation: str, model: str, stream: bool) -> None:
        self.form = form
        self.operation = operation
        self.model = model
        self.stream = stream

    async def speech(self, provider: Provider, wire: Wire, native_model: str, fetch: Fetch) -> Speech:
        headers = {"content-type": self.form.content_type, "content-length": str(self.form.length(native_model))}
        return Speech(self.form.with_model(native_model), plain.answered, TranscriptStream, headers=headers, free_form=True)

    def error_event(self, refusal: Refusal) -> bytes:
        """The blank line in front ends an event that was cut."""
        return b"\n\ndata: " + refusal.body() + b"\n\n"


class TranscriptStream(EventReader):
    """The events of a transcript."""

    def look(self, event: Json, data: bytes) -> None:
        if event.get("type") == "transcript.text.done":
            self.done = True
            self.usage = plain.usage_of(event.get("usage"))
        if "error" in event or event.get("type") == "error":
            self.error = self.error or data
