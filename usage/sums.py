"""Writing many rows at once, finding many, and adding to rows that several ingesters share.

The ORM's `bulk_create` takes a third of a batch's time and cannot add; its `in` binds each value by itself. Table and column
names come from our models only; values are always parameters. Callers pass rows in a fixed order, so that two ingesters never
wait for each other in a ring.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, models

type Row = tuple[Any, ...]
type Field = models.Field[Any, Any]

PLAIN = (models.IntegerField, models.DateField, models.UUIDField)  # are written without quotes


def insert(model: type[models.Model], names: Sequence[str], rows: Iterable[Row]) -> None:
    """Insert rows of these fields; IntegrityError where one exists. PostgreSQL copies ten times as fast as it inserts."""
    fields = [_field(model, name) for name in names]
    table, columns = _quoted(model._meta.db_table), ", ".join(map(_column, fields))
    if connection.vendor == "postgresql":
        sql = f"COPY {table} ({columns}) FROM STDIN"
        with connection.cursor() as cursor, connection.wrap_database_errors, cursor.copy(sql) as copy:
            for row in rows:
                copy.write_row(row)
    else:
        sql = f"INSERT INTO {table} ({columns}) VALUES ({_marks(fields)})"  # noqa: S608
        _run(sql, fields, rows)


def known(model: type[models.Model], ids: Collection[UUID]) -> set[UUID]:
    """Which of these primary keys there are."""
    if connection.vendor != "postgresql":
        return set(model._default_manager.filter(pk__in=ids).values_list("pk", flat=True))
    key = _field(model, "id")
    with connection.cursor() as cursor:
        sql = f"SELECT {_column(key)} FROM {_quoted(model._meta.db_table)} WHERE {_column(key)} = ANY(%s::uuid[])"  # noqa: S608
        cursor.execute(sql, _turned(((id,) for id in ids), [key]))
        return {id for (id,) in cursor}


def add(model: type[models.Model], key: Sequence[str], measures: Sequence[str], rows: Iterable[Row]) -> None:
    """Add the measures of each row to the one with the same key, or insert it. A row is its key, then its measures.

    PostgreSQL takes all rows as one array for each column, in one statement.
    """
    fields = [_field(model, name) for name in (*key, *measures)]
    names = [_column(field) for field in fields]
    table, columns, target = _quoted(model._meta.db_table), ", ".join(names), ", ".join(names[: len(key)])
    sums = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in names[len(key) :])
    conflict = f"ON CONFLICT ({target}) DO UPDATE SET {sums}"
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            sql = f"INSERT INTO {table} ({columns}) SELECT * FROM {_unnested(fields)} {conflict}"  # noqa: S608
            cursor.execute(sql, _turned(rows, fields))
    else:
        _run(f"INSERT INTO {table} ({columns}) VALUES ({_marks(fields)}) {conflict}", fields, rows)  # noqa: S608


def raise_to(model: type[models.Model], name: str, latest: Iterable[tuple[UUID, datetime]]) -> None:
    """Move a time of each row, by primary key, forward to the given one; never back. PostgreSQL locks rows in that order."""
    time, key = _field(model, name), _field(model, "id")
    table, column, id = _quoted(model._meta.db_table), _column(time), _column(key)
    if connection.vendor == "postgresql":
        given = f"{_unnested([key, time])} AS given (pk, at) JOIN {table} ON {id} = given.pk"
        rows = f"{given} WHERE {column} IS NULL OR {column} < given.at ORDER BY {id} FOR NO KEY UPDATE OF {table}"
        later = f"SELECT given.pk, given.at FROM {rows}"  # noqa: S608
        with connection.cursor() as cursor:
            sql = f"UPDATE {table} SET {column} = later.at FROM ({later}) AS later WHERE {id} = later.pk"  # noqa: S608
            cursor.execute(sql, _turned(latest, [key, time]))
    else:
        sql = f"UPDATE {table} SET {column} = %s WHERE {id} = %s AND ({column} IS NULL OR {column} < %s)"  # noqa: S608
        _run(sql, (time, key, time), ((at, pk, at) for pk, at in latest))


def _unnested(fields: Iterable[Field]) -> str:
    """A table of these columns, made of what `_turned` returns."""
    return f"unnest({', '.join(f'%s::{field.db_type(connection)}[]' for field in fields)})"


def _turned(rows: Iterable[Row], fields: Sequence[Field]) -> list[str | list[Any]]:
    """Rows as one array for each column. psycopg takes ten times as long to write down a long one as it takes to join it."""
    columns = list(zip(*rows, strict=True)) or [()] * len(fields)
    return [
        "{" + ",".join(map(str, column)) + "}" if isinstance(getattr(field, "target_field", field), PLAIN) else list(column)
        for field, column in zip(fields, columns, strict=True)
    ]


def _field(model: type[models.Model], name: str) -> Field:
    """A field that has a column."""
    field = model._meta.get_field(name)
    assert isinstance(field, models.Field)
    return field


def _column(field: Field) -> str:
    return _quoted(str(field.column))


def _quoted(name: str) -> str:
    return connection.ops.quote_name(name)


def _marks(fields: Sequence[Field]) -> str:
    return ", ".join(["%s"] * len(fields))


def _run(sql: str, fields: Sequence[Field], rows: Iterable[Row]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(sql, [[_prepared(field, value) for field, value in zip(fields, row, strict=True)] for row in rows])


def _prepared(field: Field, value: Any) -> Any:
    """The value as this database takes it; whole numbers and text need nothing."""
    return value if isinstance(value, int | str) else field.get_db_prep_save(value, connection)
