"""Changes to the audit log that nobody may make: what PostgreSQL refuses to the application, its superuser can still do."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def behind_the_trigger() -> Iterator[None]:
    """Inside a transaction, as its superuser. SQLite has no such trigger."""
    try:
        set_role("replica")
        yield
    finally:
        set_role("origin")


def set_role(role: str) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL session_replication_role = {role}")


def let_tests_truncate() -> None:
    """What tests have committed is cleared by TRUNCATE, which the audit log refuses to everybody."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE orgs_auditevent DISABLE TRIGGER keep_all")
