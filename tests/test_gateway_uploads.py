"""Forms with a file in them: what arrives at the provider, and what is refused before it does."""

import tempfile
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from gateway.operations.uploads import TranscriptStream
from gateway.wires.values import Usage
from keys.providers import Credential
from tests.fake.multipart import read_form
from tests.gateway_calls import Reply, call
from tests.gateway_server import RunningGateway, StartGateway

pytest_plugins = ["tests.gateway_fixtures"]
pytestmark = pytest.mark.large

TRANSCRIPTIONS = "/v1/audio/transcriptions"
SOUND = bytes(range(256)) * 2000 + b"\r\n--frontier\r\n--"
BOUNDARY = "frontier-0001"
WHISPER = "openai/whisper-1"


@pytest.fixture
def client(gateway: RunningGateway) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.secret, max_retries=0) as client:
        yield client


def part(name: str, value: bytes, more: str = "") -> bytes:
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"


def form(*parts: bytes, end: str = f"--{BOUNDARY}--\r\n") -> bytes:
    return b"".join(parts) + end.encode()


FILE = part("file", SOUND, '; filename="a; name.mp3"')
MODEL = part("model", WHISPER.encode())


def upload(gateway: RunningGateway, body: bytes, content_type: str = f"multipart/form-data; boundary={BOUNDARY}") -> Reply:
    return call(gateway, body, TRANSCRIPTIONS, headers={"content-type": content_type})


def arrived(gateway: RunningGateway) -> dict[str, bytes]:
    last = gateway.fake.requests[-1]
    assert last.headers["content-length"] == str(len(last.body))
    assert "transfer-encoding" not in last.headers
    return read_form(last.headers["content-type"], last.body)


# What goes through


@pytest.mark.parametrize("failing", [None, "refused", "limited", "broken"])
def test_the_sdk_gets_a_transcript(gateway: RunningGateway, client: OpenAI, failing: str | None) -> None:
    if failing:
        gateway.add("openai", failing)
    gateway.add("openai")
    transcript = client.audio.transcriptions.create(model=WHISPER, file=("a.mp3", SOUND), language="en")
    assert transcript.text == "Hello from the recording."
    assert arrived(gateway) == {"model": b"whisper-1", "file": SOUND, "language": b"en"}
    assert gateway.attempts()[-1].closed.outcome == "ok"
    assert gateway.attempts()[-1].opened.input_estimate == 0


def test_the_sdk_gets_a_translation(gateway: RunningGateway, client: OpenAI) -> None:
    gateway.add("groq", models=("whisper-large-v3",))
    with pytest.warns(DeprecationWarning, match="deprecated"):
        assert client.audio.translations.create(model="groq:whisper-large-v3", file=("a.mp3", SOUND)).text
    assert arrived(gateway)["model"] == b"whisper-large-v3"


def test_an_azure_deployment_gets_the_form(gateway: RunningGateway) -> None:
    deployment = {"model_slug": WHISPER, "endpoint_url": gateway.fake.azure_url, "model_id": "whisper-1"}
    credential = Credential({"api_keys": [gateway.fake.key("azure")]}, {"deployments": [deployment]}, "…0001")
    gateway.keep("azure", credential, "eu")
    assert upload(gateway, form(FILE, MODEL)).status == 200
    assert arrived(gateway)["file"] == SOUND


def test_text_keeps_its_type(gateway: RunningGateway) -> None:
    gateway.add("openai")
    reply = upload(gateway, form(MODEL, FILE, part("response_format", b"text")))
    assert (reply.status, reply.body) == (200, b"Hello from the recording.\n")
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert gateway.attempts()[-1].closed.outcome == "ok"


def test_a_provider_may_answer_at_once_where_a_stream_was_asked_for(gateway: RunningGateway) -> None:
    gateway.add("openai")
    reply = upload(gateway, form(MODEL, FILE, part("stream", b"true")))
    assert reply.headers["content-type"] == "application/json"
    assert gateway.attempts()[-1].opened.stream


EVENTS = [
    b'data: {"type":"transcript.text.delta","delta":"Hello"}\n\n',
    b'data: {"type":"transcript.text.done","text":"Hello","usage":'
    b'{"type":"tokens","input_tokens":14,"output_tokens":5,"total_tokens":19}}\n\n',
]


def test_a_transcript_in_pieces_ends_with_its_usage() -> None:
    stream = TranscriptStream()
    pieces = [stream.feed(bytes([byte])) for byte in b"".join(EVENTS)]
    assert b"".join(now for now, _ in pieces) == EVENTS[0]
    assert b"".join(last for _, last in pieces) == EVENTS[1]
    assert (stream.done, stream.error, stream.usage) == (True, None, Usage(input_tokens=14, output_tokens=5))


def test_an_error_in_a_transcript_is_seen() -> None:
    stream = TranscriptStream()
    stream.feed(b'data: {"type":"error","error":{"message":"No sound"}}\n\n')
    assert stream.begins_with_error


