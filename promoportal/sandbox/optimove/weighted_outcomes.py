"""
Outcomes that are ordered and not calculated: so many eligible, the others by weight.

For a campaign in a hurry, of customers and statuses in a mix that is asked for. What an
operator's rules come to is for `engine` to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from promoportal.sandbox.optimove.sample_customers import Customer

ASSIGNED = "Assigned"
CANCELLED = "Cancelled"
Reward = Mapping[str, object]
UNLUCKY: Mapping[str, float] = MappingProxyType(
    {
        "NotEligible": 6,
        "BudgetExceeded": 2,
        "AudienceCapReached": 1,
        "NoCodeAvailable": 0.5,
        "Failed": 0.5,
    }
)


@dataclass(frozen=True)
class Tier:
    """One level of a promotion, for customers who deposited at least so much."""

    reward: Reward | None  # None where a code is all that is given
    at_least: float = 0.0


@dataclass(frozen=True)
class Promotion:
    """What is offered in a hurry: the operator's own have limits, and an engine."""

    id: str
    code: str
    name: str
    tiers: tuple[Tier, ...]
    properties: Mapping[str, object] = field(default_factory=dict)
    unique_codes: bool = False


@dataclass(frozen=True)
class Mix:
    """How many shall be eligible, and what becomes of the others, by weight."""

    eligible: float = 0.8
    otherwise: Mapping[str, float] = field(default_factory=lambda: UNLUCKY)


class Decision(NamedTuple):
    """What one customer gets: a status, and a tier if there is something to give."""

    status: str
    tier: Tier | None = None


def decide(customer: Customer, promotion: Promotion, mix: Mix) -> Decision:
    """Give every customer exactly one status, and at most one tier."""
    if customer.activity >= mix.eligible:
        return Decision(_unlucky(customer, mix))
    for tier in promotion.tiers:
        if customer.deposits >= tier.at_least:
            return Decision(ASSIGNED, tier)
    return Decision("NotEligible")


def _unlucky(customer: Customer, mix: Mix) -> str:
    """Share those beyond the eligible among the other statuses, by weight."""
    position = (customer.activity - mix.eligible) / (1 - mix.eligible)
    left = position * sum(mix.otherwise.values())
    for status, weight in mix.otherwise.items():
        left -= weight
        if left < 0:
            return status
    return list(mix.otherwise)[-1]
