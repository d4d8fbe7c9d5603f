"""
Statements that insert or update many rows at once.

An execution can have a million rows. Django's bulk methods send each value of each row
as a parameter, which PostgreSQL has to parse. These functions send all rows as one JSON
parameter, which PostgreSQL unfolds at a sixth of the cost.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, models

Columns = Mapping[str, Any]


class _Exact(DjangoJSONEncoder):
    """Django's JSON encoder, except that it keeps the microseconds of times."""

    def default(self, o: Any) -> Any:
        return o.isoformat() if isinstance(o, datetime) else super().default(o)


class NotForStates(ValueError):
    """An error: only `move()` and `move_all()` may change a state."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts of a statement that writes many rows, and its parameters in order."""

    table: str
    columns: list[str]
    values: list[str]  # one per column
    records: str  # a FROM item with the alias `each`; empty if the rows do not differ
    params: list[Any]

    @property
    def sets(self) -> list[str]:
        pairs = zip(self.columns, self.values, strict=True)
        return [f"{column} = {value}" for column, value in pairs]


def bulk_insert(
    model: type[models.Model],
    rows: Sequence[Columns],
    *,
    ignore_conflicts: bool = False,
    **same: Any,
) -> list[tuple[Any, ...]]:
    """
    Insert rows that all set the same columns. Return one tuple per inserted row.

    A tuple has the primary key, then the values of these columns. `same` sets further
    columns to one value for all rows. Other columns get their defaults.
    """
    if not rows:
        return []
    names = list(rows[0])
    parts = parts_of(model, {**_defaults(model, {*names, *same}), **same}, rows)
    returned = [_column(model, name) for name in ("pk", *names)]
    sql = f"""
        INSERT INTO {parts.table} ({", ".join(parts.columns)})
        SELECT {", ".join(parts.values)} FROM {parts.records}
        {"ON CONFLICT DO NOTHING" if ignore_conflicts else ""}
        RETURNING {", ".join(returned)}
    """  # noqa: S608 - only names of our own tables and columns
    with connection.cursor() as cursor:
        cursor.execute(sql, parts.params)
        return list(cursor.fetchall())


def bulk_update(
    model: type[models.Model], each: Mapping[int, Columns], **same: Any
) -> None:
    """
    Update rows: `each` has their own values by primary key, `same` has common values.

    :raises NotForStates: if `state` is among the columns
    """
    if not each:
        return
    if "state" in {*next(iter(each.values())), *same}:
        raise NotForStates("A state changes only through move() and move_all().")
    parts = parts_of(model, same, each)
    sql = f"""
        UPDATE {parts.table} SET {", ".join(parts.sets)}
        FROM {parts.records} WHERE {parts.table}.id = each.pk
    """  # noqa: S608 - only names of our own tables and columns
    with connection.cursor() as cursor:
        cursor.execute(sql, parts.params)


def table(model: type[models.Model]) -> str:
    """Return the quoted name of the table."""
    return connection.ops.quote_name(model._meta.db_table)


def parts_of(
    model: type[models.Model],
    same: Columns,
    each: Mapping[int, Columns] | Sequence[Columns],
) -> Parts:
    """
    Return the parts of a statement that writes the columns of `same` and `each`.

    `same` has one value or expression per column, for all rows. `each` has the values
    of each row, by primary key or as a list.
    """
    if isinstance(each, Mapping):
        each = [{"pk": pk, **values} for pk, values in each.items()]
    names = list(each[0]) if each else []
    own = [name for name in names if name != "pk"]
    values, params = _compiled(model, same)
    return Parts(
        table(model),
        [_column(model, name) for name in (*same, *own)],
        [*values, *(f'each."{name}"' for name in own)],
        _records(model, names) if each else "",
        [*params, json.dumps(each, cls=_Exact)] if each else params,
    )


def _compiled(
    model: type[models.Model], values: Columns
) -> tuple[list[str], list[Any]]:
    """Return the SQL of each value, and the parameters of all values."""
    query = model._base_manager.all().query
    compiler = query.get_compiler(connection=connection)
    found: list[str] = []
    params: list[Any] = []
    for name, value in values.items():
        if hasattr(value, "resolve_expression"):
            resolved = value.resolve_expression(query, allow_joins=False, for_save=True)
            sql, more = compiler.compile(resolved)
        else:
            plain = value.pk if isinstance(value, models.Model) else value
            prepared = _field(model, name).get_db_prep_save(plain, connection)
            sql, more = "%s", [prepared]
        found.append(sql)
        params.extend(more)
    return found, params


def _records(model: type[models.Model], names: Iterable[str]) -> str:
    """Return a FROM item that unfolds the rows from one JSON parameter."""
    kinds = ", ".join(f'"{name}" {_kind(model, name)}' for name in names)
    return f"jsonb_to_recordset(%s::jsonb) AS each ({kinds})"


def _defaults(model: type[models.Model], named: set[str]) -> dict[str, Any]:
    """Return Django's defaults of other columns that have none in PostgreSQL."""
    return {
        field.name: field.get_default()
        for field in model._meta.concrete_fields
        if not field.primary_key
        and not field.has_db_default()
        and not {field.name, field.attname} & named
    }


def _column(model: type[models.Model], name: str) -> str:
    return connection.ops.quote_name(_field(model, name).column)


def _kind(model: type[models.Model], name: str) -> str:
    field = _field(model, name)
    return str(
        field.rel_db_type(connection) if name == "pk" else field.db_type(connection)
    )


def _field(model: type[models.Model], name: str) -> Any:
    return model._meta.pk if name == "pk" else model._meta.get_field(name)
