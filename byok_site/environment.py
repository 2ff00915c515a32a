"""Reads settings from the environment so that a bad one stops the start with one sentence naming it."""

import base64
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import environ

LOCAL_SECRETS = "secrets.env"


def refuse(name: str, problem: str) -> NoReturn:
    """Stop the process; `problem` completes the sentence that starts with the setting's name."""
    raise SystemExit(f"{name} {problem}")


def read[T](name: str, parse: Callable[[str], T], default: T | None = None) -> T:
    """The parsed value of one variable. Empty counts as unset. `parse` raises ValueError with what is wrong."""
    raw = os.environ.get(name, "").strip()
    if not raw:
        if default is None:
            refuse(name, "is not set. See .env.example for what it holds.")
        return default
    try:
        return parse(raw)
    except ValueError as problem:
        refuse(name, str(problem))


def load(env_file: Path) -> None:
    """Variables of a file, where it exists; the real environment wins."""
    if env_file.is_file():
        environ.Env.read_env(str(env_file), overwrite=False)


def ensure_local_secrets(data_dir: Path) -> None:
    """On a machine of one's own: make SECRET_KEY and VAULT_KEYS once and keep them beside the data, mode 600."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = data_dir / LOCAL_SECRETS
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    vault_key = base64.b64encode(secrets.token_bytes(32)).decode()
    with os.fdopen(handle, "w") as file:
        file.write(f"SECRET_KEY={secrets.token_urlsafe(50)}\nVAULT_KEYS=k1:{vault_key}\n")


def whole_number(low: int, high: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        if not raw.isdecimal() or not low <= int(raw) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}.")
        return int(raw)

    return parse


def words(raw: str) -> list[str]:
    return [word.strip() for word in raw.split(",") if word.strip()]


def web_address(raw: str) -> str:
    if not raw.startswith(("http://", "https://")):
        raise ValueError("must start with http:// or https://.")
    return raw.rstrip("/")


def json_object(raw: str) -> dict[str, str]:
    """A JSON object of strings."""
    try:
        value = json.loads(raw)
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}.") from None
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise ValueError("must be a JSON object of strings.")
    return value
