"""Outcomes that are chosen by weight, for executions without a scenario."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from promoportal.sandbox.optimove.sample_customers import Customer

ASSIGNED = "Assigned"
CANCELLED = "Cancelled"
Reward = Mapping[str, object]
UNLUCKY: Mapping[str, float] = {
    "NotEligible": 6,
    "BudgetExceeded": 2,
    "AudienceCapReached": 1,
    "NoCodeAvailable": 0.5,
    "Failed": 0.5,
}


@dataclass(frozen=True)
class Tier:
    """One tier of a promotion, for customers with deposits of at least `at_least`."""

    reward: Reward | None  # None: the customer gets only a code
    at_least: float = 0.0


@dataclass(frozen=True)
class Promotion:
    """A promotion without limits, for executions without a scenario."""

    id: str
    code: str
    name: str
    tiers: tuple[Tier, ...]
    properties: Mapping[str, object] = field(default_factory=dict)
    unique_codes: bool = False


@dataclass(frozen=True)
class Mix:
    """The share of eligible customers, and the weights of the other statuses."""

    eligible: float = 0.8
    otherwise: Mapping[str, float] = field(default_factory=lambda: UNLUCKY)


class Decision(NamedTuple):
    """The outcome for one customer: a status, and a tier if the status is Assigned."""

    status: str
    tier: Tier | None = None


def decide(customer: Customer, promotion: Promotion, mix: Mix) -> Decision:
    """Return the outcome of a promotion for a customer."""
    if customer.activity >= mix.eligible:
        return Decision(_unlucky(customer, mix))
    for tier in promotion.tiers:
        if customer.deposits >= tier.at_least:
            return Decision(ASSIGNED, tier)
    return Decision("NotEligible")


def _unlucky(customer: Customer, mix: Mix) -> str:
    """Return a status for a customer who is not eligible, chosen by weight."""
    position = (customer.activity - mix.eligible) / (1 - mix.eligible)
    left = position * sum(mix.otherwise.values())
    for status, weight in mix.otherwise.items():
        left -= weight
        if left < 0:
            return status
    return list(mix.otherwise)[-1]
