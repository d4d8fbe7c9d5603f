"""
Idempotency keys of rewards.

A key is derived and never random. After a crash, a repeated fetch or a restored backup,
a reward is sent with the same key. A platform that remembers keys activates it once.
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

    `repeat` is Optimove's assignment ID of a duplicate assignment of the same three, so
    that staff can approve the duplicate. It is empty for the first assignment.
    """
    # JSON, because an ID may contain any separator.
    parts = [occurrence, promotion, customer, *([repeat] if repeat else [])]
    return uuid5(installation_id(), json.dumps(parts))


def redemption_reference(key: UUID) -> UUID:
    """Return the reference with which this activation is reported to Optimove."""
    return uuid5(key, "redemption")
