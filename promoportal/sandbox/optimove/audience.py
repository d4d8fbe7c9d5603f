"""Whom a scenario's campaign is for, and who of them goes on."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import compress

from promoportal.sandbox.engine import Population


def found(positions: Sequence[int], position: int) -> int | None:
    """Find where a position is, among some in their order."""
    index = bisect_left(positions, position)
    there = index < len(positions) and positions[index] == position
    return index if there else None


class Audience:
    """
    The targeted customers of one execution, and what Promotions said of each.

    CONFIRMED: a customer of whom nothing is said counts as false.
    """

    def __init__(
        self,
        population: Population,
        position: Callable[[str], int | None],
        positions: Iterable[int],
        group: int,
    ) -> None:
        """:param position: finds the position of a customer by id"""
        self.population = population
        self.position = position
        self.group = group
        self.positions = array("I", sorted(positions))
        self._true = bytearray(len(self.positions))
        self._gone: array[int] | None = None

    def __len__(self) -> int:
        return len(self.positions)

    def say(self, customer: str, status: bool) -> None:
        """Take what is said of a customer; of strangers, nothing is taken."""
        position = self.position(customer)
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
        ids = self.population.ids
        return (ids[position] for position in self.going)
