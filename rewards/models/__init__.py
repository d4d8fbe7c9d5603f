"""Models of the app, one module per entity. Import them from this package."""

from __future__ import annotations

from rewards.models.assignment import (
    TIER,
    Activation,
    Assignment,
    AssignmentTransition,
)
from rewards.models.attempt import Attempt
from rewards.models.choices import (
    AssignmentDifference,
    AssignmentReason,
    AssignmentState,
    CollectionState,
    RetrialState,
)
from rewards.models.collection import Collection, CollectionTransition, Tally
from rewards.models.lookup import Lookup
from rewards.models.promotion import Promotion
from rewards.models.proposal import Proposal
from rewards.models.retrial import Retrial, RetrialPart, RetrialTransition, Retried

__all__ = [
    "TIER",
    "Activation",
    "Assignment",
    "AssignmentDifference",
    "AssignmentReason",
    "AssignmentState",
    "AssignmentTransition",
    "Attempt",
    "Collection",
    "CollectionState",
    "CollectionTransition",
    "Lookup",
    "Promotion",
    "Proposal",
    "Retrial",
    "RetrialPart",
    "RetrialState",
    "RetrialTransition",
    "Retried",
    "Tally",
]
