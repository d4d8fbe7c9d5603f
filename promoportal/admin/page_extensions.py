"""Registries through which later apps extend the pages of earlier apps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db.models import Model, prefetch_related_objects
from django.http import HttpRequest

from promoportal.admin.panels import Panel
from promoportal.admin.timeline import Moment

R = TypeVar("R", bound=Model)
T = TypeVar("T")
Prepared = Callable[[Sequence[Any]], None]
Front = Callable[[HttpRequest], Panel | None]


class Extension(Generic[T]):
    """Functions by model, called with a row; `@panel(Execution)` adds a function."""

    def __init__(self) -> None:
        self._added: defaultdict[type[Model], list[Any]] = defaultdict(list)

    def __call__(
        self, model: type[R]
    ) -> Callable[[Callable[[R], T]], Callable[[R], T]]:
        def add(function: Callable[[R], T]) -> Callable[[R], T]:
            self._added[model].append(function)
            return function

        return add

    def of(self, row: Model) -> list[T]:
        return [function(row) for function in self._added[type(row)]]


panel: Extension[Panel | None] = Extension()
timeline: Extension[Iterable[Moment]] = Extension()


@dataclass(frozen=True)
class Column:
    """A column that a later app adds to a list."""

    shown: Callable[[Any], Any]
    after: str
    prefetch_lookups: Sequence[str]
    prepared: Prepared | None


_fronts: list[Front] = []
_columns: defaultdict[type[Model], list[Column]] = defaultdict(list)


def column(
    model: type[R],
    *,
    after: str,
    prefetch_lookups: Sequence[str] = (),
    prepared: Prepared | None = None,
) -> Callable[[Callable[[R], Any]], Callable[[R], Any]]:
    """
    Add a column to the list of the model, after the column with the name `after`.

    `prefetch_lookups` are fetched with the rows of a page. `prepared` is called once
    with all rows of a page, and attaches to each row the values that the column shows.
    """

    def add(shown: Callable[[R], Any]) -> Callable[[R], Any]:
        _columns[model].append(Column(shown, after, prefetch_lookups, prepared))
        return shown

    return add


def columns_of(model: type[Model], own: Sequence[Any]) -> list[Any]:
    """Return the columns of the model's list, including the columns of later apps."""
    columns = list(own)
    for added in _columns[model]:
        names = [getattr(each, "__name__", each) for each in columns]
        columns.insert(names.index(added.after) + 1, added.shown)
    return columns


def prepare(model: type[Model], rows: list[Any]) -> None:
    """Prepare the rows of one page for the columns of later apps."""
    for added in _columns[model]:
        prefetch_related_objects(rows, *added.prefetch_lookups)
        if added.prepared:
            added.prepared(rows)


def front(drawn: Front) -> Front:
    """Add a panel to the overview. `drawn` returns None if the user may not see it."""
    _fronts.append(drawn)
    return drawn


def fronts_for(request: HttpRequest) -> list[Panel]:
    return [panel for draw in _fronts if (panel := draw(request))]


def panels_of(row: Model) -> list[Panel]:
    return [each for each in panel.of(row) if each]


def timeline_of(row: Model, own: Iterable[Moment] = ()) -> list[Moment]:
    """Return all events of the row, in order of time."""
    added = [moment for moments in timeline.of(row) for moment in moments]
    return sorted([*own, *added], key=lambda moment: moment.at)
