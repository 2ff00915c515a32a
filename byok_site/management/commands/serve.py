"""`make run`: bring database and static files up to date, say where to begin, serve."""

import contextlib
import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import uvicorn
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.checks import run_checks
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import OperationalError, connection
from django.urls import reverse
from uvicorn.supervisors import Multiprocess

from byok_site.environment import refuse
from keys.apps import VAULT
from orgs import setup

THIS_MACHINE = {"localhost", "127.0.0.1", "[::1]"}
GRACE_SECONDS = 120  # a stream that is under way when the server is told to stop may end
END_SECONDS = 30  # so may a task; longer than a database that answers takes


def listen() -> socket.socket:
    """A listening socket; on all interfaces only where ALLOWED_HOSTS names more than this machine."""
    host = "127.0.0.1" if THIS_MACHINE.issuperset(settings.ALLOWED_HOSTS) else ""
    try:
        listener = socket.create_server((host, settings.PORT), backlog=2048)
    except OSError as error:
        refuse("PORT", f"{settings.PORT} cannot be listened on: {os.strerror(error.errno)}. Set PORT to a free one.")
    listener.set_inheritable(True)
    return listener


def prepare_database() -> None:
    """Refuse a key ring that cannot open what the database holds, then migrate."""
    try:
        connection.Database.connect(**connection.get_connection_params()).close()  # at once, where a pool would try for long
        for problem in run_checks(tags=[VAULT], databases=["default"]):
            raise SystemExit(problem.msg)
        call_command("migrate", verbosity=0, interactive=False)
    except (connection.Database.OperationalError, OperationalError) as error:
        refuse("DATABASE_URL", f"names a database that cannot be used: {str(error).strip()}")


def collect_static() -> None:
    """Copy static files under hashed names, unless none changed since the last time."""
    stamp = settings.STATIC_ROOT / ".collected"
    state = fingerprint()
    if not stamp.exists() or stamp.read_text() != state:
        call_command("collectstatic", verbosity=0, interactive=False, clear=True)
        stamp.write_text(state)


def fingerprint() -> str:
    """Changes whenever a static file of any app is added, removed or written."""
    digest = hashlib.sha256()
    for finder in get_finders():
        for path, storage in finder.list([]):
            digest.update(f"{path} {storage.size(path)} {storage.get_modified_time(path)}\n".encode())
    return digest.hexdigest()


def greeting() -> str:
    """The one line: a one-time link while nobody has an account, else where to sign in."""
    token = setup.link_token()
    if token is None:
        return f"Keyhold is at {settings.PUBLIC_URL}{reverse('account_login')}"
    return f"Keyhold is ready. Create its first owner at {settings.PUBLIC_URL}{reverse('setup', args=[token])}"


@contextlib.contextmanager
def background() -> Iterator[None]:
    """A process beside this one that books usage and does the tasks. It ends with this one, however this one ends."""
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "background"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603
    try:
        yield
    finally:
        try:
            process.communicate(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Workers(Multiprocess):
    def terminate_all(self) -> None:
        """Who connects from here on is refused, rather than left waiting until the last stream has ended."""
        for listener in self.sockets:
            listener.close()
        super().terminate_all()


def run_server(listener: socket.socket) -> None:
    config = uvicorn.Config(
        "byok_site.asgi:application",
        workers=settings.GATEWAY_WORKERS,
        http="byok_site.connections:Connection",
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.TRUSTED_PROXIES),
        forwarded_allow_ips=settings.TRUSTED_PROXIES,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    with contextlib.suppress(KeyboardInterrupt):
        if config.workers > 1:
            Workers(config, sockets=[listener]).run()
        else:
            uvicorn.Server(config).run(sockets=[listener])


class Command(BaseCommand):
    help = "Brings database and static files up to date and serves dashboard and gateway."
    requires_system_checks = ()  # `make check` runs them; here they would cost half a second of every start

    def handle(self, *args: Any, **options: Any) -> None:
        listener = listen()
        prepare_database()
        collect_static()
        self.stdout.write(greeting())
        self.stdout.flush()
        with background():
            run_server(listener)
