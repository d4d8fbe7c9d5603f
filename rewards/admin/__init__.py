"""What each customer is owed, to look at and to decide about."""

from __future__ import annotations

from rewards.admin import (
    activations,
    assignments,
    collections,
    execution_panels,
    promotions,
)

__all__ = [
    "activations",
    "assignments",
    "collections",
    "execution_panels",
    "promotions",
]
