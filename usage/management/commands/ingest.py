"""Moves the journal of this host into the database until its standard input ends. `serve` runs one beside itself."""

import sys
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from usage.ingest import Ingester


class Command(BaseCommand):
    help = "Moves the usage journal of this host into the database, until standard input ends."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        ended = threading.Event()
        threading.Thread(target=wait_for_end, args=[ended], daemon=True).start()
        Ingester(settings.DATA_DIR / "journal").work_alone(ended)


def wait_for_end(ended: threading.Event) -> None:
    """Whoever started this process holds the other end of the pipe; it closes however that process ends."""
    sys.stdin.read()
    ended.set()
