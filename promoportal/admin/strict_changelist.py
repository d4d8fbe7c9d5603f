"""
Lists that reject unknown or invalid parameters.

Such a list shows the reasons and no rows. If the list ignored the parameter and showed
more rows, staff could act on rows that they did not ask for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from django.contrib.admin import ListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import SEARCH_VAR, ChangeList
from django.http import HttpRequest
from django.utils.text import capfirst

from promoportal.admin.formatting import short

# Maximum length of the name and the value of a parameter: no ID is longer.
MAX_LENGTH = 200


class StrictChangeList(ChangeList):
    """A list that shows problems and no rows if its address has invalid parameters."""

    # Parameters of the address that are not filters.
    beside: ClassVar[tuple[str, ...]] = ()

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        self.problems = []
        for name, problem in _unreadable(request):
            self.problems.append(problem)
            self._forget(name)
        for name in self.beside:
            self._forget(name)
        if self.query and not self.search_fields:
            self.problems.append("Nothing is looked for in this list.")
            self._forget(SEARCH_VAR)
        try:
            rows = super().get_queryset(request, *args, **kwargs)
        except IncorrectLookupParameters:
            rows = self.root_queryset
            self.problems = self.problems or [
                "What the address asks is not understood."
            ]
        return rows.none() if self.problems else rows

    def get_filters(self, request: HttpRequest) -> Any:
        specs, is_any, _, duplicates, is_active = super().get_filters(request)
        # Django drops a filter without choices, together with its parameters.
        known = {name for spec in specs for name in spec.expected_parameters()}
        for name in self.get_filters_params().keys() - known:
            self.problems.append(f"This list is not narrowed by “{short(name)}”.")
        self.problems += [problem for spec in specs for problem in self._misread(spec)]
        return specs, is_any, {}, duplicates, is_active

    @property
    def chosen(self) -> list[str]:
        """Return the chosen filters in words."""
        return [text for spec in self.filter_specs for text in self._chosen(spec)]

    @property
    def narrowed(self) -> list[str]:
        """Return the chosen filters and the search term in words."""
        return [*self.chosen, *([f"Found by: {self.query}"] if self.query else [])]

    @property
    def notes(self) -> list[str]:
        """Return sentences about rows that a filter leaves out, and why."""
        functions = (getattr(spec, "notes", tuple) for spec in self.filter_specs)
        return [note for function in functions for note in function()]

    def _forget(self, name: str) -> None:
        self.params.pop(name, None)
        self.filter_params.pop(name, None)
        if name == SEARCH_VAR:
            self.query = ""

    def _chosen(self, spec: ListFilter) -> Iterator[str]:
        _, *choices = spec.choices(self)
        for choice in choices:
            if choice["selected"]:
                yield f"{capfirst(spec.title)}: {choice['display']}"

    def _misread(self, spec: ListFilter) -> Iterator[str]:
        """Yield the filter's problems, or one problem if its value is not a choice."""
        if problems := getattr(spec, "misread", None):
            yield from problems()
            return
        _, *choices = spec.choices(self)
        if spec.used_parameters and not any(choice["selected"] for choice in choices):
            yield f"“{_value(spec)}” is nothing to choose for “{spec.title}”."


def _value(spec: ListFilter) -> str:
    (value, *_) = spec.used_parameters.values()
    return short(str(value[-1] if isinstance(value, list) and value else value))


def _unreadable(request: HttpRequest) -> Iterator[tuple[str, str]]:
    """Yield each parameter that cannot be used in a query, with the reason."""
    for name, values in request.GET.lists():
        if "\0" in "".join([name, *values]):
            yield name, "The address holds a character that no id and no name has."
        elif len(name) > MAX_LENGTH or max(map(len, values)) > MAX_LENGTH:
            value = short(max(values, key=len))
            yield name, f"“{value}” is longer than anything that could be found."
