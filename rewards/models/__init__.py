"""What each customer is owed, until they have it."""

from __future__ import annotations

from rewards.models.assignment import TIER as TIER
from rewards.models.assignment import Activation as Activation
from rewards.models.assignment import ActivationManager as ActivationManager
from rewards.models.assignment import Assignment as Assignment
from rewards.models.assignment import AssignmentTransition as AssignmentTransition
from rewards.models.attempt import Attempt as Attempt
from rewards.models.choices import Collecting as Collecting
from rewards.models.choices import Reason as Reason
from rewards.models.choices import State as State
from rewards.models.choices import Trying as Trying
from rewards.models.collection import Collection as Collection
from rewards.models.collection import CollectionTransition as CollectionTransition
from rewards.models.collection import Tally as Tally
from rewards.models.promotion import Promotion as Promotion
from rewards.models.proposal import Proposal as Proposal
from rewards.models.retrial import Retrial as Retrial
from rewards.models.retrial import RetrialPart as RetrialPart
from rewards.models.retrial import RetrialTransition as RetrialTransition
from rewards.models.retrial import Retried as Retried
