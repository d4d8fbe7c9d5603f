"""The value of a tier's reward for a customer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

from promoportal.sandbox.engine.model import (
    Fixed,
    Percentage,
    Population,
    Reward,
    Value,
)
from promoportal.sandbox.engine.rounding import EXACT, Uncomputable, minor_unit, rounded
from promoportal.sandbox.engine.value_kinds import number
from promoportal.sandbox.engine.value_readers import reader

# A function that takes a position and returns the value, or None if it cannot be
# calculated.
Worth = Callable[[int], Decimal | None]


def worth(reward: Reward, population: Population, event: Mapping[str, Value]) -> Worth:
    """
    Return the function that takes a customer's position and returns the reward's value.

    CONFIRMED (optimove.md, section 5): a fixed value, or a percentage with bounds.
    ASSUMED: the bounds apply before rounding. The maximum overrides the minimum.
    Without a numeric attribute, a percentage cannot be calculated.
    """
    unit = minor_unit(reward.category, reward.measure)
    if isinstance(reward.size, Fixed):
        value = _or_none(lambda size: rounded(size, unit), reward.size.value)
        return lambda _: value
    size = reward.size
    read = reader(population, event, size.attribute)
    part = _part(size, unit)
    return lambda position: _or_none(part, number(read(position)))


def _part(size: Percentage, unit: Decimal) -> Callable[[Decimal], Decimal]:
    percent, least, most = size.percent, size.minimum, size.maximum

    def part(whole: Decimal) -> Decimal:
        value = EXACT.multiply(whole, percent).scaleb(-2, EXACT)
        if least is not None and value < least:
            value = least
        if most is not None and value > most:
            value = most
        return rounded(value, unit)

    return part


def _or_none(
    compute: Callable[[Decimal], Decimal], size: Decimal | None
) -> Decimal | None:
    if size is None:
        return None
    try:
        value = compute(size)
    except Uncomputable:
        return None
    return value if value.is_finite() else None
