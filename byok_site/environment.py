"""Reads settings from the environment so that a bad one stops the start with one sentence naming it."""

import base64
import json
import os
import secrets
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

from keys.addresses import AllowList
from keys.networks import read_networks
from keys.providers import PROVIDERS

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


def require_folder(name: str, folder: Path) -> None:
    """Make the folder if it is missing, readable to its owner only."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        refuse(name, f"names a folder that cannot be made: {error}.")
    if not os.access(folder, os.W_OK):
        refuse(name, f"names a folder that cannot be written: {folder}.")


def load_local_secrets(data_dir: Path) -> None:
    """On a machine of one's own, where none of the three is set: secrets made once and kept beside the data."""
    if not any(os.environ.get(name) for name in ("SECRET_KEY", "VAULT_KEYS", "DATABASE_URL")):
        make_local_secrets(data_dir / LOCAL_SECRETS)
        add_audit_key(data_dir / LOCAL_SECRETS)
    for name in ("SECRET_KEY", "VAULT_KEYS", "AUDIT_KEY"):
        if not os.environ.get(name):
            os.environ.pop(name, None)  # empty counts as unset, so the file may set it
    load(data_dir / LOCAL_SECRETS)


def make_local_secrets(path: Path) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    vault_key = base64.b64encode(secrets.token_bytes(32)).decode()
    with os.fdopen(handle, "w") as file:
        file.write(f"SECRET_KEY={secrets.token_urlsafe(50)}\nVAULT_KEYS=k1:{vault_key}\n")


def add_audit_key(path: Path) -> None:
    """Secrets of a version before have none. Of two that are added at once the first counts, as with all that is read here."""
    if "AUDIT_KEY=" not in path.read_text():
        with path.open("a") as file:
            file.write(f"AUDIT_KEY={secrets.token_urlsafe(50)}\n")


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


def random_text(raw: str) -> str:
    if len(raw) < 32:
        raise ValueError("must be at least 32 characters, made at random.")
    return raw


def random_texts(raw: str) -> list[str]:
    return [random_text(word) for word in words(raw)]


def upstream_overrides(raw: str) -> dict[str, str]:
    """Base URLs by provider slug, or by `slug:service` where a provider has several."""
    overrides = json_object(raw)
    known = {f"{row.slug}:{service}".rstrip(":") for row in PROVIDERS.values() for service in ("", *row.services)}
    for name, url in overrides.items():
        if name not in known:
            raise ValueError(f"names {name}, which is none of {', '.join(sorted(known))}.")
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"gives {name} an address that does not start with http:// or https://.")
    return overrides


def networks(raw: str) -> list[str]:
    """Addresses and networks, each as it is written."""
    found, problems = read_networks("\n".join(words(raw)))
    if problems:
        raise ValueError("is not a list of addresses and networks such as 10.0.0.2,10.1.0.0/16.")
    return list(found)


def name_servers(raw: str) -> list[tuple[str, int]]:
    """Addresses with a port of 53, where they name none."""
    try:
        return [name_server(word) for word in words(raw)]
    except ValueError:
        raise ValueError("must be addresses such as 10.0.0.2 or 127.0.0.1:5353, with commas between them.") from None


def name_server(word: str) -> tuple[str, int]:
    found = urlsplit(f"//[{word}]" if word.count(":") > 1 and not word.startswith("[") else f"//{word}")
    return str(ip_address(found.hostname or "")), found.port or 53


def egress_allow(raw: str) -> list[str]:
    AllowList.parse(words(raw))
    return words(raw)


def database(raw: str) -> dict[str, Any]:
    """Django's DATABASES entry. What is wrong is said without the address, which may hold a password."""
    if not raw.startswith(("postgres://", "postgresql://", "sqlite:///")):
        raise ValueError("must start with postgres:// or sqlite:///.")
    try:
        found = environ.Env.db_url_config(raw)
    except ValueError:
        found = {"NAME": ""}
    if not found["NAME"]:
        raise ValueError("is not of the form postgres://user:password@host:port/name, with special characters as %XX.")
    return found


def shared_cache(raw: str) -> str:
    if not raw.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must start with redis://, rediss:// or unix://.")
    return raw


def mailer(raw: str) -> dict[str, Any]:
    """Django's MAILERS entry."""
    try:
        found = environ.Env.email_url_config(raw)
    except (ImproperlyConfigured, ValueError):
        raise ValueError("must look like smtp+tls://user:password@host:587 or consolemail://.") from None
    if not found["EMAIL_HOST"]:
        return {"BACKEND": found["EMAIL_BACKEND"]}
    options = {
        "host": found["EMAIL_HOST"],
        "port": found["EMAIL_PORT"] or 25,
        "username": found["EMAIL_HOST_USER"] or "",
        "password": found["EMAIL_HOST_PASSWORD"] or "",
        "use_tls": found.get("EMAIL_USE_TLS", False),
        "use_ssl": found.get("EMAIL_USE_SSL", False),
        "timeout": 10,
    }
    return {"BACKEND": found["EMAIL_BACKEND"], "OPTIONS": options}
