"""Organizations, put together by chance: the gateway uses the key that the explainer names first.

Three thousand of them, as each thousand takes ten seconds; ten thousand with KEYHOLD_TEST_ALL=1.
"""

import asyncio
import json
import os
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model
from django.utils import timezone

from gateway.app import Gateway
from gateway.directory import Directory
from keys import client_keys, data_keys, preferences, routes, vault
from keys.addresses import AllowList
from keys.egress import Egress
from keys.models import ClientKey, DataKey, ProviderKey, ProviderPreference, RoutingPreference
from keys.preferences import Preferences
from keys.providers import Credential
from keys.routing import LeftOut, Plan, Why
from orgs.models import Organization, User
from tests.fake import FakeProvider
from usage import journal
from usage.journal import Finished, Journal

ORGANIZATIONS = 10_000 if os.environ.get("KEYHOLD_TEST_ALL") else 3_000
BATCH = 1_000
PROVIDERS = ("openai", "groq", "deepinfra", "xai")
MODEL = "openai/gpt-oss-120b"
PATTERNS = (None, None, None, ["openai/*"], ["*gpt-oss*"], ["anthropic/*"], ["openai/gpt-oss-20b"])
AGO, AHEAD = timedelta(hours=1), timedelta(hours=1)


@dataclass
class Case:
    """One organization, one program of it, and what the program asks."""

    organization: Organization
    client_key: ClientKey
    secret: str
    decided: RoutingPreference
    by_provider: dict[str, ProviderPreference]
    wish: dict[str, Any]


