"""
Newest-first orders that always match an index.

For a filtered list with a limit, PostgreSQL may read the whole table from the newest
row, because it expects a match soon. The next match can be half a million rows away. So
filtered lists are ordered by the negated key. The indexes for filtered lists have this
order. The primary key's index does not have it, so PostgreSQL does not read that index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest, nsmallest
from typing import Any, TypeVar

from django.db.models import BigIntegerField, ExpressionWrapper, F, Model, Q, QuerySet
from django.db.models.lookups import GreaterThan, LessThan
from django.db.models.sql.where import WhereNode

M = TypeVar("M", bound=Model)
_NEGATED = ExpressionWrapper(-F("pk"), BigIntegerField())


@dataclass(frozen=True)
class Order:
    """
    The newest-first order of a list.

    `is_narrowed` means that an index serves the filters of the list. `parts` are
    conditions: an index serves each of them, but not their union. So each part is read
    in order, up to a limit, and the first of all these rows are the result.
    """

    is_narrowed: bool = False
    parts: Sequence[Q] = ()

    def newest(self, rows: QuerySet[M]) -> QuerySet[M]:
        return rows.order_by(_NEGATED.asc() if self.is_narrowed else "-pk")

    def oldest(self, rows: QuerySet[M]) -> QuerySet[M]:
        return rows.order_by(_NEGATED.desc() if self.is_narrowed else "pk")

    def older(self, rows: QuerySet[M], key: Any) -> QuerySet[M]:
        """Return the rows that are older than the row with this key."""
        if self.is_narrowed:
            return rows.filter(GreaterThan(_NEGATED, -key))
        return rows.filter(Q(pk__lt=key))

    def newer(self, rows: QuerySet[M], key: Any) -> QuerySet[M]:
        """Return the rows that are newer than the row with this key."""
        if self.is_narrowed:
            return rows.filter(LessThan(_NEGATED, -key))
        return rows.filter(Q(pk__gt=key))

    def first_older(self, rows: QuerySet[M], key: Any, count: int) -> QuerySet[M]:
        """Return the `count` newest rows; with a key, only rows older than the key."""
        rows = self.newest(rows if key is None else self.older(rows, key))
        if self.parts:
            rows = _with_keys(rows, nlargest(count, self.some(rows, count)))
        return rows[:count]

    def first_newer(self, rows: QuerySet[M], key: Any, count: int) -> QuerySet[M]:
        """Return the `count` oldest of the rows that are newer than `key`."""
        rows = self.oldest(self.newer(rows, key))
        if self.parts:
            rows = _with_keys(rows, nsmallest(count, self.some(rows, count)))
        return rows[:count]

    def some(self, rows: QuerySet[M], count: int) -> QuerySet[M, Any]:
        """Return the keys of up to `count` rows; with `parts`, `count` rows of each."""
        keys = rows.values_list("pk", flat=True)
        if not self.parts:
            return keys[:count]
        first, *rest = (keys.filter(part)[:count] for part in self.parts)
        return first.union(*rest, all=True) if rest else first


def _with_keys(rows: QuerySet[M], keys: list[Any]) -> QuerySet[M]:
    """
    Return the rows with these keys, which are known to match.

    The other conditions are dropped: PostgreSQL might use an index for them instead.
    """
    unfiltered = rows.all()
    unfiltered.query.where = WhereNode()
    return unfiltered.filter(pk__in=keys)


def order_of(model_admin: Any, narrowed: Mapping[str, str]) -> Order:
    """Return the order of a list with these parameters in its address."""
    filters = {*narrowed, *(f"{name}={value}" for name, value in narrowed.items())}
    served = model_admin.served_by_index
    return Order(model_admin.is_narrowed or not filters.isdisjoint(served))
