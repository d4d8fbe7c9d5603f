"""The next step of a reward and its time, as a sentence that Support can read out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import models
from django.utils.text import capfirst

from executions.models import ExecutionStop
from redemptions.models import Redemption, RedemptionState
from rewards import obstacles
from rewards.models import Assignment, AssignmentReason, AssignmentState


class ActivationStatus(models.TextChoices):
    """The status of the reward for the customer, as far as the portal knows."""

    ACTIVATED = "ACTIVATED", "The customer has it."
    UNKNOWN = "UNKNOWN", "Nobody knows yet whether the customer has it."
    NOT_ASSIGNED = "NOT_ASSIGNED", "The customer does not get it."
    PENDING = "PENDING", "The customer does not have it yet."


@dataclass(frozen=True)
class NextStep:
    """The next step of a reward, its time if known, and whether staff must act."""

    activation_status: ActivationStatus
    action: str
    at: datetime | None = None
    needs_staff: bool = False

    @property
    def sentence(self) -> str:
        """Return the action; for an activated reward, the status comes first."""
        if self.activation_status == ActivationStatus.ACTIVATED:
            return f"{self.activation_status.label} {self.action}"
        return self.action


def of(row: Assignment) -> NextStep:
    """
    Return the next step of a reward.

    The caller should fetch `row` with its execution and redemption (`select_related`).
    """
    if row.execution.stop != ExecutionStop.NONE and row.state == AssignmentState.OWED:
        action = "Its execution is stopped: somebody resumes it, or not."
        return _step(row, action, needs_staff=True)
    return _OF[AssignmentState(row.state)](row)


def _step(
    row: Assignment,
    action: str,
    at: datetime | None = None,
    needs_staff: bool = False,
) -> NextStep:
    return NextStep(_activation_status(row), action, at, needs_staff)


def _activation_status(row: Assignment) -> ActivationStatus:
    if row.state == AssignmentState.ACTIVE:
        return ActivationStatus.ACTIVATED
    sent = {AssignmentState.ACTIVATING, AssignmentState.UNCERTAIN}
    if row.doubtful or row.state in sent:
        return ActivationStatus.UNKNOWN
    if row.state == AssignmentState.VOID:
        return ActivationStatus.NOT_ASSIGNED
    return ActivationStatus.PENDING


def _owed(row: Assignment) -> NextStep:
    if not row.cleared:
        return _step(row, "Its execution is checked against the limits first.")
    action = "It is sent to the platform."
    if row.doubtful:
        action = "It is sent again under the same key."
    elif row.failures:
        action = "The platform was not available; it is tried again."
    return _step(row, action, row.not_before)


def _uncertain(row: Assignment) -> NextStep:
    hours = settings.SETTLE_WITHIN.total_seconds() / 3600
    action = (
        "It was sent and not answered. The portal finds out what became of it; after "
        f"{hours:g} hours a person does."
    )
    return _step(row, action, row.not_before)


def _active(row: Assignment) -> NextStep:
    redemption: Redemption | None = getattr(row, "redemption", None)
    if redemption is None:
        return _step(row, "It is not reported to Optimove.")
    sentence, is_due = _REPORTED[RedemptionState(redemption.state)]
    at = redemption.not_before if is_due else None
    is_held = redemption.state == RedemptionState.HELD
    return _step(row, sentence, at, is_held)


_REPORTED = {
    RedemptionState.WAITING: ("Optimove will be told.", True),
    RedemptionState.REPORTING: ("Optimove is being told.", False),
    RedemptionState.UNCERTAIN: (
        "Optimove was told and did not answer; it is told again.",
        True,
    ),
    RedemptionState.REPORTED: ("Optimove knows it; nothing is left to do.", False),
    RedemptionState.HELD: ("Optimove does not know it; a person looks at why.", False),
    RedemptionState.WRITTEN_OFF: ("Optimove will not be told.", False),
}


def _held(row: Assignment) -> NextStep:
    text = _HELD.get(row.reason, "A person looks at it.")
    if row.doubtful:
        text = _IN_DOUBT
    elif conflict := obstacles.owner_conflict(row):
        text = f"{capfirst(conflict.sentence)}."
    elif row.known_difference:
        text = _HELD[AssignmentReason.DIFFERS]
    return _step(row, text, needs_staff=True)


_IN_DOUBT = "Somebody looks in the platform's books, and says whether it was given."
_HELD: dict[str, str] = {
    AssignmentReason.UNREADABLE: "An engineer mends the contract, or Optimove the row; then try again.",
    AssignmentReason.UNKNOWN_STATUS: "An engineer adds the status to the contract; then try again.",
    AssignmentReason.REFUSED: "Mend at the platform what its words name, then try again.",
    AssignmentReason.DIFFERS: "CRM says whether what Optimove lists now is meant.",
    AssignmentReason.REPEATED: "CRM says whether a second one is meant.",
    AssignmentReason.OVER_LIMIT: "CRM says whether so much is meant.",
    AssignmentReason.TOO_LATE: "CRM says whether it still makes sense; then try again.",
    AssignmentReason.POISON: "An engineer looks at what killed the worker.",
}


def _void(row: Assignment) -> NextStep:
    if row.doubtful:
        # It may have been assigned and activated before a backup was restored.
        return _step(row, _IN_DOUBT, needs_staff=True)
    return _step(row, _VOID.get(row.reason, "Nothing was assigned."))


_VOID: dict[str, str] = {
    AssignmentReason.NOT_ASSIGNED: "Optimove assigned nothing, so there is nothing to give.",
    AssignmentReason.CANCELLED: "It was cancelled before the customer had it.",
    AssignmentReason.WRITTEN_OFF: "Staff decided that it will not be given.",
}

_OF = {
    AssignmentState.OWED: _owed,
    AssignmentState.ACTIVATING: lambda row: _step(row, "It is being sent right now."),
    AssignmentState.UNCERTAIN: _uncertain,
    AssignmentState.ACTIVE: _active,
    AssignmentState.HELD: _held,
    AssignmentState.VOID: _void,
}
