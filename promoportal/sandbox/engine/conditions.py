"""Evaluation of conditions. A test becomes a function of a customer's value."""

from __future__ import annotations

import math
import operator
import typing
from collections.abc import Callable, Mapping, Sequence, Set
from decimal import Decimal

from promoportal.sandbox.engine.model import (
    NOTHING,
    All,
    Comparison,
    Condition,
    Population,
    Test,
    Value,
)
from promoportal.sandbox.engine.value_kinds import Kind, kind_of, number
from promoportal.sandbox.engine.value_readers import reader

Matches = Callable[[Value], bool]
# Takes two values, which must be of one kind.
Operator = Callable[[typing.Any, typing.Any], bool]

OPERATORS: dict[Comparison, Operator] = {
    Comparison.IS: operator.eq,
    Comparison.IS_NOT: operator.ne,
    Comparison.AT_LEAST: operator.ge,
    Comparison.AT_MOST: operator.le,
    Comparison.ABOVE: operator.gt,
    Comparison.BELOW: operator.lt,
    Comparison.ONE_OF: operator.eq,
    Comparison.NONE_OF: operator.ne,
}
OF_MANY = frozenset({Comparison.ONE_OF, Comparison.NONE_OF})
UNORDERED = OF_MANY | {Comparison.IS, Comparison.IS_NOT}


def select(
    condition: Condition, population: Population, event: Mapping[str, Value] = NOTHING
) -> list[int]:
    """Return the positions of all matching customers in ascending order."""
    return matching(condition, population, range(len(population)), event)


def holds(
    condition: Condition,
    population: Population,
    position: int,
    event: Mapping[str, Value] = NOTHING,
) -> bool:
    """Return whether the customer at a position matches."""
    return bool(matching(condition, population, [position], event))


def matching(
    condition: Condition,
    population: Population,
    positions: Sequence[int],
    event: Mapping[str, Value],
) -> list[int]:
    """
    Return the matching positions among `positions`, in the same order.

    CONFIRMED (optimove.md, section 5): a condition is a tree of branches, which compare
    attributes and event values. ASSUMED: the set of comparisons. If a value is missing
    or is not of the wanted kind, no comparison is true, not even `is_not` or `none_of`.
    """
    if isinstance(condition, Test):
        read, matches = (
            reader(population, event, condition.attribute),
            matcher(condition),
        )
        return [position for position in positions if matches(read(position))]
    if isinstance(condition, All):
        for branch in condition.branches:
            positions = matching(branch, population, positions, event)
        return list(positions)
    found: set[int] = set()
    for branch in condition.branches:
        rest = [position for position in positions if position not in found]
        found.update(matching(branch, population, rest, event))
    return [position for position in positions if position in found]


# --- One comparison -------------------------------------------------------------------


def matcher(test: Test) -> Matches:
    """Return a function that takes a value and returns whether it passes the test."""
    if test.comparison in OF_MANY:
        return _of_many(test)
    if isinstance(test.wanted, tuple):
        return _never
    return _single(test.comparison, test.wanted)


def _of_many(test: Test) -> Matches:
    """Return the function for a list. With mixed kinds, `none_of` never matches."""
    wanted = test.wanted if isinstance(test.wanted, tuple) else (test.wanted,)
    kinds = {kind_of(value) for value in wanted}
    listed = {
        kind: {_exact(value) for value in wanted if kind_of(value) is kind}
        for kind in kinds - {None}
    }
    if test.comparison is Comparison.ONE_OF:
        return lambda value: _exact(value) in listed.get(kind_of(value), ())
    if None in kinds or len(kinds) > 1:
        return _never
    return lambda value: _is_outside(value, listed)


def _is_outside(value: Value, listed: Mapping[Kind | None, Set[Value]]) -> bool:
    """Return whether a value is of the list's kind and not in the list."""
    kind = kind_of(value)
    if kind is None or (listed and kind not in listed):
        return False
    return _exact(value) not in listed.get(kind, ())


def _exact(value: Value) -> Value:
    exactly = number(value)
    return value if exactly is None else exactly


def _single(comparison: Comparison, wanted: Value) -> Matches:
    compare = OPERATORS[comparison]
    exactly = number(wanted)
    if exactly is not None:
        return _number(compare, exactly)
    kind = kind_of(wanted)
    if kind is None or (kind is Kind.TRUTH and comparison not in UNORDERED):
        return _never
    return lambda value: kind_of(value) is kind and compare(value, wanted)


def _number(compare: Operator, exactly: Decimal) -> Matches:
    # The float 0.1 equals the decimal 0.1, which Python prints for it. For speed, only
    # the float nearest to the wanted number is compared as a decimal.
    nearest = float(exactly)
    same = compare(Decimal(repr(nearest)), exactly)

    def matches(value: Value) -> bool:
        if type(value) is float:
            return math.isfinite(value) and (
                same if value == nearest else compare(value, nearest)
            )
        if type(value) is int:
            return compare(value, exactly)
        found = number(value)
        return found is not None and compare(found, exactly)

    return matches


def _never(_: Value) -> bool:
    return False
