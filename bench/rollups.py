"""`python -m bench.rollups`: how long the usage page takes with the sums of many organizations.

Organizations differ: the largest has 400 sums a day (100 client keys), the smallest 3. 10,000 of them in 90 days come to 100
million events. Rows of a day lie in no order, as when they were booked. Afterwards pages are asked for in this process,
through all of Django but without a socket, each by an owner: the 25 largest organizations, and 75 spread over all others.
"""

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import timedelta
from hashlib import md5
from typing import Any
from uuid import UUID

from django.apps import apps
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from bench import inside
from keys.models import ClientKey, ProviderKey
from orgs.models import MEMBER, OWNER, Membership, Organization, User

PROVIDERS = "openai anthropic azure bedrock vertex groq xai aistudio deepinfra perplexity".split()
LARGEST = 25
OTHERS = 75
HOURLY_DAYS = 7  # pages read the last two
KEYS = 3  # of one provider, at most
VIEWS = {
    "30 days, by provider": "",
    "7 days, by client key": "?range=7d&by=client",
    "90 days, by provider key": "?range=90d&by=key",
    "24 hours, by model": "?range=24h&by=model",
    "a year, by member": "?from={year_ago}&to={today}&by=member",
    "30 days of a model": "?model=openai/model-2&by=client&m=cost",
}

LATENCIES = "100 200 400 700 1000 1500 2000 3000 5000 8000 12000 20000 40000 more".split()
SHARES = {"700": "requests / 10", "1000": "requests - requests / 10"}  # of latency
MEASURES = "requests, input_tokens, output_tokens, cached_input_tokens, reasoning_tokens, unpriced, estimated"
MEASURES += ", estimated_cost_microusd, " + ", ".join(f"latency_{each}" for each in LATENCIES)
MEASURED = "requests, requests * 900, requests * 250, requests * 100, 0, 0, 0, requests * 4000, "
MEASURED += ", ".join(SHARES.get(each, "0") for each in LATENCIES)
PROVIDER = "(%(providers)s::text[])[1 + model / 4]"

# A client key has up to four sums a day: one model answered and failed, another by its first key and by its fallback.
DAILY = f"""
    INSERT INTO usage_dailyrollup (
        organization_id, day, member_id, client_key_id, provider_key_id, provider, model, outcome, tier, {MEASURES}
    )
    SELECT
        md5('organization' || n)::uuid, %(day)s, people[1 + client %% cardinality(people)],
        md5('client' || n || '.' || client)::uuid, md5('key' || n || '.' || (model / 4) || '.' || client %% {KEYS})::uuid,
        {PROVIDER}, {PROVIDER} || '/model-' || model, CASE line WHEN 1 THEN 'error' ELSE 'ok' END,
        CASE line WHEN 3 THEN 'fallback' ELSE 'prioritized' END, {MEASURED}
    FROM (
        SELECT *, (client * 7 + line / 2) %% 40 AS model, 1 + (random() * 35)::int AS requests
        FROM (SELECT n, people, i / 4 AS client, i %% 4 AS line FROM bench_rank, generate_series(0, lines - 1) AS i) AS lines
        ORDER BY gen_random_uuid()
    ) AS sums
"""
HOURLY = f"""
    INSERT INTO usage_hourlyrollup (organization_id, hour, provider, model, outcome, {MEASURES})
    SELECT
        md5('organization' || n)::uuid, %(day)s::timestamptz + make_interval(hours => hour),
        {PROVIDER}, {PROVIDER} || '/model-' || model, outcome, {MEASURED}
    FROM (
        SELECT *, 1 + (random() * 9)::int AS requests FROM bench_rank, generate_series(0, LEAST(39, lines / 10)) AS model,
            generate_series(0, 23) AS hour, unnest(ARRAY['ok', 'error']) AS outcome
        WHERE (n <= 50 OR hour BETWEEN 8 AND 18) AND (outcome = 'ok' OR model %% 4 = 0)
        ORDER BY gen_random_uuid()
    ) AS sums
"""
EVENTS = """
    INSERT INTO usage_usageevent (
        id, request_id, organization_id, client_key_id, member_id, provider_key_id, provider, model, native_model, tier, number,
        stream, started_at, outcome, status, error_class, first_byte_ms, latency_ms, mark, skipped, estimated,
        estimated_cost_microusd, input_tokens, output_tokens, cached_input_tokens, reasoning_tokens
    )
    SELECT
        gen_random_uuid(), gen_random_uuid(), organization_id, client_key_id, member_id, provider_key_id, provider, model,
        model, tier, 1, false, day::timestamptz + random() * interval '24 hours', outcome, 200, '', 300, 1200,
        '', '[]', false, 4000, 900, 250, 100, 0
    FROM usage_dailyrollup, generate_series(1, 4) WHERE day >= %(first)s AND day < %(today)s
"""
COUNTED = """
    SELECT count(*), sum(requests), pg_total_relation_size('usage_dailyrollup'),
        (SELECT count(*) FROM usage_hourlyrollup), pg_total_relation_size('usage_hourlyrollup'),
        (SELECT count(*) FROM usage_usageevent)
    FROM usage_dailyrollup
"""


