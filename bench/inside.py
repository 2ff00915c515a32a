"""Imported first by measurements that run inside Keyhold: sets Django up on a database that may be filled."""

import os
import sys
from contextlib import suppress
from pathlib import Path

import django
from django.core.management import call_command
from django.db import connection

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "byok_site.settings")
django.setup()


def empty_database() -> None:
    """Migrate it. Ends with a sentence if it is not PostgreSQL, or holds an organization."""
    if connection.vendor != "postgresql":
        sys.exit("Name a PostgreSQL in DATABASE_URL, or run this by `python -m bench.postgres`.")
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM orgs_organization LIMIT 1")
        if cursor.fetchone():
            sys.exit("This database is in use. Measure on an empty one.")


def machine() -> str:
    """What the figures were measured on, and how busy it was."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        version = cursor.fetchone()[0]
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return f"{os.cpu_count()} cores, load {load}, Python {sys.version.split()[0]}, PostgreSQL {version.split()[0]}"


def backend() -> int:
    """The process of the database that serves this connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def on_core(process: int) -> float:
    """Milliseconds that a process of this machine has had a core; Linux tells it, elsewhere and of other machines it is 0."""
    with suppress(FileNotFoundError):
        return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e6
    return 0.0
