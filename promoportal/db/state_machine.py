"""
Guarded moves and their trace.

A state moves only by compare-and-set in the database, along declared moves, and every
move leaves a row that says from where, to where, when, by whom and why. A campaign has
a million rows, so the one statement below moves a whole set as easily as one row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, ClassVar, TypeVar

from django.conf import settings
from django.core.exceptions import EmptyResultSet
from django.db import connection, models, transaction
from django.db.models.functions import Now

from promoportal.db import bulk

Moves = Mapping[str, frozenset[str]]
S = TypeVar("S", bound="Stateful")
# The newest rows first, in the order that narrowed lists ask for.
NEWEST = -models.F("id")


class IllegalMove(Exception):
    """The machine does not allow this move."""


class LostRace(Exception):
    """The row has moved on meanwhile; someone else did the work."""


class Stateful(models.Model):
    """A row whose `state` changes only through `move()` and `move_all()`."""

    machines: ClassVar[Mapping[str, Moves]]

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
        Move to `to` if the row is still where we last saw it.

        :raises IllegalMove: if the machine does not allow it
        :raises LostRace: if the row has moved on meanwhile
        """
        before = getattr(self, machine)
        if to not in self.machines[machine][before]:
            msg = f"{self} cannot go from {before} to {to}"
            raise IllegalMove(msg)
        still = type(self)._base_manager.filter(pk=self.pk, **{machine: before})
        if not move_all(still, to, machine=machine, by=by, why=why, **changes):
            msg = f"{self} is no longer {before}"
            raise LostRace(msg)
        self.refresh_from_db()


class Transition(models.Model):
    """One change of state: from where, to where, when, by whom and why."""

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
            # Of the few that a person made: a million moves need no entry each for
            # having been made by nobody.
            models.Index(
                fields=["by"],
                name="%(class)s_by",
                condition=models.Q(by__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.before} → {self.after}"


def sources(moves: Moves, to: str) -> list[str]:
    """The states from which `to` may be reached."""
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
    Move every row of the set that may go to `to`, and say which did, by key.

    Rows that may not go there, or that moved on meanwhile, stay as they are. `changes`
    are the same for all (values, or expressions such as `F("attempts") + 1`); `each`
    holds what differs, by key, with the same columns for every row, and narrows the
    set to its keys.
    """
    if each is not None and not each:
        return []
    try:
        sql, params = _statement(rows, to, machine, each or {}, changes)
    except EmptyResultSet:  # the set can be seen to be empty without asking
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
    parts = bulk.parts_of(rows.model, {machine: to, **changes}, each)
    chosen, chosen_params = _chosen(rows, machine, parts.table)
    since = ['"state_since" = statement_timestamp()'] if machine == "state" else []
    joined = f"JOIN {parts.records} ON each.pk = chosen.id" if each else ""
    # The compare of compare-and-set: of the state it has once it is locked.
    sql = f"""
        WITH chosen (id, before) AS ({chosen}),
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
    may = sources(rows.model.machines[machine], to)
    return sql, [*chosen_params, *parts.params, may]


def constraint(
    name: str, states: Iterable[str], field: str = "state"
) -> models.CheckConstraint:
    """What the machine says, said to the database."""
    return models.CheckConstraint(
        condition=models.Q(**{f"{field}__in": list(states)}), name=name
    )


def _chosen(
    rows: models.QuerySet[S], machine: str, table: str
) -> tuple[str, Collection[Any]]:
    query = rows.values_list("pk", machine).query
    sql, params = query.get_compiler(connection=connection).as_sql()
    # Locked as they are chosen, so that where another was quicker every condition is
    # asked again, and not only the state. `of` cannot be said of a list of values.
    lock = "" if query.select_for_update else f" FOR NO KEY UPDATE OF {table}"
    return sql + lock, params


def _transitions(model: type[S]) -> str:
    related: Any = model._meta.get_field("transitions").related_model
    return connection.ops.quote_name(related._meta.db_table)
