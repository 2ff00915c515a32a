"""`python -m bench.sqlite`: how long pages, a request's page and booking take where SQLite holds five million events.

The events of 90 days, of 20 organizations of which the largest has a third, are made by SQL, and both sums from them: up to
300 a day for each.
Afterwards pages are asked for through all of Django but without a socket, and attempts are booked from a journal.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

FOLDER = tempfile.TemporaryDirectory(prefix="keyhold-bench-")
SECRETS = {"SECRET_KEY": "x" * 50, "VAULT_KEYS": f"k1:{'A' * 43}=", "AUDIT_KEY": "x" * 50}
FIXED = {"DATABASE_URL": "", "DATA_DIR": FOLDER.name} | SECRETS
OTHERS = ("PUBLIC_URL", "ALLOWED_HOSTS", "GATEWAY_WORKERS", "REDIS_URL", "USAGE_EVENT_DAYS")
os.environ |= FIXED | dict.fromkeys(OTHERS, "")  # before anything reads the settings

from bench import rollups  # noqa: E402, I001 (sets Django up)
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.utils import timezone  # noqa: E402

from orgs.models import Organization, User  # noqa: E402
from tests.attempts import attempt  # noqa: E402
from usage import latency  # noqa: E402
from usage.ingest import Ingester  # noqa: E402
from usage.journal import Journal  # noqa: E402
from usage.models import DailyRollup, HourlyRollup, UsageEvent  # noqa: E402

ORGANIZATIONS = 20
DAYS = 90
BOOKED = 50_000
TIMES = 20

# The nth event: the later, the greater its id, as with those that the gateway gives. A third goes to the first organization.
EVENTS = """
    INSERT INTO usage_usageevent (
        id, request_id, organization_id, client_key_id, member_id, provider_key_id, provider, model, native_model, tier, number,
        stream, started_at, outcome, status, error_class, first_byte_ms, latency_ms, mark, skipped, estimated,
        estimated_cost_microusd, input_tokens, output_tokens, cached_input_tokens, reasoning_tokens
    )
    WITH RECURSIVE counted (n) AS (SELECT %(first)s UNION ALL SELECT n + 1 FROM counted WHERE n < %(last)s),
    placed AS (
        SELECT n, CASE WHEN n %% 3 = 0 THEN 0 ELSE n %% %(organizations)s END AS place,
            n / 60 %% 50 AS client, %(began)s + (%(seconds)s * 1.0 * n / %(events)s) AS at FROM counted
    ),
    made AS (
        SELECT *, printf('%%012x70008%%015x', CAST(at * 1000 AS INTEGER), n) AS id,
            (SELECT id FROM bench_organization AS each WHERE each.place = placed.place) AS organization FROM placed
    )
    SELECT
        id, id, organization, printf('%%032x', place * 1000 + client), client %% 10,
        printf('%%032x', place * 1000 + (client + n / 3 %% 2) %% 8),
        'openai', 'openai/model-' || ((client + n / 6 %% 3) %% 12), 'model', 'prioritized', 1, 0,
        strftime('%%Y-%%m-%%d %%H:%%M:%%S', at, 'unixepoch') || '.000000', CASE WHEN n %% 40 = 0 THEN 'error' ELSE 'ok' END,
        200, '', 300, 1200, '', '[]', 0, 4000, 900, 250, 100, 0
    FROM made
"""
SUMS = f"""
    requests, input_tokens, output_tokens, cached_input_tokens, reasoning_tokens, unpriced, estimated, estimated_cost_microusd,
    {", ".join(latency.COLUMNS)}
"""
SUMMED = f"""
    count(*), sum(input_tokens), sum(output_tokens), sum(cached_input_tokens), 0, 0, 0, sum(estimated_cost_microusd),
    {", ".join("count(*)" if column == latency.column(1200) else "0" for column in latency.COLUMNS)}
"""
DAILY = f"""
    INSERT INTO usage_dailyrollup (
        organization_id, day, member_id, client_key_id, provider_key_id, provider, model, outcome, tier, {SUMS}
    )
    SELECT
        organization_id, substr(started_at, 1, 10), member_id, client_key_id, provider_key_id, provider, model, outcome, tier,
        {SUMMED} FROM usage_usageevent GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
