"""Looks through the audit logs for what was changed behind Keyhold's back."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from orgs.audit import check as audit_check
from orgs.audit.heads import read_heads
from orgs.models import Organization


class Command(BaseCommand):
    help = "Looks after the audit logs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        verify = acts.add_parser("verify", help="name events that were changed, deleted, moved or cut off")
        verify.add_argument("--org", metavar="SLUG", help="of this organization only")

    def handle(self, *args: Any, act: str, org: str | None, **options: Any) -> None:
        organizations = Organization.objects.filter(slug=org) if org else Organization.objects.order_by("slug")
        if org and not organizations:
            raise CommandError(f"There is no organization with the slug “{org}”.")
        written, unreadable = read_heads()
        found = [f"audit-heads.jsonl: line {number} cannot be read." for number in unreadable]
        for organization in organizations:
            own = list(audit_check.problems(organization, written.get(organization.pk, [])))
            found += [f"{organization.slug}: {problem}" for problem in own]
            if not own:
                self.stdout.write(f"{organization.slug}: {organization.audit_events.count()} events, all as they were written.")
        for problem in found:
            self.stdout.write(problem)
        if found:
            raise CommandError(f"Problems: {len(found)}.")
