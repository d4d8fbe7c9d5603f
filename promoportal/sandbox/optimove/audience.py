"""Whom a scenario's campaign is for, and who of them goes on."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import compress

from promoportal.sandbox.engine import Population, Value


def found(positions: Sequence[int], position: int) -> int | None:
    """Find where a position is, among some in their order."""
    index = bisect_left(positions, position)
    there = index < len(positions) and positions[index] == position
    return index if there else None


class Crowd:
    """The customers of a scenario, found by id."""

    def __init__(self, population: Population) -> None:
        self.population = population
        self._positions: Mapping[str, int] | None = None

    def __len__(self) -> int:
        return len(self.population)

    def position(self, customer: str) -> int | None:
        if self._positions is None:
            self.know()
        return self._positions.get(customer) if self._positions else None

    def know(self) -> None:
        """Look at every customer once; a million take a moment."""
        ids = self.population.ids
        self._positions = {str(one): position for position, one in enumerate(ids)}

    def attributes(self, position: int) -> dict[str, Value]:
        population = self.population
        return {
            name: population.column(name)[position] for name in population.attributes
        }


class Audience:
    """
    The targeted customers of one execution, and what Promotions said of each.

    CONFIRMED: a customer of whom nothing is said counts as false.
    """

    def __init__(self, crowd: Crowd, positions: Sequence[int], group: int) -> None:
        self.crowd = crowd
        self.group = group
        self.positions = array("I", sorted(positions))
        self._true = bytearray(len(self.positions))
        self._gone: array[int] | None = None

    def __len__(self) -> int:
        return len(self.positions)

    def say(self, customer: str, status: bool) -> None:
        """Take what is said of a customer; of strangers, nothing is taken."""
        position = self.crowd.position(customer)
        index = None if position is None else found(self.positions, position)
        if index is not None:
            self._true[index] = status

    def go(self) -> None:
        """Let the campaign go out to those who are true now; what is said later is late."""
        self._gone = array("I", compress(self.positions, self._true))

    @property
    def going(self) -> Sequence[int]:
        """The positions of those the campaign went out to; no one before it did."""
        return () if self._gone is None else self._gone

    def ids(self) -> Iterator[str | int]:
        ids = self.crowd.population.ids
        return (ids[position] for position in self.going)
