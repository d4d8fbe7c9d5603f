from __future__ import annotations

import re
from typing import Any

from django.db.models import BinaryField, QuerySet

# A key has no more digits; Python refuses to parse much longer numbers.
_KEY = re.compile("[0-9]{1,18}")


def key_in(text: str) -> int | None:
    """Return the key of a row in a text from outside, or None."""
    return int(text) if _KEY.fullmatch(text) else None


def without_bodies(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Defer binary columns, which may have a megabyte in each row."""
    fields = rows.model._meta.fields
    return rows.defer(*[each.name for each in fields if isinstance(each, BinaryField)])
