"""Filters by one related row, and by a fixed set of conditions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

from promoportal.admin.formatting import called
from promoportal.db.display_names import Named

# Maximum number of rows that a filter offers.
MAX_OFFERED = 10


class _DisplayName(str):
    """The display name and ID of a row: plain as a string, formatted in a template."""

    __slots__ = ("row",)
    row: Named

    def __new__(cls, row: Named) -> Self:
        text = super().__new__(cls, row.called)
        text.row = row
        return text

    def __html__(self) -> str:
        return called(self.row)


class RelatedRowFilter(SimpleListFilter):
    """
    A filter of a list by one related row. It offers only the newest rows.

    There may be thousands of related rows, and the time that a list takes must not grow
    with their number.
    """

    path: ClassVar[str]
    model: ClassVar[type[Model]]
    row: Model | None = None

    def lookups(
        self, request: HttpRequest, model_admin: ModelAdmin[Any]
    ) -> list[tuple[str, str]]:
        value = self.value()
        newest = self.model._base_manager.order_by("-pk")[:MAX_OFFERED]
        offered = {str(row.pk): row for row in newest}
        if value is not None:
            self.row = offered.get(value) or find(self.model, value)
        self.is_all = len(offered) < MAX_OFFERED
        label = self._label(self.row) if self.row else "not there"
        chosen = [] if value is None or value in offered else [(value, label)]
        return [*chosen, *((key, self._label(row)) for key, row in offered.items())]

    @property
    def hint(self) -> str:
        if self.is_all:
            return ""
        return (
            f"These are the newest. An older {self.title}'s own page leads here, too."
        )

    def misread(self) -> Iterator[str]:
        if self.value() is not None and self.row is None:
            yield (
                f"The {self.title} that this list was narrowed to is not there, or no "
                "longer."
            )

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() is None:
            return queryset
        return self._filtered(queryset) if self.row else queryset.none()

    def _filtered(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.path: self.row})

    def _label(self, row: Any) -> str:
        return _DisplayName(row) if isinstance(row, Named) else str(row.short_name)


def narrowed(path: str, model: type[Model]) -> type[RelatedRowFilter]:
    """Return a filter by the related row to which the field path `path` leads."""
    name = str(model._meta.verbose_name)
    return type(
        f"NarrowedTo{model.__name__}",
        (RelatedRowFilter,),
        {"title": name, "parameter_name": name, "path": path, "model": model},
    )


class LookupFilter(SimpleListFilter):
    """
    A filter with fixed choices, each with its label and its condition.

    `is_offered` is False if no index serves a choice without another filter. The filter
    then offers only the choice in the list's address, so that users can remove it.
    """

    conditions: ClassVar[Mapping[str, tuple[str, Q]]]
    is_offered: ClassVar[bool]

    def lookups(
        self, request: HttpRequest, model_admin: ModelAdmin[Any]
    ) -> list[tuple[str, str]]:
        return [
            (value, label)
            for value, (label, _) in self.conditions.items()
            if self.is_offered or value == self.value()
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        _, condition = self.conditions.get(str(self.value()), ("", Q()))
        return queryset.filter(condition)


def narrowed_by(
    parameter: str,
    title: str,
    conditions: Mapping[str, tuple[str, Q]],
    *,
    is_offered: bool = True,
) -> type[LookupFilter]:
    """Return a filter with a label and a condition for each value of its parameter."""
    return type(
        "NarrowedBy",
        (LookupFilter,),
        {
            "title": title,
            "parameter_name": parameter,
            "conditions": conditions,
            "is_offered": is_offered,
        },
    )


def find(model: type[Model], key: str) -> Model | None:
    try:
        return model._base_manager.filter(pk=key).first()
    except (ValueError, TypeError):
        return None
