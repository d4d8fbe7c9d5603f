"""
State changes and their transitions.

A state changes only by compare-and-set in the database, and only as `machines` allows.
Each change inserts a transition with states, time, user and reason. An execution can
have a million rows, so one statement moves any number of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from django.conf import settings
from django.core.exceptions import EmptyResultSet
from django.db import connection, models, transaction
from django.db.models.functions import Now

from promoportal.db import bulk

Moves = Mapping[str, frozenset[str]]
S = TypeVar("S", bound="Stateful")
# Newest rows first: the order of filtered lists.
NEWEST = -models.F("id")


class IllegalMove(Exception):
    """The state machine does not allow this move."""


class LostRace(Exception):
    """The state of the row changed in the meantime; another process was faster."""


class Stateful(models.Model):
    """A row whose `state` changes only through `move()` and `move_all()`."""

    machines: ClassVar[Mapping[str, Moves]]
    # The columns that a decision of staff depends on; see `row_versions`.
    versioned: ClassVar[Mapping[str, Sequence[str]]] = {"row": ("state", "state_since")}

    state = models.CharField(max_length=20)
    state_since = models.DateTimeField(db_default=Now())

    class Meta:
        abstract = True

    def move(
        self,
        to: str,
        *,
        machine: str = "state",
        by: Any = None,
        why: str = "",
        **changes: Any,
    ) -> None:
        """
        Move to `to` if the row still has the state that it had when it was read.

        :raises IllegalMove: if the state machine does not allow the move
        :raises LostRace: if the state changed in the meantime
        """
        before = getattr(self, machine)
        if to not in self.machines[machine][before]:
            msg = f"{self} cannot go from {before} to {to}"
            raise IllegalMove(msg)
        unchanged = type(self)._base_manager.filter(pk=self.pk, **{machine: before})
        if not move_all(unchanged, to, machine=machine, by=by, why=why, **changes):
            msg = f"{self} is no longer {before}"
            raise LostRace(msg)
        self.refresh_from_db()


class Transition(models.Model):
    """One state change, with states, time, user and reason."""

    before = models.CharField(max_length=20)
    after = models.CharField(max_length=20)
    at = models.DateTimeField(db_default=Now())
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
    )
    why = models.TextField(blank=True)

    class Meta:
        abstract = True
        indexes = [
            # Only changes by users: they are few, and all changes are millions.
            models.Index(
                fields=["by"],
                name="%(class)s_by",
                condition=models.Q(by__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.before} → {self.after}"


def sources(moves: Moves, to: str) -> list[str]:
    """Return the states from which `to` can be reached."""
    return [state for state, targets in moves.items() if to in targets]


def move_all(
    rows: models.QuerySet[S],
    to: str,
    *,
    machine: str = "state",
    by: Any = None,
    why: str = "",
    each: Mapping[int, Mapping[str, Any]] | None = None,
    **changes: Any,
) -> list[int]:
    """
    Move every row of the set that may go to `to`; return the keys of the moved rows.

    A row stays as it is if its state does not allow the move, or if it does not match
    `rows` any more when it is locked. `changes` sets columns in all rows, to values or
    expressions such as `F("attempts") + 1`. `each` has values per row, by primary key,
    with the same columns for every row. If it is given, only the rows in it are moved.
    """
    if each is not None and not each:
        return []
    try:
        sql, params = _statement(rows, to, machine, each or {}, changes)
    except EmptyResultSet:  # no row can match the filter of `rows`
        return []
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, [*params, to, by.pk if by else None, why])
        return [pk for (pk,) in cursor.fetchall()]


def _statement(
    rows: models.QuerySet[S],
    to: str,
    machine: str,
    each: Mapping[int, Mapping[str, Any]],
    changes: Mapping[str, Any],
) -> tuple[str, list[Any]]:
    query = rows.values_list("pk", machine).query
    chosen, chosen_params = query.get_compiler(connection=connection).as_sql()
    since = ['"state_since" = statement_timestamp()'] if machine == "state" else []
    parts = bulk.parts_of(rows.model, {machine: to, **changes}, each)
    # Rows are locked as they are selected. If another process changed a row first,
    # PostgreSQL checks its conditions again. Django allows no `of` with values_list().
    lock = "" if query.select_for_update else f"FOR NO KEY UPDATE OF {parts.table}"
    joined = f"JOIN {parts.records} ON each.pk = chosen.id" if each else ""
    # The comparison of compare-and-set uses the state of the locked row.
    sql = f"""
        WITH chosen (id, before) AS ({chosen} {lock}),
        moved AS (
            UPDATE {parts.table} SET {", ".join([*since, *parts.sets])}
            FROM chosen {joined}
            WHERE {parts.table}.id = chosen.id
              AND chosen.before = ANY(%s)
            RETURNING {parts.table}.id, chosen.before
        )
        INSERT INTO {_transitions(rows.model)} (row_id, before, after, at, by_id, why)
        SELECT id, before, %s, statement_timestamp(), %s, %s FROM moved
        RETURNING row_id
    """  # noqa: S608 - only names of our own tables and columns
    allowed = sources(rows.model.machines[machine], to)
    return sql, [*chosen_params, *parts.params, allowed]


def constraint(
    name: str, states: Iterable[str], field: str = "state"
) -> models.CheckConstraint:
    """Return a check constraint that limits the column to these states."""
    return models.CheckConstraint(
        condition=models.Q(**{f"{field}__in": list(states)}), name=name
    )


def _transitions(model: type[S]) -> str:
    related: Any = model._meta.get_field("transitions").related_model
    return connection.ops.quote_name(related._meta.db_table)
