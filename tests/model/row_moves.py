"""State changes of rows that several steps make, as in `rewards.transitions`."""

from __future__ import annotations

from typing import Any

from tests.model.rules import Rules
from tests.model.state import (
    ACTIVATE,
    ACTIVE,
    GRACE,
    HELD,
    OWED,
    RUNNING,
    STOPPED,
    UNCERTAIN,
    UNKNOWN,
    VOID,
    Reason,
    Row,
    State,
    with_row,
)

REWARD, OWNER = "REWARD", "OWNER"


def known_difference(row: Row, rules: Rules) -> str:
    """Stand for `Assignment.known_difference`, or for the phrase that it replaced."""
    if row.difference == OWNER and not rules.owner_difference_kept:
        return OWNER if row.reason == Reason.DIFFERS else ""
    return row.difference


def mark_active(state: State, index: int) -> State:
    """Stand for `transitions.mark_active`; a row that is activated stays as it is."""
    row = state.rows[index]
    if row.state == ACTIVE:
        return state
    reason = str(Reason.DIFFERS) if row.difference else ""
    given = row._replace(
        state=ACTIVE, reason=reason, doubtful=False, token=0, lease=None
    )
    return with_row(state, index, given)


def mark_uncertain(row: Row) -> Row:
    """Stand for `transitions.mark_uncertain`: "not found" counts only later."""
    lease = 0 if row.lease is None else grace_from_now(row.lease)
    return row._replace(state=UNCERTAIN, lease=lease, token=0)


def grace_from_now(lease: int) -> int:
    """Return the age of the lease, so that the grace period is not over at once."""
    # If the clock was set forward, the request may have been sent a moment ago. Then
    # the grace period ends in the next period: it is as long as after a new lease.
    return -GRACE if lease == GRACE else lease


def held(row: Row, reason: Reason) -> Row:
    return row._replace(state=HELD, reason=str(reason), token=0)


def mark_owed(
    row: Row, stop: str, rules: Rules, *, settled: bool = False, **changes: Any
) -> Row:
    """Stand for `transitions.mark_owed`, with its branches in the same order."""
    is_over = stop == STOPPED
    is_ended = is_over or row.listed.meaning != ACTIVATE
    if not rules.cancelled_is_not_sent_again:
        is_ended = False
    is_doubtful = row.doubtful and not settled
    changed = row._replace(**changes)
    if is_ended and is_doubtful:
        # From these states, this is no declared move: the row stays as it is.
        is_kept = row.state in (UNCERTAIN, VOID)
        return row if is_kept else _uncertain_again(row, changes)
    if is_ended and not is_over and row.listed.meaning == UNKNOWN:
        return held(changed, Reason.UNKNOWN_STATUS)
    if is_ended:
        return changed._replace(state=VOID, reason=str(Reason.CANCELLED), token=0)
    if "difference" not in changes and known_difference(row, rules):
        return held(changed, Reason.DIFFERS)
    return changed._replace(state=OWED)


def _uncertain_again(row: Row, changes: dict[str, Any]) -> Row:
    kept = {name: value for name, value in changes.items() if name != "lease"}
    return mark_uncertain(row)._replace(**kept)


def cancel(row: Row) -> Row:
    """Stand for `transitions.cancel_assignments`, for one row."""
    if row.state in (OWED, HELD) and not row.doubtful:
        return row._replace(state=VOID, reason=str(Reason.CANCELLED))
    if row.state == OWED:
        return mark_uncertain(row)
    return row


def check_totals(state: State, limit: int) -> State:
    """Stand for `limits.check_run`: stop the execution, or clear its rows."""
    if state.tally > max(limit, state.waived):
        return state._replace(stop="OVER" if state.stop == RUNNING else state.stop)
    return clear(state)


def clear(state: State) -> State:
    if all(row.cleared for row in state.rows):
        return state
    rows = tuple(row._replace(cleared=True) for row in state.rows)
    return state._replace(rows=rows)
