from __future__ import annotations

from typing import Any

from django.db.models import BinaryField, QuerySet


def without_bodies(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Defer binary columns, which may have a megabyte in each row."""
    fields = rows.model._meta.fields
    return rows.defer(*[each.name for each in fields if isinstance(each, BinaryField)])
