"""Column names in the cells of lists, because phones show no column headings."""

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
    """Add the column name to the first tag of each cell, except for checkboxes."""
    for cell, header in zip(cells, headers, strict=False):
        tag, _, rest = map(SafeString, cell.partition(">"))
        name = capfirst(str(header["text"]))
        named_tag = format_html('{} data-column="{}">', tag, name)
        yield cell if "action-checkbox" in tag else named_tag + rest
