"""Recorded exchanges as the bytes that were sent."""

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

RECORDINGS = Path(__file__).parent.parent / "recordings"
EVENT = re.compile(r".+?(?:\r\n\r\n|\n\n)", re.DOTALL)

Recording = Mapping[str, Any]


@cache
def load(folder: str, name: str) -> Recording:
    """The response of a recording: a status and either `json`, `text`, `base64` or `chunks`."""
    return json.loads((RECORDINGS / folder / f"{name}.json").read_text())["response"]


@cache
def find(folder: str, *words: str) -> str:
    """The name of the only recording in a folder that has all these words in it."""
    names = [path.stem for path in (RECORDINGS / folder).glob("*.json") if all(word in path.stem for word in words)]
    if len(names) != 1:
        raise LookupError(f"{len(names)} recordings of {folder} have {words} in their names")
    return names[0]


def names(folder: str, start: str) -> list[str]:
    """Of all recordings in a folder that begin so."""
    return sorted(path.stem for path in (RECORDINGS / folder).glob(f"{start}*.json"))


def dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def events(recording: Recording) -> list[bytes]:
    """The events of a stream: as they were sent, or written from chunks with their type as their name."""
    if "text" in recording:
        return [found.encode() for found in EVENT.findall(recording["text"])]
    return [event(chunk) for chunk in recording["chunks"]]


def event(chunk: Mapping[str, Any]) -> bytes:
    """A server-sent event that is named after the type of what it holds, if it has one."""
    name = b"event: " + chunk["type"].encode() + b"\n" if "type" in chunk else b""
    return name + b"data: " + dump(chunk) + b"\n\n"


def data(event: bytes) -> Any:
    """What a server-sent event holds."""
    return json.loads(b"".join(line.removeprefix(b"data:") for line in event.splitlines() if line.startswith(b"data:")))
