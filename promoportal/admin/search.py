"""Search of a list: by a complete ID, or by the beginning of a name."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from typing import Any
from uuid import UUID

from django.db.models import Model, Q, QuerySet

from promoportal.db.display_names import composed


@dataclass(frozen=True)
class Search:
    """The fields that a list searches. An index serves each of them."""

    exact: Sequence[str] = ()
    uuid: Sequence[str] = ()
    prefix: Sequence[str] = ()

    @property
    def fields(self) -> list[str]:
        return [*self.exact, *self.uuid, *self.prefix]

    def narrow(self, rows: QuerySet[Any], term: str) -> QuerySet[Any]:
        """
        Return the rows that match the search term, or all rows if the term is empty.

        IDs must match exactly, because they can contain spaces and upper-case letters.
        Names must begin with the term; upper and lower case are the same.
        """
        if not (term := term.strip()):
            return rows
        # A UUID may also be an ID of Optimove. One condition for both uses no index.
        with suppress(ValueError):  # the term is no UUID
            keys = [Q(**{path: UUID(term)}) for path in self.uuid]
            if keys and (found := rows.filter(reduce(operator.or_, keys))).exists():
                return found
        return rows.filter(self._condition(rows.model, term))

    def _condition(self, model: type[Model], term: str) -> Q:
        conditions = [_equals(model, path, term) for path in self.exact]
        names = {f"{path}__istartswith": composed(term) for path in self.prefix}
        conditions += map(Q, names.items())
        return reduce(operator.or_, conditions)


def _equals(model: type[Model], path: str, term: str) -> Q:
    """
    Return the condition that a field of the row or of a related row equals the term.

    If only one related row can match, a subquery finds its key. With a join, PostgreSQL
    would sort all matching rows to find the newest hundred. Django compares a key only
    with a subquery that is limited to one row.
    """
    name, _, rest = path.partition("__")
    related: Any = model._meta.get_field(name).related_model if rest else None
    if related is None or not related._meta.get_field(rest).unique:
        return Q(**{path: term})
    key = related._base_manager.filter(**{rest: term}).values("pk")[:1]
    return Q(**{name: key})
