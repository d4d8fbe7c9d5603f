"""
Columns of a million values in little memory.

A list holds the same text or date once, however many customers have it; money and ids are
made when they are asked for.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import TypeVar, overload

from promoportal.sandbox.engine import Value

_T_co = TypeVar("_T_co", covariant=True)
# What stands for a missing value: no amount of money comes near it.
MISSING = -(2**63)


class Made(Sequence[_T_co]):
    """So many values, each made from its position when it is asked for."""

    __slots__ = ("_count", "_make")

    def __init__(self, count: int, make: Callable[[int], _T_co]) -> None:
        self._count = count
        self._make = make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, position: int) -> _T_co: ...

    @overload
    def __getitem__(self, position: slice) -> Sequence[_T_co]: ...

    def __getitem__(self, position: int | slice) -> _T_co | Sequence[_T_co]:
        # The test that nearly always says yes: a column is read a million times.
        if type(position) is int and 0 <= position < self._count:
            return self._make(position)
        if isinstance(position, slice):
            return [self._make(each) for each in range(self._count)[position]]
        return self._make(range(self._count)[position])


def money(numbers: array[int], places: int = 2) -> Made[Decimal | None]:
    """Make a column of decimals of one number of places, eight bytes each."""

    def value(position: int) -> Decimal | None:
        number = numbers[position]
        return None if number == MISSING else Decimal(number).scaleb(-places)

    return Made(len(numbers), value)


def decimals(values: Iterable[Decimal | None]) -> Sequence[Value]:
    """Make a column of decimals: as money if they fit, else one by one."""
    every = list(values)
    there = [value for value in every if value is not None]
    places = max((decimal_places(value) for value in there), default=0)
    most = max((abs(value.scaleb(places)) for value in there), default=Decimal(0))
    # Some digits less than an array or a decimal can hold.
    if places > 6 or most >= 10**18:
        return every
    numbers = array(
        "q",
        (MISSING if value is None else int(value.scaleb(places)) for value in every),
    )
    return money(numbers, places)


def decimal_places(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def interned(values: Iterable[Value]) -> list[Value]:
    """Make a column of values that are often the same, which it then holds once."""
    # By type too: 1 and true, or 1 and 1.0, are equal and not the same.
    once: dict[tuple[type, Value], Value] = {}
    return [once.setdefault((type(value), value), value) for value in values]
