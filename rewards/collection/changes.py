"""Changes by Optimove to rows that were listed before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet, Value
from django.db.models.functions import Concat, Now, Trim

from executions.models import Execution, ExecutionStop
from promoportal.db import state_machine
from promoportal.db.bulk import Columns
from promoportal.optimove import Meaning
from rewards import limits, signals
from rewards.collection.evaluation import REREAD_REASONS, Listed
from rewards.models import (
    Assignment,
    AssignmentDifference,
    AssignmentReason,
    AssignmentState,
)
from rewards.transitions import cancel_assignments, mark_owed, mark_uncertain

# The columns of the reward. They do not change after the row was sent.
_WORTH = ("reward", "value", "unit", "unique_code", "properties")


@dataclass
class Counted:
    """The rewards to count and to subtract, and whether one is newly assigned."""

    rows: list[Columns] = field(default_factory=list)
    instead_of: list[Assignment] = field(default_factory=list)
    again: bool = False


def apply_changes(
    pairs: Sequence[tuple[Assignment, Listed]],
    taken: Sequence[tuple[Assignment, Listed]] = (),
) -> Counted:
    """
    Apply differences between stored and listed rows; return the rewards to count.

    `taken` contains stored rows whose ID Optimove lists for another owner now. They keep
    their owner and their reward, and need review.
    """
    changed = {old.pk: now for old, now in pairs if _has_changed(old, now)}
    lost = {old.pk: now for old, now in taken if _is_taken_anew(old, now)}
    found = Counted()
    rows = Assignment.objects.filter(pk__in=[*changed, *lost]).order_by("pk")
    for old in rows.select_related("promotion").select_for_update(of=["self"]):
        if old.pk in lost:
            _mark_taken(old, lost[old.pk])
        else:
            _follow(old, changed[old.pk], found)
    return found


def _follow(old: Assignment, now: Listed, found: Counted) -> None:
    # A reward that may have been sent keeps its values. Only a valid reward replaces
    # others.
    is_valid = now.row.meaning == Meaning.ACTIVATE and not now.row.problem
    kept = () if is_valid and not _has_sent_values(old) else _WORTH
    columns = {name: now.columns[name] for name in now.columns if name not in kept}
    _one(old).update(**columns, reference=now.row.reference)
    found.again |= _apply(old, now)
    # A reward counts while it is assigned. It still counts afterwards if the
    # customer may have it.
    was_counted = limits.is_counted(old)
    may_be_active = old.order is not None or old.doubtful or _is_active(old)
    if now.row.meaning == Meaning.ACTIVATE or (was_counted and may_be_active):
        found.rows.append({"unit": old.unit, "value": old.value} | columns)
    if was_counted:
        found.instead_of.append(old)


def _has_sent_values(old: Assignment) -> bool:
    """
    Return whether the stored values may be those of a request.

    After a restored backup, a row has no order, but may have been sent. A row that was
    not assigned, or that had no valid reward, was not sent with what is stored.
    """
    if old.order is not None:
        return True
    has_values = old.reward is not None or bool(old.unique_code)
    is_unsent = not old.doubtful or old.state == AssignmentState.VOID
    return has_values and (_is_active(old) or not is_unsent)


def _is_active(old: Assignment) -> bool:
    return old.state == AssignmentState.ACTIVE


def _is_taken_anew(old: Assignment, now: Listed) -> bool:
    is_marked = old.difference == AssignmentDifference.OWNER
    return not is_marked or old.as_assigned != now.row.raw


def _mark_taken(old: Assignment, now: Listed) -> None:
    """Mark a row whose ID Optimove lists for another owner, who has an own row."""
    _one(old).update(as_assigned=now.row.raw)
    difference = AssignmentDifference.OWNER
    if now.row.meaning == Meaning.ACTIVATE and _is_newly_assigned(old):
        problem = difference.problem
        state_machine.move_all(
            _one(old).filter(state=AssignmentState.VOID),
            AssignmentState.HELD,
            why=problem,
            reason=AssignmentReason.DIFFERS,
            problem=problem,
        )
    _hold_differing(old, difference)


def _apply(old: Assignment, now: Listed) -> bool:
    """Change the row's state to fit the list; return whether it is newly assigned."""
    difference = _difference(old, now)
    if now.row.problem or now.row.meaning == Meaning.UNKNOWN:
        _hold_unclear(old, now)
        if difference and old.reason not in REREAD_REASONS:
            _hold_differing(old, difference)
    elif now.row.meaning != Meaning.ACTIVATE:
        cancel_assignments(_one(old))
    elif _is_newly_assigned(old):
        return _assign(old, now, difference)
    else:
        if old.cancelled_too_late and now.terms.stop != ExecutionStop.CANCELLED:
            # Optimove cancelled the activated reward before, and assigns it again now.
            _one(old).update(cancelled_too_late=False)
        if difference:
            _hold_differing(old, difference)
    return False


