"""The cells of a list, each with the name of its column: a phone shows no headings."""

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
    """Django hands over a cell as it is written, whose first `>` ends its own tag."""
    tag, _, rest = cell.partition(">")
    if "action-checkbox" in tag:
        return cell
    return format_html(
        '{} data-column="{}">{}', SafeString(tag), capfirst(name), SafeString(rest)
    )
