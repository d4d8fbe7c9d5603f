from __future__ import annotations

import re
from typing import Any

from django.db.models import BinaryField, QuerySet

# No key of the portal has more digits. Python refuses to parse much longer numbers.
_KEY = re.compile("[0-9]{1,18}")


def key_in(text: str) -> int | None:
    """Return a text from outside as the key of a row, or None if it is not a key."""
    return int(text) if _KEY.fullmatch(text) else None


def without_bodies(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Defer binary columns, which may have a megabyte in each row."""
    fields = rows.model._meta.fields
    return rows.defer(*[each.name for each in fields if isinstance(each, BinaryField)])
