"""Issues a client key and prints it, and nothing else, to standard output. It cannot be shown again."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.views.decorators.debug import sensitive_variables

from keys import actions
from keys.apps import VAULT
from keys.models import ClientKey
from orgs.actions import Actor
from orgs.models import Organization


class Command(BaseCommand):
    help = "Issues a client key and prints it once."
    requires_system_checks = (VAULT,)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--org", required=True, metavar="SLUG")
        parser.add_argument("--name", required=True)

    @sensitive_variables()
    def handle(self, *args: Any, org: str, name: str, **options: Any) -> None:
        try:
            organization = Organization.objects.get(slug=org)
            name = ClientKey._meta.get_field("name").clean(name.strip(), None)
            _, text = actions.issue_client_key(organization=organization, name=name, by=Actor.command("issue_client_key"))
        except Organization.DoesNotExist:
            raise CommandError(f"There is no organization with the slug “{org}”.") from None
        except ValidationError as error:
            raise CommandError(f"--name: {' '.join(error.messages)}") from None
        except actions.NameTaken as taken:
            raise CommandError(str(taken)) from None
        self.stdout.write(text)
