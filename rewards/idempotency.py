"""
The keys under which rewards are asked for.

Derived and never drawn: whatever is killed, repeated or restored from a backup, the same
reward is asked for under the same key, so that a platform that remembers keys can credit
it only once.
"""

from __future__ import annotations

import json
from uuid import UUID, uuid5

from promoportal.db.installation import installation_id


def idempotency_key(
    occurrence: str, promotion: str, customer: str, repeat: str = ""
) -> UUID:
    """
    The key of what one customer gets of one promotion in one occurrence.

    `repeat` is the vendor's assignment id where a person released a second assignment
    of the same three; empty for the first.
    """
    # As JSON, since ids may hold whatever separator we would choose.
    parts = [occurrence, promotion, customer, *([repeat] if repeat else [])]
    return uuid5(installation_id(), json.dumps(parts))


def redemption_reference(key: UUID) -> UUID:
    """The reference under which that activation is reported."""
    return uuid5(key, "redemption")
