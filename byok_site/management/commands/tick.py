"""Does once, here and now, what otherwise happens every ten seconds: for cron, where `serve` is not used."""

from typing import Any

from django.core.management.base import BaseCommand

from keys.tasks import tick


class Command(BaseCommand):
    help = "Tests keys that are due, destroys replaced credentials, tells owners and sends mail, once."

    def handle(self, *args: Any, **options: Any) -> None:
        tick.call()
