"""Looks through the audit logs for what was changed behind Keyhold's back."""

from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from orgs.audit.check import Reading
from orgs.audit.heads import Kept, path, read_heads
from orgs.models import AuditEvent, Organization

LATE = timedelta(days=2)  # a line is added every day


class Command(BaseCommand):
    help = "Looks after the audit logs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        verify = acts.add_parser("verify", help="name events that were changed, deleted, moved or cut off")
        verify.add_argument("--org", metavar="SLUG", help="of this organization only")
        verify.add_argument(
            "--heads",
            metavar="FILE",
            type=Path,
            action="append",
            help="compare with this file of heads instead of DATA_DIR/audit-heads.jsonl; may be given more than once",
        )

    def handle(self, *args: Any, act: str, org: str | None, heads: list[Path] | None, **options: Any) -> None:
        organizations = Organization.objects.filter(slug=org) if org else Organization.objects.order_by("slug")
        if org and not organizations:
            raise CommandError(f"There is no organization with the slug “{org}”.")
        files = {file: read_heads(file) for file in heads or [path()]}
        found = 0
        for organization in organizations:
            found += self.verify(organization, list(files.values()))
        trouble = [f"{file.name}: {problem}" for file, kept in files.items() for problem in [*kept.problems, *state(file, kept)]]
        for problem in trouble if org else [*gone(list(files.values())), *trouble]:
            self.stdout.write(problem)
            found += 1
        if found:
            raise CommandError(f"Problems: {found}.")

    def verify(self, organization: Organization, files: list[Kept]) -> int:
        """How many problems there are."""
        reading = Reading(organization, [head for kept in files for head in kept.heads.get(organization.pk, [])])
        found = 0
        for found, problem in enumerate(reading.problems(), 1):  # noqa: B007
            self.stdout.write(f"{organization.slug}: {problem}")
        if not found:
            self.stdout.write(f"{organization.slug}: {reading.count} events, all as they were written.")
        return found


def gone(files: list[Kept]) -> Iterator[str]:
    """Organizations that were there and that Keyhold did not erase."""
    there = set(Organization.objects.values_list("pk", flat=True)) | {pk for kept in files for pk in kept.erased}
    known = {pk: heads[-1] for kept in files for pk, heads in kept.heads.items()}
    for pk in sorted(known.keys() - there):
        yield f"The organization {pk} is gone with its log of {known[pk].number} events, and Keyhold did not erase it."


def state(file: Path, kept: Kept) -> Iterator[str]:
    """Whether the file goes as far as it should."""
    early = timezone.now() - LATE
    if not file.exists() and AuditEvent.objects.filter(at__lt=early).exists():
        yield "it is not there, so nothing tells whether a log was cut off."
    elif kept.at and kept.at < early:
        yield f"its last line is of {kept.at:%Y-%m-%d}. One is added every day, so some are missing, or no tick is done."
