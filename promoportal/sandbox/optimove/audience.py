"""The targeted customers of an execution, and which of them remain in the campaign."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import compress

from promoportal.sandbox.engine import Population, Value


def found(positions: Sequence[int], position: int) -> int | None:
    """Return the index of a position in a sorted sequence; None if it is not in it."""
    index = bisect_left(positions, position)
    is_found = index < len(positions) and positions[index] == position
    return index if is_found else None


class Crowd:
    """The customers of a scenario, found by ID."""

    def __init__(self, population: Population) -> None:
        self.population = population
        self._positions: Mapping[str, int] | None = None

    def __len__(self) -> int:
        return len(self.population)

    def position(self, customer: str) -> int | None:
        if self._positions is None:
            self.index()
        return self._positions.get(customer) if self._positions else None

    def index(self) -> None:
        """Index all customers by ID; a million take a moment."""
        ids = self.population.ids
        self._positions = {str(one): position for position, one in enumerate(ids)}

    def attributes(self, position: int) -> dict[str, Value]:
        population = self.population
        return {
            name: population.column(name)[position] for name in population.attributes
        }


class Audience:
    """
    The targeted customers of one execution, and what Promotions reported of each.

    CONFIRMED: a customer who is not reported counts as false.
    """

    def __init__(self, crowd: Crowd, positions: Sequence[int], group: int) -> None:
        self.crowd = crowd
        self.group = group
        self.positions = array("I", sorted(positions))
        self._true = bytearray(len(self.positions))
        self._remaining: array[int] | None = None

    def __len__(self) -> int:
        return len(self.positions)

    def set_status(self, customer: str, status: bool) -> None:
        """Set the status of a targeted customer; other customers are ignored."""
        position = self.crowd.position(customer)
        index = None if position is None else found(self.positions, position)
        if index is not None:
            self._true[index] = status

    def go(self) -> None:
        """Fix the remaining customers: those whose status is true by now."""
        self._remaining = array("I", compress(self.positions, self._true))

    @property
    def going(self) -> Sequence[int]:
        """The positions of the customers who remain; none before `go` was called."""
        return () if self._remaining is None else self._remaining

    def ids(self) -> Iterator[str | int]:
        ids = self.crowd.population.ids
        return (ids[position] for position in self.going)
