"""Thirty days of usage for a server that runs: written by a process of its own, into the same database."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from django.contrib.auth.models import Group
from django.utils import timezone

from keys.actions import issue_client_key
from keys.models import ProviderKey
from orgs.actions import Actor
from orgs.models import Membership, Organization, User
from tests.attempts import attempt
from tests.serving import ROOT
from usage.ingest import book

DAYS = 30
PASSWORD = "correct horse battery staple"
BY = Actor.command("test")


def write_beside(folder: Path) -> None:
    """`folder` is where the server keeps its data."""
    environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(folder)}
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", "from tests.browser.past import write; write()"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def write() -> None:
    """Every day Ada's web-app asks twice and Bob's notebook once. Each fifth day web-app asks once more, and that fails."""
    acme, ada, now = Organization.objects.get(), User.objects.get(), timezone.now()
    bob = User.objects.create_user("bob@example.com", PASSWORD, name="Bob")
    Membership.objects.create(organization=acme, user=bob, role=Group.objects.get(name="Member"))
    deleted = ProviderKey.objects.create(
        organization=acme, provider="openai", name="Production", priority=1, sealed=b"", hint="", fingerprint="", removed_at=now
    )
    web_app, _ = issue_client_key(organization=acme, name="web-app", by=BY, owner=ada)
    notebook, _ = issue_client_key(organization=acme, name="notebook", by=BY, owner=bob)
    for day in range(DAYS):
        at, key = now - timedelta(days=day), deleted.pk
        outcomes = ("ok", "ok") if day % 5 else ("ok", "ok", "error")
        asked = [attempt(acme, at=at, key=key, client=web_app.pk, member_id=ada.pk, outcome=each) for each in outcomes]
        book([*asked, attempt(acme, at=at, key=key, client=notebook.pk, member_id=bob.pk)])
