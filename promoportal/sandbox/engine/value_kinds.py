"""Kinds of values. Values of different kinds are never compared."""

from __future__ import annotations

import enum
import math
from datetime import date, datetime
from decimal import Decimal

from promoportal.sandbox.engine.model import Value


class Kind(enum.IntEnum):
    """Kinds of values, in the order in which a mixed column is sorted. ASSUMED."""

    NUMBER = enum.auto()
    DATE = enum.auto()
    TEXT = enum.auto()
    TRUTH = enum.auto()


_KINDS: dict[type, Kind] = {
    bool: Kind.TRUTH,
    int: Kind.NUMBER,
    float: Kind.NUMBER,
    Decimal: Kind.NUMBER,
    str: Kind.TEXT,
    date: Kind.DATE,
}


def kind_of(value: object) -> Kind | None:
    """
    Return the kind of a value, or None if the value is missing.

    ASSUMED: NaN, infinity and a `datetime` count as missing. A boolean is not a number.
    """
    kind = _KINDS.get(type(value)) or _inherited(value)
    if kind is Kind.NUMBER and _is_not_finite(value):
        return None
    return kind


def _inherited(value: object) -> Kind | None:
    """Return the kind of a value whose class is a subclass of a known type."""
    if value is None or isinstance(value, datetime):
        return None
    return next(
        (kind for like, kind in _KINDS.items() if isinstance(value, like)), None
    )


def _is_not_finite(value: object) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    return isinstance(value, Decimal) and not value.is_finite()


def number(value: Value) -> Decimal | None:
    """Return a finite number as the decimal that Python prints for it, or None."""
    if isinstance(value, float):
        return Decimal(float.__repr__(value)) if math.isfinite(value) else None
    if kind_of(value) is not Kind.NUMBER:
        return None
    return Decimal(value)  # type: ignore[arg-type]  # an int or a Decimal, as its kind says
