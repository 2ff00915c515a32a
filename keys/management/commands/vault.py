"""Looks after the key ring. Prints counts and ids, never a value.

To change the key of the ring: put a new key in front of VAULT_KEYS and restart every process; then `vault rewrap`,
`vault verify` and `vault retire OLD`; only then take the old key out, and keep it for as long as backups from before live.
One that is lost for good: put a new key into VAULT_KEYS, under another id, and run `vault give-up LOST`.
"""

from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import QuerySet

from keys import data_keys, second_factors, upkeep
from keys.actions.data_keys import add_data_key
from keys.actions.giving_up import give_up_data_keys, give_up_second_factors
from keys.actions.openings import write_openings
from keys.models import ClientKey
from orgs.actions import Actor
from orgs.models import Organization


class Command(BaseCommand):
    help = "Looks after the key ring that protects stored credentials."
    requires_system_checks = ()  # it must be able to look at what the checks complain of

    def add_arguments(self, parser: ArgumentParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        acts.add_parser("status", help="count what is wrapped and sealed by what")
        acts.add_parser("verify", help="open every stored value and name those that do not open")
        rewrap = acts.add_parser("rewrap", help="wrap every data key by the first key of VAULT_KEYS")
        rewrap.add_argument("--dry-run", action="store_true", help="only say how many there are")
        reseal = acts.add_parser("reseal", help="seal every credential by the newest data key and VAULT_SUITE")
        reseal.add_argument("--org", metavar="SLUG", help="of this organization only")
        reseal.add_argument("--new-data-key", action="store_true", help="make a new data key for each organization first")
        retire = acts.add_parser("retire", help="say whether a key may be taken out of VAULT_KEYS")
        retire.add_argument("kek_id", metavar="ID")
        give_up = acts.add_parser("give-up", help="go on without a key that is lost: what only it opened is entered again")
        give_up.add_argument("kek_id", metavar="ID", help="as `status` names it; it may not be in VAULT_KEYS")
        give_up.add_argument("--for-good", action="store_true", help="do it; else only say what would be lost")

    def handle(self, *args: Any, act: str, **options: Any) -> None:
        try:
            data_keys.ring()
        except ValueError as problem:
            raise CommandError(str(problem)) from None
        try:
            getattr(self, act.replace("-", "_"))(options)
        finally:
            write_openings()

    def status(self, options: dict[str, Any]) -> None:
        ring, wrapped = data_keys.ring(), upkeep.wrapped_by()
        for kek_id in [*ring.ids, *sorted(set(wrapped) - set(ring.ids))]:
            note = " (first)" if kek_id == ring.primary else "" if kek_id in ring.ids else " (not in VAULT_KEYS)"
            self.stdout.write(f"data keys wrapped by {kek_id}{note}: {wrapped[kek_id]}")
        for kek_id, count in sorted(second_factors.sealed_by().items()):
            self.stdout.write(f"second factors sealed by {kek_id}: {count}")
        sealed = {
            "provider keys": upkeep.sealed_keys(),
            "retired credentials": upkeep.retired_credentials(),
            "webhooks": upkeep.webhooks(),
            "identity providers": upkeep.identity_providers(),
        }
        for kind, rows in sealed.items():
            for (suite, version), count in sorted(upkeep.sealed_with(rows).items()):
                self.stdout.write(f"{kind} sealed by suite {suite}, data key version {version}: {count}")
        self.stdout.write(f"client keys: {ClientKey.objects.live().count()}")

    def verify(self, options: dict[str, Any]) -> None:
        self.report(upkeep.verify(), "opened")

    def rewrap(self, options: dict[str, Any]) -> None:
        if options["dry_run"]:
            self.stdout.write(f"data key: {upkeep.needing_rewrap().count()} would be rewrapped")
        else:
            self.report(upkeep.rewrap(), "rewrapped", "changed")

    def reseal(self, options: dict[str, Any]) -> None:
        organizations = self.organizations(options["org"])
        if options["new_data_key"]:
            made = sum(add_data_key(organization=each, by=Actor.command("vault reseal")) for each in organizations)
            self.stdout.write(f"data key: {made} made")
        self.report(upkeep.reseal(organizations), "resealed", "changed")

    def retire(self, options: dict[str, Any]) -> None:
        kek_id, ring = options["kek_id"], data_keys.ring()
        if kek_id == ring.primary:
            raise CommandError(f"{kek_id} is the first key of VAULT_KEYS, which wraps what is new. Put another in front of it.")
        if count := upkeep.wrapped_by()[kek_id]:
            raise CommandError(f"{kek_id} is in use. Data keys that it wraps: {count}. Run: manage.py vault rewrap")
        if count := second_factors.sealed_by()[kek_id]:
            raise CommandError(f"{kek_id} is in use. Second factors that it seals: {count}. Run: manage.py vault rewrap")
        self.stdout.write(f"{kek_id} wraps nothing. Take it out of VAULT_KEYS and restart.")

    def give_up(self, options: dict[str, Any]) -> None:
        kek_id, by = options["kek_id"], Actor.command("vault give-up")
        if kek_id in data_keys.ring().ids:
            raise CommandError(f"{kek_id} is in VAULT_KEYS, so nothing is lost. A new key needs a name of its own.")
        wrapped, sealed = upkeep.wrapped_by()[kek_id], second_factors.sealed_by()[kek_id]
        if not wrapped and not sealed:
            raise CommandError(f"{kek_id} wraps and seals nothing.")
        if not options["for_good"]:
            self.stdout.write(f"Only {kek_id} opens {wrapped} data keys, and {sealed} second factors and sets of recovery codes.")
            raise CommandError("Nothing is done yet. To destroy them and enter their secrets again, add --for-good.")
        again = Counter[str]()
        for organization in Organization.objects.filter(data_keys__kek_id=kek_id).distinct():
            again += give_up_data_keys(organization=organization, kek_id=kek_id, by=by)
        again["people without their second factor"] = give_up_second_factors(kek_id=kek_id, by=by)
        for kind, count in again.items():
            self.stdout.write(f"{kind}: {count}")

    def organizations(self, slug: str | None) -> QuerySet[Organization]:
        organizations = Organization.objects.filter(slug=slug) if slug else Organization.objects.all()
        if slug and not organizations.exists():
            raise CommandError(f"There is no organization with the slug “{slug}”.")
        return organizations

    def report(self, visits: Iterable[upkeep.Visit], word: str, counted: str = "opened") -> None:
        """Counts by kind of row. Names the rows that do not open, and fails if there is any."""
        seen, done, damaged = Counter[str](), Counter[str](), 0
        for visit in visits:
            seen[visit.kind] += 1
            done[visit.kind] += getattr(visit, counted)
            damaged += not visit.opened
            if not visit.opened:
                self.stdout.write(f"{visit.kind} {visit.row.pk} does not open")
        for kind, count in seen.items():
            self.stdout.write(f"{kind}: {done[kind]} of {count} {word}")
        if not seen:
            self.stdout.write("There is nothing to do.")
        if damaged:
            raise CommandError(f"{damaged} do not open.")
