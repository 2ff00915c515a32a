"""The way back in when an identity provider fails for whom it was the only one."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from keys.actions.single_sign_on import set_enforced
from orgs.actions import Actor
from orgs.models import IdentityProvider


class Command(BaseCommand):
    help = "Lets people of an organization's domain sign in with their passwords again, beside single sign-on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--org", required=True, metavar="SLUG")

    def handle(self, *args: Any, org: str, **options: Any) -> None:
        provider = IdentityProvider.objects.filter(organization__slug=org).select_related("organization").first()
        if provider is None:
            raise CommandError(f"No organization with the slug “{org}” has single sign-on.")
        set_enforced(provider=provider, enforced=False, by=Actor.command("allow_passwords"))
        self.stdout.write(f"People of {provider.domain} can sign in with their passwords.")
