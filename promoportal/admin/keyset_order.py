"""
Newest first, in an order that leaves the database no bet.

Of a list that is narrowed and ends after a page, PostgreSQL may walk the newest rows of
the whole table, trusting that some that match come soon; and they may be half a million
further down. So narrowed lists are ordered by the key turned round: only the indexes
that were made for them hold that order, and the table's own does not.
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
_TURNED = ExpressionWrapper(-F("pk"), BigIntegerField())


@dataclass(frozen=True)
class Order:
    """
    The newest rows first; `is_narrowed` where an index serves what narrows them.

    Of `parts`, an index serves each by itself and none all together. So some of each are
    taken in its own order, and the first of those are the first of all.
    """

    is_narrowed: bool = False
    parts: Sequence[Q] = ()

    def newest(self, rows: QuerySet[M]) -> QuerySet[M]:
        return rows.order_by(_TURNED.asc() if self.is_narrowed else "-pk")

    def oldest(self, rows: QuerySet[M]) -> QuerySet[M]:
        return rows.order_by(_TURNED.desc() if self.is_narrowed else "pk")

    def older(self, rows: QuerySet[M], key: Any) -> QuerySet[M]:
        """Those after the row with this key."""
        if self.is_narrowed:
            return rows.filter(GreaterThan(_TURNED, -key))
        return rows.filter(Q(pk__lt=key))

    def newer(self, rows: QuerySet[M], key: Any) -> QuerySet[M]:
        """Those before the row with this key."""
        if self.is_narrowed:
            return rows.filter(LessThan(_TURNED, -key))
        return rows.filter(Q(pk__gt=key))

    def first_older(self, rows: QuerySet[M], key: Any, count: int) -> QuerySet[M]:
        """The newest so many; of those after the row with this key, if one is given."""
        rows = self.newest(rows if key is None else self.older(rows, key))
        if self.parts:
            rows = _alone(rows, nlargest(count, self.some(rows, count)))
        return rows[:count]

    def first_newer(self, rows: QuerySet[M], key: Any, count: int) -> QuerySet[M]:
        """The oldest so many of those before the row with this key."""
        rows = self.oldest(self.newer(rows, key))
        if self.parts:
            rows = _alone(rows, nsmallest(count, self.some(rows, count)))
        return rows[:count]

    def some(self, rows: QuerySet[M], count: int) -> QuerySet[M, Any]:
        """The keys of so many of the rows; of each part, if there are parts."""
        keys = rows.values_list("pk", flat=True)
        if not self.parts:
            return keys[:count]
        first, *rest = (keys.filter(part)[:count] for part in self.parts)
        return first.union(*rest, all=True) if rest else first


def _alone(rows: QuerySet[M], keys: list[Any]) -> QuerySet[M]:
    """
    The rows with these keys, which are known to match: were the rest asked once more,
    the database might look for that, and for the keys among what it found.
    """
    known = rows.all()
    known.query.where = WhereNode()
    return known.filter(pk__in=keys)


def order_of(model_admin: Any, narrowed: Mapping[str, str]) -> Order:
    """Return the order of a list with these parameters in its address."""
    given = {*narrowed, *(f"{name}={value}" for name, value in narrowed.items())}
    served = model_admin.served_by_index
    return Order(model_admin.is_narrowed or not given.isdisjoint(served))
