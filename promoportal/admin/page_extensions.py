"""
What a row's page is made of. Later rooms add to the pages of earlier ones here, because
an earlier room must not know them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db.models import Model
from django.http import HttpRequest

from promoportal.admin.panels import Panel
from promoportal.admin.timeline import Moment

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
    prefetch_lookups: Sequence[str]
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
    prefetch_lookups: Sequence[str] = (),
    prepared: Prepared | None = None,
) -> Callable[[Shown[R]], Shown[R]]:
    """
    Add what this shows to the list of the model, after one of its columns; `prefetch_lookups` are
    what of a row it looks at, to be fetched with it. By `prepared` all rows of a page are
    given together what it shows of each.
    """

    def add(shown: Shown[R]) -> Shown[R]:
        _columns[model].append(Column(shown, after, prefetch_lookups, prepared))
        return shown

    return add


def columns_of(model: type[Model], own: Sequence[Any]) -> list[Any]:
    """The columns of the model's list, each added one in its place."""
    columns = list(own)
    for added in _columns[model]:
        columns.insert(columns.index(added.after) + 1, added.shown)
    return columns


def prefetch_lookups(model: type[Model]) -> list[str]:
    """What the added columns look at."""
    return [name for added in _columns[model] for name in added.prefetch_lookups]


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
