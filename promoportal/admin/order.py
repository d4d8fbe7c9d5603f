"""
Newest first, in an order that leaves the database no bet.

Of a list that is narrowed and ends after a page, PostgreSQL may walk the newest rows of
the whole table, trusting that some that match come soon; and they may be half a million
further down. So narrowed lists are ordered by the key turned round: only the indexes
that were made for them hold that order, and the table's own does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db.models import BigIntegerField, ExpressionWrapper, F, Model, Q, QuerySet
from django.db.models.lookups import GreaterThan, LessThan

M = TypeVar("M", bound=Model)
_TURNED = ExpressionWrapper(-F("pk"), BigIntegerField())


@dataclass(frozen=True)
class Order:
    """The newest rows first; `is_narrowed` where an index serves what narrows them."""

    is_narrowed: bool = False

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


def order_of(model_admin: Any, narrowed: Mapping[str, str]) -> Order:
    """In which a list is shown that is narrowed so."""
    said = {*narrowed, *(f"{name}={value}" for name, value in narrowed.items())}
    return Order(not said.isdisjoint(model_admin.indexed))
