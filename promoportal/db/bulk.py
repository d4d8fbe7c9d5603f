"""
Whole sets of rows in one statement.

A campaign has a million rows. Django builds and PostgreSQL parses a parameter for every
value of every row; here, all rows travel as one value and are unfolded over there, at a
sixth of the cost.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, models

Columns = Mapping[str, Any]


class _Exact(DjangoJSONEncoder):
    """As Django's, but for times: to the microsecond, as PostgreSQL keeps them."""

    def default(self, o: Any) -> Any:
        return o.isoformat() if isinstance(o, datetime) else super().default(o)


class NotForStates(ValueError):
    """A state was to be set, and not moved."""


def bulk_insert(
    model: type[models.Model],
    rows: Sequence[Columns],
    *,
    ignore_conflicts: bool = False,
    **same: Any,
) -> list[tuple[Any, ...]]:
    """
    Insert rows that name the same columns; gives back the columns, its key first.

    `same` is for all of them, and so are the defaults of the columns not named.
    """
    if not rows:
        return []
    names = list(rows[0])
    values, params = assigned(model, {**_defaults(model, {*names, *same}), **same})
    own = ", ".join(f'each."{name}"' for name in names)
    returned = [column(model, name) for name in ("pk", *names)]
    sql = f"""
        INSERT INTO {table(model)} ({_listed([*(column(model, n) for n in names), *values])})
        SELECT {", ".join([own, *values.values()])} FROM {recordset(model, names)}
        {"ON CONFLICT DO NOTHING" if ignore_conflicts else ""}
        RETURNING {_listed(returned)}
    """  # noqa: S608 - only names of our own tables and columns
    with connection.cursor() as cursor:
        cursor.execute(sql, [*params, as_json(rows)])
        return list(cursor.fetchall())


def bulk_update(
    model: type[models.Model], each: Mapping[int, Columns], **same: Any
) -> None:
    """
    Set columns that differ from row to row.

    :raises NotForStates: if a state is among them
    """
    if not each:
        return
    names = list(next(iter(each.values())))
    if "state" in {*names, *same}:
        raise NotForStates("A state changes only through move() and move_all().")
    values, params = assigned(model, same)
    sets = [*_sets(values), *own(model, names)]
    sql = f"""
        UPDATE {table(model)} SET {", ".join(sets)}
        FROM {recordset(model, ["pk", *names])} WHERE {table(model)}.id = each.pk
    """  # noqa: S608 - only names of our own tables and columns
    with connection.cursor() as cursor:
        cursor.execute(sql, [*params, as_json(keyed(each))])


def assigned(
    model: type[models.Model], values: Columns
) -> tuple[dict[str, str], list[Any]]:
    """SQL for the value of each column, and its parameters; values or expressions."""
    query = model._base_manager.all().query
    compiler = query.get_compiler(connection=connection)
    found: dict[str, str] = {}
    params: list[Any] = []
    for name, value in values.items():
        field: Any = model._meta.get_field(name)
        if hasattr(value, "resolve_expression"):
            resolved = value.resolve_expression(query, allow_joins=False, for_save=True)
            sql, more = compiler.compile(resolved)
        else:
            plain = value.pk if isinstance(value, models.Model) else value
            sql, more = "%s", [field.get_db_prep_save(plain, connection)]
        found[field.column] = sql
        params.extend(more)
    return found, params


def own(model: type[models.Model], names: Iterable[str]) -> list[str]:
    """`column = its own value` for each name."""
    return [f'"{column(model, name)}" = each."{name}"' for name in names]


def recordset(model: type[models.Model], names: Iterable[str]) -> str:
    """The rows that come as one parameter, unfolded."""
    kinds = ", ".join(f'"{name}" {_kind(model, name)}' for name in names)
    return f"jsonb_to_recordset(%s::jsonb) AS each ({kinds})"


def keyed(each: Mapping[int, Columns]) -> list[dict[str, Any]]:
    return [{"pk": pk, **values} for pk, values in each.items()]


def as_json(rows: Sequence[Columns]) -> str:
    return json.dumps(rows, cls=_Exact)


def table(model: type[models.Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)


def column(model: type[models.Model], name: str) -> str:
    return str(_field(model, name).column)


def _defaults(model: type[models.Model], named: set[str]) -> dict[str, Any]:
    """Columns whose default only Django knows."""
    return {
        field.name: field.get_default()
        for field in model._meta.concrete_fields
        if not field.primary_key
        and not field.has_db_default()
        and not {field.name, field.attname} & named
    }


def _sets(values: Mapping[str, str]) -> list[str]:
    return [f'"{name}" = {value}' for name, value in values.items()]


def _listed(columns: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


def _kind(model: type[models.Model], name: str) -> str:
    field = _field(model, name)
    return str(
        field.rel_db_type(connection) if name == "pk" else field.db_type(connection)
    )


def _field(model: type[models.Model], name: str) -> Any:
    return model._meta.pk if name == "pk" else model._meta.get_field(name)
