"""HTML elements. Text is escaped; elements inside elements are not escaped again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_EMPTY = frozenset({"input", "meta", "link"})


class Html(str):
    """Escaped markup. Only `element` and `join` make it."""

    __slots__ = ()


Child = Html | str | int | None


def element(tag: str, /, *children: Child, **attributes: str | int | None) -> Html:
    """
    Return an element with the attributes that are not None.

    `class_` becomes `class`, and `http_equiv` becomes `http-equiv`.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if tag in _EMPTY:
        return Html(f"<{tag}{written}>")
    return Html(f"<{tag}{written}>{join(*children)}</{tag}>")


def join(*children: Child) -> Html:
    """Return the markup of the children, one after the other, without None."""
    return Html("".join(_written(child) for child in children if child is not None))


def table(heads: Sequence[str], rows: Iterable[Sequence[Child]]) -> Html:
    """Return a table with a row of headings."""
    head = element("tr", *[element("th", one, scope="col") for one in heads])
    body = [element("tr", *[element("td", cell) for cell in row]) for row in rows]
    return element("table", element("thead", head), element("tbody", *body))


def _written(child: Html | str | int) -> str:
    return child if isinstance(child, Html) else escape(str(child))
