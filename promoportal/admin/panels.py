from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

# Maximum number of related rows on the page of a row; a list has all of them.
MAX_ROWS_SHOWN = 10


@dataclass(frozen=True)
class Fact:
    """A name and a value, perhaps with a link to a list."""

    name: str
    value: Any
    href: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Group:
    """The number of rows with the same reason, and the address of their list."""

    name: str
    count: int
    href: str
    can_retry: bool = False


@dataclass(frozen=True)
class Difference:
    """The rows by which a stage differs from the previous one, with one cause."""

    name: str
    count: int
    href: str
    is_more: bool = False


@dataclass(frozen=True)
class Stage:
    """One stage of a funnel, with its differences from the previous stage."""

    name: str
    count: int
    href: str = ""
    differences: Sequence[Difference] = ()


@dataclass(frozen=True)
class Panel:
    """Facts, rows and sentences under one heading."""

    title: str
    name: str = ""  # identifies the panel when a page reloads it
    drawing: str = ""
    facts: Sequence[Fact] = ()
    stages: Sequence[Stage] = ()
    groups: Sequence[Group] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = field(default=())
    sentences: Sequence[str] = ()
    more: Sequence[tuple[str, str]] = ()  # text and address of each link
    export: str = ""  # the address of a list with a CSV export
    is_wide: bool = False  # above all other panels, with the full width
    is_live: bool = False  # reloaded by name while the page is open


def fieldset(title: str | None, *fields: Any) -> Any:
    """Return one group of fields in the format of `ModelAdmin.fieldsets`."""
    return title, {"fields": fields}
