"""Columns that several lists share; most are also fields of detail pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from promoportal.admin.formatting import (
    beside,
    moment,
    quoted,
    short,
    since,
    state_badge,
)
from promoportal.admin.links import link

Column = Callable[[Any, Any], Any]


def computed(description: str, value: Callable[[Any], Any]) -> Column:
    """Return a column that shows what `value` returns for a row."""

    @admin.display(description=description)
    def column(_: Any, row: Any) -> Any:
        return value(row)

    return column


def when(name: str, description: str = "") -> Column:
    """Return a column with a time of the row."""
    description = description or name.removesuffix("_at")
    return computed(description, lambda row: moment(getattr(row, name)))


def link_to(name: str) -> Column:
    """Return a column with a link to the row that the field `name` refers to."""

    def linked(row: Any) -> SafeString:
        other = getattr(row, name)
        return link(other, getattr(other, "short_name", ""))

    return computed(name, linked)


def numbered(name: str) -> Column:
    """Return a column with the key of the row, for rows that have no other name."""
    return computed(name, lambda row: f"{capfirst(name)} {row.pk}")


# Columns of rows with a state. A model passes `badges` if its rows show more than the
# state, and `problem` if the stored text may contain a unique code.


@admin.display(description="state")
def state_and_since(row: Any, badges: SafeString | None = None) -> SafeString:
    return beside(badges or state_badge(row), since(row.state_since))


@admin.display(description="why")
def reason_and_problem(row: Any, problem: str | None = None) -> str:
    return _joined(row, short(row.problem if problem is None else problem))


@admin.display(description="what is wrong")
def problem_in_full(row: Any, problem: str | None = None) -> SafeString:
    return quoted(_joined(row, row.problem if problem is None else problem))


def _joined(row: Any, problem: str) -> str:
    return ". ".join(filter(None, (row.get_reason_display(), problem)))
