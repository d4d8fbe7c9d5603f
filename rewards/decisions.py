"""Decisions of staff about rewards, each stored with the user and the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from executions.lifecycle import reopen
from executions.locks import lock_exclusive
from executions.models import Execution, ExecutionStop
from promoportal.db import row_versions
from promoportal.db.bulk_result import BulkResult, SkipKind, SkipReason
from promoportal.db.row_versions import Seen
from promoportal.db.state_machine import LostRace
from promoportal.optimove import Meaning
from rewards import approvals, limits, listed_again, obstacles, signals
from rewards.approvals import Says
from rewards.collection import evaluation
from rewards.collection.evaluation import REREAD_REASONS
from rewards.confirmed_moment import ConfirmedMoment
from rewards.models import (
    Assignment,
    AssignmentDifference,
    AssignmentReason,
    AssignmentState,
)
from rewards.transitions import UNCLEAR, mark_active, mark_owed


def retry(
    rows: QuerySet[Assignment], *, by: Any, why: str, seen: Seen | None = None
) -> BulkResult:
    """
    Retry rewards that need review.

    Rows with invalid data or an unknown status are evaluated again, with the current
    contract file. Possibly activated rewards are skipped: a retry might activate them
    twice. Rewards that staff must confirm are skipped, too: staff use `release`.
    """
    return _each(_retry, rows, by=by, why=why, seen=seen)


def retry_together(
    rows: QuerySet[Assignment],
    *,
    by: Any,
    why: str,
    confirmed: ConfirmedMoment | None = None,
) -> dict[int, SkipReason | None]:
    """
    Retry rows of several executions in one transaction.

    Rows that are newer than `confirmed`, or changed since, are skipped.

    Return, for each primary key, why its row was skipped, or None if it was retried.
    Rows that need no evaluation become `OWED` in one statement per execution.
    """
    found: dict[int, SkipReason | None] = {}
    with transaction.atomic():
        for execution_pk in sorted(set(rows.values_list("execution_id", flat=True))):
            stop = lock_exclusive(execution_pk)
            locked = _locked_of(rows.filter(execution=execution_pk))
            later = confirmed.obstacles(locked) if confirmed else {}
            same = [row for row in locked if row.pk not in later]
            found |= {**later, **_retry_each(same, stop, by=by, why=why)}
    return found


def _retry_each(
    locked: list[Assignment], stop: ExecutionStop, *, by: Any, why: str
) -> dict[int, SkipReason | None]:
    skipped = {row.pk: obstacles.to_retry(row, stop) for row in locked}
    free = [row for row in locked if not skipped[row.pk]]
    single = {row.pk for row in free if row.reason in REREAD_REASONS or _over(row)}
    plain = [row for row in free if row.pk not in single]
    if plain:
        _owe(plain, stop, by=by, why=why, **_COMPARED)
        signals.owed.send(Execution)
    return skipped | {
        pk: _retry(_locked(pk), stop, by=by, why=why) for pk in sorted(single)
    }


def _locked_of(rows: QuerySet[Assignment]) -> list[Assignment]:
    """Lock and return rows, without the large columns that few decisions need."""
    small = rows.defer("as_assigned", "reward", "properties", "order").order_by("pk")
    return list(small.select_for_update())


Decide = Callable[..., SkipReason | None]
"""A function that decides about one locked row; it returns a SkipReason or None."""


def release(
    rows: QuerySet[Assignment], *, by: Any, why: str, seen: Seen | None = None
) -> BulkResult:
    """Approve duplicates, rewards over a limit, and rewards that Optimove changed."""
    return _each(_release, rows, by=by, why=why, seen=seen)


def given(
    rows: QuerySet[Assignment], *, by: Any, why: str, seen: Seen | None = None
) -> BulkResult:
    """Mark possibly activated rewards as activated, because staff confirm it."""
    return _each(_given, rows, by=by, why=why, seen=seen)


def not_given(
    rows: QuerySet[Assignment], *, by: Any, why: str, seen: Seen | None = None
) -> BulkResult:
    """Mark possibly activated rewards as not activated, so that they can be sent."""
    return _each(_not_given, rows, by=by, why=why, seen=seen)


def write_off(
    rows: QuerySet[Assignment], *, by: Any, why: str, seen: Seen | None = None
) -> BulkResult:
    """Write off rewards that need review, so that they will not be activated."""
    return _each(_write_off, rows, by=by, why=why, seen=seen)


def _each(
    decide: Decide, rows: QuerySet[Assignment], *, by: Any, why: str, seen: Seen | None
) -> BulkResult:
    """
    Decide about each row in a separate transaction, with the execution locked.

    A row that differs from its version in `seen` is skipped.
    """
    result = BulkResult()
    for pk, execution_pk in rows.order_by("pk").values_list("pk", "execution_id"):
        with transaction.atomic():
            stop = lock_exclusive(execution_pk)
            row = _locked(pk)
            changed = row_versions.changed(row, seen)
            skipped = changed or decide(row, stop, by=by, why=why)
        result.record(row, skipped)
    return result


def _locked(pk: int) -> Assignment:
    rows = Assignment.objects.select_related("execution", "promotion")
    return rows.select_for_update(of=["self"]).get(pk=pk)


def _retry(
    row: Assignment, stop: ExecutionStop, *, by: Any, why: str
) -> SkipReason | None:
    if why_not := obstacles.to_retry(row, stop):
        return why_not
    if row.reason in REREAD_REASONS:
        why_not = _as_listed(row, stop)
    else:
        why_not = _ask_for_approval(row)
    if why_not:
        return why_not
    _owe_one(row, stop, by=by, why=why, **_COMPARED)
    return None


def _release(
    row: Assignment, stop: ExecutionStop, *, by: Any, why: str
) -> SkipReason | None:
    if why_not := obstacles.to_approval(row, stop):
        return why_not
    if row.known_difference:
        confirmed = (AssignmentReason.REPEATED, AssignmentReason.DIFFERS, row.reason)
        why_not = _as_listed(row, stop, *confirmed)
    else:
        why_not = _ask_for_approval(row)
    if why_not:
        return why_not
    approved = _approved(row)
    _owe_one(row, stop, by=by, why=why, **_COMPARED, confirmed=approved)
    return None


def _approved(row: Assignment) -> dict[str, str]:
    """Return all reasons that staff approved, each with the worth that they saw."""
    earlier, listed = row.confirmed or {}, row.known_difference
    reasons = [row.reason, *([AssignmentReason.DIFFERS] if listed else [])]
    row.refresh_from_db(fields=["value", "unit"])
    return earlier | dict.fromkeys(reasons, _worth(row))


def _worth(row: Assignment) -> str:
    return f"{row.value} {row.unit}"


def _as_listed(
    row: Assignment, stop: ExecutionStop, *confirmed: str
) -> SkipReason | None:
    """
    Copy the values that Optimove listed last to a row that was not activated.

    The limits of the execution are checked with the new value. Return why the row
    cannot become pending, or None if it can.
    """
    listed = listed_again.read(row, stop, *confirmed)
    if listed is None:
        return listed_again.STORED_TWICE
    verdict, owner = listed.against(row, row.known_difference)
    if verdict.reason and verdict.reason not in obstacles.NEEDS_CONFIRMATION:
        what = "what is listed now cannot be read" if confirmed else _STILL_NOT
        return SkipReason(SkipKind.UNREADABLE, f"{what}. {verdict.problem}")
    is_owned = row.key or row.known_difference == AssignmentDifference.OWNER
    if is_owned and (why_not := obstacles.compare_owner(row, listed.row)):
        return why_not
    columns = {**listed.columns, **owner, **listed_again.identity(listed)}
    listed_again.take_over(row, columns, verdict)
    if verdict.reason == AssignmentReason.REPEATED:
        return obstacles.needs_confirmation("read, and it is a second assignment")
    if not verdict.reason:
        return None
    sentence = f"{_STILL_NOT}. {verdict.problem}"
    return SkipReason(SkipKind.NEEDS_CONFIRMATION, sentence)


def _over(row: Assignment) -> str:
    """Return why the reward needs an approval of its value, or ""."""
    reason = AssignmentReason.OVER_LIMIT
    is_approved = (row.confirmed or {}).get(reason) == _worth(row)
    if row.reason == reason or row.value is None or is_approved:
        return ""
    is_allowed = limits.current().allow_reward(row.value, row.unit)
    return "" if is_allowed else evaluation.over_limit(row.value, row.unit)


def _ask_for_approval(row: Assignment) -> SkipReason | None:
    """Keep a reward that is over the limit for one reward until staff approve it."""
    if not (problem := _over(row)):
        return None
    reason = AssignmentReason.OVER_LIMIT
    Assignment.objects.filter(pk=row.pk).update(reason=reason, problem=problem)
    return obstacles.needs_confirmation(reason.label)


_STILL_NOT = "it still cannot be activated"
# Changes to rows that were not activated and were compared with Optimove's list.
_COMPARED: dict[str, Any] = {"difference": "", "first_sent_at": None}


def _owe_one(row: Assignment, stop: ExecutionStop, **changes: Any) -> None:
    _owe([row], stop, **changes)
    signals.released.send(Assignment, row=row)


def _owe(
    rows: list[Assignment], stop: ExecutionStop, *, by: Any, why: str, **changes: Any
) -> None:
    """Make rows of one execution pending again, and reset their counts of failures."""
    moved = mark_owed(
        Assignment.objects.filter(pk__in=[row.pk for row in rows]),
        stop=stop,
        settled=True,
        by=by,
        why=why,
        reason="",
        problem="",
        not_before=Now(),
        owed_since=Now(),
        failures=0,
        malformed=0,
        deaths=0,
        **changes,
    )
    if len(moved) < len(rows):
        raise LostRace(f"Of {len(rows)} assignments, only {len(moved)} changed.")
    reopen([rows[0].execution_id], by=by, why=why)


def _given(
    row: Assignment, stop: ExecutionStop, *, by: Any, why: str
) -> SkipReason | None:
    reasons = (
        obstacles.to_saying(row)
        or listed_again.identify(row, stop)
        or approvals.approve(row, Says.GIVEN, by=by, why=why)
    )
    if isinstance(reasons, SkipReason):
        return reasons
    limits.admit_activated([row])
    rows = Assignment.objects.filter(pk=row.pk)
    mark_active(rows, {row.pk: f"said by {by}"[:200]}, by=by, why=reasons)
    return None


def _not_given(
    row: Assignment, stop: ExecutionStop, *, by: Any, why: str
) -> SkipReason | None:
    reasons = obstacles.to_denying(row) or approvals.approve(
        row, Says.NOT_GIVEN, by=by, why=why
    )
    if isinstance(reasons, SkipReason):
        return reasons
    settled: dict[str, Any]
    settled = {"doubtful": False, "first_sent_at": None, "lease_until": None}
    is_ended = stop == ExecutionStop.CANCELLED or row.meaning in _ENDED
    reason = {} if is_ended else _next_reason(row)
    if row.state == AssignmentState.VOID:
        Assignment.objects.filter(pk=row.pk).update(**settled)
    elif not reason:
        _owe_one(row, stop, by=by, why=reasons, **settled)
    # Otherwise the reward was not activated, but staff must decide whether to do so.
    elif row.state == AssignmentState.HELD:
        Assignment.objects.filter(pk=row.pk).update(**settled, **reason)
    else:
        row.move(AssignmentState.HELD, by=by, why=reasons, **settled, **reason)
    return None


_ENDED = (Meaning.NOTHING, Meaning.CANCELLED)


def _next_reason(row: Assignment) -> dict[str, str]:
    """Return, as columns, the reason to keep the row in `HELD`; {} if there is none."""
    if row.reason in (*obstacles.NEEDS_CONFIRMATION, *REREAD_REASONS):
        return {"reason": row.reason}
    if row.meaning == Meaning.UNKNOWN:
        return {"reason": AssignmentReason.UNKNOWN_STATUS, "problem": UNCLEAR}
    if difference := row.known_difference:
        return {"reason": AssignmentReason.DIFFERS, "problem": difference.problem}
    if problem := _over(row):
        return {"reason": AssignmentReason.OVER_LIMIT, "problem": problem}
    return {}


def tell(
    rows: QuerySet[Assignment], *, by: Any, why: str, seen: Seen | None = None
) -> BulkResult:
    """Record that CRM knows what Optimove changed after rewards were activated."""
    return _each(_tell, rows, by=by, why=why, seen=seen)


def _tell(row: Assignment, _: ExecutionStop, **_said: Any) -> SkipReason | None:
    why_not = obstacles.to_telling(row)
    if not why_not:
        Assignment.objects.filter(pk=row.pk).update(told_at=Now())
    return why_not


def _write_off(
    row: Assignment, _: ExecutionStop, *, by: Any, why: str
) -> SkipReason | None:
    if why_not := obstacles.to_writing_off(row):
        return why_not
    row.move(
        AssignmentState.VOID,
        by=by,
        why=why,
        reason=AssignmentReason.WRITTEN_OFF,
        problem=why,
    )
    return None
