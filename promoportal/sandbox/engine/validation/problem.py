"""One mistake, and the checks that several modules share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from promoportal.sandbox.engine.model import Category
from promoportal.sandbox.engine.rounding import Uncomputable, minor_unit, rounded

Where = tuple[str | int, ...]


class Mistake(NamedTuple):
    """The path to a mistake, and a sentence that says what is wrong and what to do."""

    where: Where
    sentence: str


def of_measure(category: Category, measure: str, where: Where) -> Iterator[Mistake]:
    """Yield the mistake in the name of a currency or unit, if there is one."""
    if category is Category.AMOUNT and not re.fullmatch("[A-Z]{3}", measure):
        yield Mistake(
            where,
            f"{measure!r} is no currency. Write its three capital letters, as in ISO "
            "4217: 'EUR'.",
        )
    if category is Category.UNITS and not measure.strip():
        yield Mistake(where, "The unit has no name. Say what is given: 'spins'.")


def of_size(
    size: Decimal, category: Category, measure: str, where: Where
) -> Iterator[Mistake]:
    """Yield the mistake in a size that is not positive or can't be paid out exactly."""
    field = where[-1]
    if not size.is_finite():
        yield Mistake(where, f"The {field} is {size}. Write a number.")
    elif size <= 0:
        yield Mistake(where, f"The {field} is {size}. Make it more than 0.")
    elif not _is_whole(size, minor_unit(category, measure)):
        unit = minor_unit(category, measure)
        yield Mistake(
            where,
            f"The {field} is {size}, but the smallest there is of {measure} is {unit}. "
            f"Write a multiple of {unit}.",
        )


def _is_whole(size: Decimal, unit: Decimal) -> bool:
    try:
        return rounded(size, unit) == size
    except Uncomputable:
        return False
