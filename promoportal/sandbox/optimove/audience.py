"""The targeted customers of an execution, and those who remain in the campaign."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import compress

from promoportal.sandbox.engine import Population


def found(positions: Sequence[int], position: int) -> int | None:
    """Return the index of a position in a sorted sequence, or None if it is missing."""
    index = bisect_left(positions, position)
    is_found = index < len(positions) and positions[index] == position
    return index if is_found else None


class Audience:
    """
    The targeted customers of one execution, each with the status from Promotions.

    CONFIRMED: the status of a customer who is not reported is false.
    """

    def __init__(
        self,
        population: Population,
        position: Callable[[str], int | None],  # by customer ID
        positions: Iterable[int],
        group: int,  # the ID of the target group
    ) -> None:
        self.population = population
        self.position = position
        self.group = group
        self.positions = array("I", sorted(positions))
        self._true = bytearray(len(self.positions))
        self._remaining: array[int] | None = None

    def __len__(self) -> int:
        return len(self.positions)

    def set_status(self, customer: str, status: bool) -> None:
        """Set the status of a customer. Do nothing if the customer is not targeted."""
        position = self.position(customer)
        index = None if position is None else found(self.positions, position)
        if index is not None:
            self._true[index] = status

    def go(self) -> None:
        """Fix the remaining customers: those whose status is true now."""
        self._remaining = array("I", compress(self.positions, self._true))

    @property
    def going(self) -> Sequence[int]:
        """The positions of the customers who remain, or no positions before `go`."""
        return () if self._remaining is None else self._remaining

    def ids(self) -> Iterator[str | int]:
        ids = self.population.ids
        return (ids[position] for position in self.going)