@dataclass
class Sample:
    """Milliseconds of each page, by the clock and on a core: those are what it takes on a machine that does nothing else.

    python, database: on a core, here and there. query: of the slowest sum over rollups.
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    python: list[float] = field(default_factory=list)
    query: list[float] = field(default_factory=list)
    query_cpu: list[float] = field(default_factory=list)

    def line(self) -> str:
        parts = (self.wall, self.cpu, self.python, self.query, self.query_cpu)
        return "".join(f"{of(values, 50):>9.1f} {of(values, 95):>7.1f}" for values in parts)


def of(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def identity(*name: object) -> UUID:
    """The id that the SQL above gives to the same thing."""
    return UUID(md5("".join(map(str, name)).encode(), usedforsecurity=False).hexdigest())


def lines_of(rank: int) -> int:
    """Daily sums of the organization of that rank."""
    return min(400, max(3, round(600 * rank**-0.6)))


def make_people(count: int) -> dict[int, list[int]]:
    """Organizations with people and keys, whose names every page asks for. Returns the people by the organization's rank."""
    ranks = range(1, count + 1)
    made = [Organization(id=identity("organization", n), name=f"Bench {n}", slug=f"bench-{n}") for n in ranks]
    Organization.objects.bulk_create(made, batch_size=1000)
    clients = {n: -(-lines_of(n) // 4) for n in ranks}
    groups = apps.get_model("auth", "Group").objects
    roles = {name: groups.get(name=name) for name in (OWNER, MEMBER)}
    people = [(n, who) for n in ranks for who in range(min(30, clients[n]))]
    users = User.objects.bulk_create(
        [User(email=f"{who}@{n}.example", name=f"Person {who}") for n, who in people], batch_size=1000
    )
    of_organization: defaultdict[int, list[int]] = defaultdict(list)
    memberships = []
    for (n, who), user in zip(people, users, strict=True):
        of_organization[n].append(user.pk)
        memberships.append(Membership(organization_id=made[n - 1].id, user=user, role=roles[MEMBER if who else OWNER]))
    Membership.objects.bulk_create(memberships, batch_size=1000)
    ClientKey.objects.bulk_create((client_key(n, client) for n in ranks for client in range(clients[n])), batch_size=1000)
    ProviderKey.objects.bulk_create(provider_keys(ranks), batch_size=1000)
    return of_organization


def make_organizations(count: int) -> None:
    people = make_people(count)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE bench_rank (n int, lines int, people bigint[])")
        cursor.executemany("INSERT INTO bench_rank VALUES (%s, %s, %s)", [(n, lines_of(n), some) for n, some in people.items()])


def client_key(n: int, client: int) -> ClientKey:
    id = identity("client", n, ".", client)
    known = {"public_id": id.hex[:12], "digest": b"", "pepper_version": 1, "hint": "byok_live_…AbCd"}
    return ClientKey(id=id, organization_id=identity("organization", n), name=f"Program {client}", **known)


def provider_keys(ranks: Iterable[int]) -> Iterator[ProviderKey]:
    """Of each provider as many as are used, at most KEYS."""
    for n in ranks:
        each = min(KEYS, -(-lines_of(n) // 4))
        for place in range(len(PROVIDERS) * each):
            provider, key = divmod(place, each)
            named = {"provider": PROVIDERS[provider], "name": f"Key {key}", "priority": place + 1}
            id = identity("key", n, ".", provider, ".", key)
            held = {"sealed": b"", "hint": "sk-…AbCd", "fingerprint": "", "enabled": True}
            yield ProviderKey(id=id, organization_id=identity("organization", n), **named, **held)


def fill(days: int) -> None:
    """Day by day, as they would have come; but without the indexes, which would take most of the time."""
    today = timezone.now().date()
    put_back = [taken_away(rule) for rule in ("one_daily_rollup", "one_hourly_rollup")]
    for ago in range(days - 1, -1, -1):
        day = {"day": today - timedelta(days=ago), "providers": PROVIDERS}
        run(DAILY, day)
        if ago < HOURLY_DAYS:
            run(HOURLY, day)
    for sql in put_back:
        run(sql, {})
    run(EVENTS, {"first": today - timedelta(days=2), "today": today})
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("RESET statement_timeout")


@transaction.atomic
def taken_away(rule: str) -> str:
    """Drop a constraint. Returns what adds it again."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s", [rule])
        table, definition = cursor.fetchone()
        cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {rule}")
    return f"ALTER TABLE {table} ADD CONSTRAINT {rule} {definition}"


@transaction.atomic
def run(sql: str, params: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(sql, params)


def counted() -> str:
    with connection.cursor() as cursor:
        cursor.execute(COUNTED)
        daily, requests, daily_size, hourly, hourly_size, events = cursor.fetchone()
    return (
        f"{requests:,} events in {daily:,} daily sums ({daily_size / 2**20:,.0f} MB) and {hourly:,} hourly sums "
        f"({hourly_size / 2**20:,.0f} MB); {events:,} events of the last two days"
    )


@contextmanager
def watched(sample: Sample, database: int) -> Iterator[None]:
    """Notes how long the block takes, and the slowest of its sums. database: the process that serves this connection."""
    slowest = slowest_cpu = 0.0

    def timed(execute: Any, sql: str, *rest: Any) -> Any:
        nonlocal slowest, slowest_cpu
        begun, cpu = time.perf_counter(), inside.on_core(database)
        try:
            return execute(sql, *rest)
        finally:
            if "GROUP BY" in sql and "rollup" in sql:
                slowest = max(slowest, 1000 * (time.perf_counter() - begun))
                slowest_cpu = max(slowest_cpu, inside.on_core(database) - cpu)

    with connection.execute_wrapper(timed):
        wall, there, here = time.perf_counter(), inside.on_core(database), time.thread_time()
        yield
        here, there = 1000 * (time.thread_time() - here), inside.on_core(database) - there
        sample.wall.append(1000 * (time.perf_counter() - wall))
    sample.python.append(here)
    sample.cpu.append(here + there)
    sample.query.append(slowest)
    sample.query_cpu.append(slowest_cpu)


def measure(ranks: Iterable[int]) -> dict[tuple[str, bool], Sample]:
    """By view, and whether the organization is one of the largest. The first page of each owner does not count."""
    samples: defaultdict[tuple[str, bool], Sample] = defaultdict(Sample)
    today = timezone.now().date()
    dates = {"today": today, "year_ago": today - timedelta(days=364)}
    database = inside.backend()
    for n in ranks:
        client = Client(SERVER_NAME="localhost")
        client.force_login(
            User.objects.get(email=f"0@{n}.example"), backend="allauth.account.auth_backends.AuthenticationBackend"
        )
        assert client.get(f"/o/bench-{n}/", follow=True).status_code == 200
        for name, params in VIEWS.items():
            with watched(samples[name, n <= LARGEST], database):
                answer = client.get(f"/o/bench-{n}/usage/{params.format(**dates)}")
            assert answer.status_code == 200, answer.content
    return samples


def report(samples: dict[tuple[str, bool], Sample]) -> None:
    heads = ("page, clock", "on a core", "of it Python", "slowest sum", "on a core")
    print(f"{'milliseconds':44}" + "".join(f"{head:>17}" for head in heads))
    print(f"{'':44}" + f"{'p50':>9} {'p95':>7}" * len(heads))
    for name in VIEWS:
        for large, who in ((True, "the largest"), (False, "others")):
            if (name, large) in samples:
                print(f"{f'{name}, {who}':44}{samples[name, large].line()}")
    everything = Sample(*([ms for each in samples.values() for ms in getattr(each, part.name)] for part in fields(Sample)))
    print(f"{f'all {len(everything.wall)} pages':44}{everything.line()}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.rollups")
    parser.add_argument("--organizations", type=int, default=1000)
    parser.add_argument("--days", type=int, default=90)
    options = parser.parse_args()
    inside.empty_database()
    call_command("collectstatic", verbosity=0, interactive=False)
    begun = time.monotonic()
    make_organizations(options.organizations)
    fill(options.days)
    print(f"{inside.machine()}\n{options.organizations:,} organizations, {options.days} days: {counted()}")
    print(f"Made in {time.monotonic() - begun:.0f} s.", flush=True)
    spread = max(1, (options.organizations - LARGEST) // OTHERS)
    ranks = [*range(1, LARGEST + 1), *range(LARGEST + 1, options.organizations + 1, spread)]
    report(measure(rank for rank in ranks if rank <= options.organizations))
    print(f"Load at the end: {inside.machine()}")


if __name__ == "__main__":
    main()
