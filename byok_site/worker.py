"""Does the tasks that lie in the database, and puts a tick among them every ten seconds: one for the whole installation.

The queue itself is the lease. A tick is put only while none waits or is under way, by whoever holds the row of the last
one; and a row is worked on by one worker at a time. A tick whose worker died is given up after two minutes.
"""

import logging
import os
import socket
import threading
from datetime import datetime, timedelta
from typing import Any

from django.db import close_old_connections, transaction
from django.db.models import QuerySet
from django.tasks import DEFAULT_TASK_BACKEND_ALIAS, DEFAULT_TASK_QUEUE_NAME, TaskResultStatus
from django.utils import timezone
from django_tasks_db.management.commands.db_worker import Worker
from django_tasks_db.models import DBTaskResult

from keys.tasks import tick

LOOK_SECONDS = 1.0
PATIENCE_SECONDS = 30.0  # the longest pause after a failure
EVERY = timedelta(seconds=10)
LEASE = timedelta(minutes=2)  # longer than a tick takes; should one take longer, two at once do no harm
KEPT = timedelta(hours=1)  # what became of tasks

log = logging.getLogger(__name__)


class Background:
    """A thread that works until `ended` is set."""

    def __init__(self, ended: threading.Event) -> None:
        self._ended = ended
        self._thread = threading.Thread(target=self._run, name="tasks", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        """Waits for the task that is under way; others are left for later."""
        self._thread.join()

    def _run(self) -> None:
        pause = LOOK_SECONDS
        while not self._ended.wait(pause):
            try:
                put_tick(timezone.now())
                work(self._ended)
                pause = LOOK_SECONDS
            except Exception:
                pause = min(pause * 2, PATIENCE_SECONDS)
                log.exception("Tasks are not being done. Next try in %.0f s.", pause)
            finally:
                close_old_connections()


class Batch(Worker):
    """Does what is ready, then returns; after the task that is under way, once `ended` is set."""

    def __init__(self, ended: threading.Event) -> None:
        self._ended = ended
        super().__init__(
            queue_names=[DEFAULT_TASK_QUEUE_NAME],
            interval=0,
            batch=True,
            backend_name=DEFAULT_TASK_BACKEND_ALIAS,
            startup_delay=False,
            max_tasks=None,
            worker_id=f"{socket.gethostname()[:40]}:{os.getpid()}",
            excluded_queue_names=[],
        )

    def run_task(self, db_task_result: DBTaskResult[Any, Any]) -> None:
        super().run_task(db_task_result)
        self.running = not self._ended.is_set()


def work(ended: threading.Event) -> None:
    Batch(ended).run()


def put_tick(now: datetime) -> bool:
    """Whether it was time for one."""
    ticks = DBTaskResult.objects.filter(task_path=tick.module_path)
    return not ticks.filter(enqueued_at__gt=now - EVERY).exists() and put_one(ticks, now)


@transaction.atomic
def put_one(ticks: QuerySet[DBTaskResult[Any, Any]], now: datetime) -> bool:
    list(ticks.select_for_update().order_by("-enqueued_at")[:1])  # whoever else wants to put one waits here, then sees ours
    give_up(now)
    unfinished = ticks.filter(status__in=[TaskResultStatus.READY, TaskResultStatus.RUNNING])
    if unfinished.exists() or ticks.filter(enqueued_at__gt=now - EVERY).exists():
        return False
    tick.enqueue()
    DBTaskResult.objects.finished().filter(finished_at__lt=now - KEPT).delete()
    return True


def give_up(now: datetime) -> None:
    """Ticks that a dead worker left behind. What they had begun is still due, and comes with the next one."""
    lost = DBTaskResult.objects.running().filter(task_path=tick.module_path, started_at__lt=now - LEASE)
    if lost.update(status=TaskResultStatus.FAILED, finished_at=now):
        log.warning("A process ended in the middle of its work. It is done again.")
