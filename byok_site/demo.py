"""What `make demo` shows: Meridian Labs, an invented organization with keys in every state and 90 days of usage."""

import json
import math
import os
import random
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import batched
from pathlib import Path
from typing import Any

import uuid_utils
from django.contrib.auth.models import Group
from django.db import transaction
from django.utils import timezone

from keys import actions, credentials
from keys.addresses import AllowList
from keys.models import ClientKey, ProviderKey
from keys.providers import PROVIDERS
from keys.testing import test_credential
from orgs.actions import Actor, create_organization
from orgs.models import MEMBER, OWNER, Membership, Organization, User
from usage import ingest
from usage.journal import Closed, Finished, Opened
from usage.models import UsageEvent

SLUG = "meridian-labs"
DAYS = 90
REQUESTS_A_DAY = 110
BATCH = 1000
PEOPLE = (
    ("Ada Okafor", "ada@meridian.example", OWNER),
    ("Tomás Rivera", "tomas@meridian.example", OWNER),
    ("Priya Nair", "priya@meridian.example", MEMBER),
    ("Jonas Weber", "jonas@meridian.example", MEMBER),
)
AZURE = {"endpoint_url": "https://meridian-eu.openai.azure.com", "api_key": "d3m0" * 8}
DEPLOYMENTS = [{"model_slug": f"openai/{name}", **AZURE, "model_id": name} for name in ("gpt-4o", "o3-mini")]
CLIENTS = {"web-app": 6, "jobs": 3, "notebook-priya": 1}  # name: share of the traffic


@dataclass(frozen=True)
class Key:
    """A provider key of the demo. Traffic of `share` went to it from `begins` to `ends` days ago."""

    provider: str
    name: str
    credential: str
    tested: bool = True
    on: bool = True
    share: int = 0
    models: Sequence[str] = ()
    begins: int = DAYS
    ends: int = 0


KEYS = (
    Key("openai", "Production", "sk-proj-demo-only-no-such-key-f9Lm", share=40, models=("openai/gpt-4o", "openai/gpt-4o-mini")),
    Key("openai", "Batch jobs", "sk-proj-demo-only-busy-0aZt", share=14, models=("openai/gpt-4o-mini",), begins=60),
    Key("azure", "EU deployments", json.dumps(DEPLOYMENTS), share=12, models=("openai/gpt-4o", "openai/o3-mini")),
    Key("groq", "Production", "gsk_demo-only-no-such-key-8Wqe", share=16, models=("openai/gpt-oss-120b",), begins=75),
    Key("xai", "Production", "xai-demo-only-expired-Jp5T", share=10, models=("x-ai/grok-3-mini",), ends=1),
    Key("baseten", "Staging", "demoonly.no-such-key-Rt61", share=6, models=("deepseek/deepseek-v3.2",), begins=30),
    Key("deepinfra", "Trial", "demo-only-no-such-key-m3Pq", on=False, share=4, models=("qwen/qwen3-32b",), begins=45, ends=11),
    Key("anthropic", "Research", "sk-ant-demo-only-no-such-key-71Kd", tested=False),
)


