"""Who is served first."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from decimal import Decimal
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
    Put customers into the order in which they are served.

    CONFIRMED (optimove.md, section 5): at random, unless there is an attribute to sort
    by. ASSUMED: the lots are drawn from a seed; whoever lacks the attribute comes last;
    ties fall to the lower customer id, compared as text ("10" before "9"), then to the
    place in the population. In which order customers were targeted plays no part.
    """
    order = sorted(positions)
    if sorting is None:
        # As text: a seed of -1 is another than one of 1.
        random.Random(str(seed)).shuffle(order)  # noqa: S311 - lots that can be redrawn
        return order
    order.sort(key=lambda position: str(population.ids[position]))
    return _sorted(
        order, column_reader(population, sorting.attribute), sorting.direction
    )


def _sorted(order: list[int], read: Read, direction: Direction) -> list[int]:
    """
    Sort by what is read, kind by kind, the missing last; ties stay as they came.

    ASSUMED: the direction is that of the values; the order of kinds is always the same.
    """
    by_kind: dict[Kind | None, list[int]] = {kind: [] for kind in (*Kind, None)}
    for position in order:
        by_kind[kind_of(read(position))].append(position)
    for kind in Kind:
        key = _key(kind, by_kind[kind], read)
        by_kind[kind].sort(key=key, reverse=direction is Direction.HIGH_TO_LOW)
    return [position for positions in by_kind.values() for position in positions]


def _key(kind: Kind, positions: list[int], read: Read) -> Callable[[int], Any]:
    """
    Find what to compare. Numbers of one type have the order of their writing.

    Those of several have not, quite: a tenth as a float and as a decimal are the same.
    """
    if kind is not Kind.NUMBER or len({type(read(each)) for each in positions}) < 2:
        return read

    def exactly(position: int) -> Decimal | None:
        return number(read(position))

    return exactly
