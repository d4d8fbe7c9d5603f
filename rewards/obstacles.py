"""Reasons why staff cannot decide about a reward in a certain way."""

from __future__ import annotations

from django.utils import timezone

from executions.models import ExecutionStop
from promoportal import optimove
from promoportal.db.bulk_result import SkipKind, SkipReason
from promoportal.optimove import Meaning, Row
from rewards.activation import request_lifetime
from rewards.collection.evaluation import REREAD_REASONS
from rewards.models import (
    Assignment,
    AssignmentDifference,
    AssignmentReason,
    AssignmentState,
)

# Rewards with these reasons did not fail: staff must confirm that they are intended.
NEEDS_CONFIRMATION = (
    AssignmentReason.REPEATED,
    AssignmentReason.OVER_LIMIT,
    AssignmentReason.DIFFERS,
)

IN_DOUBT = SkipReason(SkipKind.IN_DOUBT, "in doubt: say first whether it was given")
EXECUTION_CANCELLED = SkipReason(
    SkipKind.EXECUTION_CANCELLED, "its execution is cancelled"
)
NOT_THEIRS = SkipReason(
    SkipKind.OTHER_OWNER,
    "its id is another customer's or promotion's by now: write it off; "
    "what is listed under the id now has an assignment of its own",
)


def to_retry(row: Assignment, stop: ExecutionStop) -> SkipReason | None:
    """Return why a retry would skip the row, or None."""
    if why_not := _stays(row, stop):
        return why_not
    if row.reason in NEEDS_CONFIRMATION:
        return owner_conflict(row) or needs_confirmation(_held_as(row))
    if row.reason in REREAD_REASONS:
        return None
    if why_not := _not_eligible(row) or owner_conflict(row):
        return why_not
    changed = AssignmentReason.DIFFERS.label
    return needs_confirmation(changed) if row.known_difference else None


def needs_confirmation(situation: str) -> SkipReason:
    sentence = f'{situation}: press "Approve" if it is meant'
    return SkipReason(SkipKind.NEEDS_CONFIRMATION, sentence)


def to_approval(row: Assignment, stop: ExecutionStop) -> SkipReason | None:
    """Return why an approval would skip the row, or None."""
    if why_not := _stays(row, stop):
        return why_not
    if row.reason not in NEEDS_CONFIRMATION and not row.known_difference:
        return SkipReason(SkipKind.NEEDS_RETRY, f'{_held_as(row)}: press "Retry"')
    return _not_eligible(row) or owner_conflict(row)


def _not_eligible(row: Assignment) -> SkipReason | None:
    if row.meaning == Meaning.ACTIVATE:
        return None
    listed = f"Optimove lists it as {row.vendor_status}"
    return SkipReason(SkipKind.NOT_ELIGIBLE, listed)


def owner_conflict(row: Assignment) -> SkipReason | None:
    """Return NOT_THEIRS if Optimove lists another customer or promotion; else None."""
    if row.known_difference != AssignmentDifference.OWNER:
        return None
    return compare_owner(row, optimove.reread(row.as_assigned))


def compare_owner(row: Assignment, listed: Row) -> SkipReason | None:
    promotion = row.promotion.reference if row.promotion else ""
    pairs = ((row.customer, listed.customer), (promotion, listed.promotion))
    # The owner of a row without a key may not have been readable.
    is_known = row.key is not None
    is_same = all(ours == theirs or not (ours or is_known) for ours, theirs in pairs)
    return None if is_same else NOT_THEIRS


# After a restored backup, a row in `VOID` may have been activated in the gap.
_STILL = (AssignmentState.UNCERTAIN, AssignmentState.HELD, AssignmentState.VOID)


def to_saying(row: Assignment) -> SkipReason | None:
    """Return why staff cannot confirm or deny the activation; None if they can."""
    if not row.doubtful:
        return SkipReason(SkipKind.WRONG_STATE, "not in doubt")
    if row.state not in _STILL:
        label = AssignmentState(row.state).label
        return SkipReason(SkipKind.WRONG_STATE, f"{label}: wait for its answer")
    return None


def to_denying(row: Assignment) -> SkipReason | None:
    """Return why staff cannot deny the activation, now or at all; None if they can."""
    if why_not := to_saying(row):
        return why_not
    until = request_lifetime.open_until(row)
    if until is None:
        return None
    time = f"{timezone.localtime(until):%Y-%m-%d %H:%M:%S %Z}"
    sentence = f"its request may still arrive until {time}: reload the page then"
    return SkipReason(SkipKind.TOO_EARLY, sentence)


def to_writing_off(row: Assignment) -> SkipReason | None:
    """Return why the row cannot be written off; None if it can."""
    if row.state != AssignmentState.HELD:
        label = AssignmentState(row.state).label
        return SkipReason(SkipKind.WRONG_STATE, f"{label}, not held")
    return IN_DOUBT if row.doubtful else None


def to_telling(row: Assignment) -> SkipReason | None:
    """Return why staff have nothing to report to CRM; None if they have."""
    is_changed = row.reason == AssignmentReason.DIFFERS or row.cancelled_too_late
    if row.state == AssignmentState.ACTIVE and is_changed and row.told_at is None:
        return None
    return SkipReason(SkipKind.WRONG_STATE, "there is nothing to tell CRM")


def _held_as(row: Assignment) -> str:
    return f"held as {AssignmentReason(row.reason).label}" if row.reason else "held"


def _stays(row: Assignment, stop: ExecutionStop) -> SkipReason | None:
    """Return why staff can neither retry nor approve the reward, or None."""
    if why_not := to_writing_off(row):
        return why_not
    return EXECUTION_CANCELLED if stop == ExecutionStop.CANCELLED else None
