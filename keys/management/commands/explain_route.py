"""Says what would happen to a request: by the very plan that the gateway follows. Nothing is sent anywhere."""

import json
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from keys import preferences, routes
from keys.models import ClientKey
from keys.pages.explaining import Explanation, Step, explain, stopped_by
from keys.preferences import IN_REQUESTS, PreferenceError, Preferences
from keys.providers.paths import OPERATIONS
from keys.routing import Asking, Plan, Why
from orgs.models import Membership, Organization, User


class Command(BaseCommand):
    help = "Says which keys would be tried for a model, in which order, and why the others would not."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--org", required=True, metavar="SLUG")
        parser.add_argument("--model", required=True, help="As a request names it, for example openai/gpt-4o.")
        parser.add_argument("--client-key", metavar="NAME", help="Which client key the request would come with.")
        parser.add_argument("--member", metavar="EMAIL", help="Whose client key it would be. Otherwise its owner.")
        parser.add_argument("--operation", choices=OPERATIONS, default="chat")
        parser.add_argument("--request", metavar="JSON", help='The request\'s `provider` object, such as {"order": ["openai"]}.')
        parser.add_argument("--json", action="store_true", help="Everything, for programs.")

    def handle(self, *args: Any, org: str, model: str, operation: str, **options: Any) -> None:
        organization = Organization.objects.filter(slug=org).first()
        if organization is None:
            raise CommandError(f"There is no organization with the slug “{org}”.")
        key = client_key(organization, options["client_key"])
        who = routes.asking(key, member(organization, options["member"]))
        asking = replace(who, of_request=wishes(options["request"]))
        found = routes.of(organization)
        plan = found.plan(model, now=time.time(), operation=operation, asking=asking)
        told = explain(found, plan, asking, stopped=stopped_by(key))
        self.stdout.write(as_json(model, operation, plan, told, asking) if options["json"] else "\n".join(in_words(told)))


def client_key(organization: Organization, name: str | None) -> ClientKey | None:
    if name is None:
        return None
    if found := ClientKey.objects.for_org(organization).live().filter(name=name).first():
        return found
    raise CommandError(f"There is no client key named “{name}” in this organization.")


def member(organization: Organization, email: str | None) -> User | None:
    if email is None:
        return None
    people = Membership.objects.for_org(organization).select_related("user")
    if found := people.filter(user__email__iexact=email).first():
        return found.user
    raise CommandError(f"“{email}” is no member of this organization.")


def wishes(text: str | None) -> Preferences:
    try:
        return preferences.read(json.loads(text) if text else None, allowed=IN_REQUESTS, prefix="provider.")
    except json.JSONDecodeError as error:
        raise CommandError(f"--request is no JSON: {error}.") from None
    except PreferenceError as error:
        raise CommandError(f"--request: {error}") from None


def in_words(told: Explanation) -> Iterator[str]:
    number = 0
    for step in told.steps:
        number += step.tried
        yield f"{f'{number}.' if step.tried else '-':3}{line(step)}"
    yield f"   {told.end}. {told.end_note}."
    if told.rest:
        yield from ("", "Other keys", *(f"-  {line(step)}" for step in told.rest))
    yield from ("", "Settings")
    for each in told.settings:
        overruled = "".join(f", not {by.lower()}: {value}" for by, value in each.overruled)
        yield f"-  {each.name}: {each.value} ({each.by.lower()}{overruled})"


def line(step: Step) -> str:
    tag = f" ({step.tag.lower()})" if step.tag else ""
    model = f", as {step.native_model}" if step.native_model else ""
    return f"{step.provider.label} “{step.key.name}”{tag}{model}. {step.note}."


def as_json(model: str, operation: str, plan: Plan, told: Explanation, asking: Asking) -> str:
    """`why` is one of keys/routing.py:Why; empty for keys that the plan would try."""
    whys = {each.key.id: each.why for each in plan.left_out}
    return json.dumps(
        {
            "model": model,
            "operation": operation,
            "client_key": asking.client_key and str(asking.client_key),
            "member": asking.member,
            "steps": [shown(step, whys) for step in told.steps],
            "rest": [shown(step, whys) for step in told.rest],
            "end": told.end,
            "end_note": told.end_note,
            "closed_by": plan.closed_by,
            "settings": [asdict(each) for each in told.settings],
        },
        indent=2,
        ensure_ascii=False,
    )


def shown(step: Step, whys: Mapping[UUID, Why]) -> dict[str, Any]:
    return {
        "key": str(step.key.id),
        "name": step.key.name,
        "provider": step.key.provider,
        "tier": step.key.tier,
        "tried": step.tried,
        "native_model": step.native_model,
        "why": whys.get(step.key.id, ""),
        "note": step.note,
    }
