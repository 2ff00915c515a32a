"""`make demo`: a demo organization in a data folder of its own, served with a provider that only pretends."""

import argparse
import contextlib
import json
import os
import subprocess
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from byok_site import demo
from byok_site.demo_provider import DemoProvider
from byok_site.management.commands.serve import background, collect_static, listen, prepare_database, run_server

FOLDER = settings.BASE_DIR / "var" / "demo"
DEFAULT = ("SECRET_KEY", "VAULT_KEYS", "AUDIT_KEY", "DATABASE_URL", "REDIS_URL", "GATEWAY_WORKERS", "EGRESS_ALLOW", "EMAIL_URL")
LINES = """Keyhold's demo is at {url}. Sign in as {email} with the password {password}
Its operator, whose keys are shared, is {operator} with the same password.
Two requests of its past, one rescued and one refused, are at
  {rescued}
  {refused}
A program asks it like this:
  curl {public}/v1/chat/completions -H 'Authorization: Bearer {client_key}' \\
    -H 'Content-Type: application/json' -d '{{"model": "openai/gpt-4o", "messages": [{{"role": "user", "content": "Hello"}}]}}'"""


class Command(BaseCommand):
    help = "Serves a demo organization with 90 days of usage, in a data folder of its own."
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)

    def handle(self, *args: Any, inside: bool, **options: Any) -> None:
        """Outside: start the provider and this command again with the demo's settings. Inside: fill and serve."""
        if inside:
            self.serve()
            return
        provider = DemoProvider()
        overrides = json.dumps(provider.start())
        environment = os.environ | dict.fromkeys(DEFAULT, "") | {"DATA_DIR": str(FOLDER), "UPSTREAM_OVERRIDES": overrides}
        command = [sys.executable, "manage.py", "demo", "--inside"]
        with subprocess.Popen(command, cwd=settings.BASE_DIR, env=environment) as child:  # noqa: S603 (ourselves)
            while child.returncode is None:
                with contextlib.suppress(KeyboardInterrupt):  # it reaches the child too, which then ends in its own time
                    child.wait()
        provider.stop()
        sys.exit(child.returncode)

    def serve(self) -> None:
        if settings.DATA_DIR != FOLDER:
            raise CommandError("This would write the demo into other data. Run: make demo")
        listener = listen()
        prepare_database()
        collect_static()
        remembered = demo.fill(FOLDER / "demo.json")
        self.stdout.write(LINES.format(public=settings.PUBLIC_URL, operator=demo.OPERATOR, **remembered | links(remembered)))
        self.stdout.flush()
        with background():
            run_server(listener)


def links(remembered: dict[str, str]) -> dict[str, str]:
    """Addresses of the pages that are worth a look."""
    paths = {name: reverse("request_page", args=[demo.SLUG, remembered[name]]) for name in ("rescued", "refused")}
    return {name: settings.PUBLIC_URL + path for name, path in {"url": reverse("account_login"), **paths}.items()}
