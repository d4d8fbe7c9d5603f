"""Columns of a million values that need little memory."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import TypeVar, overload

from promoportal.sandbox.engine import Value

_T_co = TypeVar("_T_co", covariant=True)
# The number that represents a missing value. No amount of money is as low.
MISSING = -(2**63)


class Computed(Sequence[_T_co]):
    """A sequence that computes each value from its position when the value is read."""

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
        # The most frequent case is first, because a column may be read a million times.
        if type(position) is int and 0 <= position < self._count:
            return self._make(position)
        if isinstance(position, slice):
            return [self._make(each) for each in range(self._count)[position]]
        return self._make(range(self._count)[position])


def money(numbers: array[int], places: int = 2) -> Computed[Decimal | None]:
    """Return a column of decimals: `numbers` divided by 10 to the power of `places`."""

    def value(position: int) -> Decimal | None:
        number = numbers[position]
        return None if number == MISSING else Decimal(number).scaleb(-places)

    return Computed(len(numbers), value)


def decimals(values: Iterable[Decimal | None]) -> Sequence[Value]:
    """Return a column of decimals, stored as 64-bit integers if all of them fit."""
    every = list(values)
    present = [value for value in every if value is not None]
    places = max((decimal_places(value) for value in present), default=0)
    most = max((abs(value.scaleb(places)) for value in present), default=Decimal(0))
    # 10**18 is below the largest 64-bit integer.
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
    """Return a list of the values. Equal values of one type become one object."""
    # By type too, because 1, True and 1.0 are equal in Python.
    known: dict[tuple[type, Value], Value] = {}
    return [known.setdefault((type(value), value), value) for value in values]
