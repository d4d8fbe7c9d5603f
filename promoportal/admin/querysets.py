from __future__ import annotations

from typing import Any

from django.db.models import BinaryField, QuerySet


def without_bodies(rows: QuerySet[Any]) -> QuerySet[Any]:
    """The rows without what may be a megabyte in each of them, read when it is shown."""
    fields = rows.model._meta.fields
    return rows.defer(*[each.name for each in fields if isinstance(each, BinaryField)])
