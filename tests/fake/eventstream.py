"""Writes the frames of an AWS event stream: lengths and headers, each with a checksum."""

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any


def frame(name: str, payload: Mapping[str, Any], *, exception: bool = False) -> bytes:
    kind = "exception" if exception else "event"
    headers = {f":{kind}-type": name, ":content-type": "application/json", ":message-type": kind}
    head = b"".join(header(key, value) for key, value in headers.items())
    body = json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode(errors="backslashreplace")
    prelude = struct.pack("!II", len(head) + len(body) + 16, len(head))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + head + body
    return message + struct.pack("!I", zlib.crc32(message))


def header(name: str, value: str) -> bytes:
    return struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()


def split(stream: bytes) -> list[bytes]:
    """The frames of a recorded stream. A recording that was broken off ends in part of one, which is left out."""
    frames = []
    while len(stream) >= 4 and len(stream) >= (length := struct.unpack("!I", stream[:4])[0]):
        frames.append(stream[:length])
        stream = stream[length:]
    return frames
