"""Filters that show to which rows a list was narrowed by a link."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db.models import Model, QuerySet
from django.http import HttpRequest


class NarrowedTo(SimpleListFilter):
    """
    The one row to which a list is narrowed, so that it can be let go.

    It offers no others: there may be thousands, and a list costs the same whatever
    there is.
    """

    path: ClassVar[str]
    model: ClassVar[type[Model]]

    def lookups(
        self, request: HttpRequest, model_admin: ModelAdmin[Any]
    ) -> list[tuple[str, str]]:
        value = self.used_parameters.get(str(self.parameter_name))
        if value is None:
            return []
        self.row = _find(self.model, str(value))
        return [(str(value), str(self.row) if self.row else "not there")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.path: self.row}) if self.row else queryset.none()


def narrowed(path: str, model: type[Model]) -> type[NarrowedTo]:
    """A filter for what `path` leads to."""
    name = str(model._meta.verbose_name)
    return type(
        f"NarrowedTo{model.__name__}",
        (NarrowedTo,),
        {"title": name, "parameter_name": name, "path": path, "model": model},
    )


def _find(model: type[Model], key: str) -> Model | None:
    try:
        return model._base_manager.filter(pk=key).first()
    except (ValueError, TypeError):
        return None
