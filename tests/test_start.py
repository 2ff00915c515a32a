"""`manage.py serve` in a process of its own, as `make run` starts it."""

import os
import re
import shutil
import socket
import stat
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from byok_site.management.commands import serve
from byok_site.management.commands.serve import Workers
from tests.serving import free_port, launch, stop

type Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def start(tmp_path: Path, port: int) -> Iterator[Start]:
    started = []

    def run(**settings: str) -> subprocess.Popen[str]:
        started.append(launch(tmp_path / "data", port, **settings))
        return started[-1]

    yield run
    for process in started:
        stop(process)


def get(url: str) -> tuple[int, str]:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.status, answer.read().decode()


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("PORT", "abc", "PORT must be a whole number from 1 to 65535."),
        ("SECRET_KEY", "short", "SECRET_KEY must be at least 32 characters, made at random."),
        ("GATEWAY_WORKERS", "2", "GATEWAY_WORKERS is more than 1, so limits need a place to be counted together: set REDIS_URL."),
        ("REDIS_URL", "localhost", "REDIS_URL must start with redis://, rediss:// or unix://."),
        ("DATABASE_URL", "nonsense", "DATABASE_URL must start with postgres:// or sqlite:///."),
        (
            "DATABASE_URL",
            "postgres://db:port",
            "DATABASE_URL is not of the form postgres://user:password@host:port/name, with special characters as %XX.",
        ),
        ("PUBLIC_URL", "keyhold.example", "PUBLIC_URL must start with http:// or https://."),
        ("VAULT_SUITE", "3", "VAULT_SUITE must be a whole number from 1 to 2."),
        ("EMAIL_URL", "mail.example", "EMAIL_URL must look like smtp+tls://user:password@host:587 or consolemail://."),
        (
            "TRUSTED_PROXIES",
            "10.0.0.2,proxy",
            "TRUSTED_PROXIES is not a list of addresses and networks such as 10.0.0.2,10.1.0.0/16.",
        ),
        ("UPSTREAM_OVERRIDES", "[]", "UPSTREAM_OVERRIDES must be a JSON object of strings."),
        (
            "UPSTREAM_OVERRIDES",
            '{"openai": "ftp://x"}',
            "UPSTREAM_OVERRIDES gives openai an address that does not start with http:// or https://.",
        ),
    ],
)
def test_a_bad_setting_stops_the_start_with_one_sentence_that_names_it(
    start: Start, name: str, value: str, sentence: str
) -> None:
    secrets = {"SECRET_KEY": "x" * 50, "VAULT_KEYS": "k1:" + "A" * 43 + "=", "AUDIT_KEY": "x" * 50}
    process = start(**secrets | {name: value})
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (1, "", sentence + "\n")


@pytest.mark.parametrize(
    ("settings", "beginning"),
    [
        ({"UPSTREAM_OVERRIDES": "{"}, "UPSTREAM_OVERRIDES is not JSON: "),
        ({"UPSTREAM_OVERRIDES": '{"openia": "http://x"}'}, "UPSTREAM_OVERRIDES names openia, which is none of "),
        ({"SECRET_KEY": "x" * 50, "VAULT_KEYS": "k1:c2hvcnQ=", "AUDIT_KEY": "x" * 50}, "VAULT_KEYS"),
        ({"VAULT_KEYS": "k1:" + "A" * 43 + "="}, "SECRET_KEY is not set."),
        ({"SECRET_KEY": "x" * 50, "VAULT_KEYS": "k1:" + "A" * 43 + "="}, "AUDIT_KEY is not set."),
        ({"DATA_DIR": "/dev/null/keyhold"}, "DATA_DIR names a folder that cannot be made: "),
        (
            {
                "SECRET_KEY": "x" * 50,
                "VAULT_KEYS": "k1:" + "A" * 43 + "=",
                "AUDIT_KEY": "x" * 50,
                "DATABASE_URL": "postgres://u:hidden@127.0.0.1:1/n",
            },
            "DATABASE_URL names a database that cannot be used: ",
        ),
    ],
)
def test_other_trouble_is_named_too_and_quotes_no_secret(start: Start, settings: dict[str, str], beginning: str) -> None:
    process = start(**settings)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert err.startswith(beginning)
    assert "Traceback" not in err
    assert not any(secret in out + err for secret in ("c2hvcnQ", "hidden", "A" * 43))


