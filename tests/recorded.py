"""Recorded exchanges with real providers, each with its source, for tests to replay."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent / "recordings"


def recordings(provider: str, *starts: str) -> list[Any]:
    """Parameters for a test: every recording of a provider whose file name starts with one of `starts`."""
    paths = sorted((FOLDER / provider).glob("*.json"))
    assert paths, f"no recordings of {provider}"
    return [pytest.param(json.loads(path.read_text()), id=path.stem[-60:]) for path in paths if path.name.startswith(starts)]


def body_of(recording: dict[str, Any]) -> bytes:
    """The response's bytes as the provider sent them."""
    response = recording["response"]
    if "base64" in response:
        return base64.b64decode(response["base64"])
    return response["text"].encode() if "text" in response else json.dumps(response["json"]).encode()
