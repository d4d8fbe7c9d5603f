"""
Lists that cost the same whatever they hold: newest first, page after page by key.

No page is counted to and none is skipped, so that the first and the ten-thousandth cost
the same, and rows that arrive meanwhile do not shift what is read.
"""

from __future__ import annotations

from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest

from promoportal.admin.order import order_of

OLDER, NEWER = "older", "newer"
# Beyond this a number says "more than", and nothing is counted further.
MOST_COUNTED = 10_000


class KeysetChangeList(ChangeList):
    """A list of the newest rows, and the way to older and to newer ones."""

    older_than: str = ""
    newer_than: str = ""

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        # Said in the address beside the filters, but no filters.
        for name in (OLDER, NEWER):
            self.params.pop(name, None)
            self.filter_params.pop(name, None)
        return super().get_queryset(request, *args, **kwargs)

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        self.order = order_of(self.model_admin, request.GET.dict())
        return [*self.order.newest(queryset).query.order_by]

    def get_results(self, request: HttpRequest) -> None:
        rows, is_more = self._page(request)
        older, newer = self._key(request, OLDER), self._key(request, NEWER)
        # Coming back from older rows there are older ones; coming from newer, newer.
        if rows and (is_more or newer is not None):
            self.older_than = self._link(OLDER, rows[-1].pk)
        if rows and (is_more if newer is not None else older is not None):
            self.newer_than = self._link(NEWER, rows[0].pk)
        self.result_list: Any = rows
        self.is_one_page = not (self.older_than or self.newer_than)
        self.result_count = len(rows) if self.is_one_page else self.count()
        self.multi_page = not self.is_one_page
        self.full_result_count = None
        self.show_full_result_count = False
        self.show_admin_actions = True
        self.can_show_all = False
        self.paginator = self.model_admin.get_paginator(
            request, self.queryset, self.list_per_page
        )

    def count(self) -> int:
        """
        How many there are; one more than is counted if there are more.

        In the order of the list: in none, the table might be read from its other end.
        """
        some: QuerySet[Any] = self.queryset[: MOST_COUNTED + 1]
        return some.count()

    @property
    def counted(self) -> str:
        """The number of rows, in words."""
        if self.result_count > MOST_COUNTED:
            return f"more than {MOST_COUNTED:,}"
        return f"{self.result_count:,}"

    @property
    def newest(self) -> str:
        return self._link(OLDER, None)

    def _page(self, request: HttpRequest) -> tuple[list[Any], bool]:
        """One page of rows, newest first, and whether more lie beyond it."""
        size, rows = self.list_per_page, self.queryset
        newer = self._key(request, NEWER)
        older = self._key(request, OLDER)
        if newer is not None:
            found = list(self.order.oldest(self.order.newer(rows, newer))[: size + 1])
            return found[:size][::-1], len(found) > size
        if older is not None:
            rows = self.order.older(rows, older)
        found = list(rows[: size + 1])
        return found[:size], len(found) > size

    def _key(self, request: HttpRequest, name: str) -> Any:
        """The key an address names; an address that names none is the first page's."""
        try:
            return self.lookup_opts.pk.to_python(request.GET.get(name) or None)
        except ValidationError:
            return None

    def _link(self, name: str, key: Any) -> str:
        return self.get_query_string({name: key} if key is not None else {})
