from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

# So many of what belongs to a row are shown on its page; a list has all of them.
MAX_ROWS_SHOWN = 10


@dataclass(frozen=True)
class Fact:
    """A name and what is there to say about it, perhaps with a list behind it."""

    name: str
    value: Any
    href: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Group:
    """So many rows for the same reason, and the list of them."""

    name: str
    count: int
    href: str
    can_retry: bool = False


@dataclass(frozen=True)
class Difference:
    """What a stage has less than the one before, or more; and the list of it."""

    name: str
    count: int
    href: str
    is_more: bool = False


@dataclass(frozen=True)
class Stage:
    """One of several after each other, and how it differs from the one before."""

    name: str
    count: int
    href: str = ""
    differences: Sequence[Difference] = ()


@dataclass(frozen=True)
class Panel:
    """Some facts, some rows, some sentences under one heading."""

    title: str
    name: str = ""  # by which the page finds it that asks for it anew
    drawing: str = ""
    facts: Sequence[Fact] = ()
    stages: Sequence[Stage] = ()
    groups: Sequence[Group] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = field(default=())
    sentences: Sequence[str] = ()
    more: Sequence[tuple[str, str]] = ()  # what a link says, and where it leads
    export: str = ""  # the list that may be had as CSV
    is_wide: bool = False  # above all others, over the page's whole width
    is_live: bool = False  # asked for anew, by its name, while somebody looks


def fieldset(title: str | None, *fields: Any) -> Any:
    """Return one group of a page's facts, as `ModelAdmin.fieldsets` wants it."""
    return title, {"fields": fields}
