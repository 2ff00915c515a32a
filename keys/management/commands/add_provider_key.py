"""Adds a provider key. The credential is read from standard input, so that it is in no shell history or process list."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.views.decorators.debug import sensitive_variables

from keys import actions, credentials
from keys.addresses import AllowList
from keys.apps import VAULT
from keys.credentials import CredentialError
from keys.models import ProviderKey
from keys.providers import PROVIDERS, Credential, Provider
from keys.testing import TestResult, Verdict, test_credential
from orgs.actions import Actor
from orgs.models import Organization


class Command(BaseCommand):
    help = "Adds a provider key whose credential is read from standard input, and tests it first."
    requires_system_checks = (VAULT,)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--org", required=True, metavar="SLUG")
        parser.add_argument("--provider", required=True, help=", ".join(PROVIDERS))
        parser.add_argument("--name", required=True)
        parser.add_argument("--skip-test", action="store_true", help="you vouch for the credential: it gets traffic untested")

    @sensitive_variables("credential")
    def handle(self, *args: Any, org: str, provider: str, name: str, skip_test: bool, **options: Any) -> None:
        organization = find_organization(org)
        row = find_provider(provider)
        name = clean_name(name)
        credential = self.read_credential(row)
        result = None if skip_test else tested(row, credential)
        try:
            key = actions.add_key(
                organization=organization,
                provider=row.slug,
                name=name,
                credential=credential,
                test=result,
                needs_test=not skip_test,
                by=Actor.command("add_provider_key"),
            )
        except actions.NameTaken as taken:
            raise CommandError(str(taken)) from None
        self.stdout.write(f"Added {row.label} “{key.name}” ({key.hint}), {key.get_status_display().lower()}.")

    @sensitive_variables()
    def read_credential(self, row: Provider) -> Credential:
        try:
            text = sys.stdin.read().strip()
        except UnicodeDecodeError:
            raise CommandError("Standard input is not text in UTF-8.") from None
        if not text:
            raise CommandError(f"Standard input is empty. Give it the credential for {row.label}.")
        try:
            credential, warnings = credentials.from_stdin(row, text, allow=AllowList.parse(settings.EGRESS_ALLOW))
        except CredentialError as error:
            raise CommandError("\n".join(problem.message for problem in error.problems)) from None
        for warning in warnings:
            self.stderr.write(warning)
        return credential


def tested(row: Provider, credential: Credential) -> TestResult:
    result = test_credential(row, credential)
    if result.verdict in (Verdict.INVALID, Verdict.UNKNOWN):
        raise CommandError(f"{result.reason} Nothing was saved.")
    return result


def find_organization(slug: str) -> Organization:
    try:
        return Organization.objects.get(slug=slug)
    except Organization.DoesNotExist:
        raise CommandError(f"There is no organization with the slug “{slug}”.") from None


def find_provider(slug: str) -> Provider:
    try:
        return PROVIDERS[slug]
    except KeyError:
        raise CommandError(f"There is no provider “{slug}”. Choose one of: {', '.join(PROVIDERS)}.") from None


def clean_name(name: str) -> str:
    try:
        return str(ProviderKey._meta.get_field("name").clean(name.strip(), None))
    except ValidationError as error:
        raise CommandError(f"--name: {' '.join(error.messages)}") from None
