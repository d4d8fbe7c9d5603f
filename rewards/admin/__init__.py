"""What each customer is owed, to look at and to decide about."""

from __future__ import annotations

from rewards.admin import activations, assignments, beside, collections, promotions

__all__ = ["activations", "assignments", "beside", "collections", "promotions"]