def fill(memory: Path) -> dict[str, str]:
    """Make the organization if it is missing, and usage up to now. Returns how to sign in and a client key.

    These are written to `memory`, mode 600, as neither can be had from the database a second time.
    """
    organization = Organization.objects.filter(slug=SLUG).first()
    if organization is None:
        with transaction.atomic():
            organization, remembered = create()
            with os.fdopen(os.open(memory, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump(remembered, file)
    for attempts in batched(usage_until_now(organization), BATCH):
        ingest.book(attempts)
    return dict(json.loads(memory.read_text()))


def create() -> tuple[Organization, dict[str, str]]:
    password = secrets.token_urlsafe(9)
    users = [User.objects.create_user(email, password, name=name) for name, email, _ in PEOPLE]
    by = Actor(label=str(users[0]), user=users[0])
    organization = create_organization(name="Meridian Labs", owner=users[0], by=by)
    for user, (_, _, role) in zip(users[1:], PEOPLE[1:], strict=True):
        Membership.objects.create(organization=organization, user=user, role=Group.objects.get(name=role))
    for key in KEYS:
        add(organization, key, by)
    texts = {name: actions.issue_client_key(organization=organization, name=name, by=by)[1] for name in CLIENTS}
    old, _ = actions.issue_client_key(organization=organization, name="legacy-bot", by=by)
    actions.revoke_client_key(key=old, by=by)
    long_ago = timezone.now() - timedelta(days=DAYS + 4)
    ProviderKey.objects.for_org(organization).update(created_at=long_ago)
    ClientKey.objects.for_org(organization).update(created_at=long_ago)
    return organization, {"email": users[0].email, "password": password, "client_key": texts["web-app"]}


def add(organization: Organization, key: Key, by: Actor) -> None:
    row = PROVIDERS[key.provider]
    credential, _ = credentials.from_stdin(row, key.credential, allow=AllowList())
    added = actions.add_key(
        organization=organization,
        provider=row.slug,
        name=key.name,
        credential=credential,
        test=test_credential(row, credential) if key.tested else None,
        by=by,
    )
    if not key.on:
        actions.disable_key(key=added, by=by)


def usage_until_now(organization: Organization) -> Iterator[Finished]:
    """Attempts since the last one that is booked, or of the last 90 days: more by day, less at weekends, growing."""
    now = datetime.now(UTC)
    last = UsageEvent.objects.filter(organization=organization).order_by("-started_at").first()
    first_day = now.replace(hour=0, minute=0, second=0) - timedelta(days=DAYS - 1)
    at = max(last.started_at, first_day) if last else first_day
    dice = random.Random(at.timestamp())  # noqa: S311 (no secret comes of it)
    ids = {(key.provider, key.name): str(key.pk) for key in ProviderKey.objects.for_org(organization)}
    clients = {key.name: str(key.pk) for key in ClientKey.objects.for_org(organization).live()}
    while (at := at + timedelta(days=dice.expovariate(REQUESTS_A_DAY * pace(at, now)))) < now:
        days_ago = (now - at).total_seconds() / 86_400
        running = [key for key in KEYS if key.share and key.ends <= days_ago <= key.begins]
        key = dice.choices(running, [key.share for key in running])[0]
        client = dice.choices(list(CLIENTS), list(CLIENTS.values()))[0]
        names = {"client_key_id": clients[client], "provider_key_id": ids[key.provider, key.name]}
        yield attempt(dice, at, key, organization_id=str(organization.pk), **names)


def pace(at: datetime, now: datetime) -> float:
    """Against the average: 0.2 to about 2.5."""
    hour = 1 + 0.8 * math.sin((at.hour - 8) / 24 * 2 * math.pi)
    week = 0.4 if at.weekday() >= 5 else 1.2
    return max(hour * week * (1.5 - (now - at).days / DAYS), 0.2)


def attempt(dice: random.Random, at: datetime, key: Key, **names: str) -> Finished:
    model = dice.choice(key.models)
    luck = dice.random()
    limited = luck < (0.06 if key.name == "Batch jobs" else 0.01)
    outcome, status, error = (
        ("absorbed", 429, "limited") if limited else ("error", 500, "trouble") if luck > 0.995 else ("ok", 200, "")
    )
    tokens = (
        {} if error else {"input_tokens": int(dice.lognormvariate(6.5, 1)), "output_tokens": int(dice.lognormvariate(5, 0.8))}
    )
    latency = int(dice.lognormvariate(5 if error else 7, 0.6))
    attempt_id = str(uuid_utils.uuid7(nanoseconds=int(at.timestamp() * 1e9)))
    opened: dict[str, Any] = {
        "id": attempt_id, "request_id": str(uuid_utils.uuid7(nanoseconds=int(at.timestamp() * 1e9))), "member_id": None,
        "provider": key.provider, "model": model, "native_model": native(key, model), "tier": "prioritized", "number": 1,
        "stream": dice.random() < 0.6, "started_at": at.timestamp(), "input_estimate": 0, "output_estimate": 0,
    }  # fmt: skip
    closed = Closed(
        id=attempt_id,
        outcome=outcome,
        status=status,
        error_class=error,
        first_byte_ms=latency // 3,
        latency_ms=latency,
        **tokens,
    )
    return Finished(Opened(**opened, **names), closed)


def native(key: Key, model: str) -> str:
    """As the provider calls it."""
    theirs = {"qwen/qwen3-32b": "Qwen/Qwen3-32B", "deepseek/deepseek-v3.2": "deepseek-ai/DeepSeek-V3.2"}
    return model if key.provider == "groq" else theirs.get(model, model.partition("/")[2])
