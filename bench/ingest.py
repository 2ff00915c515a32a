"""`python -m bench.ingest`: how many attempts a second move from the journal into PostgreSQL, sums and all."""

import argparse
import random
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench import inside
from orgs.models import Organization
from tests.attempts import Keys, attempt, make_keys
from usage.ingest import Ingester
from usage.journal import Finished, Journal
from usage.models import DailyRollup, HourlyRollup, UsageEvent

ORGANIZATIONS = 50


def attempts(count: int, of_each: int, models: int) -> Iterator[Finished]:
    """Of the last hour, in no order. of_each: keys of one organization."""
    keys: list[tuple[Organization, Keys]] = []
    for number in range(ORGANIZATIONS):
        organization = Organization.objects.create(name=f"Bench {number}", slug=f"bench-{number}")
        keys += [(organization, make_keys(organization, f"Key {key}")) for key in range(of_each)]
    now = datetime.now(UTC)
    for number in range(count):
        organization, key = random.choice(keys)
        at = now - timedelta(hours=1 - number / count)
        model = f"gpt-{random.randrange(models)}"
        named = {"model": f"openai/{model}", "native_model": model, "client": key.client.id, "key": key.provider.id}
        yield attempt(organization, at=at, latency_ms=random.randrange(20_000), **named)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.ingest")
    parser.add_argument("--attempts", type=int, default=200_000)
    parser.add_argument("--keys", type=int, default=2, help="of each of 50 organizations")
    parser.add_argument("--models", type=int, default=5)
    options = parser.parse_args()
    inside.empty_database()
    with tempfile.TemporaryDirectory(prefix="keyhold-bench-") as folder:
        journal = Journal(Path(folder))
        for each in attempts(options.attempts, options.keys, options.models):
            journal.open(each.opened)
            journal.close(each.closed)
        journal.stop()
        database = inside.backend()
        clock, cpu, there = time.perf_counter(), time.process_time(), inside.on_core(database)
        booked = Ingester(Path(folder)).run_once()
        clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
        there = (inside.on_core(database) - there) / 1000
    assert booked == options.attempts == UsageEvent.objects.count()
    rows = f"{DailyRollup.objects.count():,} daily and {HourlyRollup.objects.count():,} hourly sums"
    print(inside.machine())
    print(f"{booked:,} attempts into {rows} in {clock:.1f} s: {booked / clock:,.0f} a second by the clock")
    print(f"On a core: {cpu:.1f} s here and {there:.1f} s in the database: {booked / (cpu + there):,.0f} a second")


if __name__ == "__main__":
    main()
