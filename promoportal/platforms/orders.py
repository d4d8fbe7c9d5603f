"""What is sent to a platform, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from promoportal.wire import Evidence, Json


@dataclass(frozen=True, slots=True)
class Reward:
    """What it is worth. The value is text, with the digits the vendor used."""

    category: str
    type: str
    value: str
    currency: str | None = None
    unit: str | None = None
    tier: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """
    What a platform is asked to turn on.

    It is frozen at the first attempt and stored, so that a later one can't ask for
    anything else with the same key.
    """

    customer: str
    promotion: str
    occurrence: str
    reward: Reward | None = None
    unique_code: str | None = None
    promotion_code: str | None = None
    properties: Mapping[str, Json] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Say it in JSON that jsonb can keep."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Order:
        """Read what `as_json` said."""
        reward = stored["reward"]
        return cls(**{**stored, "reward": None if reward is None else Reward(**reward)})


@dataclass(frozen=True, slots=True)
class Receipt:
    """The platform's word that a reward is on."""

    reference: str
    evidence: Evidence = field(default_factory=Evidence, compare=False)
