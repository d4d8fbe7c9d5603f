"""
The promotion engine: pure functions that allocate the rewards of a promotion.

The main function is `calculate`. The rules come from optimove.md, section 5. Docstrings
and comments mark the rules as CONFIRMED or ASSUMED.
"""

from __future__ import annotations

from promoportal.sandbox.engine.allocation import calculate
from promoportal.sandbox.engine.conditions import holds, select
from promoportal.sandbox.engine.model import (
    EVENT,
    EVERYONE,
    NOTHING,
    Account,
    All,
    Allocation,
    Any,
    Budget,
    Cap,
    Category,
    Comparison,
    Condition,
    Direction,
    Fixed,
    Outcome,
    Percentage,
    Population,
    Promotion,
    Reward,
    Sorting,
    State,
    Status,
    Test,
    Tier,
    Timeframe,
    UniqueCodes,
    Value,
)
from promoportal.sandbox.engine.promotion_states import moved
from promoportal.sandbox.engine.validation import Mistake, Where, mistakes, mistakes_in

__all__ = [
    "EVENT",
    "EVERYONE",
    "NOTHING",
    "Account",
    "All",
    "Allocation",
    "Any",
    "Budget",
    "Cap",
    "Category",
    "Comparison",
    "Condition",
    "Direction",
    "Fixed",
    "Mistake",
    "Outcome",
    "Percentage",
    "Population",
    "Promotion",
    "Reward",
    "Sorting",
    "State",
    "Status",
    "Test",
    "Tier",
    "Timeframe",
    "UniqueCodes",
    "Value",
    "Where",
    "calculate",
    "holds",
    "mistakes",
    "mistakes_in",
    "moved",
    "select",
]