@pytest.mark.parametrize("order", [(MODEL, FILE), (FILE, MODEL)])
def test_the_model_is_found_wherever_it_stands_and_however_it_arrives(gateway: RunningGateway, order: tuple[bytes, ...]) -> None:
    gateway.add("openai")
    body = form(part("prompt", b"A talk"), *order)
    middle = body.index(b"whisper")
    for cut in range(middle - 60, middle + 30, 3):
        reply = sent_in_pieces(gateway, body[:cut], body[cut:])
        assert reply == 200
        assert arrived(gateway) == {"prompt": b"A talk", "model": b"whisper-1", "file": SOUND}


def sent_in_pieces(gateway: RunningGateway, *pieces: bytes) -> int:
    """With chunks of these sizes, so that no length is announced."""
    connection = HTTPConnection(gateway.url.removeprefix("http://"), timeout=20)
    headers = {"authorization": f"Bearer {gateway.secret}", "content-type": f'multipart/form-data; boundary="{BOUNDARY}"'}
    connection.request("POST", TRANSCRIPTIONS, iter(pieces), headers, encode_chunked=True)
    try:
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_name_may_stand_often_if_it_is_not_the_models(gateway: RunningGateway) -> None:
    gateway.add("openai")
    words = [part("timestamp_granularities[]", unit) for unit in (b"word", b"segment")]
    assert upload(gateway, form(MODEL, *words, FILE)).status == 200


def test_large_forms_lie_on_the_disk_beside_the_journal(start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = start_gateway(most_body_bytes=25_000_000)
    gateway.add("openai")
    made: list[Any] = []
    ordinary = tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **options: made.append(options["dir"]) or ordinary(**options))
    large = part("file", SOUND * 40, '; filename="a.mp3"')
    assert upload(gateway, form(large, MODEL)).status == 200
    assert made == [str(gateway.folder)]
    assert [path.suffix for path in Path(gateway.folder).iterdir()] == [".journal"]
    assert arrived(gateway)["file"] == SOUND * 40


# What does not


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (form(FILE), "`model` must be a name"),
        (form(part("model", b""), FILE), "`model` must be a name"),
        (form(part("model", b"\xff\xfe"), FILE), "`model` must be a name"),
        (form(part("model", b"whisper\r\n-1"), FILE), "`model` must be a name"),
        (form(part("model", b"x" * 300), FILE), "`model` must be a name"),
        (form(part("model", b"x" * 3000), FILE), "`model` is too long"),
        (form(MODEL, MODEL, FILE), "two ways"),
        (form(part("prompt", b"x", '; name="model"'), MODEL), "two ways"),
        (form(part("prompt", b"x", "; name*=utf-8''model"), MODEL), "two ways"),
        (form(MODEL, FILE, end=""), "broken"),
        (form(MODEL, FILE)[:-4], "broken"),
        (b"not a form at all", "broken"),
        (b"", "broken"),
        (b'{"model": "whisper-1"}', "broken"),
    ],
)
def test_a_form_that_makes_no_sense_is_refused(gateway: RunningGateway, body: bytes, words: str) -> None:
    gateway.add("openai")
    reply = upload(gateway, body)
    assert (reply.status, reply.error["type"]) == (400, "invalid_request_error")
    assert words in reply.error["message"]
    assert not gateway.fake.requests


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "multipart/form-data", "multipart/form-data; boundary=", f"multipart/form-data; boundary={'x' * 90}"],
)
def test_only_forms_with_a_boundary_are_read(gateway: RunningGateway, content_type: str) -> None:
    assert "multipart/form-data" in upload(gateway, form(MODEL, FILE), content_type).error["message"]


def test_a_form_is_counted_while_it_arrives(start_gateway: StartGateway) -> None:
    gateway = start_gateway(most_body_bytes=400_000)
    gateway.add("openai")
    assert upload(gateway, form(MODEL, FILE)).status == 413
    assert sent_in_pieces(gateway, form(MODEL, FILE)[:200_000], SOUND) == 413
    assert not gateway.fake.requests


def test_nothing_is_read_of_a_stranger(gateway: RunningGateway) -> None:
    reply = call(gateway, b"x" * 100, TRANSCRIPTIONS, headers={"authorization": "Bearer byok_live_no"})
    assert reply.status == 401


def test_an_unknown_model_is_told(gateway: RunningGateway, client: OpenAI) -> None:
    gateway.add("openai", models=("whisper-1",))
    with pytest.raises(openai.NotFoundError, match="No key can serve the model openai/none"):
        client.audio.transcriptions.create(model="openai/none", file=("a.mp3", SOUND))


def test_uploads_do_not_disturb_each_other(gateway: RunningGateway) -> None:
    gateway.add("openai", "refused")
    gateway.add("openai")
    bodies = [form(FILE, part("prompt", f"{number}".encode()), MODEL) for number in range(8)]
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda body=body: statuses.append(upload(gateway, body).status)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 8
    answered = [request for request in gateway.fake.requests if request.behavior == "valid"]
    prompts = [read_form(request.headers["content-type"], request.body)["prompt"] for request in answered]
    assert sorted(prompts) == [f"{number}".encode() for number in range(8)]
