"""Pages for assignments, activated rewards, fetches, promotions and bulk retries."""

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
