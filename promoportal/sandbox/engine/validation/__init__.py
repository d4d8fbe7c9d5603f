"""
What is wrong with a promotion, before a customer finds out.

The engine itself refuses none of it: it says in its docstrings what then becomes of the
customers. ASSUMED throughout: optimove.md, section 5, does not say what the vendor's
promotion builder lets pass.
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
    """List what is wrong with a promotion, from its top to its bottom."""
    return [*_of_names(promotion), *of_tiers(promotion.tiers), *of_limits(promotion)]


def mistakes_in(condition: Condition, where: Where = ()) -> list[Mistake]:
    """List what is wrong with a condition, a tier's or a target group's."""
    return list(of_condition(condition, where))


def _of_names(promotion: Promotion) -> Iterator[Mistake]:
    for field in ("id", "code", "name"):
        if not getattr(promotion, field).strip():
            yield Mistake((field,), f"The promotion has no {field}. Give it one.")
    # CONFIRMED (optimove.md, section 3): a list of codes also comes as one text.
    if "," in promotion.code:
        yield Mistake(
            ("code",),
            f"The code {promotion.code!r} has a comma in it, which notices put between "
            "codes. Leave it out.",
        )
