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
    """Add the column name to each cell's own tag, which ends with the first `>`."""
    for cell, header in zip(cells, headers, strict=False):
        tag, _, rest = map(SafeString, cell.partition(">"))
        name = capfirst(str(header["text"]))
        named_tag = format_html('{} data-column="{}">', tag, name)
        yield cell if "action-checkbox" in tag else named_tag + rest
