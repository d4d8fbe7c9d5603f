"""What follows when the vendor lists a row otherwise than before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet, Value
from django.db.models.functions import Concat, Now, Trim

from executions.models import Execution, ExecutionStop
from promoportal.db import state_machine
from promoportal.db.bulk import Columns
from promoportal.optimove import Meaning, Row
from rewards import limits, signals
from rewards.collection import evaluation
from rewards.models import (
    Assignment,
    AssignmentDifference,
    AssignmentReason,
    AssignmentState,
)
from rewards.transitions import cancel_assignments, mark_owed, mark_uncertain

# Held for what the vendor said, so that what it says now decides.
_READ_ANEW = (AssignmentReason.UNREADABLE, AssignmentReason.UNKNOWN_STATUS)
# What a row is worth; frozen once it was sent.
_WORTH = ("reward", "value", "unit", "unique_code", "properties")


def apply_changes(
    execution: Execution,
    pairs: Sequence[tuple[Assignment, Row]],
    *,
    stop: ExecutionStop,
) -> None:
    """Follow every difference between what was listed and what is listed now."""
    changed = {old.pk: row for old, row in pairs if _differs(old, row)}
    for old in _locked(changed):
        row = changed[old.pk]
        difference = _difference(old, row)
        was_owed = old.meaning == Meaning.ACTIVATE
        _say(old, row)
        if row.problem or row.meaning == Meaning.UNKNOWN:
            _unclear(old, row, stop)
        elif row.meaning != Meaning.ACTIVATE:
            cancel_assignments(_one(old))
        elif _is_new_to_us(old, was_owed=was_owed):
            _assigned_now(execution, old, row, stop, difference)
        else:
            _assigned_still(old, stop, difference)


def _differs(old: Assignment, row: Row) -> bool:
    said = (row.status, row.meaning)
    if (old.vendor_status, old.meaning) != said or _difference(old, row):
        return True
    # What differed may be as it was again, and is compared with what is listed last.
    decides = old.reason in _READ_ANEW or old.known_difference
    return bool(decides) and old.as_assigned != row.raw


def _difference(old: Assignment, row: Row) -> AssignmentDifference | None:
    """Return what Optimove changed of what was read."""
    if _whose(old) != (row.customer, row.promotion):
        return AssignmentDifference.OWNER
    if _worth(old) != _worth_of(row):
        return AssignmentDifference.REWARD
    return None


def _locked(changed: Iterable[int]) -> Iterable[Assignment]:
    """As they are now, and as they stay until this transaction ends."""
    rows = Assignment.objects.filter(pk__in=list(changed)).order_by("pk")
    return rows.select_for_update()


def _whose(old: Assignment) -> tuple[str, str]:
    return old.customer, old.promotion.reference if old.promotion else ""


def _worth(old: Assignment) -> Any:
    return _exact(old.reward), old.unique_code, old.properties


def _worth_of(row: Row) -> Any:
    reward = evaluation.reward_payload(row.reward) if row.reward else None
    return _exact(reward), row.unique_code or "", row.properties


def _exact(reward: Columns | None) -> Columns | None:
    """The reward with its value as a number: 10.00 and 10.0 are the same."""
    return reward and {**reward, "value": Decimal(reward["value"])}


def _say(old: Assignment, row: Row) -> None:
    """Keep what the vendor says now; what was sent stays as it was sent."""
    columns = evaluation.vendor_columns(row)
    for name in _WORTH if old.order is not None else ():
        del columns[name]
    _one(old).update(**columns)


def _unclear(old: Assignment, row: Row, stop: ExecutionStop) -> None:
    """Nobody can say what it means now, so that a person has to."""
    _, reason, problem = evaluation.evaluate(row)
    waiting = (
        [AssignmentState.OWED]
        if stop == ExecutionStop.CANCELLED
        else [AssignmentState.OWED, AssignmentState.VOID]
    )
    unsent = _one(old).filter(doubtful=False, state__in=waiting)
    state_machine.move_all(
        unsent.exclude(reason=AssignmentReason.WRITTEN_OFF),
        AssignmentState.HELD,
        why=problem,
        reason=reason,
        problem=problem,
    )
    # Nobody would claim what is not assigned: whether it was given is found out first.
    unassigned = _one(old).exclude(meaning=Meaning.ACTIVATE)
    mark_uncertain(
        unassigned.filter(doubtful=True, state=AssignmentState.OWED),
        why="Optimove says what nobody understands: the platform is asked first.",
        not_before=Now(),
    )


def _is_new_to_us(old: Assignment, *, was_owed: bool) -> bool:
    """It was not assigned before, or not readably, and is now."""
    if old.state == AssignmentState.VOID:
        return not was_owed and old.reason != AssignmentReason.WRITTEN_OFF
    return (
        old.state == AssignmentState.HELD
        and old.reason in _READ_ANEW
        and not old.doubtful
    )


def _assigned_now(
    execution: Execution,
    old: Assignment,
    row: Row,
    stop: ExecutionStop,
    difference: AssignmentDifference | None,
) -> None:
    """Treat the row as if it were listed for the first time, except for what was sent."""
    whose = {} if old.key else evaluation.owner_columns(old, row)
    repeated = whose.get("repeated", old.repeated)
    state, reason, problem = evaluation.evaluate_in_execution(
        row, repeated=repeated, stop=stop
    )
    # What was never sent is worth what is listed now, but it stays its customer's.
    is_fixed = old.order or (old.key and difference == AssignmentDifference.OWNER)
    kept = difference if state == AssignmentState.OWED and is_fixed else None
    if kept:
        state, reason = AssignmentState.HELD, AssignmentReason.DIFFERS
        problem = kept.problem
    said = {"reason": reason, "problem": problem, "difference": kept or "", **whose}
    if state == AssignmentState.HELD:
        _hold(_one(old), said)
    elif not _owe(_one(old), stop, said):
        return
    if not limits.is_execution_unlimited():
        limits.check_again(execution)
    fresh = _one(old).get()
    limits.admit(execution, [(fresh.unit, fresh.value)])


def _hold(rows: QuerySet[Assignment], said: Columns) -> None:
    rows.filter(state=AssignmentState.HELD).update(**said)
    state_machine.move_all(
        rows.exclude(state=AssignmentState.HELD),
        AssignmentState.HELD,
        why=said["problem"],
        **said,
    )


def _owe(rows: QuerySet[Assignment], stop: ExecutionStop, said: Columns) -> bool:
    moved = mark_owed(
        rows,
        stop=stop,
        why="Optimove assigns it now.",
        not_before=Now(),
        owed_since=Now(),
        cleared=limits.is_execution_unlimited(),
        **said,
    )
    if moved:
        signals.owed.send(Execution)
    return bool(moved)


def _assigned_still(
    old: Assignment, stop: ExecutionStop, difference: AssignmentDifference | None
) -> None:
    if old.cancelled_too_late and stop != ExecutionStop.CANCELLED:
        # Taken back after the customer had it, and now it is theirs again.
        _one(old).update(cancelled_too_late=False)
    if difference:
        _hold_differing(old, difference)


def _hold_differing(old: Assignment, difference: AssignmentDifference) -> None:
    problem = difference.problem
    note: Columns = {
        "reason": AssignmentReason.DIFFERS,
        "problem": problem,
        "difference": difference,
    }
    owed = _one(old).filter(state=AssignmentState.OWED, doubtful=False)
    if not state_machine.move_all(owed, AssignmentState.HELD, why=problem, **note):
        # Given, or on its way: it is marked, and whatever comes back to be owed is held.
        _one(old).exclude(
            state__in=[AssignmentState.VOID, AssignmentState.HELD]
        ).update(**note)
        _add_to_why_it_is_held(old, difference)


def _add_to_why_it_is_held(old: Assignment, difference: AssignmentDifference) -> None:
    """Keep the reason of a held row: a second assignment must not pass for a change."""
    held = _one(old).filter(state=AssignmentState.HELD)
    sentence = Value(f" {difference.problem}")
    held.exclude(difference=difference).update(
        difference=difference, problem=Trim(Concat("problem", sentence))
    )


def _one(old: Assignment) -> QuerySet[Assignment]:
    return Assignment.objects.filter(pk=old.pk)
