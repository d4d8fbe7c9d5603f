"""List cells with the name of their column, because phones show no column headings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst

register = template.Library()


@register.filter
def named(
    cells: Iterable[SafeString], headers: Iterable[Mapping[str, Any]]
) -> Iterator[SafeString]:
    for cell, header in zip(cells, headers, strict=False):
        yield _named(cell, str(header["text"]))


def _named(cell: SafeString, name: str) -> SafeString:
    """Add the column name to the cell's own tag, which ends with the first `>`."""
    tag, _, rest = cell.partition(">")
    if "action-checkbox" in tag:
        return cell
    return format_html(
        '{} data-column="{}">{}', SafeString(tag), capfirst(name), SafeString(rest)
    )
