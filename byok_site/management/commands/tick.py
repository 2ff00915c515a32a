"""Does once, here and now, what otherwise happens every ten seconds: for cron, where `serve` is not used."""

from typing import Any

from django.core.management.base import BaseCommand

from keys.tasks import tick


class Command(BaseCommand):
    help = "Does once what is due: tests of keys, budgets, replaced credentials, notices, mail and webhooks."

    def handle(self, *args: Any, **options: Any) -> None:
        tick.call()
