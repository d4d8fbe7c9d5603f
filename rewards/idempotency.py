"""
Idempotency keys of rewards.

A key is derived from IDs, and is never random. So a reward keeps its key after a crash,
a repeated fetch or a restored backup. An idempotent platform recognises the same key.
"""

from __future__ import annotations

import json
from uuid import UUID, uuid5

from promoportal.db.installation import installation_id


def idempotency_key(
    occurrence: str, promotion: str, customer: str, repeat: str = ""
) -> UUID:
    """
    Return the key for one promotion, one customer and one execution.

    For a duplicate, `repeat` is Optimove's assignment ID. So the key differs from the
    key of the first assignment, for which `repeat` is empty.
    """
    # JSON, because an ID may contain any separator.
    parts = [occurrence, promotion, customer, *([repeat] if repeat else [])]
    return uuid5(installation_id(), json.dumps(parts))


def redemption_reference(key: UUID) -> UUID:
    """Return the reference with which the activated reward is reported to Optimove."""
    return uuid5(key, "redemption")
