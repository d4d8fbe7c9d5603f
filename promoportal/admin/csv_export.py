"""
A list as CSV: all that match, streamed, so that a million rows take no more memory
than one, and written so that no spreadsheet takes a value for a formula.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Model, QuerySet
from django.http import StreamingHttpResponse
from django.utils import timezone

from promoportal.admin import audit_log
from promoportal.admin.keyset_order import Order

# Rows asked for at a time, by key: no cursor is held while a slow browser reads.
AT_A_TIME = 2_000
# A spreadsheet takes what begins so for a formula, which can send what is beside it away.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
# By which a spreadsheet knows that it is UTF-8.
_MARK = "\ufeff"


@dataclass(frozen=True)
class CsvExport:
    """What of a row is exported, under which headings, and who may."""

    permission: str
    columns: Mapping[str, str]
    """The path of each value, by its heading."""


def answer(
    sheet: CsvExport, rows: QuerySet[Any], order: Order
) -> StreamingHttpResponse:
    """The rows as a file to be kept."""
    name = f"{rows.model._meta.model_name}s-{timezone.localtime():%Y-%m-%d-%H%M}.csv"
    return StreamingHttpResponse(
        lines(sheet, rows, order),
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        },
    )


def lines(sheet: CsvExport, rows: QuerySet[Any], order: Order) -> Iterator[str]:
    """The sheet line by line, the newest row first."""
    write = csv.writer(_Echo()).writerow
    yield _MARK + write(sheet.columns)
    for row in _by_key(rows, order, list(sheet.columns.values())):
        yield write([safe(value) for value in row])


def safe(value: object) -> str:
    """A value as text that is never a formula."""
    if value is None:
        return ""
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def note(model: type[Model], *, by: Any, narrowed: str, address: str) -> None:
    """Keep who exported what, before the first row leaves."""
    audit_log.record(
        audit_log.AuditKind.EXPORTED,
        f"Exported as CSV: {narrowed or 'all of them'}",
        by=by,
        about=[str(model._meta.verbose_name_plural)],
        address=address,
        model=model,
    )


class _Echo:
    """A file that gives back what is written to it."""

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
