"""
What a row's page is made of. Later rooms add to the pages of earlier ones here, because
an earlier room must not know them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from django.db.models import Model
from django.http import HttpRequest
from django.utils.html import format_html

from promoportal.admin.showing import badge

# So many of what belongs to a row are shown on its page; a list has all of them.
MOST_SHOWN = 10


@dataclass(frozen=True)
class Moment:
    """Something that happened to a row, or to what belongs to it."""

    at: datetime
    what: str
    by: str = ""
    why: str = ""
    detail: str = ""


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


R = TypeVar("R", bound=Model)
Drawn = Callable[[R], Panel | None]
Told = Callable[[R], Iterable[Moment]]
Shown = Callable[[R], Any]
Prepared = Callable[[Sequence[Any]], None]


@dataclass(frozen=True)
class Column:
    """One more column of a list."""

    shown: Callable[[Any], Any]
    after: str
    beside: Sequence[str]
    prepared: Prepared | None


_fronts: list[Callable[[HttpRequest], Panel | None]] = []
_columns: defaultdict[type[Model], list[Column]] = defaultdict(list)
_panels: defaultdict[type[Model], list[Drawn[Any]]] = defaultdict(list)
_stories: defaultdict[type[Model], list[Told[Any]]] = defaultdict(list)


def panel(model: type[R]) -> Callable[[Drawn[R]], Drawn[R]]:
    """Add what this draws to the page of every row of the model."""

    def add(drawn: Drawn[R]) -> Drawn[R]:
        _panels[model].append(drawn)
        return drawn

    return add


def story(model: type[R]) -> Callable[[Told[R]], Told[R]]:
    """Add what this tells to the story of every row of the model."""

    def add(told: Told[R]) -> Told[R]:
        _stories[model].append(told)
        return told

    return add


def column(
    model: type[R],
    *,
    after: str,
    beside: Sequence[str] = (),
    prepared: Prepared | None = None,
) -> Callable[[Shown[R]], Shown[R]]:
    """
    Add what this shows to the list of the model, after one of its columns; `beside` is
    what of a row it looks at, to be fetched with it. By `prepared` all rows of a page are
    given together what it shows of each.
    """

    def add(shown: Shown[R]) -> Shown[R]:
        _columns[model].append(Column(shown, after, beside, prepared))
        return shown

    return add


def columns_of(model: type[Model], own: Sequence[Any]) -> list[Any]:
    """The columns of the model's list, each added one in its place."""
    columns = list(own)
    for added in _columns[model]:
        columns.insert(columns.index(added.after) + 1, added.shown)
    return columns


def beside(model: type[Model]) -> list[str]:
    """What the added columns look at."""
    return [name for added in _columns[model] for name in added.beside]


def prepare(model: type[Model], rows: Sequence[Model]) -> None:
    """Give the rows of one page what the added columns show of them."""
    for added in _columns[model]:
        if added.prepared:
            added.prepared(rows)


def front(
    drawn: Callable[[HttpRequest], Panel | None],
) -> Callable[[HttpRequest], Panel | None]:
    """Add what this draws to the first page, for those who may see it."""
    _fronts.append(drawn)
    return drawn


def fronts_for(request: HttpRequest) -> list[Panel]:
    return [panel for draw in _fronts if (panel := draw(request))]


def panels_of(row: Model) -> list[Panel]:
    drawn = (draw(row) for draw in _panels[type(row)])
    return [panel for panel in drawn if panel]


def story_of(row: Model, own: Iterable[Moment] = ()) -> list[Moment]:
    """All that happened, in order of time."""
    told = [moment for tell in _stories[type(row)] for moment in tell(row)]
    return sorted([*own, *told], key=lambda moment: moment.at)


# Of a row that moved more often than this, the latest moves are told.
MOST_TOLD = 200


def moves_of(row: Any, labels: dict[str, str], what: str = "") -> list[Moment]:
    """The transitions of a row, each with who and why."""
    latest = row.transitions.select_related("by").order_by("-pk")[:MOST_TOLD]
    return [
        Moment(
            at=move.at,
            what=_moved(move.after, labels, what),
            by=str(move.by) if move.by else "",
            why=move.why,
        )
        for move in reversed(latest)
    ]


def _moved(after: str, labels: dict[str, str], what: str) -> str:
    shown = badge(after, labels.get(after, after))
    return format_html("{} {}", what, shown) if what else shown