class Chance:
    """Makes the rows of one batch. `tag` keeps the names of batches apart."""

    def __init__(self, seed: int, fake: FakeProvider, member: User) -> None:
        self.random = random.Random(seed)
        self.seed = seed
        self.fake = fake
        self.member = member
        self.keys: list[ProviderKey] = []
        self.clients: list[ClientKey] = []
        self.decided: list[RoutingPreference] = []
        self.by_provider: list[ProviderPreference] = []

    def maybe(self, chance: float) -> bool:
        return self.random.random() < chance

    def cases(self) -> list[Case]:
        organizations = [
            Organization(name=f"Org {number}", slug=f"org-{self.seed}-{number}", is_platform=number == 0)
            for number in range(BATCH)
        ]
        Organization.objects.bulk_create(organizations)
        wrapped = []
        for each in organizations:
            kek_id, blob = data_keys.ring().wrap(os.urandom(32), each.pk, 1)
            wrapped.append(DataKey(organization=each, version=1, kek_id=kek_id, wrapped=blob))
        DataKey.objects.bulk_create(wrapped)
        found = [self.case(each, data_keys.unwrap([row])) for each, row in zip(organizations, wrapped, strict=True)]
        ProviderKey.objects.bulk_create(self.keys)
        ClientKey.objects.bulk_create(self.clients)
        RoutingPreference.objects.bulk_create(self.decided)
        ProviderPreference.objects.bulk_create(self.by_provider)
        return found

    def case(self, organization: Organization, opened: vault.DataKeys) -> Case:
        fresh = client_keys.generate()
        client = ClientKey(
            organization=organization,
            name="Program",
            public_id=fresh.public_id,
            digest=client_keys.digest(vault.derive(opened[1], "client-key"), fresh.secret),
            pepper_version=1,
            hint=fresh.hint,
            owner=self.member,
            created_by=self.member,
            preferences=preferences.written(self.preferences(0.15)),
        )
        self.clients.append(client)
        for number in range(self.random.randint(0, 6)):
            self.keys.append(self.key(organization, number, client, opened))
        decided = RoutingPreference(
            organization=organization,
            use_own_keys=not self.maybe(0.05),
            own_keys_only=self.maybe(0.5),
            order_first=self.maybe(0.3),
            preferences=preferences.written(self.preferences(0.15)),
        )
        self.decided.append(decided)
        by_provider = {provider: self.about(organization, provider) for provider in PROVIDERS if self.maybe(0.1)}
        self.by_provider += by_provider.values()
        wish = preferences.written(self.preferences(0.15))
        return Case(organization, client, fresh.text, decided, by_provider, wish)

    def about(self, organization: Organization, provider: str) -> ProviderPreference:
        paused = timezone.now() if self.maybe(0.3) else None
        return ProviderPreference(organization=organization, provider=provider, use_own_keys=self.maybe(0.5), paused_at=paused)

    def preferences(self, chance: float) -> Preferences:
        some = self.random.sample(PROVIDERS, self.random.randint(1, 3))
        return Preferences(
            order=tuple(some) if self.maybe(chance) else None,
            only=tuple(some) if self.maybe(chance / 2) else None,
            ignore=tuple(some[:1]) if self.maybe(chance / 2) else None,
            allow_fallbacks=False if self.maybe(chance / 2) else None,
        )

    def key(self, organization: Organization, number: int, client: ClientKey, opened: vault.DataKeys) -> ProviderKey:
        provider = self.random.choice(PROVIDERS)
        behavior = self.random.choice(["valid"] * 5 + ["broken", "limited", "refused", "payment"])
        health = self.health()
        if organization.is_platform:  # others use it meanwhile, so it stays as it is
            behavior, health = "valid", {"status": "healthy"}
        secret = self.fake.key(provider, behavior)
        key = ProviderKey(
            organization=organization,
            provider=provider,
            name=f"Key {number}",
            priority=self.random.randint(1, 4),
            tier=self.random.choice(["prioritized", "prioritized", "fallback"]),
            enabled=not self.maybe(0.1),
            needs_test=self.maybe(0.1),
            always=self.maybe(0.2),
            hint="…",
            fingerprint="0" * 64,
            discovered_models=[] if self.maybe(0.5) else list(self.fake.models(provider)),
            allowed_models=self.random.choice(PATTERNS),
            allowed_members=self.random.choice([None, None, None, [self.member.pk], [self.member.pk + 1]]),
            allowed_client_keys=self.random.choice([None, None, None, [str(client.pk)], [str(organization.pk)]]),
            **health,
        )
        key.sealed = data_keys.seal_credential(key, Credential({"api_key": secret}, {}, "…"), opened)
        return key

    def health(self) -> dict[str, Any]:
        now = timezone.now()
        return self.random.choice(
            [{"status": "healthy"}] * 6
            + [
                {"status": "limited", "until": now - AGO, "error_class": "limited"},
                {"status": "limited", "until": now + AHEAD, "error_class": "limited"},
                {"status": "failing", "until": now - AGO, "error_class": "trouble"},
                {"status": "failing", "until": now + AHEAD, "error_class": "trouble"},
                {"status": "failing", "until": now + AHEAD, "error_class": "out_of_money"},
                {"status": "failing", "until": None, "error_class": "refused"},
            ]
        )