"""
HOURLY = f"""
    INSERT INTO usage_hourlyrollup (organization_id, hour, provider, model, outcome, {SUMS})
    SELECT organization_id, substr(started_at, 1, 13) || ':00:00', provider, model, outcome, {SUMMED}
    FROM usage_usageevent WHERE started_at >= %(week)s GROUP BY 1, 2, 3, 4, 5
"""


def fill(events: int) -> None:
    now = timezone.now()
    began = now - timedelta(days=DAYS)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE bench_organization (place integer PRIMARY KEY, id text)")
        rows = [(n, rollups.identity("organization", n + 1).hex) for n in range(ORGANIZATIONS)]
        cursor.executemany("INSERT INTO bench_organization VALUES (%s, %s)", rows)
        span = {"began": began.timestamp(), "seconds": DAYS * 86400, "events": events, "organizations": ORGANIZATIONS}
        cursor.execute(EVENTS, {**span, "first": 1, "last": events})
        cursor.execute(DAILY)
        cursor.execute(HOURLY, {"week": f"{now - timedelta(days=7):%Y-%m-%d}"})
        cursor.execute("ANALYZE")


def timed(what: str, act: Callable[[], object]) -> None:
    samples = []
    for _ in range(TIMES):
        begun = time.perf_counter()
        act()
        samples.append(1000 * (time.perf_counter() - begun))
    print(f"{what:32}{rollups.of(samples, 50):>8.0f} {rollups.of(samples, 95):>6.0f} ms", flush=True)


def ask_for_pages() -> None:
    """As the owner of the largest organization."""
    client = Client(SERVER_NAME="localhost")
    client.force_login(User.objects.get(email="0@1.example"), backend="allauth.account.auth_backends.AuthenticationBackend")
    today = timezone.now().date()
    largest = Organization.objects.get(slug="bench-1")
    newest = UsageEvent.objects.filter(organization=largest).order_by("-started_at")[1000]
    views = {name: f"usage/{params}" for name, params in rollups.VIEWS.items()} | {
        "one request": f"requests/{newest.request_id}/"
    }

    def get(path: str) -> Any:
        answer = client.get(f"/o/bench-1/{path.format(today=today, year_ago=today - timedelta(days=364))}")
        assert answer.status_code == 200, answer.status_code
        return answer

    get("")
    for name, path in views.items():
        timed(name, lambda path=path: get(path))  # type: ignore[misc]


def book() -> None:
    """Attempts of all organizations, of this minute."""
    organizations = list(Organization.objects.all())
    with tempfile.TemporaryDirectory() as folder:
        journal, now = Journal(Path(folder)), datetime.now(UTC)
        for number in range(BOOKED):
            named = {"model": f"openai/model-{number % 12}", "client": UUID(int=number % 50), "key": UUID(int=number % 8)}
            each = attempt(organizations[number % ORGANIZATIONS], at=now, **named)
            journal.open(each.opened)
            journal.close(each.closed)
        journal.stop()
        begun = time.perf_counter()
        booked = Ingester(Path(folder)).run_once()
    assert booked == BOOKED
    print(f"{booked / (time.perf_counter() - begun):,.0f} attempts a second are booked")


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.sqlite")
    parser.add_argument("--events", type=int, default=5_000_000)
    events = parser.parse_args().events
    if connection.vendor != "sqlite":
        sys.exit("This measures SQLite.")
    call_command("migrate", verbosity=0)
    call_command("collectstatic", verbosity=0, interactive=False)
    begun = time.monotonic()
    rollups.make_people(ORGANIZATIONS)
    fill(events)
    size = Path(FOLDER.name, "keyhold.sqlite3").stat().st_size / 2**20
    counts = f"{DailyRollup.objects.count():,} daily and {HourlyRollup.objects.count():,} hourly sums"
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, SQLite {connection.Database.sqlite_version}")
    print(f"{UsageEvent.objects.count():,} events, {counts}, {size:,.0f} MB, made in {time.monotonic() - begun:.0f} s")
    print(f"{'':32}{'p50':>8} {'p95':>6}")
    ask_for_pages()
    book()


if __name__ == "__main__":
    main()
