"""Decisions of staff about rewards, each stored with the user and the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from executions.lifecycle import reopen
from executions.locks import lock_exclusive
from executions.models import Execution, ExecutionStop
from promoportal import optimove
from promoportal.db import row_versions
from promoportal.db.bulk_result import BulkResult, SkipKind, SkipReason
from promoportal.db.row_versions import Seen
from promoportal.db.state_machine import LostRace
from promoportal.optimove import Meaning, Row
from rewards import approvals, limits, listed_again, signals
from rewards.activation import request_lifetime
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
    obstacles = {row.pk: retry_skip_reason(row, stop) for row in locked}
    free = [row for row in locked if not obstacles[row.pk]]
    single = {row.pk for row in free if row.reason in REREAD_REASONS or _over(row)}
    plain = [row for row in free if row.pk not in single]
    if plain:
        _owe(plain, stop, by=by, why=why, **_COMPARED)
        signals.owed.send(Execution)
    return obstacles | {
        pk: _retry(_locked(pk), stop, by=by, why=why) for pk in sorted(single)
    }


def _locked_of(rows: QuerySet[Assignment]) -> list[Assignment]:
    """Lock and return rows, without the large columns that few decisions need."""
    small = rows.defer("as_assigned", "reward", "properties", "order").order_by("pk")
    return list(small.select_for_update())


def retry_skip_reason(row: Assignment, stop: ExecutionStop) -> SkipReason | None:
    """Return why a retry would skip the row, or None."""
    if why_not := _stays(row, stop):
        return why_not
    if row.reason in NEEDS_CONFIRMATION:
        return owner_conflict(row) or _needs_confirmation(_held_as(row))
    if row.reason in REREAD_REASONS:
        return None
    if why_not := _not_eligible(row) or owner_conflict(row):
        return why_not
    changed = AssignmentReason.DIFFERS.label
    return _needs_confirmation(changed) if row.known_difference else None


def _needs_confirmation(situation: str) -> SkipReason:
    sentence = f'{situation}: press "Approve" if it is meant'
    return SkipReason(SkipKind.NEEDS_CONFIRMATION, sentence)


def obstacle_to_release(row: Assignment, stop: ExecutionStop) -> SkipReason | None:
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
    return _compare_owner(row, optimove.reread(row.as_assigned))


def _compare_owner(row: Assignment, listed: Row) -> SkipReason | None:
    promotion = row.promotion.reference if row.promotion else ""
    pairs = ((row.customer, listed.customer), (promotion, listed.promotion))
    # The owner of a row without a key may not have been readable.
    is_known = row.key is not None
    is_same = all(ours == theirs or not (ours or is_known) for ours, theirs in pairs)
    return None if is_same else NOT_THEIRS


# After a restored backup, a row in `VOID` may have been activated in the gap.
_STILL = (AssignmentState.UNCERTAIN, AssignmentState.HELD, AssignmentState.VOID)


def obstacle_to_saying(row: Assignment) -> SkipReason | None:
    """Return why staff cannot confirm or deny the activation; None if they can."""
    if not row.doubtful:
        return SkipReason(SkipKind.WRONG_STATE, "not in doubt")
    if row.state not in _STILL:
        label = AssignmentState(row.state).label
        return SkipReason(SkipKind.WRONG_STATE, f"{label}: wait for its answer")
    return None


def obstacle_to_denying(row: Assignment) -> SkipReason | None:
    """Return why staff cannot deny the activation, now or at all; None if they can."""
    if why_not := obstacle_to_saying(row):
        return why_not
    until = request_lifetime.open_until(row.lease_until)
    if until is None:
        return None
    time = f"{timezone.localtime(until):%Y-%m-%d %H:%M:%S %Z}"
    sentence = f"its request may still arrive until {time}: try again then"
    return SkipReason(SkipKind.TOO_EARLY, sentence)


def obstacle_to_writing_off(row: Assignment) -> SkipReason | None:
    """Return why the row cannot be written off; None if it can."""
    if row.state != AssignmentState.HELD:
        label = AssignmentState(row.state).label
        return SkipReason(SkipKind.WRONG_STATE, f"{label}, not held")
    return IN_DOUBT if row.doubtful else None


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
    if why_not := retry_skip_reason(row, stop):
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
    if why_not := obstacle_to_release(row, stop):
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


def _held_as(row: Assignment) -> str:
    return f"held as {AssignmentReason(row.reason).label}" if row.reason else "held"


def _stays(row: Assignment, stop: ExecutionStop) -> SkipReason | None:
    """Return why staff can neither retry nor approve the reward, or None."""
    if why_not := obstacle_to_writing_off(row):
        return why_not
    return EXECUTION_CANCELLED if stop == ExecutionStop.CANCELLED else None


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
    if verdict.reason and verdict.reason not in NEEDS_CONFIRMATION:
        what = "what is listed now cannot be read" if confirmed else _STILL_NOT
        return SkipReason(SkipKind.UNREADABLE, f"{what}. {verdict.problem}")
    is_owned = row.key or row.known_difference == AssignmentDifference.OWNER
    if is_owned and (why_not := _compare_owner(row, listed.row)):
        return why_not
    columns = {**listed.columns, **owner, **listed_again.identity(listed)}
    listed_again.take_over(row, columns, verdict)
    if verdict.reason == AssignmentReason.REPEATED:
        return _needs_confirmation("read, and it is a second assignment")
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
    return _needs_confirmation(reason.label)


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
        obstacle_to_saying(row)
        or listed_again.identify(row, stop)
        or approvals.approve(row, Says.GIVEN, by=by, why=why)
    )
    if isinstance(reasons, SkipReason):
        return reasons
    rows = Assignment.objects.filter(pk=row.pk)
    mark_active(rows, {row.pk: f"said by {by}"[:200]}, by=by, why=reasons)
    return None


def _not_given(
    row: Assignment, stop: ExecutionStop, *, by: Any, why: str
) -> SkipReason | None:
    reasons = obstacle_to_denying(row) or approvals.approve(
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
    if row.reason in (*NEEDS_CONFIRMATION, *REREAD_REASONS):
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


def obstacle_to_telling(row: Assignment) -> SkipReason | None:
    """Return why staff have nothing to report to CRM; None if they have."""
    is_changed = row.reason == AssignmentReason.DIFFERS or row.cancelled_too_late
    if row.state == AssignmentState.ACTIVE and is_changed and row.told_at is None:
        return None
    return SkipReason(SkipKind.WRONG_STATE, "there is nothing to tell CRM")


def _tell(row: Assignment, _: ExecutionStop, **_said: Any) -> SkipReason | None:
    why_not = obstacle_to_telling(row)
    if not why_not:
        Assignment.objects.filter(pk=row.pk).update(told_at=Now())
    return why_not


def _write_off(
    row: Assignment, _: ExecutionStop, *, by: Any, why: str
) -> SkipReason | None:
    if why_not := obstacle_to_writing_off(row):
        return why_not
    row.move(
        AssignmentState.VOID,
        by=by,
        why=why,
        reason=AssignmentReason.WRITTEN_OFF,
        problem=why,
    )
    return None
