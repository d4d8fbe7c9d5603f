"""
Checks that find the mistakes in a promotion before it is used.

The engine itself accepts such promotions; its docstrings say what then happens to the
customers. ASSUMED throughout: optimove.md, section 5, does not say what Optimove's
promotion builder accepts.
"""

from __future__ import annotations

from collections.abc import Iterator

from promoportal.sandbox.engine.model import Condition, Promotion
from promoportal.sandbox.engine.validation.condition_problems import of_condition
from promoportal.sandbox.engine.validation.limit_problems import of_limits
from promoportal.sandbox.engine.validation.problem import Mistake, Where
from promoportal.sandbox.engine.validation.tier_problems import of_tiers

__all__ = ["Mistake", "Where", "mistakes", "mistakes_in"]


def mistakes(promotion: Promotion) -> list[Mistake]:
    """Return the mistakes in a promotion, from top to bottom."""
    return [*_of_names(promotion), *of_tiers(promotion.tiers), *of_limits(promotion)]


def mistakes_in(condition: Condition, where: Where = ()) -> list[Mistake]:
    """Return the mistakes in a condition of a tier or a target group."""
    return list(of_condition(condition, where))


def _of_names(promotion: Promotion) -> Iterator[Mistake]:
    for field in ("id", "code", "name"):
        if not getattr(promotion, field).strip():
            yield Mistake((field,), f"The promotion has no {field}. Give it one.")
    # CONFIRMED (optimove.md, section 3): a list of codes is also sent as one text.
    if "," in promotion.code:
        yield Mistake(
            ("code",),
            f"The code {promotion.code!r} has a comma in it, which notices put between "
            "codes. Leave it out.",
        )
