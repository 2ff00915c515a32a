"""What `serve` runs beside itself: books usage and does the tasks, until its standard input ends."""

import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from byok_site.worker import Background
from usage.ingest import Ingester
from usage.management.commands.ingest import wait_for_end


class Command(BaseCommand):
    help = "Books the usage of this host and does the tasks of the installation, until standard input ends."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        ended = threading.Event()
        threading.Thread(target=wait_for_end, args=[ended], daemon=True).start()
        tasks = Background(ended)
        tasks.start()
        Ingester(settings.DATA_DIR / "journal").work_alone(ended)
        tasks.join()
