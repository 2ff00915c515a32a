"""What `make demo` shows: Meridian Labs, an invented organization with keys in every state and 90 days of usage.

It is made by the same acts as any other; only their times are put back. A platform organization lends it keys.
"""

import json
import os
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import batched
from pathlib import Path

from django.contrib.auth.models import Group
from django.db import transaction
from django.utils import timezone

from byok_site import demo_usage
from byok_site.demo_limits import restrain
from byok_site.demo_people import PEOPLE, people, program
from byok_site.demo_provider import MODELS
from keys import actions, credentials
from keys.actions.reporting import Report, report_health
from keys.addresses import AllowList
from keys.health import Health, State
from keys.models import ClientKey, HealthMark, ProviderKey, RetiredCredential, RoutingPreference
from keys.pages import strip
from keys.preferences import Preferences
from keys.providers import PROVIDERS, Credential
from keys.providers.errors import ErrorClass
from keys.routing import FALLBACK, PRIORITIZED
from keys.testing import TestResult, Verdict
from orgs.actions import Actor, create_organization, set_platform, support
from orgs.audit.chain import happened
from orgs.models import Organization, User
from usage import ingest

SLUG = "meridian-labs"
DAYS = 90
BATCH = 1000
OPERATOR = "sam@keyhold.example"
AZURE = {"endpoint_url": "https://meridian-eu.openai.azure.com", "api_key": "d3m0" * 8}
DEPLOYMENTS = [{"model_slug": f"openai/{name}", **AZURE, "model_id": name} for name in MODELS["azure"]]
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
FAILING_FOR, LIMITED_FOR, LIMIT_LASTS = 41 * MINUTE, 6 * MINUTE, 4 * MINUTE
TRIPS = 6  # of the limited key, so that each further limit is five minutes long

type Names = tuple[str, str]
"""Provider and name of a key."""


@dataclass(frozen=True)
class Key:
    """A provider key of the demo, added so many days ago."""

    provider: str
    name: str
    credential: str
    added: int = DAYS + 4
    tier: str = PRIORITIZED
    tested: bool = True


KEYS = (
    Key("anthropic", "Production", "sk-ant-api03-demo-only-no-such-key-Hd3W"),
    Key("anthropic", "Backup", "sk-ant-api03-demo-only-no-such-key-71Kd", added=61),
    Key("openai", "Batch jobs", "sk-proj-demo-only-busy-0aZt", added=60),
    Key("openai", "Production", "sk-proj-demo-only-no-such-key-f9Lm"),
    Key("azure", "EU deployments", json.dumps(DEPLOYMENTS), added=82),
    Key("groq", "Default", "gsk_demo-only-no-such-key-8uVe", added=75),
    Key("deepinfra", "Trial", "demo-only-no-such-key-m3Pq", added=45),
    Key("xai", "Research", "xai-demo-only-no-such-key-Lk2N", added=2, tested=False),
    Key("baseten", "Staging", "demoonly.no-such-key-Rt61", added=30, tier=FALLBACK),
)
SUCCESSORS = {"anthropic": "sk-ant-api03-demo-only-revoked-Qx7R", "baseten": "demoonly.no-such-key-Vb08"}
LENT = (
    Key("anthropic", "Shared", "sk-ant-api03-demo-only-no-such-key-Ya5S"),
    Key("groq", "Shared", "gsk_demo-only-no-such-key-4tGh"),
)


