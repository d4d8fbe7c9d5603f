"""How rows are found: by the whole of an id, or by how a name begins."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar
from uuid import UUID

from django.contrib import admin
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

from promoportal.db.display_names import composed

M = TypeVar("M", bound=Model)

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[M]
else:

    class _ModelAdmin(admin.ModelAdmin, Generic[M]):
        pass


class Search(_ModelAdmin[M]):
    """Rows of which some are found by one term, with an index for each way."""

    # Looked up as they are, so that an index answers.
    finds: ClassVar[Sequence[str]] = ()
    finds_uuid: ClassVar[Sequence[str]] = ()
    # Looked up by how they begin.
    begins: ClassVar[Sequence[str]] = ()

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        return [*self.finds, *self.finds_uuid, *self.begins]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[M], search_term: str
    ) -> tuple[QuerySet[M], bool]:
        term = search_term.strip()
        return (queryset.filter(self._found(term)) if term else queryset), False

    def _found(self, term: str) -> Q:
        """
        The whole term, as it is: an id may hold spaces, and case may matter. In a name
        it does not, and few remember the whole of one.
        """
        if self.finds_uuid and _is_uuid(term):
            return _any_of(self.finds_uuid, UUID(term))
        whole = [self._found_by(path, term) for path in self.finds]
        name = composed(term)
        begun = [Q(**{f"{path}__istartswith": name}) for path in self.begins]
        return reduce(operator.or_, [*whole, *begun])

    def _found_by(self, path: str, term: str) -> Q:
        """
        Match the rows whose field, own or of a related row, is the term.

        A unique field of a related row is looked up first, for its one key. With a join,
        all rows that match would be sorted for the newest hundred. Django compares a key
        with a query only where that is limited to one row.
        """
        name, _, rest = path.partition("__")
        related: Any = self.opts.get_field(name).related_model if rest else None
        if related is None or not related._meta.get_field(rest).unique:
            return Q(**{path: term})
        one = related._base_manager.filter(**{rest: term}).values("pk")[:1]
        return Q(**{name: one})


def _any_of(paths: Sequence[str], value: Any) -> Q:
    return reduce(operator.or_, [Q(**{path: value}) for path in paths])


def _is_uuid(term: str) -> bool:
    try:
        UUID(term)
    except ValueError:
        return False
    return True
