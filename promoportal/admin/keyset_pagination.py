"""
Lists with keyset pagination, newest first.

A page begins after the key of a row, and not at a row number. So the first and the
ten-thousandth page take the same time, and new rows do not shift the pages.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet, prefetch_related_objects
from django.http import HttpRequest

from promoportal.admin.date_filter import Days
from promoportal.admin.formatting import short
from promoportal.admin.keyset_order import order_of
from promoportal.admin.page_extensions import prepare
from promoportal.admin.strict_changelist import StrictChangeList
from promoportal.db import row_versions

OLDER, NEWER = "older", "newer"
# Rows above this number are not counted: the page shows "more than".
MAX_ROWS_COUNTED = 10_000


class KeysetChangeList(StrictChangeList):
    """A page of rows, newest first, with links to older and newer rows."""

    beside = (OLDER, NEWER)
    older_than: str = ""
    newer_than: str = ""
    estimated: str = ""

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        self.order = order_of(self.model_admin, request.GET.dict())
        rows = super().get_queryset(request, *args, **kwargs)
        for name in self.beside:
            key = request.GET.get(name)
            if key and self._key(request, name) is None:
                self.problems.append(f"“{short(key)}” is no place in this list.")
        return rows.none() if self.problems else rows

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        parts = [getattr(spec, "parts", ()) for spec in self.filter_specs]
        self.order = replace(self.order, parts=[one for some in parts for one in some])
        return [*self.order.newest(queryset).query.order_by]

    def get_results(self, request: HttpRequest) -> None:
        rows, is_more = self._page(request)
        older, newer = self._key(request, OLDER), self._key(request, NEWER)
        # A page that was opened from older rows links back to them. Likewise for newer.
        if rows and (is_more or newer is not None):
            self.older_than = self._link(OLDER, rows[-1].pk)
        if rows and (is_more if newer is not None else older is not None):
            self.newer_than = self._link(NEWER, rows[0].pk)
        self.result_list: Any = rows
        # A page beyond the last row is empty, but the list is not.
        self.is_one_page = not (is_more or older is not None or newer is not None)
        self.result_count = len(rows) if self.is_one_page else self.count()
        self.estimated = self._estimated()
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
        Return the number of rows, up to one more than `MAX_ROWS_COUNTED`.

        The query has the order of the list: without it, PostgreSQL might read the table
        from the other end.
        """
        most = MAX_ROWS_COUNTED + 1
        return self.order.some(self.queryset, most)[:most].count()

    @property
    def counted(self) -> str:
        """Return the number of rows in words."""
        if self.result_count > MAX_ROWS_COUNTED:
            return f"more than {MAX_ROWS_COUNTED:,}"
        return f"{self.result_count:,}"

    @property
    def seen(self) -> str:
        """Return the versions of the rows on this page, as the value of a form field."""
        return row_versions.encode(row_versions.versions(self.result_list))

    @property
    def newest(self) -> str:
        return self._link(OLDER, None)

    def _page(self, request: HttpRequest) -> tuple[list[Any], bool]:
        """Return a page of rows, newest first, and whether there are more beyond it."""
        size, rows = self.list_per_page, self.queryset
        newer = self._key(request, NEWER)
        older = self._key(request, OLDER)
        if newer is not None:
            found = list(self.order.first_newer(rows, newer, size + 1))
            return self._complete(found[:size][::-1]), len(found) > size
        found = list(self.order.first_older(rows, older, size + 1))
        return self._complete(found[:size]), len(found) > size

    def _complete(self, rows: list[Any]) -> list[Any]:
        """
        Fetch related rows of large tables for the columns, by the keys of one page.

        With a join, PostgreSQL might read such a table from its beginning.
        """
        own = getattr(self.model_admin, "list_prefetch_related", ())
        prefetch_related_objects(rows, *own)
        prepare(self.model, rows)
        return rows

    def _estimated(self) -> str:
        """
        Return the planner's estimate of the number of rows, if not all are counted.

        With a filter by day, return nothing. The estimate would be too low, because the
        planner does not know that keys follow times.
        """
        by_day = any(
            isinstance(spec, Days) and spec.is_used for spec in self.filter_specs
        )
        if by_day or self.result_count <= MAX_ROWS_COUNTED:
            return ""
        (plan,) = json.loads(self.queryset.order_by().explain(format="json"))
        rows = int(plan["Plan"]["Plan Rows"])
        return f"{float(f'{rows:.2g}'):,.0f}" if rows > MAX_ROWS_COUNTED else ""

    def _key(self, request: HttpRequest, name: str) -> Any:
        """Return the key in the address, or None if it has no valid key."""
        try:
            return self.lookup_opts.pk.to_python(request.GET.get(name) or None)
        except ValidationError:
            return None

    def _link(self, name: str, key: Any) -> str:
        return self.get_query_string({name: key} if key is not None else {})