def fill(memory: Path) -> dict[str, str]:
    """Make the organization if it is missing, and usage up to now. Returns how to sign in, a client key and ids of requests.

    These are written to `memory`, mode 600, as the password and the key cannot be had from the database a second time.
    """
    now = timezone.now()
    organization = Organization.objects.filter(slug=SLUG).first()
    with transaction.atomic():
        if organization is None:
            organization, remembered = create(now)
            remembered |= book_usage(organization, now, first=True)
            with os.fdopen(os.open(memory, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump(remembered, file)
        else:
            book_usage(organization, now)
        fill_strips(organization, now)
    return dict(json.loads(memory.read_text()))


def book_usage(organization: Organization, now: datetime, *, first: bool = False) -> dict[str, str]:
    """Returns the ids of requests worth looking at."""
    past = demo_usage.Past(organization, now)
    for attempts in batched(past.until_now(DAYS), BATCH):
        ingest.book(attempts)
    staged, ids = past.staged() if first else ([], {})
    ingest.book(staged)
    return ids


def fill_strips(organization: Organization, now: datetime) -> None:
    """What tests have found in the half hours of the last day, where no request has."""
    slots = [strip.first_slot(now) + strip.SLOT * step for step in range(strip.SLOTS)]
    keys = ProviderKey.objects.for_org(organization).filter(enabled=True, needs_test=False)
    marks = [HealthMark(key=key, slot=slot, **{found(key, slot): 1}) for key in keys for slot in slots]
    HealthMark.objects.bulk_create(marks, ignore_conflicts=True)


def found(key: ProviderKey, slot: datetime) -> str:
    """One of the counts of a mark."""
    if not key.status_since or key.status_since >= slot + strip.SLOT:
        return "passed"
    return {State.FAILING.value: "failed", State.LIMITED.value: "limited"}.get(key.status, "passed")


def create(now: datetime) -> tuple[Organization, dict[str, str]]:
    password = secrets.token_urlsafe(9)
    lend(password, now)
    founder, *others = (User.objects.create_user(each.email, password, name=each.name) for each in PEOPLE)
    ada = Actor(label=str(founder), user=founder)
    with happened(now - (DAYS + 5) * DAY):
        organization = create_organization(name="Meridian Labs", owner=founder, by=ada)
    ada, tomas, priya, jonas, _ = people(organization, ada, others, now)
    keys = {(key.provider, key.name): add(organization, key, ada, now) for key in KEYS}
    clients, text = issue(organization, (ada, tomas, priya, jonas), now)
    decide(organization, keys, clients, ada, tomas, now)
    take_time(organization, keys, tomas, now)
    with happened(now - 15 * DAY):
        restrain(keys["openai", "Production"], clients, priya, ada)
    program(organization, ada, now)
    return organization, {"email": founder.email, "password": password, "client_key": text}


def lend(password: str, now: datetime) -> None:
    """The operator's own organization, whose keys others may use."""
    sam = User.objects.create_user(OPERATOR, password, name="Sam Lindqvist", is_staff=True)
    sam.groups.add(Group.objects.get(name=support.GROUP))
    by = Actor(label=str(sam), user=sam)
    with happened(now - (DAYS + 6) * DAY):
        platform = create_organization(name="Keyhold platform", owner=sam, by=by)
        set_platform(organization=platform, is_platform=True, by=by)
    for key in LENT:
        add(platform, key, by, now)


def add(organization: Organization, key: Key, by: Actor, now: datetime) -> ProviderKey:
    test = well(key.provider) if key.tested else None
    added, credential = now - key.added * DAY, read(key.provider, key.credential)
    with happened(added):
        row = actions.add_key(
            organization=organization, provider=key.provider, name=key.name, credential=credential, test=test, by=by
        )
    ProviderKey.objects.filter(pk=row.pk).update(created_at=added, status_since=added)
    return row


def read(provider: str, text: str) -> Credential:
    return credentials.from_stdin(PROVIDERS[provider], text, allow=AllowList())[0]


def well(provider: str) -> TestResult:
    """What a test of a key that works finds."""
    return TestResult(Verdict.VALID, f"{PROVIDERS[provider].label} accepted the key.", 200, models=MODELS[provider])


def issue(organization: Organization, people: tuple[Actor, ...], now: datetime) -> tuple[dict[str, ClientKey], str]:
    """Client keys by name, and the text of the first."""
    ada, tomas, priya, jonas = people
    owners = {"web-app": ada, "jobs": ada, "legacy-bot": ada, "eu-portal": tomas, "notebook-priya": priya, "eval-runner": jonas}
    issued = {}
    for number, (name, by) in enumerate(owners.items()):
        at = now - (DAYS + 4 - 9 * number) * DAY
        with happened(at):
            issued[name] = actions.issue_client_key(organization=organization, name=name, by=by)
        ClientKey.objects.filter(pk=issued[name][0].pk).update(created_at=at)
    clients = {name: key for name, (key, _) in issued.items()}
    with happened(now - 60 * DAY):
        actions.revoke_client_key(key=clients["legacy-bot"], by=ada)
    with happened(now - 3 * DAY):
        actions.pause_client_key(key=clients["eval-runner"], by=ada)
    ClientKey.objects.filter(pk=clients["legacy-bot"].pk).update(revoked_at=now - 60 * DAY)
    ClientKey.objects.filter(pk=clients["eval-runner"].pk).update(paused_at=now - 3 * DAY)
    ClientKey.objects.filter(pk=clients["notebook-priya"].pk).update(expires_at=now + 6 * DAY + HOUR, told_expiring_at=now)
    return clients, issued["web-app"][1]


def decide(
    organization: Organization,
    keys: dict[Names, ProviderKey],
    clients: dict[str, ClientKey],
    ada: Actor,
    tomas: Actor,
    now: datetime,
) -> None:
    """What owners wanted of routing."""
    batch, production = keys["openai", "Batch jobs"], keys["openai", "Production"]
    with happened(now - 58 * DAY):
        models = ["openai/gpt-4o-mini", "openai/gpt-4.1*"]
        actions.set_restrictions(key=batch, models=models, members=None, client_keys=[clients["jobs"].pk], by=ada)
    with happened(now - 30 * DAY):
        wishes = {
            "eu-portal": Preferences(only=("azure",)),
            "notebook-priya": Preferences(order=("azure", "groq"), ignore=("baseten",)),
            "jobs": Preferences(timeout_seconds=40),
        }
        for name, preferences in wishes.items():
            actions.set_client_key_preferences(key=clients[name], preferences=preferences, by=tomas)
        actions.set_provider_routing(organization=organization, provider="azure", by=tomas, timeout_seconds=20)
    with happened(now - 20 * DAY):
        actions.set_routing(organization=organization, by=ada, own_keys_only=False)
        actions.set_always(key=production, always=True, by=ada)
    with happened(now - 2 * DAY):
        order = [(keys[key.provider, key.name].pk, key.tier) for key in KEYS]
        version = RoutingPreference.objects.get(organization=organization).order_version
        actions.reorder_keys(organization=organization, order=order, version=version, by=tomas)
    RoutingPreference.objects.filter(organization=organization).update(ordered_at=now - 2 * DAY)


def take_time(organization: Organization, keys: dict[Names, ProviderKey], tomas: Actor, now: datetime) -> None:
    """What became of the keys."""
    for number, key in enumerate(ProviderKey.objects.for_org(organization).filter(status=State.HEALTHY)):
        tested_at(key, now - (2 + 4 * number) * MINUTE)
    with happened(now - 11 * DAY):
        actions.disable_key(key=keys["deepinfra", "Trial"], by=tomas)
    tested_at(keys["deepinfra", "Trial"], now - 11 * DAY - 5 * MINUTE)
    replace(keys["anthropic", "Production"], tomas, now - 82 * DAY)
    with happened(now - 82 * DAY + HOUR):
        actions.destroy_retired(now)
    replace(keys["baseten", "Staging"], tomas, now - 12 * MINUTE)
    pass_trouble(keys["groq", "Default"], now - 9 * DAY)
    fail(keys["anthropic", "Production"], now - FAILING_FOR)
    limit(keys["openai", "Batch jobs"], now - LIMITED_FOR)


def tested_at(key: ProviderKey, at: datetime, **fields: object) -> None:
    ProviderKey.objects.filter(pk=key.pk).update(tested_at=at, next_test_at=at + 30 * MINUTE, **fields)


def pass_trouble(key: ProviderKey, at: datetime) -> None:
    until = (at + MINUTE / 2).timestamp()
    health = Health(State.FAILING, at.timestamp(), until, ErrorClass.TROUBLE, 1)
    with happened(at):
        report(key, health, at, status=503, code="overloaded", message="answered with an error")
    with happened(at + 2 * MINUTE):
        report(key, Health(since=until, trips=1), at, known_until=until)


def fail(key: ProviderKey, at: datetime) -> None:
    """Its five tests since then have failed too, the last one half an hour later."""
    health = Health(State.FAILING, at.timestamp(), None, ErrorClass.REFUSED, 1)
    with happened(at):
        report(key, health, at, status=401, code="authentication_error", message="invalid x-api-key")
    tested_at(key, at + 31 * MINUTE, failed_tests=5, told_failing_at=at + MINUTE / 6)


def limit(key: ProviderKey, at: datetime) -> None:
    until = at + LIMITED_FOR + LIMIT_LASTS
    health = Health(State.LIMITED, at.timestamp(), until.timestamp(), ErrorClass.LIMITED, TRIPS)
    said = "Rate limit reached for requests per minute."
    report(key, health, at, status=429, code="rate_limit_exceeded", message=said)
    ProviderKey.objects.filter(pk=key.pk).update(tested_at=until - 5 * MINUTE, next_test_at=until)


def report(key: ProviderKey, health: Health, at: datetime, *, known_until: float | None = None, **error: object) -> None:
    """As a gateway does that has found something out."""
    report_health(Report(key.pk, key.secret_version, health, known_until, at.timestamp(), error))


def replace(key: ProviderKey, by: Actor, at: datetime) -> None:
    credential = read(key.provider, SUCCESSORS[key.provider])
    with happened(at):
        retired = actions.replace_credential(key=key, credential=credential, test=well(key.provider), by=by)
    RetiredCredential.objects.filter(pk=retired.pk).update(retired_at=at, destroy_at=at + HOUR)
    tested_at(key, at, status_since=at, health_changed_at=at)
    key.refresh_from_db()