def _has_changed(old: Assignment, now: Listed) -> bool:
    status = (now.row.status, now.row.meaning, now.row.reference)
    before = (old.vendor_status, old.meaning, old.reference)
    if before != status or _difference(old, now):
        return True
    # Optimove may have undone a change, or corrected invalid data.
    may_matter = old.reason in REREAD_REASONS or old.known_difference
    return bool(may_matter) and old.as_assigned != now.row.raw


def _difference(old: Assignment, now: Listed) -> AssignmentDifference | None:
    """Return the part of the assignment that Optimove changed, or None."""
    promotion = old.promotion.reference if old.promotion else ""
    if (old.customer, promotion) != (now.row.customer, now.row.promotion):
        return AssignmentDifference.OWNER
    if now.row.meaning != Meaning.ACTIVATE and not now.row.problem:
        return None  # such a row has no reward to compare
    before = {name: getattr(old, name) for name in _WORTH}
    if _worth(before) != _worth(now.columns):
        return AssignmentDifference.REWARD
    return None


def _worth(columns: Columns) -> Any:
    """Return the reward as a tuple for comparison, in which 10.00 equals 10.0."""
    reward = columns["reward"]
    exact = reward and {**reward, "value": Decimal(reward["value"])}
    return exact, columns["unique_code"], columns["properties"]


def _hold_unclear(old: Assignment, now: Listed) -> None:
    """Set an unsent row with invalid data or an unknown status to `HELD`."""
    verdict, _ = now.against(old, None)
    waiting = [AssignmentState.OWED]
    if now.terms.stop != ExecutionStop.CANCELLED:
        waiting.append(AssignmentState.VOID)
    unsent = _one(old).filter(doubtful=False, state__in=waiting)
    state_machine.move_all(
        unsent.exclude(reason=AssignmentReason.WRITTEN_OFF),
        AssignmentState.HELD,
        why=verdict.problem,
        reason=verdict.reason,
        problem=verdict.problem,
    )
    # A possibly activated row that is not assigned would never be claimed: resolve it.
    unassigned = _one(old).exclude(meaning=Meaning.ACTIVATE)
    mark_uncertain(
        unassigned.filter(doubtful=True, state=AssignmentState.OWED),
        why="Optimove says what nobody understands: the platform is asked first.",
        not_before=Now(),
    )


def _is_newly_assigned(old: Assignment) -> bool:
    """Return whether a row that is assigned now was unassigned or invalid before."""
    if old.state == AssignmentState.VOID:
        was_assigned = old.meaning == Meaning.ACTIVATE
        return not was_assigned and old.reason != AssignmentReason.WRITTEN_OFF
    return (
        old.state == AssignmentState.HELD
        and old.reason in REREAD_REASONS
        and not old.doubtful
    )


def _assign(
    old: Assignment, now: Listed, difference: AssignmentDifference | None
) -> bool:
    """
    Evaluate the row like a new row, but keep a reward that was sent.

    Return whether the row needs review or changed its state.
    """
    # An order keeps its reward, and a row with a key keeps its customer and promotion.
    is_fixed = old.order or (old.key and difference == AssignmentDifference.OWNER)
    kept = now.conflict or (difference if is_fixed else None)
    verdict, owner = now.against(old, kept)
    columns = {
        "reason": verdict.reason,
        "problem": verdict.problem,
        "difference": kept or "",
        "cleared": not now.terms.limits.bound_executions(),
        **owner,
    }
    rows, held = _one(old), AssignmentState.HELD
    if verdict.state == held:
        if not state_machine.move_all(rows, held, why=verdict.problem, **columns):
            rows.filter(state=held).update(**columns)
        return True
    moved = mark_owed(
        rows,
        stop=now.terms.stop,
        why="Optimove assigns it now.",
        not_before=Now(),
        owed_since=Now(),
        **columns,
    )
    if moved:
        signals.owed.send(Execution)
    return bool(moved)


def _hold_differing(old: Assignment, difference: AssignmentDifference) -> None:
    problem, held = difference.problem, AssignmentState.HELD
    note: Columns = {
        "reason": AssignmentReason.DIFFERS,
        "problem": problem,
        "difference": difference,
    }
    owed = _one(old).filter(state=AssignmentState.OWED, doubtful=False)
    if state_machine.move_all(owed, held, why=problem, **note):
        return
    # Other rows are only marked. If they would become `OWED` again, they need review.
    _one(old).exclude(state__in=[AssignmentState.VOID, held]).update(**note)
    # A row in `HELD` keeps its reason: staff must not approve a duplicate as a change.
    others = _one(old).filter(state=held).exclude(difference=difference)
    sentence = Value(f" {problem}")
    others.update(difference=difference, problem=Trim(Concat("problem", sentence)))


def _one(old: Assignment) -> QuerySet[Assignment]:
    return Assignment.objects.filter(pk=old.pk)
