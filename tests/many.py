"""Fast creation of as many rows as a list must handle."""

from __future__ import annotations

from django.db import connection
from django.db.models import Model, QuerySet


def multiply(row: Model, count: int, **differing: str) -> None:
    """Copy a row `count` times; `differing` has SQL values, in which `n` counts."""
    columns = [
        str(field.column)
        for field in row._meta.concrete_fields
        if not field.primary_key
    ]
    values = [differing.get(name, f'"{name}"') for name in columns]
    table = connection.ops.quote_name(row._meta.db_table)
    names = ", ".join(map(connection.ops.quote_name, columns))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({names}) SELECT {', '.join(values)} "  # noqa: S608
            f"FROM {table} CROSS JOIN generate_series(1, {count}) AS n WHERE id = %s",
            [row.pk],
        )
        cursor.execute(f"ANALYZE {table}")


def plan(rows: QuerySet[Model]) -> str:
    """Return the database's query plan for these rows."""
    return str(rows.explain())
