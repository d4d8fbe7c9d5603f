"""
CSV export of all rows that match a list.

The file is streamed, so memory does not grow with the number of rows. A value that a
spreadsheet could read as a formula gets a leading quote, which makes it a text.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone

from promoportal.admin.audit_log import AuditKind
from promoportal.admin.keyset_order import Order
from promoportal.admin.posted_form import PostedForm

# Rows per query. A single query would stay open while a slow browser reads.
AT_A_TIME = 2_000
# Spreadsheets read a text with this beginning as a formula, which can leak other cells.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
# The byte order mark, by which a spreadsheet recognises UTF-8.
_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True)
class CsvExport:
    """The permission for an export, and its columns: the field path of each heading."""

    permission: str
    columns: Mapping[str, str]

    def is_allowed(self, user: Any) -> bool:
        return bool(user.has_perm(self.permission))


def answer(export: CsvExport | None, form: PostedForm) -> HttpResponseBase:
    """
    Store an audit entry, and return all rows that match the list as a file.

    :raises Refused: if the list has no export, or the user lacks the permission
    """
    user = form.request.user
    if export is None or not export.is_allowed(user):
        permission = export.permission if export else ""
        raise form.refusal("Export CSV", permission)
    changes = form.change_list()
    if changes.problems:
        return form.go_back("Nothing was exported: the list says why.")
    message = f"Exported as CSV: {', '.join(changes.narrowed) or 'all of them'}"
    options = form.model_admin.opts
    form.record(AuditKind.EXPORTED, message, str(options.verbose_name_plural))
    name = f"{options.model_name}s-{timezone.localtime():%Y-%m-%d-%H%M}.csv"
    return StreamingHttpResponse(
        lines(export, changes.queryset, changes.order),
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        },
    )


def lines(export: CsvExport, rows: QuerySet[Any], order: Order) -> Iterator[str]:
    """Yield the lines of the file, with the newest row first."""
    write = csv.writer(_Echo()).writerow
    yield _BYTE_ORDER_MARK + write(export.columns)
    for row in _by_key(rows, order, list(export.columns.values())):
        yield write([safe(value) for value in row])


def safe(value: object) -> str:
    """Return a value as text that a spreadsheet cannot read as a formula."""
    if value is None:
        return ""
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


class _Echo:
    """A file object that returns each line instead of storing it."""

    def write(self, line: str) -> str:
        return line


def _by_key(
    rows: QuerySet[Any], order: Order, paths: list[str]
) -> Iterator[tuple[Any, ...]]:
    key = None
    while found := list(
        order.first_older(rows, key, AT_A_TIME).values_list("pk", *paths)
    ):
        yield from (values for _, *values in found)
        key = found[-1][0]