def analyze(*models: type[Model]) -> None:
    """As a database does by itself in time. Tables of ours alone: those that databases share wait for other tests."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE " + ", ".join(model._meta.db_table for model in models))


async def call(gateway: Gateway, case: Case) -> dict[str, str]:
    """One request over ASGI; the headers of the answer."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], **({"provider": case.wish} if case.wish else {})}
    messages = iter([{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}])
    answered: dict[str, str] = {}

    async def receive() -> dict[str, Any]:
        if (message := next(messages, None)) is not None:
            return message
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answered.update({name.decode(): value.decode() for name, value in message["headers"]})

    path = "/v1/chat/completions"
    headers = [(b"authorization", f"Bearer {case.secret}".encode()), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": headers}
    await gateway(scope, receive, send)
    return answered


async def serve(directory: Directory, fake: FakeProvider, folder: Path, cases: list[Case]) -> list[dict[str, str]]:
    written = Journal(folder)
    async with Egress(AllowList.parse(["127.0.0.1"])) as egress:
        gateway = Gateway.of(
            directory=directory,
            egress=egress,
            journal=written,
            journal_folder=folder,
            overrides=fake.overrides(),
            first_byte_seconds=30.0,
            most_body_bytes=1_000_000,
            public_url="http://127.0.0.1",
        )
        try:
            return [await call(gateway, case) for case in cases]
        finally:
            written.stop()


def by_request(folder: Path) -> dict[str, list[Finished]]:
    """What the journal says, by the id that the client was given; attempts in the order in which they were made."""
    found: dict[str, list[Finished]] = {}
    for path in journal.segments(folder):
        for attempt in journal.read(path, 0, 100_000_000)[0]:
            found.setdefault(attempt.opened.request_id, []).append(attempt)
    return {request: sorted(attempts, key=lambda each: each.opened.number) for request, attempts in found.items()}


@pytest.mark.large
@pytest.mark.parametrize("seed", range(ORGANIZATIONS // BATCH))
def test_the_first_key_that_is_used_is_the_first_that_the_explainer_names(
    seed: int, fake_provider: FakeProvider, bob: User, tmp_path: Path
) -> None:
    chance = Chance(seed, fake_provider, bob)
    cases = chance.cases()
    analyze(Organization, ProviderKey, RoutingPreference, ProviderPreference)
    keys = {key.pk: key for key in chance.keys}
    directory = Directory()
    directory.refresh()
    plans = [explained(case) for case in cases]
    answers = asyncio.run(serve(directory, fake_provider, tmp_path, cases))
    told = by_request(tmp_path)
    used = 0
    for case, plan, answer in zip(cases, plans, answers, strict=True):
        first = told[answer["x-request-id"]][0].opened
        if plan.candidates:
            used += 1
            assert (first.provider_key_id, first.mark) == (str(plan.candidates[0].key.id), plan.candidates[0].mark)
        else:
            assert first.number == 0, "a key was tried that the explainer does not know"
        for left in plan.left_out:
            assert holds(left, keys[left.key.id], case), left
    assert BATCH // 4 < used < BATCH  # both ways were gone


def explained(case: Case) -> Plan:
    found = routes.of(case.organization)
    asking = routes.asking(case.client_key)
    wish = preferences.read(case.wish, allowed=preferences.IN_REQUESTS)
    return found.plan(MODEL, now=timezone.now().timestamp(), asking=replaced(asking, wish))


def replaced(asking: Any, wish: Preferences) -> Any:
    return type(asking)(asking.client_key, asking.member, asking.of_client_key, wish)


def holds(left: LeftOut, key: ProviderKey, case: Case) -> bool:
    """Whether the reason is true, as the rows have it and not the plan."""
    lent = key.organization_id != case.organization.pk
    decided, of_provider = case.decided, case.by_provider.get(key.provider)
    match left.why:
        case Why.OFF:
            return not key.enabled
        case Why.UNTESTED:
            return key.enabled and key.needs_test
        case Why.MODEL:
            return (bool(key.discovered_models) and "openai/gpt-oss-120b" not in key.discovered_models) or key.provider == "xai"
        case Why.RESTRICTED:
            members, programs = key.allowed_members, key.allowed_client_keys
            others = not any(fnmatchcase(MODEL, pattern) for pattern in key.allowed_models or ["*"])
            someone = (members and case.client_key.owner_id not in members) or (
                programs and str(case.client_key.pk) not in programs
            )
            return bool(others or (someone and not lent))
        case Why.PAUSED:
            return of_provider is not None and of_provider.paused_at is not None
        case Why.POLICY:
            return not lent and (not decided.use_own_keys or (of_provider is not None and not of_provider.use_own_keys))
        case Why.PREFERENCE:
            said = [case.wish, case.client_key.preferences, decided.preferences]
            first = {name: next((each[name] for each in said if name in each), None) for name in preferences.IN_REQUESTS}
            stray = first["allow_fallbacks"] is False
            return key.provider not in (first["only"] or PROVIDERS) or key.provider in (first["ignore"] or ()) or stray
        case Why.HEALTH:
            return key.status in ("limited", "failing") and (key.until is None or key.until > datetime.now(UTC))
    return False
