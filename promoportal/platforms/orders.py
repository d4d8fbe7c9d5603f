"""The data sent to a platform and returned by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from promoportal.wire import Evidence, Json


@dataclass(frozen=True, slots=True)
class Reward:
    """The reward in an order. `value` is text, to keep Optimove's digits."""

    category: str
    type: str
    value: str
    currency: str | None = None
    unit: str | None = None
    tier: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """
    The data of one reward that the portal sends to the platform.

    The order is stored at the first attempt. Retries send the stored order, so that the
    same key cannot ask for anything else.
    """

    customer: str
    promotion: str
    occurrence: str
    reward: Reward | None = None
    unique_code: str | None = None
    promotion_code: str | None = None
    properties: Mapping[str, Json] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return values that a jsonb column can store."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Order:
        """Create an order from the result of `as_json`."""
        reward = stored["reward"]
        return cls(**{**stored, "reward": None if reward is None else Reward(**reward)})


@dataclass(frozen=True, slots=True)
class Receipt:
    """The platform's confirmation that a reward is activated."""

    reference: str
    evidence: Evidence = field(default_factory=Evidence, compare=False)
