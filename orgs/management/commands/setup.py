"""`manage.py setup`: the first owner and their organization, without a browser."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from orgs import actions
from orgs.forms.organizations import SetupForm


class Command(BaseCommand):
    help = "Creates the first owner and their organization. The password is read from standard input."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", required=True, help="What the owner signs in with.")
        parser.add_argument("--org", required=True, help="Name of the organization.")
        parser.add_argument("--name", default="", help="Name of the owner.")
        parser.add_argument("--password-stdin", action="store_true", required=True, help="Read the password from standard input.")

    def handle(self, *, email: str, org: str, name: str, **options: Any) -> None:
        password = sys.stdin.readline().rstrip("\r\n")
        form = SetupForm({"email": email, "organization_name": org, "name": name, "password": password})
        if not form.is_valid():
            raise CommandError("\n".join(sentences(form)))
        try:
            user, organization = actions.set_up_first_owner(**form.cleaned_data, by=actions.Actor.command("setup"))
        except actions.AlreadySetUp:
            raise CommandError("Keyhold is set up already. More people come by invitation of an owner.") from None
        self.stdout.write(f"{organization.name} is ready at /o/{organization.slug}/. Sign in as {user.email}.")


def sentences(form: SetupForm) -> list[str]:
    return [f"{form[field].label}: {problem}" for field, problems in form.errors.items() for problem in problems]