def test_a_port_in_use_is_named(start: Start, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        process = start()
        _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert err == f"PORT {port} cannot be listened on: Address already in use. Set PORT to a free one.\n"


def test_the_first_start_makes_its_secrets_and_prints_one_link(start: Start, port: int, tmp_path: Path) -> None:
    process = start()
    assert process.stdout is not None
    line = process.stdout.readline()
    link = re.search(rf"http://localhost:{port}/setup/\S+/$", line.strip())
    assert link, line
    assert get(f"http://127.0.0.1:{port}/healthz")[0] == 200
    assert get(link[0].replace("localhost", "127.0.0.1"))[0] == 200
    status, page = get(f"http://127.0.0.1:{port}/signin/")
    assert status == 200
    [stylesheet] = re.findall(r'href="(/static/app\.\w+\.css)"', page)
    assert get(f"http://127.0.0.1:{port}{stylesheet}")[0] == 200
    assert stat.S_IMODE((tmp_path / "data" / "secrets.env").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_the_second_start_changes_nothing(start: Start, port: int, tmp_path: Path) -> None:
    for _ in range(2):
        process = start()
        assert process.stdout is not None
        process.stdout.readline()
        secrets = (tmp_path / "data" / "secrets.env").stat().st_mtime_ns
        collected = (tmp_path / "data" / "static" / ".collected").stat().st_mtime_ns
        stop(process)
    assert (tmp_path / "data" / "secrets.env").stat().st_mtime_ns == secrets
    assert (tmp_path / "data" / "static" / ".collected").stat().st_mtime_ns == collected


@pytest.fixture
def started_before(first_start: Path, tmp_path: Path) -> None:
    shutil.copytree(first_start, tmp_path / "data")


@pytest.mark.usefixtures("started_before")
@pytest.mark.parametrize(("trusted", "told_apart"), [("10.0.0.0/8,127.0.0.1", True), ("10.0.0.0/8", False), ("", False)])
def test_only_trusted_proxies_say_where_a_request_comes_from(start: Start, port: int, trusted: str, told_apart: bool) -> None:
    process = start(TRUSTED_PROXIES=trusted)
    assert process.stdout is not None
    process.stdout.readline()
    found = [report(port, f"198.51.100.{host}") for host in range(21)]  # 11 of them in one minute, at least
    assert (429 not in found) is told_apart


def report(port: int, address: str) -> int:
    """The status of a report of a leaked key, which are paced by address."""
    headers = {"content-type": "application/json", "x-forwarded-for": address}
    sent = urllib.request.Request(f"http://127.0.0.1:{port}/report/", b'{"key": "x"}', headers)
    try:
        with urllib.request.urlopen(sent, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as refusal:
        return refusal.code


@pytest.mark.usefixtures("started_before")
def test_cookies_behind_https_belong_to_the_host_alone(start: Start, port: int) -> None:
    process = start(PUBLIC_URL="https://localhost", ALLOWED_HOSTS="localhost", TRUSTED_PROXIES="127.0.0.1")
    assert process.stdout is not None
    process.stdout.readline()
    request = urllib.request.Request(f"http://localhost:{port}/signin/", headers={"X-Forwarded-Proto": "https"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        name, _, attributes = answer.headers["Set-Cookie"].partition("=")
        assert name == "__Host-csrf"
        assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(attributes.split("; "))
        assert "Domain" not in attributes
        assert answer.headers["Strict-Transport-Security"].startswith("max-age=31536000")


def test_a_process_beside_the_server_that_does_not_end_is_ended(
    settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings.BASE_DIR, pid = tmp_path, tmp_path / "pid"
    (tmp_path / "manage.py").write_text(f"import os, time; os.symlink(str(os.getpid()), {str(pid)!r}); time.sleep(600)")
    monkeypatch.setattr(serve, "END_SECONDS", 0.1)
    with serve.background():
        while not pid.is_symlink():
            pass
    with pytest.raises(ProcessLookupError):
        os.kill(int(os.readlink(pid)), 0)


def test_several_processes_that_are_told_to_stop_refuse_who_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signal.signal", lambda *_: None)
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    Workers(uvicorn.Config("byok_site.asgi:application", workers=2), sockets=[listener]).terminate_all()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=20)
