"""Short forms for the indexes of this app's models."""

from __future__ import annotations

from typing import Any

from django.db.models import Index, Q

from promoportal.db.state_machine import NEWEST


def newest(name: str, *columns: Any, where: Q | None = None, **options: Any) -> Index:
    """Return an index that finds rows with given values, the newest rows first."""
    return Index(*columns, NEWEST, name=name, condition=where, **options)


def partial(name: str, *fields: str, **values: Any) -> Index:
    """Return an index that contains only the rows with these values."""
    return Index(fields=fields, name=name, condition=Q(**values))
