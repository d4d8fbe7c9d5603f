"""The order in which eligible customers are served."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

from promoportal.sandbox.engine.model import Direction, Population, Sorting
from promoportal.sandbox.engine.value_kinds import Kind, kind_of, number
from promoportal.sandbox.engine.value_readers import Read, column_reader


def served_first(
    positions: Iterable[int],
    population: Population,
    sorting: Sorting | None,
    seed: int,
) -> list[int]:
    """
    Return the positions of the customers in the order in which they are served.

    CONFIRMED (optimove.md, section 5): the order is random unless the promotion has an
    attribute to sort by. ASSUMED: the random order depends on the seed. Customers
    without the attribute come last. Customers with the same value are sorted by ID as
    text ("10" before "9"), then by position. The order of `positions` does not matter.
    """
    order = sorted(positions)
    if sorting is None:
        # As text: the integers -1 and 1 would seed the same order.
        random.Random(str(seed)).shuffle(order)  # noqa: S311 - reproducible
        return order
    order.sort(key=lambda position: str(population.ids[position]))
    read = column_reader(population, sorting.attribute)
    return _sorted(order, read, sorting.direction)


def _sorted(order: list[int], read: Read, direction: Direction) -> list[int]:
    """
    Return the positions sorted by kind and value; equal values keep their order.

    ASSUMED: the direction applies within each kind. The order of the kinds is fixed.
    """
    by_kind: dict[Kind | None, list[int]] = {kind: [] for kind in (*Kind, None)}
    for position in order:
        by_kind[kind_of(read(position))].append(position)
    for kind in Kind:
        key = _key(kind, by_kind[kind], read)
        by_kind[kind].sort(key=key, reverse=direction is Direction.HIGH_TO_LOW)
    return [position for positions in by_kind.values() for position in positions]


def _key(kind: Kind, positions: list[int], read: Read) -> Callable[[int], Any]:
    """Return the sort key. Numbers of several types are compared as decimals."""
    if kind is not Kind.NUMBER or len({type(read(each)) for each in positions}) < 2:
        return read
    return lambda position: number(read(position))
