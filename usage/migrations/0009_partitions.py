"""On PostgreSQL, events lie in a table for each month of UTC. Elsewhere nothing changes.

A primary key has to hold the time by which events are spread; an attempt keeps its time, so its id still counts once.
Events are copied once, which takes about a minute for every few million.
"""

from datetime import UTC, datetime, timedelta

from django.db import migrations

TABLE = "usage_usageevent"
LONGEST = timedelta(days=3 * 366)  # months that are older, which only a wrong clock makes, lie with the rest
AHEAD = timedelta(days=92)
KEYS = """
    ALTER TABLE {table} ADD CONSTRAINT {table}_pkey PRIMARY KEY ({key});
    CREATE INDEX event_by_org ON {table} (organization_id, started_at);
    ALTER TABLE {table} ADD CONSTRAINT {table}_organization_fk
        FOREIGN KEY (organization_id) REFERENCES orgs_organization (id) DEFERRABLE INITIALLY DEFERRED
"""


def spread(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return
    set_aside(schema_editor)
    schema_editor.execute(f"CREATE TABLE {TABLE} (LIKE {TABLE}_before INCLUDING CONSTRAINTS) PARTITION BY RANGE (started_at)")
    schema_editor.execute(f"CREATE TABLE {TABLE}_rest PARTITION OF {TABLE} DEFAULT")
    for first, last in months(first_event(schema_editor), datetime.now(UTC)):
        schema_editor.execute(
            f"CREATE TABLE {TABLE}_{first:%Y_%m} PARTITION OF {TABLE} FOR VALUES FROM ('{first:%Y-%m-%d}+0') TO ('{last:%Y-%m-%d}+0')"
        )
    take_over(schema_editor, key="id, started_at")


def gather(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return
    set_aside(schema_editor)
    schema_editor.execute(f"CREATE TABLE {TABLE} (LIKE {TABLE}_before INCLUDING CONSTRAINTS)")
    take_over(schema_editor, key="id")


def set_aside(schema_editor):
    schema_editor.execute("SET LOCAL statement_timeout = 0")
    schema_editor.execute(f"ALTER TABLE {TABLE} RENAME TO {TABLE}_before")
    schema_editor.execute("ALTER INDEX event_by_org RENAME TO event_by_org_before")
    schema_editor.execute(f"ALTER INDEX {TABLE}_pkey RENAME TO {TABLE}_before_pkey")


def take_over(schema_editor, *, key):
    schema_editor.execute(f"INSERT INTO {TABLE} SELECT * FROM {TABLE}_before")
    schema_editor.execute(f"DROP TABLE {TABLE}_before")
    schema_editor.execute(KEYS.format(table=TABLE, key=key))


def first_event(schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(f"SELECT min(started_at) FROM {TABLE}_before")
        return cursor.fetchone()[0]


def months(first, now):
    """Their first days, and those of the months after, from that of the first event until some months from now."""
    month = max(first or now, now - LONGEST).replace(day=1)
    while month <= now + AHEAD:
        following = (month + timedelta(days=31)).replace(day=1)
        yield month, following
        month = following


class Migration(migrations.Migration):
    dependencies = [("usage", "0008_alerts")]

    operations = [migrations.RunPython(spread, gather)]
